//! A TCP connection that somebody keeps talking on.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nlink::netlink::namespace::Netns;
use rustix::net::{AddressFamily, SocketType};

use super::ends::End;

/// Between two words.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a reader waits before it looks whether the test is over.
const LOOK: Duration = Duration::from_millis(20);

const WORD: [u8; 8] = *b"palisade";

/// Who talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The client asks, the server answers.
    Ask,
    /// The server talks and the client listens.
    Listen,
}

/// A connection, with a thread at each end.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) name: String,
    heard: Arc<Heard>,
    ends: [JoinHandle<()>; 2],
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
pub(crate) struct TalkReport {
    pub(crate) name: String,
    pub(crate) last: Instant,
    pub(crate) longest_silence: Duration,
    pub(crate) broken: Option<String>,
}

impl Talk {
    /// Connects from one end to another and begins. The address called is `to`: that of `server`, or of a Service.
    pub(crate) fn start(
        client: &End,
        server: &End,
        to: SocketAddr,
        port: u16,
        name: &str,
        manner: Manner,
    ) -> Self {
        let family = usize::from(to.is_ipv6());
        let listener = listen(
            server.host.netns(),
            SocketAddr::new(server.addresses[family], port),
        );
        let connection = connect(client, to);
        let (accepted, _) = listener.accept().unwrap();
        let heard = Arc::new(Heard::default());
        let ends = [connection, accepted].map(|end| {
            end.set_nodelay(true).unwrap();
            end.set_read_timeout(Some(LOOK)).unwrap();
            end.set_write_timeout(Some(LOOK)).unwrap();
            end
        });
        let [connection, accepted] = ends;
        let (at_client, at_server) = (heard.clone(), heard.clone());
        let client = move || match manner {
            Manner::Ask => at_client.run(connection, true, true),
            Manner::Listen => at_client.run(connection, false, true),
        };
        let server = move || match manner {
            Manner::Ask => at_server.run(accepted, false, false),
            Manner::Listen => at_server.run(accepted, true, false),
        };
        Self {
            name: format!("{name} {manner:?}"),
            heard,
            ends: [thread::spawn(client), thread::spawn(server)],
        }
    }

    /// How many words the client has heard.
    pub(crate) fn words(&self) -> u64 {
        self.heard.words.load(Ordering::Relaxed)
    }

    /// Ends the talk. Blocks for a moment.
    pub(crate) fn stop(self) -> TalkReport {
        self.heard.over.store(true, Ordering::Relaxed);
        for end in self.ends {
            end.join().unwrap();
        }
        let (last, longest_silence) = self.heard.last.lock().unwrap().unwrap();
        TalkReport {
            name: self.name,
            last,
            longest_silence,
            broken: self.heard.broken.lock().unwrap().take(),
        }
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
        let mut last = self.last.lock().unwrap();
        let silence = last.map_or(Duration::ZERO, |(before, longest)| {
            longest.max(now.duration_since(before))
        });
        *last = Some((now, silence));
    }

    fn fail(&self, error: &std::io::Error) {
        let waits = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        // Once it is over, each end is told by the other.
        if !waits && !self.over.load(Ordering::Relaxed) {
            *self.broken.lock().unwrap() = Some(error.to_string());
            thread::sleep(LOOK);
        }
    }
}

fn listen(netns: &Netns, address: SocketAddr) -> TcpListener {
    let socket = socket(netns, address);
    rustix::net::sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    rustix::net::bind(&socket, &address).unwrap();
    rustix::net::listen(&socket, 8).unwrap();
    socket.into()
}

fn connect(client: &End, to: SocketAddr) -> TcpStream {
    let socket = socket(client.host.netns(), to);
    if client.chooses {
        let own = client.addresses[usize::from(to.is_ipv6())];
        rustix::net::bind(&socket, &SocketAddr::new(own, 0)).unwrap();
    }
    rustix::net::connect(&socket, &to).unwrap();
    socket.into()
}

fn socket(netns: &Netns, address: SocketAddr) -> rustix::fd::OwnedFd {
    let domain = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let kind = i32::try_from(SocketType::STREAM.as_raw()).unwrap();
    netns.socket(domain.as_raw().into(), kind, 0).unwrap()
}
