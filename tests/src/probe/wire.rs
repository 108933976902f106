//! The packets that sockets do not make: echo requests, SCTP INIT chunks, and protocols without a meaning.
//!
//! Each carries a tag by which whoever sees it knows the attempt that it belongs to.

use std::net::IpAddr;

/// Marks payloads as ours.
const MAGIC: [u8; 4] = *b"PLSD";

const ECHO_REPLY_4: u8 = 0;
const ECHO_REQUEST_4: u8 = 8;
const ECHO_REQUEST_6: u8 = 128;
const ECHO_REPLY_6: u8 = 129;

/// The chunk type INIT (RFC 9260, section 3.2), which opens an association as SYN opens a connection.
const SCTP_INIT: u8 = 1;
/// The common header of SCTP.
const SCTP_HEADER: usize = 12;

/// How many routers a packet may pass.
const HOPS: u8 = 64;

/// What an ICMP packet is to the prober.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// A request has arrived.
    Request(u32),
    /// A reply has come back.
    Reply(u32),
}

/// The payload of a request.
pub(super) fn payload(tag: u32) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(tag.to_be_bytes());
    bytes
}

/// The tag of a payload, and what follows it.
pub(super) fn read_payload(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (tag, rest) = bytes.strip_prefix(&MAGIC)?.split_first_chunk()?;
    Some((u32::from_be_bytes(*tag), rest))
}

/// An echo request. The kernel fills in the checksum of `ICMPv6`, which covers addresses, but not that of ICMP.
pub(super) fn echo_request(v4: bool, identifier: u16, tag: u32) -> Vec<u8> {
    let [id_high, id_low] = identifier.to_be_bytes();
    let build = |checksum: u16| {
        let [high, low] = checksum.to_be_bytes();
        let kind = if v4 { ECHO_REQUEST_4 } else { ECHO_REQUEST_6 };
        let mut packet = vec![kind, 0, high, low, id_high, id_low, 0, 1];
        packet.extend(payload(tag));
        packet
    };
    if v4 {
        build(internet_checksum(&build(0)))
    } else {
        build(0)
    }
}

/// Reads an ICMP message of ours.
pub(super) fn read_echo(message: &[u8]) -> Option<Echo> {
    let (header, rest) = message.split_first_chunk::<8>()?;
    let (tag, _) = read_payload(rest)?;
    match header[0] {
        ECHO_REQUEST_4 | ECHO_REQUEST_6 => Some(Echo::Request(tag)),
        ECHO_REPLY_4 | ECHO_REPLY_6 => Some(Echo::Reply(tag)),
        _ => None,
    }
}

/// An SCTP packet with an INIT chunk, its initiate tag being ours.
pub(super) fn sctp_init(source: u16, destination: u16, tag: u32) -> Vec<u8> {
    let build = |checksum: u32| {
        let mut packet = Vec::new();
        packet.extend(source.to_be_bytes());
        packet.extend(destination.to_be_bytes());
        // The verification tag is zero in packets that carry INIT.
        packet.extend(0_u32.to_be_bytes());
        // The checksum alone is in little-endian order (RFC 9260, appendix A).
        packet.extend(checksum.to_le_bytes());
        packet.extend([SCTP_INIT, 0, 0, 20]);
        packet.extend(tag.to_be_bytes());
        packet.extend(u32::from(u16::MAX).to_be_bytes());
        packet.extend([0, 1, 0, 1]);
        packet.extend(tag.to_be_bytes());
        packet
    };
    build(crc32c(&build(0)))
}

/// The tag of an SCTP packet that opens an association.
pub(super) fn read_sctp_init(packet: &[u8]) -> Option<u32> {
    let chunk = packet.get(SCTP_HEADER..)?;
    let (&[kind, _, _, _, a, b, c, d], _) = chunk.split_first_chunk::<8>()?;
    (kind == SCTP_INIT).then_some(u32::from_be_bytes([a, b, c, d]))
}

/// What follows the header of an IPv4 packet: raw sockets of that family deliver it, those of IPv6 do not.
pub(super) fn strip_ipv4(packet: &[u8]) -> Option<&[u8]> {
    let words = usize::from(packet.first()? & 0x0f);
    packet.get(words * 4..)
}

/// A packet with an IP header of its own. The kernel fills in length, identification and checksum of IPv4.
pub(super) fn with_header(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let mut packet = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            packet.extend([0x45, 0, 0, 0, 0, 0, 0, 0, HOPS, protocol, 0, 0]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let [high, low] = u16::try_from(payload.len()).ok()?.to_be_bytes();
            packet.extend([0x60, 0, 0, 0, high, low, protocol, HOPS]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        _ => return None,
    }
    packet.extend(payload);
    Some(packet)
}

/// RFC 1071.
fn internet_checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let high = pair.first().copied().unwrap_or_default();
        let low = pair.get(1).copied().unwrap_or_default();
        sum += u32::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // The sum has been folded into its lower half.
    !u16::try_from(sum).unwrap_or_default()
}

/// RFC 9260, appendix A: Castagnoli's polynomial, bits reflected.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.iter().fold(u32::MAX, |state, byte| {
        (0..8).fold(state ^ u32::from(*byte), |state, _| {
            (state >> 1) ^ (POLYNOMIAL & (state & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_sctp_is_crc32c() {
        // The check value of CRC-32/ISCSI.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_packet_with_its_checksum_sums_to_zero() {
        assert_eq!(internet_checksum(&echo_request(true, 7, 42)), 0);
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(read_payload(&payload(7)), Some((7, &[][..])));
        assert_eq!(read_echo(&echo_request(false, 1, 8)), Some(Echo::Request(8)));
        assert_eq!(read_sctp_init(&sctp_init(1, 2, 9)), Some(9));
        assert_eq!(read_payload(b"other"), None);
    }
}
