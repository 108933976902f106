//! A TCP connection that somebody keeps talking on, on threads of its own: nothing of a runtime delays it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::fd::OwnedFd;
use rustix::net::SocketType;

use super::host::{Endpoint, Host, family};

/// Between two words.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a reader waits before it looks whether the test is over.
const LOOK: Duration = Duration::from_millis(20);

/// How long a connection may take, a few handshakes that were lost included.
const CONNECTS: Duration = Duration::from_secs(10);

/// Connections that wait at a listener.
const BACKLOG: i32 = 8;

const WORD: [u8; 8] = *b"palisade";

/// Who talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The client asks, the server answers.
    Ask,
    /// The server talks and the client listens.
    Listen,
}

/// A connection, with a thread at each end.
#[derive(Debug)]
pub struct Talk {
    name: String,
    heard: Arc<Heard>,
    ends: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Heard {
    over: AtomicBool,
    /// Words that the client has heard.
    words: AtomicU64,
    /// When it heard the last, and the longest silence before a word.
    last: Mutex<Option<(Instant, Duration)>>,
    broken: Mutex<Option<String>>,
}

/// What became of it.
#[derive(Debug)]
pub struct TalkReport {
    /// What it was called.
    pub name: String,
    /// When the client heard the last word. None when it heard none.
    pub last: Option<Instant>,
    /// The longest time between two words.
    pub longest_silence: Duration,
    /// The last error of an end that was not just waiting.
    pub broken: Option<String>,
}

impl Talk {
    /// Connects and begins. `to` is what the client calls, an address of `server` or of a service; `at` is where the
    /// server listens for it.
    pub fn start(
        name: impl Into<String>,
        client: &Endpoint,
        to: SocketAddr,
        server: &Host,
        at: SocketAddr,
        manner: Manner,
    ) -> Result<Self> {
        let name = name.into();
        let listener = listen(server, at).with_context(|| name.clone())?;
        let connection = connect(client, to).with_context(|| name.clone())?;
        let (accepted, _) = listener.accept()?;
        for end in [&connection, &accepted] {
            end.set_nodelay(true)?;
            end.set_read_timeout(Some(LOOK))?;
            end.set_write_timeout(Some(LOOK))?;
        }
        let heard = Arc::new(Heard::default());
        let (at_client, at_server) = (heard.clone(), heard.clone());
        let client = move || at_client.run(connection, manner == Manner::Ask, true);
        let server = move || at_server.run(accepted, manner == Manner::Listen, false);
        let ends = vec![
            thread::Builder::new().name("talk".into()).spawn(client)?,
            thread::Builder::new().name("talk".into()).spawn(server)?,
        ];
        Ok(Self { name, heard, ends })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many words the client has heard.
    pub fn words(&self) -> u64 {
        self.heard.words.load(Ordering::Relaxed)
    }

    /// Ends the talk. Blocks for a moment.
    pub fn stop(mut self) -> Result<TalkReport> {
        self.heard.over.store(true, Ordering::Relaxed);
        for end in self.ends.drain(..) {
            end.join()
                .map_err(|_| anyhow!("a thread of {} panicked", self.name))?;
        }
        let last = *lock(&self.heard.last);
        Ok(TalkReport {
            name: self.name.clone(),
            last: last.map(|(at, _)| at),
            longest_silence: last.map_or(Duration::ZERO, |(_, silence)| silence),
            broken: lock(&self.heard.broken).take(),
        })
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.heard.over.store(true, Ordering::Relaxed);
    }
}

impl Heard {
    /// One end: talks on its own account or answers each word, and listens; the client counts what it hears.
    fn run(&self, mut end: TcpStream, talks: bool, counts: bool) {
        let mut word = WORD;
        while !self.over.load(Ordering::Relaxed) {
            if talks {
                if let Err(error) = end.write_all(&WORD) {
                    self.fail(&error);
                }
                thread::sleep(PAUSE);
                if !counts {
                    continue;
                }
            }
            match end.read_exact(&mut word) {
                Ok(()) if counts => self.count(),
                // A listener says nothing, and nothing is said to a talker that does not count.
                Ok(()) => drop(end.write_all(&word)),
                Err(error) => self.fail(&error),
            }
        }
    }

    fn count(&self) {
        self.words.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let mut last = lock(&self.last);
        let silence = last.map_or(Duration::ZERO, |(before, longest)| {
            longest.max(now.duration_since(before))
        });
        *last = Some((now, silence));
    }

    fn fail(&self, error: &std::io::Error) {
        let waits = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        // Once it is over, each end is told by the other.
        if !waits && !self.over.load(Ordering::Relaxed) {
            *lock(&self.broken) = Some(error.to_string());
            thread::sleep(LOOK);
        }
    }
}

fn listen(server: &Host, at: SocketAddr) -> Result<TcpListener> {
    let socket = socket(server, at)?;
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &at).with_context(|| format!("binding to {at}"))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn connect(client: &Endpoint, to: SocketAddr) -> Result<TcpStream> {
    let socket = socket(client.host(), to)?;
    if let Some(own) = client.source() {
        rustix::net::bind(&socket, &SocketAddr::new(own, 0)).with_context(|| format!("binding to {own}"))?;
    }
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Send, Some(CONNECTS))?;
    rustix::net::connect(&socket, &to).with_context(|| format!("connecting to {to}"))?;
    Ok(socket.into())
}

/// A socket that blocks: threads of their own wait for it.
fn socket(host: &Host, address: SocketAddr) -> Result<OwnedFd> {
    let socket = host.socket(family(address.ip()), SocketType::STREAM, 0)?;
    rustix::io::ioctl_fionbio(&socket, false)?;
    Ok(socket)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
