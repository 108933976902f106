//! What a team wants to stay true: assertions in a file, and whether they hold.
//!
//! ```yaml
//! - name: the shop is open to the world
//!   from: any                                # an end, or a list of ends
//!   to: [shop/web, shop/service/checkout]    # likewise; a port may be written here instead: shop/web:80
//!   port: 443                                # a port or a list: 80, 8000-8999, http, 53/UDP, icmp; without any, every port
//!   protocol: TCP                            # for ports that do not say
//!   family: 4                                # 4 or 6; without it, both
//!   expect: allow                            # or deny
//!   reason: what the shop lives on           # told when it fails
//! ```
//!
//! A file is a list of these, or has one under `assertions`. Ends and ports are written as in [questions](crate::question). A
//! comma within brackets begins another end: there, several labels of one end are in quotes (`["app=web,tier=front"]`).
//! `expect: allow` holds if every connection is allowed, from any of `from` to any of `to` on any of the ports; `expect: deny`
//! if every one is denied. An end that leads nowhere is a failure: what is not there can neither be allowed nor denied, and a
//! name that was mistyped would otherwise hold for ever.

mod check;
mod junit;
mod many;
mod output;
mod tap;

use std::fmt;

use palisade_policy::model::Protocol;
use palisade_policy::reach::Family;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use thiserror::Error;

use crate::explain::{Answer, TooMany};
use crate::inventory::Place;
use crate::question::{InvalidQuestion, Question, Unresolved};

pub use check::check;
pub use junit::junit;
pub use output::{json, text};
pub use tap::tap;

/// An assertion as it is written. Fields that are not known are errors.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// What it is called; without a name, what it says.
    #[serde(default)]
    pub name: Option<String>,
    /// Who connects.
    #[serde(deserialize_with = "many::one_or_many")]
    pub from: Vec<String>,
    /// Who answers.
    #[serde(deserialize_with = "many::one_or_many")]
    pub to: Vec<String>,
    /// On which ports.
    #[serde(default, deserialize_with = "many::one_or_many", alias = "ports")]
    pub port: Vec<String>,
    /// The protocol of ports that do not say theirs.
    #[serde(default, deserialize_with = "protocol")]
    pub protocol: Option<Protocol>,
    /// What should become of these connections.
    pub expect: Expectation,
    /// The address family, if not both are meant.
    #[serde(default, deserialize_with = "family")]
    pub family: Option<Family>,
    /// Why this matters to those who wrote it.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What should become of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expectation {
    /// Each is allowed.
    Allow,
    /// Each is denied.
    Deny,
}

/// An assertion that can be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// What it is called.
    pub name: String,
    /// Where it is written.
    pub place: Place,
    /// What should become of each connection.
    pub expect: Expectation,
    /// The address family, if not both are meant.
    pub family: Option<Family>,
    /// Why this matters.
    pub reason: Option<String>,
    /// What is to be asked: every pair of ends, on every port.
    pub questions: Vec<Question>,
}

/// An assertion that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: assertion {name:?}: {problem}")]
pub struct InvalidAssertion {
    /// Where it is written.
    pub place: Place,
    /// What it is called.
    pub name: String,
    /// What is wrong.
    pub problem: Box<Nonsense>,
}

/// Why an assertion makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Nonsense {
    /// An end or a port that cannot be understood.
    #[error(transparent)]
    Question(#[from] InvalidQuestion),
    /// No source, or no destination.
    #[error("{0} is an empty list")]
    Empty(&'static str),
    /// Ports in two places.
    #[error("the destination {0:?} has a port, and there is a field port beside it")]
    TwoPorts(String),
}

/// What became of an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The assertion.
    pub assertion: Prepared,
    /// Why it does not hold, one entry for each question that got another answer. Empty: it holds.
    pub failures: Vec<Failure>,
}

/// A question that got another answer than was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Not all connections are as they should be.
    Otherwise(Box<Answer>),
    /// There is nobody to ask about.
    Nobody(Unresolved),
    /// There are too many to ask about.
    TooMany(TooMany),
}

impl Assertion {
    /// Reads its ends and ports.
    pub fn prepare(self, place: Place) -> Result<Prepared, InvalidAssertion> {
        let name = self.name.clone().unwrap_or_else(|| self.title());
        match self.questions() {
            Ok(questions) => Ok(Prepared {
                name,
                place,
                expect: self.expect,
                family: self.family,
                reason: self.reason,
                questions,
            }),
            Err(problem) => Err(InvalidAssertion {
                place,
                name,
                problem: Box::new(problem),
            }),
        }
    }

    /// `shop/client → shop/web:80 allow`
    fn title(&self) -> String {
        let (from, to) = (self.from.join(", "), self.to.join(", "));
        let protocol = self.protocol.map(|protocol| protocol.to_string());
        let port = match (self.port.is_empty(), protocol) {
            (true, None) => String::new(),
            (true, Some(protocol)) => format!(", {protocol}"),
            (false, None) => format!(", port {}", self.port.join(", ")),
            (false, Some(protocol)) => format!(", port {} {protocol}", self.port.join(", ")),
        };
        let family = self.family.map(|family| match family {
            Family::V4 => " in IPv4",
            Family::V6 => " in IPv6",
        });
        format!(
            "{} {from} → {to}{port}{}",
            self.expect,
            family.unwrap_or_default()
        )
    }

    fn questions(&self) -> Result<Vec<Question>, Nonsense> {
        for (ends, field) in [(&self.from, "from"), (&self.to, "to")] {
            if ends.is_empty() {
                return Err(Nonsense::Empty(field));
            }
        }
        let mut questions = Vec::new();
        for from in &self.from {
            for to in &self.to {
                let question = Question::parse(from, to)?;
                if self.port.is_empty() {
                    let port = question.port.or_protocol(to, self.protocol);
                    questions.push(Question { port, ..question });
                    continue;
                }
                if question.port != crate::question::Port::Every {
                    return Err(Nonsense::TwoPorts(to.clone()));
                }
                for text in &self.port {
                    let port = crate::question::Port::parse(text)?.or_protocol(text, self.protocol);
                    questions.push(Question {
                        port,
                        ..question.clone()
                    });
                }
            }
        }
        Ok(questions)
    }
}

impl Checked {
    /// Whether it holds.
    pub fn holds(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

impl fmt::Display for Failure {
    /// What became of it in a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Otherwise(answer) => write!(f, "{} → {}: {}", answer.from, answer.target(), answer.verdict),
            Self::Nobody(why) => why.fmt(f),
            Self::TooMany(why) => why.fmt(f),
        }
    }
}

fn protocol<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Protocol>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let read = |text: String| {
        let protocol = crate::question::protocol(&text);
        protocol.ok_or_else(|| {
            D::Error::custom(format!("{text:?} is no protocol: it should be TCP, UDP or SCTP"))
        })
    };
    text.map(read).transpose()
}

fn family<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Family>, D::Error> {
    match Option::<u8>::deserialize(deserializer)? {
        None => Ok(None),
        Some(4) => Ok(Some(Family::V4)),
        Some(6) => Ok(Some(Family::V6)),
        Some(other) => Err(D::Error::custom(format!(
            "{other} is no address family: it should be 4 or 6"
        ))),
    }
}
