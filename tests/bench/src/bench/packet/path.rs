//! What packets take from one pod to another and back.
//!
//! One thread has the sockets of both pods. A packet that is sent to a veth is carried all the way to the other socket before the
//! system call returns: the kernel runs the receiving end in the same softirq. So a round trip of one thread is two ways through the
//! node and four system calls, with no wake-up and no other processor in it. Those would be the same with every set of rules, and
//! add nothing but noise.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_tests::bed::Slot;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The port of the measurements, of UDP and TCP.
pub(super) const PORT: u16 = 4_000;

/// A packet that takes longer is lost.
const PATIENCE: Duration = Duration::from_millis(100);

/// Clients ask from these ports in turn, so that none comes back before conntrack has forgotten it.
const PORTS: std::ops::Range<u16> = 10_000..60_000;

/// What one write or read of the bulk takes.
const CHUNK: usize = 128 << 10;

/// Two pods, and the server's sockets.
pub(super) struct Path {
    client: Slot,
    from: IpAddr,
    to: SocketAddr,
    udp: UdpSocket,
    tcp: TcpListener,
    port: u16,
    asked: u32,
    /// Round trips of which nothing came back.
    pub(super) lost: usize,
}

impl Path {
    /// Opens the server's sockets. The calling thread goes from namespace to namespace, so it must be one for this alone.
    pub(super) fn open(client: &Slot, server: &Slot) -> Result<Self> {
        enter(server)?;
        let to = SocketAddr::new(server.v4(), PORT);
        let udp = UdpSocket::bind(to).with_context(|| format!("binding to {to}"))?;
        udp.set_read_timeout(Some(PATIENCE))?;
        let tcp = TcpListener::bind(to).with_context(|| format!("listening on {to}"))?;
        Ok(Self {
            client: client.clone(),
            from: client.v4(),
            to,
            udp,
            tcp,
            port: PORTS.start,
            asked: 0,
            lost: 0,
        })
    }

    /// Round trips of the first packets of flows, in seconds.
    pub(super) fn first_packets(&mut self, count: usize) -> Result<Vec<f64>> {
        enter(&self.client)?;
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let client = self.client()?;
            times.extend(self.round_trip(&client)?);
        }
        Ok(times)
    }

    /// Round trips of later packets of one flow, in seconds.
    pub(super) fn established(&mut self, count: usize) -> Result<Vec<f64>> {
        enter(&self.client)?;
        let client = self.client()?;
        self.round_trip(&client)?.context("a flow could not begin")?;
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            times.extend(self.round_trip(&client)?);
        }
        Ok(times)
    }

    /// Connects so many times and takes the seconds of each, the server's accept included.
    pub(super) fn connects(&mut self, count: usize) -> Result<Vec<f64>> {
        enter(&self.client)?;
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let begin = Instant::now();
            let client = TcpStream::connect(self.to).with_context(|| format!("connecting to {}", self.to))?;
            let accepted = self.tcp.accept()?;
            times.push(begin.elapsed().as_secs_f64());
            // A reset instead of a farewell: neither end keeps the port.
            rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO))?;
            drop((client, accepted));
        }
        Ok(times)
    }

    /// Sends so many bytes over one connection and returns how many bits a second that was.
    pub(super) fn bulk(&mut self, bytes: usize) -> Result<f64> {
        enter(&self.client)?;
        let mut client = TcpStream::connect(self.to)?;
        let (mut server, _) = self.tcp.accept()?;
        client.set_nonblocking(true)?;
        server.set_nonblocking(true)?;
        let (chunk, mut buffer) = (vec![0; CHUNK], vec![0; CHUNK]);
        let (mut sent, mut received) = (0, 0);
        let begin = Instant::now();
        while received < bytes {
            if sent < bytes {
                sent += unless_blocked(client.write(&chunk))?;
            }
            received += unless_blocked(server.read(&mut buffer))?;
            ensure!(begin.elapsed() < Duration::from_secs(10), "bytes were lost");
        }
        let took = begin.elapsed();
        rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO))?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        Ok(received as f64 * 8.0 / took.as_secs_f64())
    }

    /// A client's socket on the next port that is free.
    fn client(&mut self) -> Result<UdpSocket> {
        loop {
            self.port = if self.port + 1 < PORTS.end {
                self.port + 1
            } else {
                PORTS.start
            };
            match UdpSocket::bind((self.from, self.port)) {
                Ok(socket) => {
                    socket.connect(self.to)?;
                    socket.set_read_timeout(Some(PATIENCE))?;
                    return Ok(socket);
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error).with_context(|| format!("binding to {}", self.from)),
            }
        }
    }

    /// A question and its answer; none when it was lost.
    fn round_trip(&mut self, client: &UdpSocket) -> Result<Option<f64>> {
        self.asked = self.asked.wrapping_add(1);
        let question = self.asked.to_be_bytes();
        let mut buffer = [0; 16];
        let begin = Instant::now();
        client.send(&question)?;
        // Questions that came too late for their turn are left unanswered.
        let answered = loop {
            match self.udp.recv_from(&mut buffer) {
                Ok((length, from)) if buffer.get(..length) == Some(&question) => {
                    self.udp.send_to(&question, from)?;
                    break client.recv(&mut buffer).is_ok();
                }
                Ok(_late) => {}
                Err(_nothing) => break false,
            }
        };
        let took = begin.elapsed();
        self.lost += usize::from(!answered);
        Ok(answered.then_some(took.as_secs_f64()))
    }
}

/// Goes into a pod's namespace.
fn enter(slot: &Slot) -> Result<()> {
    move_into_link_name_space(slot.netns().as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("entering the namespace of {}", slot.name()))
}

/// How much was taken, nothing if it would have to wait.
fn unless_blocked(done: io::Result<usize>) -> io::Result<usize> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        done => done,
    }
}
