//! Responders: what listens in each host, and tells who has been reached.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustix::fd::OwnedFd;
use rustix::net::SocketType;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::host::{Host, family};
use super::sightings::Sightings;
use super::wire::{self, Echo};
use super::{ICMP4, ICMP6, SCTP};

/// Connections that wait for a listener's task on a busy machine.
const BACKLOG: i32 = 1024;
/// Longer than any packet of the prober.
const BUFFER: usize = 2048;

/// What responders listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Ports, of TCP and UDP. SCTP is seen on all.
    pub ports: Vec<u16>,
    /// Protocols without ports, by number, beside ICMP.
    pub protocols: Vec<u8>,
}

impl Listen {
    /// These ports, and protocol 253 (RFC 3692: for experiments).
    pub fn on(ports: impl IntoIterator<Item = u16>) -> Self {
        Self {
            ports: ports.into_iter().collect(),
            protocols: vec![253],
        }
    }
}

/// Starts the responders of a host; they end with the set. Every one of them listens when this returns.
pub(super) fn start(host: &Host, listen: &Listen, sightings: &Arc<Sightings>) -> Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    for &address in host.addresses() {
        for &port in &listen.ports {
            let at = SocketAddr::new(address, port);
            let socket = bound(host, SocketType::STREAM, 0, at)?;
            rustix::net::listen(&socket, BACKLOG).with_context(|| format!("listening on {at}"))?;
            let listener = TcpListener::from_std(socket.into())?;
            tasks.spawn(greet(listener, host.clone()));
            let socket = UdpSocket::from_std(bound(host, SocketType::DGRAM, 0, at)?.into())?;
            tasks.spawn(echo(socket, host.clone(), sightings.clone()));
        }
        let icmp = if address.is_ipv4() { ICMP4 } else { ICMP6 };
        for &protocol in [icmp, SCTP].iter().chain(&listen.protocols) {
            // Reading is all that is asked of it, and that a raw socket does as one of UDP does.
            let socket = bound(host, SocketType::RAW, protocol, SocketAddr::new(address, 0))?;
            let socket = UdpSocket::from_std(socket.into())?;
            tasks.spawn(watch(socket, address, protocol, host.clone(), sightings.clone()));
        }
    }
    Ok(tasks)
}

fn bound(host: &Host, kind: SocketType, protocol: u8, at: SocketAddr) -> Result<OwnedFd> {
    let socket = host.socket(family(at.ip()), kind, protocol)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &at).with_context(|| format!("binding to {at} in {}", host.name()))?;
    Ok(socket)
}

/// Tells each connection whom it has reached.
async fn greet(listener: TcpListener, host: Host) {
    loop {
        match listener.accept().await {
            // The greeting fits any send buffer. That the prober has given up in between is its affair.
            Ok((mut connection, _)) => drop(connection.write_all(host.name().as_bytes()).await),
            Err(error) => pause(&error, &host).await,
        }
    }
}

/// Sends each datagram back with the name of whom it has reached.
async fn echo(socket: UdpSocket, host: Host, sightings: Arc<Sightings>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => {
                let request = buffer.get(..length).unwrap_or_default();
                if let Some((tag, _)) = wire::read_payload(request) {
                    sightings.heard(tag, host.name());
                }
                let answer = [request, host.name().as_bytes()].concat();
                if let Err(error) = socket.send_to(&answer, from).await {
                    tracing::trace!(host = host.name(), %error, "an answer was refused");
                }
            }
            Err(error) => pause(&error, &host).await,
        }
    }
}

/// Reports the packets of a protocol that arrive at an address.
async fn watch(socket: UdpSocket, address: IpAddr, protocol: u8, host: Host, sightings: Arc<Sightings>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = match socket.recv(&mut buffer).await {
            Ok(length) => length,
            Err(error) => {
                pause(&error, &host).await;
                continue;
            }
        };
        let packet = buffer.get(..length).unwrap_or_default();
        let Some(message) = (if address.is_ipv4() {
            wire::strip_ipv4(packet)
        } else {
            Some(packet)
        }) else {
            continue;
        };
        match protocol {
            ICMP4 | ICMP6 => match wire::read_echo(message) {
                Some(Echo::Request(tag)) => sightings.heard(tag, host.name()),
                Some(Echo::Reply(tag)) => sightings.answered(tag),
                None => {}
            },
            SCTP => {
                if let Some(tag) = wire::read_sctp_init(message) {
                    sightings.heard(tag, host.name());
                }
            }
            _ => {
                if let Some((tag, _)) = wire::read_payload(message) {
                    sightings.heard(tag, host.name());
                }
            }
        }
    }
}

/// A socket's pending error is an ICMP error or a connection that was given up: nothing to end for. It is cleared by
/// being read; yielding keeps one that is not from taking the runtime.
async fn pause(error: &io::Error, host: &Host) {
    tracing::trace!(host = host.name(), %error, "a responder's socket reports an error");
    tokio::task::yield_now().await;
}
