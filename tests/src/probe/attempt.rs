//! One attempt: one packet, or one handshake, from a port of its own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use palisade_policy::model::{Protocol, Transport};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketType, sendto};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

use super::host::family;
use super::sightings::{Sightings, Ticket};
use super::{ICMP4, ICMP6, Outcome, Probe, SCTP, wire};

/// The protocol of raw sockets whose packets have their IP header (`IPPROTO_RAW`).
const READY_MADE: u8 = 255;
/// How long to wait for the name of who has answered an echo request. Only an answer from outside takes all of it.
const EYEWITNESS: Duration = Duration::from_secs(2);
/// Longer than any answer.
const BUFFER: usize = 512;

/// Sends one packet and waits at most `patience` for what comes of it.
///
/// An error is one of the bed's: a socket that could not be made. What the network says, by silence, reset or an
/// ICMP error, is an outcome.
pub(super) async fn attempt(
    probe: &Probe,
    sightings: &Arc<Sightings>,
    patience: Duration,
) -> Result<Outcome> {
    match probe.transport {
        Transport::Port(Protocol::Tcp, port) => tcp(probe, port, patience).await,
        Transport::Port(Protocol::Udp, port) => udp(probe, port, &sightings.ticket(), patience).await,
        Transport::Port(Protocol::Sctp, port) => {
            let (ticket, source) = (sightings.ticket(), probe.from.host.next_port());
            send_raw(probe, SCTP, &wire::sctp_init(source, port, ticket.tag()))?;
            Ok(passed(
                timeout(patience, ticket.wait(|seen| seen.heard)).await.ok(),
            ))
        }
        Transport::Other(protocol) if protocol == echo_protocol(probe.to) => {
            icmp(probe, protocol, &sightings.ticket(), patience).await
        }
        Transport::Other(protocol) => {
            let ticket = sightings.ticket();
            send_raw(probe, protocol, &wire::payload(ticket.tag()))?;
            Ok(passed(
                timeout(patience, ticket.wait(|seen| seen.heard)).await.ok(),
            ))
        }
    }
}

async fn tcp(probe: &Probe, port: u16, patience: Duration) -> Result<Outcome> {
    let socket = TcpSocket::from_std_stream(bound(probe, SocketType::STREAM)?.into());
    let greeted = async {
        let mut connection = socket.connect(SocketAddr::new(probe.to, port)).await?;
        let mut name = String::new();
        connection.read_to_string(&mut name).await?;
        // The prober is done first and resets: nothing of the connection stays in anybody's tables.
        connection.set_zero_linger()?;
        io::Result::Ok(name)
    };
    Ok(match timeout(patience, greeted).await {
        Ok(Ok(name)) if !name.is_empty() => Outcome::Passed { who: name },
        _ => Outcome::Dropped,
    })
}

async fn udp(probe: &Probe, port: u16, ticket: &Ticket, patience: Duration) -> Result<Outcome> {
    let socket = UdpSocket::from_std(bound(probe, SocketType::DGRAM)?.into())?;
    let answered = async {
        socket.connect(SocketAddr::new(probe.to, port)).await?;
        socket.send(&wire::payload(ticket.tag())).await?;
        let mut buffer = [0; BUFFER];
        loop {
            // An error is an ICMP error that came back; an answer may still follow from a slower path.
            let Ok(length) = socket.recv(&mut buffer).await else {
                continue;
            };
            match wire::read_payload(buffer.get(..length).unwrap_or_default()) {
                Some((tag, name)) if tag == ticket.tag() => {
                    return io::Result::Ok(String::from_utf8_lossy(name).into_owned());
                }
                _ => {}
            }
        }
    };
    Ok(match timeout(patience, answered).await {
        Ok(Ok(who)) => Outcome::Passed { who },
        _ => unanswered(ticket),
    })
}

async fn icmp(probe: &Probe, protocol: u8, ticket: &Ticket, patience: Duration) -> Result<Outcome> {
    let identifier = probe.from.host.next_port();
    send_raw(
        probe,
        protocol,
        &wire::echo_request(probe.to.is_ipv4(), identifier, ticket.tag()),
    )?;
    let answered = ticket.wait(|seen| seen.answered.then_some(()));
    if timeout(patience, answered).await.is_err() {
        return Ok(unanswered(ticket));
    }
    // The kernel's reply may be back before the responder beside it has read the request, if there is one at all.
    let heard = timeout(EYEWITNESS, ticket.wait(|seen| seen.heard)).await;
    Ok(Outcome::Passed {
        who: heard.unwrap_or_else(|_| probe.to.to_string()),
    })
}

fn unanswered(ticket: &Ticket) -> Outcome {
    ticket
        .seen()
        .heard
        .map_or(Outcome::Dropped, |who| Outcome::Unanswered { who })
}

fn passed(who: Option<String>) -> Outcome {
    who.map_or(Outcome::Dropped, |who| Outcome::Passed { who })
}

/// ICMP of the address's family: the kernel answers it.
fn echo_protocol(address: IpAddr) -> u8 {
    if address.is_ipv4() { ICMP4 } else { ICMP6 }
}

/// A socket bound to the probe's source address and a port that is free.
fn bound(probe: &Probe, kind: SocketType) -> Result<OwnedFd> {
    let host = &probe.from.host;
    let socket = host.socket(family(probe.to), kind, 0)?;
    let unspecified: IpAddr = if probe.to.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let source = probe.from.source.unwrap_or(unspecified);
    for _ in 0..u8::MAX {
        match rustix::net::bind(&socket, &SocketAddr::new(source, host.next_port())) {
            Ok(()) => return Ok(socket),
            Err(Errno::ADDRINUSE) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("binding to {source} in {}", host.name()));
            }
        }
    }
    bail!("no port is free in {}", host.name())
}

/// Sends one packet of a protocol. That it is refused on the way out, by a rule or for want of a route, is no error:
/// nobody will see it.
fn send_raw(probe: &Probe, protocol: u8, packet: &[u8]) -> Result<()> {
    let host = &probe.from.host;
    let mut socket = host.socket(family(probe.to), SocketType::RAW, protocol)?;
    let mut packet = packet.to_vec();
    if let Some(source) = probe.from.source {
        match rustix::net::bind(&socket, &SocketAddr::new(source, 0)) {
            Ok(()) => {}
            Err(Errno::ADDRNOTAVAIL) => {
                // Nobody's address but the forger's: the header is ours to write.
                socket = host.socket(family(probe.to), SocketType::RAW, READY_MADE)?;
                packet = wire::with_header(source, probe.to, protocol, &packet)
                    .with_context(|| format!("{source} and {} are of two families", probe.to))?;
            }
            Err(error) => {
                return Err(error).with_context(|| format!("binding to {source} in {}", host.name()));
            }
        }
    }
    if let Err(error) = sendto(
        &socket,
        &packet,
        SendFlags::empty(),
        &SocketAddr::new(probe.to, 0),
    ) {
        tracing::trace!(host = host.name(), to = %probe.to, %error, "a packet was refused on its way out");
    }
    Ok(())
}
