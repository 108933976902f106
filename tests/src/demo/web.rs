//! A real web server in a pod, and a client of a few lines.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use palisade_policy::model::Verdict;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::{sleep_until, timeout};

use super::cast::Member;
use super::story::WEB_PORT;
use crate::bed::{ManagedChild, NodeBed, Slot};
use crate::cases::Family;

/// How long the server may take to listen.
const START: Duration = Duration::from_secs(5);
/// The patience of the attempts at a page that should come.
const ALLOWED: &[Duration] = &[millis(200), millis(400), millis(800), millis(1600)];
/// The patience of the attempts at a page that should not come.
const DENIED: &[Duration] = &[millis(150), millis(100)];

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// nginx in a pod.
#[derive(Debug)]
pub(super) struct WebServer {
    /// Ends with this.
    _process: ManagedChild,
}

/// What came of asking for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status line and the page; `None` if nothing came back.
    pub(super) page: Option<(String, String)>,
    /// How often it was tried.
    pub(super) attempts: u32,
}

impl WebServer {
    /// The version of nginx that is installed, if it is.
    pub(super) fn installed() -> Result<Option<String>> {
        match Command::new("nginx").arg("-v").output() {
            // It writes `nginx version: nginx/1.22.1` to the standard error.
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr);
                Ok(text.rsplit(": ").next().map(|version| version.trim().to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("asking nginx for its version"),
        }
    }

    /// Starts nginx in a pod, with all its files in `directory`, and waits until it has served a page to the pod itself.
    pub(super) async fn start(
        node: &NodeBed,
        slot: &Slot,
        member: &Member,
        directory: &Path,
    ) -> Result<Self> {
        fs::create_dir(directory).with_context(|| format!("making {}", directory.display()))?;
        let configuration = directory.join("nginx.conf");
        fs::write(&configuration, configure(member)).context("writing nginx.conf")?;
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-p"]).arg(directory);
        command.arg("-c").arg(&configuration);
        let mut process = node.spawn_in(slot, command).context("starting nginx")?;
        let deadline = Instant::now() + START;
        for family in Family::ALL {
            let at = SocketAddr::new(member.address(family), WEB_PORT);
            loop {
                let page = timeout(millis(200), get(member, family, at)).await;
                if matches!(page, Ok(Ok(Ok(_)))) {
                    break;
                }
                if let Some(status) = process.try_wait()? {
                    bail!("nginx has ended: {status}\n{}", process.log());
                }
                if Instant::now() > deadline {
                    bail!("nginx does not listen on {at}\n{}", process.log());
                }
                tokio::time::sleep(millis(5)).await;
            }
        }
        Ok(Self { _process: process })
    }
}

/// One process in the foreground, and no file outside its directory.
fn configure(member: &Member) -> String {
    let temporary =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|name| format!("{name}_temp_path {name};"));
    format!(
        "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\n  {}\n  access_log off;\n  \
         server_tokens off;\n  default_type text/plain;\n  server {{\n    listen {WEB_PORT};\n    listen [::]:{WEB_PORT};\n    \
         location / {{ return 200 \"I am {}. You are $remote_addr.\\n\"; }}\n  }}\n}}\n",
        temporary.join("\n  "),
        member.name,
    )
}

/// Asks for a page from `at` until it comes, or until it is certain enough that it does not: see
/// [`Prober::observe`](crate::probe::Prober::observe), which asks everything else.
pub(super) async fn fetch(
    from: &Member,
    family: Family,
    at: SocketAddr,
    expected: Verdict,
) -> Result<Answer> {
    let patience = match expected {
        Verdict::Allow => ALLOWED,
        Verdict::Deny => DENIED,
    };
    let mut attempts = 0;
    for patience in patience {
        attempts += 1;
        let end = tokio::time::Instant::now() + *patience;
        match timeout(*patience, get(from, family, at)).await {
            Ok(Ok(Ok(page))) => {
                return Ok(Answer {
                    page: Some(page),
                    attempts,
                });
            }
            Ok(Err(error)) => return Err(error),
            // Refused, reset or silent: the network's answer.
            Ok(Ok(Err(_))) | Err(_) => sleep_until(end).await,
        }
    }
    Ok(Answer { page: None, attempts })
}

/// One request. The outer error is one of this machine, the inner one of the network.
async fn get(from: &Member, family: Family, at: SocketAddr) -> Result<io::Result<(String, String)>> {
    let endpoint = from.endpoint(family);
    let domain = match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    };
    let kind = i32::try_from(SocketType::STREAM.as_raw())? | i32::try_from(SocketFlags::NONBLOCK.bits())?;
    let socket = endpoint.host().netns().socket(domain.as_raw().into(), kind, 0);
    let socket = socket.with_context(|| format!("making a socket for {}", from.name))?;
    let socket = TcpSocket::from_std_stream(socket.into());
    if let Some(source) = endpoint.source() {
        socket
            .bind(SocketAddr::new(source, 0))
            .with_context(|| format!("binding to {source}"))?;
    }
    Ok(exchange(socket, at).await)
}

async fn exchange(socket: TcpSocket, at: SocketAddr) -> io::Result<(String, String)> {
    let mut connection = socket.connect(at).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    connection.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.lines().next().unwrap_or_default();
    Ok((status.to_owned(), body.trim_end().to_owned()))
}
