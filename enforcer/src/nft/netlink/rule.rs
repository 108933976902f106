//! Rules as the kernel's expressions, and back.
//!
//! A rule loads what it looks at into registers, words of four bytes from 0 on, and compares or looks up. Fields of
//! one family are guarded by a check of the family, once in a rule, as `nft` guards them:
//!
//! ```text
//!   ip saddr . meta l4proto . th dport @allowed accept
//!     meta nfproto → 0        cmp 0 == ipv4
//!     payload network 12+4 → 0   meta l4proto → 1   payload transport 2+2 → 2
//!     lookup 0 in allowed
//!     verdict accept
//! ```

mod decode;
mod encode;

use ipnet::IpNet;
use nlink::netlink::nftables::{CmpOp, Expr, MetaKey, PayloadBase, Register};

pub(super) use decode::decode;
pub(super) use encode::encode;

use crate::nft::model::{EtherType, Field, TableKey};

/// `ESTABLISHED` and `RELATED` of `ct state` (`NF_CT_STATE_BIT`, in host order).
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;

/// The register where every load of a rule starts.
const FIRST: Register = Register::R0;

fn meta(key: MetaKey) -> Expr {
    Expr::Meta { dreg: FIRST, key }
}

fn compare(op: CmpOp, data: &[u8]) -> Expr {
    Expr::Cmp {
        sreg: FIRST,
        op,
        data: data.to_vec(),
    }
}

fn transport(offset: u32, len: u32) -> Expr {
    Expr::Payload {
        dreg: FIRST,
        base: PayloadBase::Transport,
        offset,
        len,
    }
}

/// The two expressions that let only packets of one network protocol go on.
fn family_check(table: TableKey, kind: EtherType) -> [Expr; 2] {
    match table {
        TableKey::Inet => {
            // NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_ARP of linux/netfilter.h.
            let protocol = match kind {
                EtherType::Ipv4 => 2,
                EtherType::Ipv6 => 10,
                EtherType::Arp => 3,
            };
            [meta(MetaKey::NfProto), compare(CmpOp::Eq, &[protocol])]
        }
        TableKey::Netdev | TableKey::Bridge => {
            // ETH_P_IP, ETH_P_IPV6, ETH_P_ARP of linux/if_ether.h.
            let protocol: u16 = match kind {
                EtherType::Ipv4 => 0x0800,
                EtherType::Ipv6 => 0x86dd,
                EtherType::Arp => 0x0806,
            };
            [
                meta(MetaKey::Protocol),
                compare(CmpOp::Eq, &protocol.to_be_bytes()),
            ]
        }
    }
}

/// Loads a field into a register.
fn load(field: Field, dreg: Register) -> Expr {
    let network = |offset, len| Expr::Payload {
        dreg,
        base: PayloadBase::Network,
        offset,
        len,
    };
    let port = |offset| Expr::Payload {
        dreg,
        base: PayloadBase::Transport,
        offset,
        len: 2,
    };
    match field {
        Field::InputInterface => Expr::Meta {
            dreg,
            key: MetaKey::IifName,
        },
        Field::OutputInterface => Expr::Meta {
            dreg,
            key: MetaKey::OifName,
        },
        Field::SourceV4 => network(12, 4),
        Field::DestinationV4 => network(16, 4),
        Field::SourceV6 => network(8, 16),
        Field::DestinationV6 => network(24, 16),
        Field::ArpSenderV4 => network(14, 4),
        Field::L4Protocol => Expr::Meta {
            dreg,
            key: MetaKey::L4Proto,
        },
        Field::SourcePort => port(0),
        Field::DestinationPort => port(2),
    }
}

/// The bytes of a network's first address and of its mask.
fn network_bytes(net: IpNet) -> (Vec<u8>, Vec<u8>) {
    match net {
        IpNet::V4(net) => (net.network().octets().to_vec(), net.netmask().octets().to_vec()),
        IpNet::V6(net) => (net.network().octets().to_vec(), net.netmask().octets().to_vec()),
    }
}
