//! Addresses that beds do not give by themselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

/// Pods of a node for which the bed itself has addresses.
pub(super) const PLANNED: usize = 190;

/// Addresses of a pod that is nowhere in the bed.
pub(super) fn elsewhere(number: u32) -> [IpAddr; 2] {
    let v4 = Ipv4Addr::from_bits(Ipv4Addr::new(10, 128, 0, 1).to_bits() + number);
    let v6 =
        Ipv6Addr::from_bits(Ipv6Addr::new(0xfd00, 0x128, 0, 0, 0, 0, 0, 1).to_bits() + u128::from(number));
    [v4.into(), v6.into()]
}

/// Addresses of a node's range that the bed gives to no slot by itself.
pub(super) fn beyond_the_plan(position: usize, serial: usize) -> Result<[IpAddr; 2]> {
    let (node, serial) = (u8::try_from(position)? + 1, u8::try_from(serial)?);
    // From 190 on: 200 to 254, then 2 to 6.
    let host = if serial < 245 { serial + 10 } else { serial - 243 };
    let v6 = Ipv6Addr::new(0xfd00, 0x244, 0, node.into(), 0, 0, 1, host.into());
    Ok([Ipv4Addr::new(10, 244, node, host).into(), v6.into()])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn pods_beyond_the_plan_have_addresses_of_their_own() {
        let given: BTreeSet<_> = (PLANNED..250)
            .map(|serial| beyond_the_plan(0, serial).unwrap())
            .collect();
        assert_eq!(given.len(), 60);
        // The bed itself gives 10 to 199 to the first 190 slots.
        let planned: BTreeSet<IpAddr> = (10..200)
            .map(|host| Ipv4Addr::new(10, 244, 1, host).into())
            .collect();
        assert!(given.iter().all(|[v4, _]| !planned.contains(v4)));
    }
}
