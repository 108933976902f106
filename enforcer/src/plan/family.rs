//! The two address families: the same plan twice, with the fields and types of each.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::nft::model::{Field, KeyType, Match, Rule, Verdict};

/// A family, and the fields that carry its addresses.
pub(super) struct Family {
    pub(super) v4: bool,
    pub(super) digit: &'static str,
    pub(super) source: Field,
    pub(super) destination: Field,
    pub(super) key: KeyType,
    pub(super) link_local: IpNet,
    pub(super) multicast: IpNet,
}

impl Family {
    pub(super) fn both() -> [Self; 2] {
        [
            Self {
                v4: true,
                digit: "4",
                source: Field::SourceV4,
                destination: Field::DestinationV4,
                key: KeyType::Ipv4Address,
                link_local: Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16).into(),
                multicast: Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4).into(),
            },
            Self {
                v4: false,
                digit: "6",
                source: Field::SourceV6,
                destination: Field::DestinationV6,
                key: KeyType::Ipv6Address,
                link_local: Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10).into(),
                multicast: Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8).into(),
            },
        ]
    }

    pub(super) fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.v4
    }
}

/// Neighbour discovery (133–137, RFC 4861) and multicast listener discovery (130–132, RFC 2710; 143, RFC 3810), without
/// which a pod has no IPv6 at all. On a bridge they pass the forward hook.
pub(super) fn neighbour_discovery() -> [Match; 2] {
    [
        Match::IcmpV6Types {
            first: 130,
            last: 137,
        },
        Match::IcmpV6Types {
            first: 143,
            last: 143,
        },
    ]
}

/// The rules that let discovery pass, whoever it comes from.
pub(super) fn open_discovery() -> [Rule; 2] {
    neighbour_discovery().map(|kind| Rule::new([kind], Verdict::Accept))
}
