//! The story: one manifest after the other, and what to look at after each.
//!
//! What is *expected* is not part of it. That comes from the oracle, which reads the same files: who edits a sample sees
//! other verdicts, and no mismatch.

use palisade_policy::model::{Protocol, Transport};

use crate::cases::Family;

/// The file with the namespaces and pods, which everything starts with.
pub(super) const CLUSTER: &str = "00-shop.yaml";
/// The file with the service, which comes last.
pub(super) const SERVICE: &str = "07-service.yaml";
/// The pod that runs a web server.
pub(super) const WEB: &str = "backend";
/// The port of the web server.
pub(super) const WEB_PORT: u16 = 8080;
/// Ports of TCP and UDP that everybody listens on.
pub(super) const PORTS: [u16; 4] = [53, 80, 5432, 9090];
/// Who fetches a page, before and after.
pub(super) const READERS: [&str; 2] = ["frontend", "outsider"];

const fn tcp(port: u16) -> Transport {
    Transport::Port(Protocol::Tcp, port)
}

const fn udp(port: u16) -> Transport {
    Transport::Port(Protocol::Udp, port)
}

/// Stands for ICMP and `ICMPv6` alike.
pub(super) const PING: Transport = Transport::Other(1);

/// What the printed matrix shows: for each pod the transports by which it is called. Far more is measured.
pub(super) const SHOWN: [(&str, &[Transport]); 4] = [
    ("frontend", &[tcp(80), PING]),
    ("backend", &[tcp(WEB_PORT), PING]),
    ("database", &[tcp(5432), udp(53)]),
    ("outsider", &[tcp(80)]),
];

/// Everything that is sent to each host, in both families. The web server's own port comes on top.
pub(super) fn measured() -> Vec<Transport> {
    let ports = PORTS.into_iter().flat_map(|port| [tcp(port), udp(port)]);
    let sctp = [5432, 9090].map(|port| Transport::Port(Protocol::Sctp, port));
    ports.chain(sctp).chain([PING]).collect()
}

/// A connection that somebody asks about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// Who would open it.
    pub(super) from: &'static str,
    /// Whom it would go to.
    pub(super) to: &'static str,
    /// What it would carry.
    pub(super) transport: Transport,
    /// Its family.
    pub(super) family: Family,
}

/// A step: a file is applied, everything is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The manifest.
    pub(super) file: &'static str,
    /// What the step is called.
    pub(super) title: &'static str,
    /// What it means, in a sentence.
    pub(super) meaning: &'static str,
    /// A connection that is denied from now on, to be explained.
    pub(super) why: Option<Question>,
    /// Whether a page is fetched from the web server.
    pub(super) fetch: bool,
    /// Whether to show what one pod's rules look like in the kernel.
    pub(super) kernel: bool,
}

const QUIET: Step = Step {
    file: "",
    title: "",
    meaning: "",
    why: None,
    fetch: false,
    kernel: false,
};

/// All steps, in order.
pub(super) const STEPS: [Step; 7] = [
    Step {
        file: CLUSTER,
        title: "No policy",
        meaning: "No policy selects any pod, so everything reaches everything.",
        fetch: true,
        ..QUIET
    },
    Step {
        file: "01-allow-frontend.yaml",
        title: "Allow the frontend",
        meaning: "Pods with role: backend accept connections from role: frontend, and from nobody else.",
        why: Some(ask("database", "backend", tcp(WEB_PORT), Family::V4)),
        fetch: true,
        kernel: true,
    },
    Step {
        file: "02-default-deny.yaml",
        title: "Deny by default",
        meaning: "Nobody connects to a pod of namespace shop, unless a policy says so.",
        why: Some(ask("backend", "database", tcp(5432), Family::V4)),
        ..QUIET
    },
    Step {
        file: "03-named-port.yaml",
        title: "A port by its name",
        meaning: "The database accepts the backend on the port that it calls postgres: 5432 over TCP, not 53 over UDP.",
        why: Some(ask("backend", "database", udp(53), Family::V4)),
        ..QUIET
    },
    Step {
        file: "04-ip-block.yaml",
        title: "A block of addresses, with an exception",
        meaning: "Clients of 198.51.100.0/24 reach port 80 of the frontend, those of 198.51.100.128/25 do not.",
        why: Some(ask("client2", "frontend", tcp(80), Family::V4)),
        ..QUIET
    },
    Step {
        file: "05-egress.yaml",
        title: "The way out",
        meaning: "The backend opens connections to the database and to nobody else. It still answers the frontend.",
        why: Some(ask("backend", "outsider", tcp(80), Family::V4)),
        ..QUIET
    },
    Step {
        file: "06-ipv6.yaml",
        title: "IPv6",
        meaning: "The clients reach port 80 of the frontend over IPv6 too, those of 2001:db8:c:2::/64 excepted.",
        why: Some(ask("client2", "frontend", tcp(80), Family::V6)),
        ..QUIET
    },
];

const fn ask(from: &'static str, to: &'static str, transport: Transport, family: Family) -> Question {
    Question {
        from,
        to,
        transport,
        family,
    }
}
