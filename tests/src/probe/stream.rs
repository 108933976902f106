//! A stream of requests at a steady pace, to see gaps and leaks while rules change.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use palisade_policy::model::{Protocol, Transport};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{Probe, wire};

/// An answer that takes longer counts as lost.
const PATIENCE: Duration = Duration::from_millis(250);
/// Longer than any answer.
const BUFFER: usize = 512;

/// Whether requests share a connection in the eyes of connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// All from one port: one flow, established once and for all.
    Fixed,
    /// Each from a port of its own: a new flow each time.
    Fresh,
}

/// UDP requests at a steady pace, on a thread of their own, until [`stop`](Self::stop).
#[derive(Debug)]
pub struct Stream {
    counters: Arc<Counters>,
    thread: Option<JoinHandle<Result<StreamReport>>>,
}

#[derive(Debug, Default)]
struct Counters {
    over: AtomicBool,
    sent: AtomicU64,
    answered: AtomicU64,
}

/// What became of a stream's requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// Requests sent, or refused on their way out by a rule.
    pub sent: u64,
    /// Requests whose answer came back in time.
    pub answered: u64,
    /// The longest time between two requests that were answered one after the other: the interval if none was lost.
    /// What goes before the first answer or after the last is no gap.
    pub longest_gap: Duration,
    /// When the first request that was answered had been sent.
    pub first_answered: Option<Instant>,
    /// When the last request that was answered had been sent.
    pub last_answered: Option<Instant>,
}

impl StreamReport {
    /// Requests without an answer.
    pub fn lost(&self) -> u64 {
        self.sent - self.answered
    }
}

impl Stream {
    /// Starts sending. `total` counts what is sent, together with whatever else counts there.
    pub(super) fn start(
        probe: &Probe,
        interval: Duration,
        flow: Flow,
        total: Arc<AtomicU64>,
    ) -> Result<Self> {
        let Transport::Port(Protocol::Udp, port) = probe.transport else {
            bail!("a stream is of UDP requests, not {}", probe.transport);
        };
        let counters = Arc::new(Counters::default());
        let sender = Sender {
            probe: probe.clone(),
            to: SocketAddr::new(probe.to, port),
            flow,
            total,
            counters: counters.clone(),
            open: VecDeque::new(),
            answered: Vec::new(),
        };
        let thread = thread::Builder::new()
            .name("stream".into())
            .spawn(move || sender.run(interval))?;
        Ok(Self {
            counters,
            thread: Some(thread),
        })
    }

    /// How many requests have been sent so far.
    pub fn sent(&self) -> u64 {
        self.counters.sent.load(Ordering::Relaxed)
    }

    /// How many requests have been answered so far.
    pub fn answered(&self) -> u64 {
        self.counters.answered.load(Ordering::Relaxed)
    }

    /// Stops sending, waits for the last answers and reports. Blocks for a moment.
    pub fn stop(mut self) -> Result<StreamReport> {
        self.counters.over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the stream has been stopped")?;
        thread
            .join()
            .map_err(|_| anyhow!("the stream's thread panicked"))?
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.counters.over.store(true, Ordering::Relaxed);
    }
}

/// The thread's state.
struct Sender {
    probe: Probe,
    to: SocketAddr,
    flow: Flow,
    total: Arc<AtomicU64>,
    counters: Arc<Counters>,
    /// Requests without an answer, oldest first, each with the socket that its answer comes to.
    open: VecDeque<Request>,
    /// When requests that have been answered were sent.
    answered: Vec<Instant>,
}

struct Request {
    tag: u32,
    sent: Instant,
    socket: Arc<UdpSocket>,
}

impl Sender {
    fn run(mut self, interval: Duration) -> Result<StreamReport> {
        let netns = self.probe.from.host().netns().clone();
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("entering the namespace of {}", self.probe.from.host().name()))?;
        let fixed = Arc::new(self.socket()?);
        let mut next = Instant::now();
        let mut sent: u32 = 0;
        while !self.counters.over.load(Ordering::Relaxed) {
            sent = sent.wrapping_add(1);
            let socket = match self.flow {
                Flow::Fixed => fixed.clone(),
                Flow::Fresh => Arc::new(self.socket()?),
            };
            self.send(sent, socket);
            next += interval;
            self.collect_until(next);
        }
        self.collect_until(Instant::now() + PATIENCE);
        Ok(self.report())
    }

    fn send(&mut self, tag: u32, socket: Arc<UdpSocket>) {
        let sent = Instant::now();
        // A refusal is what a rule on the way out looks like: a request that is never answered.
        if let Err(error) = socket.send(&wire::payload(tag)) {
            tracing::trace!(probe = %self.probe, %error, "a request was refused on its way out");
        }
        self.total.fetch_add(1, Ordering::Relaxed);
        self.counters.sent.fetch_add(1, Ordering::Relaxed);
        self.open.push_back(Request { tag, sent, socket });
    }

    /// Takes in answers until `end`, at least once; a late stream thus catches up without losing any.
    fn collect_until(&mut self, end: Instant) {
        loop {
            self.collect();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || (self.open.is_empty() && self.counters.over.load(Ordering::Relaxed)) {
                return;
            }
            thread::sleep(left.min(Duration::from_millis(1)));
        }
    }

    fn collect(&mut self) {
        let mut tags = Vec::new();
        let mut last: Option<Arc<UdpSocket>> = None;
        for request in &self.open {
            if last
                .as_ref()
                .is_none_or(|last| !Arc::ptr_eq(last, &request.socket))
            {
                tags.extend(answers(&request.socket));
                last = Some(request.socket.clone());
            }
        }
        let now = Instant::now();
        for tag in tags {
            if let Some(position) = self.open.iter().position(|request| request.tag == tag) {
                self.answered
                    .extend(self.open.remove(position).map(|request| request.sent));
                self.counters.answered.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.open
            .retain(|request| now.duration_since(request.sent) < PATIENCE);
    }

    /// A connected socket that does not block, on a port that is free.
    fn socket(&self) -> Result<UdpSocket> {
        let unspecified: IpAddr = if self.to.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let source = self.probe.from.source().unwrap_or(unspecified);
        loop {
            match UdpSocket::bind(SocketAddr::new(source, self.probe.from.host().next_port())) {
                Ok(socket) => {
                    socket.set_nonblocking(true)?;
                    socket
                        .connect(self.to)
                        .with_context(|| format!("connecting to {}", self.to))?;
                    return Ok(socket);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error).with_context(|| format!("binding to {source}")),
            }
        }
    }

    fn report(mut self) -> StreamReport {
        self.answered.sort_unstable();
        let times = &self.answered;
        let gaps = times
            .iter()
            .zip(times.iter().skip(1))
            .map(|(one, next)| next.duration_since(*one));
        StreamReport {
            sent: self.counters.sent.load(Ordering::Relaxed),
            answered: self.counters.answered.load(Ordering::Relaxed),
            longest_gap: gaps.max().unwrap_or_default(),
            first_answered: times.first().copied(),
            last_answered: times.last().copied(),
        }
    }
}

/// The tags of all answers that wait at a socket. Errors are ICMP errors that came back; reading clears them.
fn answers(socket: &UdpSocket) -> Vec<u32> {
    let mut tags = Vec::new();
    let mut buffer = [0; BUFFER];
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                tags.extend(wire::read_payload(buffer.get(..length).unwrap_or_default()).map(|(tag, _)| tag));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => return tags,
        }
    }
}
