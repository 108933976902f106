//! The status of the `NodeRuleSet` that a state of the node amounts to.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use palisade_crds::NodeRuleSetStatus;

use crate::run::status::Status;

/// Conditions are for people; a longer message is cut.
const LONGEST_MESSAGE: usize = 1024;

/// What the node claims. Slices are not in here, so that a pod that joins a group makes nobody write a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    observed_revision: Option<u64>,
    generation: Option<i64>,
    hash: Option<String>,
    pods: u64,
    lag_milliseconds: Option<u64>,
    conditions: Vec<Stated>,
}

/// A condition without its time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stated {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

/// When each condition got the status that it has.
#[derive(Clone, Debug, Default)]
pub(super) struct Transitions(BTreeMap<String, (String, Time)>);

impl Claim {
    /// The claim of a state; `None` where there is no object to put it on.
    pub(crate) fn of(status: &Status) -> Option<Self> {
        let document = status.document?;
        Some(Self {
            observed_revision: document.revision.or(status.revision),
            generation: document.generation,
            hash: status.hash.clone(),
            pods: status.pods.try_into().unwrap_or(u64::MAX),
            lag_milliseconds: status.lag.map(|microseconds| microseconds / 1000),
            conditions: vec![programmed(status, document.revision), degraded(status)],
        })
    }

    /// The status to write. Conditions keep their time unless they turn.
    pub(super) fn status(&self, transitions: &mut Transitions, now: Timestamp) -> NodeRuleSetStatus {
        let condition = |stated: &Stated| Condition {
            type_: stated.kind.to_owned(),
            status: stated.status.to_owned(),
            reason: stated.reason.clone(),
            message: stated.message.clone(),
            observed_generation: self.generation,
            last_transition_time: transitions.since(stated.kind, stated.status, now),
        };
        NodeRuleSetStatus {
            observed_revision: self.observed_revision,
            hash: self.hash.clone(),
            pods: Some(self.pods),
            lag_milliseconds: self.lag_milliseconds,
            conditions: self.conditions.iter().map(condition).collect(),
        }
    }
}

impl Transitions {
    /// What an earlier process wrote.
    pub(super) fn read(status: Option<NodeRuleSetStatus>) -> Self {
        let conditions = status.map(|status| status.conditions).unwrap_or_default();
        let known = conditions.into_iter().map(|condition| {
            (
                condition.type_,
                (condition.status, condition.last_transition_time),
            )
        });
        Self(known.collect())
    }

    fn since(&mut self, kind: &str, status: &str, now: Timestamp) -> Time {
        match self.0.get(kind) {
            Some((before, since)) if before == status => since.clone(),
            _ => {
                let now = Time(now);
                self.0.insert(kind.to_owned(), (status.to_owned(), now.clone()));
                now
            }
        }
    }
}

/// Whether the kernel enforces the newest rules.
fn programmed(status: &Status, newest: Option<u64>) -> Stated {
    let (state, reason, message) = match (&status.hindrance, status.revision) {
        (Some(hindrance), revision) => {
            let kept = revision.map_or_else(
                || "; what the kernel had stays".to_owned(),
                |revision| format!("; revision {revision} stays in force"),
            );
            ("False", hindrance.reason, hindrance.message.clone() + &kept)
        }
        (None, Some(revision)) if status.ready && newest == Some(revision) => (
            "True",
            "Enforced",
            format!("the kernel enforces revision {revision}"),
        ),
        (None, _) => ("Unknown", "Pending", "on its way to the kernel".to_owned()),
    };
    stated("Programmed", state, reason, message)
}

/// Everything that is wrong, whether or not it keeps rules from the kernel.
fn degraded(status: &Status) -> Stated {
    let Some(first) = status.degraded.first() else {
        return stated("Degraded", "False", "AsExpected", String::new());
    };
    let all: Vec<String> = status
        .degraded
        .iter()
        .map(|condition| format!("{}: {}", condition.reason, condition.message))
        .collect();
    stated("Degraded", "True", first.reason, all.join("; "))
}

fn stated(kind: &'static str, status: &'static str, reason: &str, message: String) -> Stated {
    Stated {
        kind,
        status,
        reason: reason.to_owned(),
        message: cut(message),
    }
}

fn cut(mut message: String) -> String {
    let end = message.char_indices().nth(LONGEST_MESSAGE);
    if let Some((end, _)) = end {
        message.truncate(end);
        message.push('…');
    }
    message
}
