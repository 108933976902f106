//! The ends of probes.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result};
use nlink::netlink::namespace::Netns;
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketType};

/// Probes leave from these ports, each from another one until all were used: below lie what hosts listen on and the
/// node ports of services.
const FIRST_PORT: u16 = 33_000;
const PORTS: u16 = 28_000;

/// A namespace with the addresses that its responders listen on: a pod, a node, a client.
#[derive(Clone, Debug)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    netns: Arc<Netns>,
    addresses: Vec<IpAddr>,
    next: AtomicU16,
}

impl Host {
    /// A host by the name that its answers shall carry.
    pub fn new(
        name: impl Into<String>,
        netns: Arc<Netns>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let addresses = addresses.into_iter().collect();
        Self(Arc::new(Inner {
            name: name.into(),
            netns,
            addresses,
            next: AtomicU16::new(0),
        }))
    }

    /// The name that its answers carry.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its namespace.
    pub fn netns(&self) -> &Arc<Netns> {
        &self.0.netns
    }

    /// Its addresses.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.0.addresses
    }

    /// The host as a source of probes, from the address that its routes choose.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            host: self.clone(),
            source: None,
        }
    }

    /// A port, or an identifier of echo requests, that has not been used for as long as possible. Connection
    /// tracking thus never takes a new probe for a part of an earlier one.
    pub(super) fn next_port(&self) -> u16 {
        FIRST_PORT + self.0.next.fetch_add(1, Ordering::Relaxed) % PORTS
    }

    /// A socket in the host's namespace that does not block.
    pub(super) fn socket(&self, family: AddressFamily, kind: SocketType, protocol: u8) -> Result<OwnedFd> {
        let kind = i32::try_from(kind.as_raw())? | i32::try_from(rustix::net::SocketFlags::NONBLOCK.bits())?;
        let socket = self.0.netns.socket(family.as_raw().into(), kind, protocol.into());
        socket.with_context(|| format!("making a socket in {}", self.name()))
    }
}

/// Where a probe starts.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub(super) host: Host,
    pub(super) source: Option<IpAddr>,
}

impl Endpoint {
    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The source address that was asked for, if any.
    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// The same host with a source address. One that it does not have is forged, which only SCTP and protocols
    /// without ports can do: their packets are watched one way, and an answer would not come back.
    #[must_use]
    pub fn from(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// The same host with the one of `sources` that has the family of `to`.
    #[must_use]
    pub fn from_one_of(mut self, sources: &[IpAddr], to: IpAddr) -> Self {
        self.source = sources
            .iter()
            .copied()
            .find(|source| source.is_ipv4() == to.is_ipv4());
        self
    }
}

/// The family of an address.
pub(super) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    }
}
