//! Addresses and address blocks as text.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use palisade_policy::model::Defect;

use super::field::{Field, quoted};

/// The length of the prefix that all IPv4-mapped IPv6 addresses begin with (RFC 4291, 2.5.5.2).
const MAPPED_PREFIX: u8 = 96;

/// An address. One that is IPv4-mapped is the IPv4 address: that is what its packets carry.
pub(super) fn address(text: &str, field: &Field<'_>) -> Result<IpAddr, Defect> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| field.defect(format!("{} is no IP address", quoted(text))))?;
    Ok(address.to_canonical())
}

/// An address block, host bits cleared. One of IPv4-mapped addresses is the IPv4 block, as the API's own reader
/// (Go's `net.ParseCIDR`) has it.
pub(super) fn network(text: &str, field: &Field<'_>) -> Result<IpNet, Defect> {
    let network = parse(text).ok_or_else(|| {
        let plain = text.parse::<IpAddr>().is_ok();
        let hint = if plain {
            ": the prefix length is missing"
        } else {
            ""
        };
        field.defect(format!("{} is no CIDR{hint}", quoted(text)))
    })?;
    Ok(unmapped(network.trunc()))
}

/// The reader of `ipnet` takes `010.0.0.0` for `10.0.0.0`, where others see an octal 8; the standard library refuses.
fn parse(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    IpNet::new(address.parse().ok()?, length.parse().ok().filter(|_| digits)?).ok()
}

fn unmapped(network: IpNet) -> IpNet {
    let mapped = |address: Ipv6Addr| address.to_ipv4_mapped();
    let IpNet::V6(block) = network else { return network };
    let Some(prefix) = block.prefix_len().checked_sub(MAPPED_PREFIX) else {
        return network;
    };
    mapped(block.addr())
        .and_then(|address| Ipv4Net::new(address, prefix).ok())
        .map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        network(text, &Field::Root("cidr"))
            .map(|net| net.to_string())
            .map_err(|defect| defect.to_string())
    }

    #[test]
    fn host_bits_are_cleared_and_mapped_blocks_become_ipv4() {
        for (text, expected) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00::1/64", "fd00::/64"),
            ("::/0", "::/0"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:10.0.0.1/64", "::/64"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_block_is_refused_with_its_text() {
        assert_eq!(
            read("10.0.0.1").unwrap_err(),
            "cidr: \"10.0.0.1\" is no CIDR: the prefix length is missing"
        );
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "010.0.0.0/8",
            "fd00::/129",
            "10.0.0.0/-1",
            "10.0.0.0/8 ",
            "x/8",
        ] {
            assert_eq!(read(text).unwrap_err(), format!("cidr: {text:?} is no CIDR"));
        }
    }
}
