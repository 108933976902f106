//! One connection as conntrack remembers it.
//!
//! The attribute that names an entry is kept as the bytes that the kernel sent: sent back, it names exactly this
//! entry, whatever its protocol.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nlink::netlink::AttrIter;
use palisade_policy::model::{Packet, Protocol, Transport};

/// Attributes of an entry (`enum ctattr_type` of `linux/netfilter/nfnetlink_conntrack.h`).
pub(super) const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
pub(super) const CTA_ID: u16 = 12;
const CTA_TUPLE_MASTER: u16 = 14;
const CTA_ZONE: u16 = 18;

/// Attributes of a tuple.
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_TUPLE_ZONE: u16 = 3;

/// Its addresses: source and destination, IPv4 and IPv6.
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;

/// Its protocol and ports.
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Who sends.
    pub source: IpAddr,
    /// Who receives.
    pub destination: IpAddr,
    /// The IP protocol.
    pub protocol: u8,
    /// The sender's port; 0 where the protocol has none.
    pub source_port: u16,
    /// The receiver's port; 0 where the protocol has none.
    pub destination_port: u16,
}

/// What names an entry: its family, its original direction and its number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub(super) family: u8,
    pub(super) tuple: Box<[u8]>,
    pub(super) id: Option<u32>,
}

/// An entry, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The direction of the packet that opened it, as that packet came in.
    pub original: Tuple,
    /// The direction of the answers, as they come in.
    pub reply: Tuple,
    /// Whether it is in a zone: what else has its addresses is then somebody else.
    pub zoned: bool,
    pub(super) family: u8,
    pub(super) tuple: &'a [u8],
    pub(super) id: Option<u32>,
    /// The original direction of the connection that it belongs to, as a helper told the kernel.
    pub(super) master: Option<&'a [u8]>,
}

impl Entry<'static> {
    /// An entry of these directions that nothing names.
    pub fn unnamed(original: Tuple, reply: Tuple) -> Self {
        Self {
            original,
            reply,
            zoned: false,
            family: 0,
            tuple: &[],
            id: None,
            master: None,
        }
    }
}

impl<'a> Entry<'a> {
    /// Reads the body of a message: four bytes of header, of which the first is the family, and attributes. `None` if
    /// any part that matters is missing.
    pub(super) fn decode(body: &'a [u8]) -> Option<Self> {
        let (header, attributes) = body.split_at_checked(4)?;
        let (mut original, mut reply, mut tuple) = (None, None, None);
        let (mut zoned, mut id, mut master) = (false, None, None);
        for (kind, value) in AttrIter::new(attributes) {
            match kind {
                CTA_TUPLE_ORIG => {
                    tuple = Some(value);
                    original = Some(Tuple::decode(value)?);
                    zoned |= Tuple::has_zone(value);
                }
                CTA_TUPLE_REPLY => {
                    reply = Some(Tuple::decode(value)?);
                    zoned |= Tuple::has_zone(value);
                }
                CTA_ID => id = Some(u32::from_be_bytes(*value.first_chunk()?)),
                CTA_TUPLE_MASTER => master = Some(value),
                CTA_ZONE => zoned |= value.iter().any(|byte| *byte != 0),
                _ => {}
            }
        }
        Some(Self {
            original: original?,
            reply: reply?,
            zoned,
            family: *header.first()?,
            tuple: tuple?,
            id,
            master,
        })
    }

    /// What names it.
    pub fn identity(&self) -> Identity {
        Identity {
            family: self.family,
            tuple: self.tuple.into(),
            id: self.id,
        }
    }

    /// The packet that opened it as the forward hook saw it: its destination was replaced before, its source after.
    pub fn packet(&self) -> Packet {
        Packet {
            source: self.original.source,
            destination: self.reply.source,
            transport: self.transport(),
        }
    }

    fn transport(&self) -> Transport {
        let number = self.original.protocol;
        match Protocol::ALL.into_iter().find(|known| known.number() == number) {
            Some(known) => Transport::Port(known, self.reply.source_port),
            None => Transport::Other(number),
        }
    }
}

impl Tuple {
    /// Whether the direction has a zone of its own.
    fn has_zone(attributes: &[u8]) -> bool {
        AttrIter::new(attributes).any(|(kind, _)| kind == CTA_TUPLE_ZONE)
    }

    fn decode(attributes: &[u8]) -> Option<Self> {
        let (mut source, mut destination) = (None, None);
        let (mut protocol, mut source_port, mut destination_port) = (None, 0, 0);
        for (kind, value) in AttrIter::new(attributes) {
            match kind {
                CTA_TUPLE_IP => {
                    for (kind, value) in AttrIter::new(value) {
                        match kind {
                            CTA_IP_V4_SRC | CTA_IP_V6_SRC => source = address(value),
                            CTA_IP_V4_DST | CTA_IP_V6_DST => destination = address(value),
                            _ => {}
                        }
                    }
                }
                CTA_TUPLE_PROTO => {
                    for (kind, value) in AttrIter::new(value) {
                        match kind {
                            CTA_PROTO_NUM => protocol = value.first().copied(),
                            CTA_PROTO_SRC_PORT => source_port = u16::from_be_bytes(*value.first_chunk()?),
                            CTA_PROTO_DST_PORT => {
                                destination_port = u16::from_be_bytes(*value.first_chunk()?);
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Some(Self {
            source: source?,
            destination: destination?,
            protocol: protocol?,
            source_port,
            destination_port,
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into()),
        16 => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into()),
        _ => None,
    }
}
