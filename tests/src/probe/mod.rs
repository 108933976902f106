//! The prober: who reaches whom, measured with packets.
//!
//! A socket stays in the namespace in which it was made, so one process holds sockets in all of them and one runtime
//! drives them all. In each [`Host`] responders listen and say who they are; a [`Probe`] leaves one host for an
//! address and a port; an [`Observation`] says what came of it:
//!
//! - TCP passes when the handshake is done and the responder has greeted by its name. A SYN that arrived, but whose
//!   answer was lost, looks like one that was dropped.
//! - UDP passes when the echo has come back with the responder's name. A request that was heard and whose answer is
//!   lost is [`Outcome::Unanswered`]: neither allowed nor denied, which no policy can mean.
//! - ICMP and `ICMPv6` are echo requests, answered by the kernel; unanswered ones are told apart as with UDP.
//! - SCTP is one INIT chunk, sent and heard by raw sockets, since not every kernel has SCTP sockets; any other IP
//!   protocol likewise. Hearing it is passing: nobody answers.
//!
//! Whether a packet was *dropped* can only be known by waiting. [`Prober::observe`] therefore takes what is expected:
//! an allowed probe is repeated until it passes, for seconds if need be, and a denied one a few times within a short
//! window in which nothing may come through. A busy machine thus costs time, not truth. Every attempt is a new flow.

mod attempt;
mod host;
mod prober;
mod responder;
mod sightings;
mod stream;
mod talk;
mod wire;

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use palisade_policy::model::{Transport, Verdict};

pub use host::{Endpoint, Host};
pub use prober::Prober;
pub use responder::Listen;
pub use stream::{Flow, Stream, StreamReport};
pub use talk::{Manner, Talk, TalkReport};

const ICMP4: u8 = 1;
const ICMP6: u8 = 58;
const SCTP: u8 = 132;

/// A question to the network.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Where it starts.
    pub from: Endpoint,
    /// The address that it is sent to: a pod's, a service's, anything.
    pub to: IpAddr,
    /// What it is.
    pub transport: Transport,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.from.host().name())?;
        if let Some(source) = self.from.source() {
            write!(f, " ({source})")?;
        }
        write!(f, " → {} {}", self.to, self.transport)
    }
}

/// What came of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived, and was answered where the protocol has answers.
    Passed {
        /// The name of the host that it reached.
        who: String,
    },
    /// It arrived, but its answer did not come back.
    Unanswered {
        /// The name of the host that it reached.
        who: String,
    },
    /// Nothing was seen of it.
    Dropped,
}

/// What was seen of a probe, over all its attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What came of it.
    pub outcome: Outcome,
    /// From the first attempt to the end of the last.
    pub took: Duration,
    /// How many packets or handshakes were tried.
    pub attempts: u32,
}

impl Observation {
    /// Whether the probe passed.
    pub fn passed(&self) -> bool {
        matches!(self.outcome, Outcome::Passed { .. })
    }

    /// The name of the host that the probe reached.
    pub fn who(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Passed { who } | Outcome::Unanswered { who } => Some(who),
            Outcome::Dropped => None,
        }
    }

    /// Whether it is what `expected` says. [`Outcome::Unanswered`] never is.
    pub fn agrees(&self, expected: Verdict) -> bool {
        match expected {
            Verdict::Allow => self.passed(),
            Verdict::Deny => self.outcome == Outcome::Dropped,
        }
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Passed { who } => write!(f, "passed to {who}"),
            Outcome::Unanswered { who } => write!(f, "reached {who}, which got no answer back"),
            Outcome::Dropped => f.write_str("dropped"),
        }?;
        write!(f, " ({} attempts, {:?})", self.attempts, self.took)
    }
}
