//! Whoever asks and is asked, and the addresses of their interfaces.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};

use nlink::netlink::namespace::Netns;
use nlink::netlink::{Connection, Route};
use palisade_policy::model::{Protocol, Transport};
use palisade_tests::bed::Slot;
use palisade_tests::probe::{Endpoint, Host, Probe};
use rustix::net::{AddressFamily, SocketType};

use super::PORT;

/// Somebody who asks and is asked.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) host: Host,
    /// IPv4, then IPv6: where it is asked, and what it asks from.
    pub(crate) addresses: [IpAddr; 2],
    /// Whether it has to be told which of its addresses to use.
    pub(crate) chooses: bool,
}

impl End {
    pub(crate) fn endpoint(&self, to: IpAddr) -> Endpoint {
        let endpoint = self.host.endpoint();
        if self.chooses {
            endpoint.from_one_of(&self.addresses, to)
        } else {
            endpoint
        }
    }

    /// A probe to another's address of one family: 0 for IPv4, 1 for IPv6.
    pub(crate) fn asks(&self, other: &Self, family: usize, transport: Transport) -> Probe {
        let to = other.addresses[family];
        Probe {
            from: self.endpoint(to),
            to,
            transport,
        }
    }

    /// A socket of its own for UDP, of one family; port 0 is any.
    pub(crate) fn udp_socket(&self, family: usize, port: u16) -> UdpSocket {
        let address = self.addresses[family];
        let domain = if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let kind = i32::try_from(SocketType::DGRAM.as_raw()).unwrap();
        let socket = self.host.netns().socket(domain.as_raw().into(), kind, 0).unwrap();
        rustix::net::bind(&socket, &SocketAddr::new(address, port)).unwrap();
        socket.into()
    }

    /// A probe by UDP.
    pub(crate) fn greets(&self, other: &Self, family: usize) -> Probe {
        self.asks(other, family, Transport::Port(Protocol::Udp, PORT))
    }
}

/// Everything that can be sent to an address.
pub(crate) fn transports(to: IpAddr) -> [Transport; 5] {
    [
        Transport::Port(Protocol::Tcp, PORT),
        Transport::Port(Protocol::Udp, PORT),
        Transport::Port(Protocol::Sctp, PORT),
        Transport::Other(if to.is_ipv4() { 1 } else { 58 }),
        Transport::Other(253),
    ]
}

/// The number of the interface of a pod.
pub(crate) async fn interface(netns: &Netns) -> u32 {
    let connection = Connection::<Route>::new_in(netns).unwrap();
    connection
        .get_link_by_name("eth0")
        .await
        .unwrap()
        .unwrap()
        .ifindex()
}

/// The address of a pod's interface that its hardware address gives it (RFC 4862).
pub(crate) fn link_local(slot: &Slot) -> Ipv6Addr {
    let mut address = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0];
    let mac = hardware_address(slot);
    address[8..11].copy_from_slice(&mac[..3]);
    address[13..].copy_from_slice(&mac[3..]);
    address[8] ^= 2;
    address.into()
}

/// The hardware address of a pod's interface.
pub(crate) fn hardware_address(slot: &Slot) -> [u8; 6] {
    let bytes: Vec<u8> = slot
        .mac()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}
