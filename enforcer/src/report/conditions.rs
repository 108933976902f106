//! The status of the `NodeRuleSet` that a state of the node amounts to.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use palisade_crds::NodeRuleSetStatus;

use crate::run::status::Status;

/// Conditions are for people; a longer message is cut.
const LONGEST_MESSAGE: usize = 1024;

/// What the node claims. Members of groups are not in here, so that a pod that joins a group makes nobody write a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    observed_revision: Option<u64>,
    generation: Option<i64>,
    hash: Option<String>,
    policies: Option<String>,
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
            policies: status.policies.clone(),
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
            policies: self.policies.clone(),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::run::status;
    use crate::source::Document;

    fn enforced(revision: u64) -> Status {
        let mut status = Status::new("a".into());
        status.document = Some(Document {
            revision: Some(revision),
            generation: Some(7),
            published: None,
        });
        status.revision = Some(revision);
        status.hash = Some("h".to_owned());
        status.ready = true;
        status
    }

    fn wrong(reason: &'static str) -> status::Condition {
        status::Condition {
            reason,
            message: "something".to_owned(),
        }
    }

    fn written(status: &Status, transitions: &mut Transitions, seconds: u64) -> Vec<(String, String, i64)> {
        let now = Timestamp::UNIX_EPOCH + Duration::from_secs(seconds);
        let status = Claim::of(status).unwrap().status(transitions, now);
        let condition = |condition: Condition| {
            assert_eq!(condition.observed_generation, Some(7));
            let since = condition.last_transition_time.0.as_second();
            (condition.status, condition.reason, since)
        };
        status.conditions.into_iter().map(condition).collect()
    }

    fn stated(status: &str, reason: &str, since: i64) -> (String, String, i64) {
        (status.to_owned(), reason.to_owned(), since)
    }

    #[test]
    fn without_an_object_there_is_nothing_to_claim() {
        assert_eq!(Claim::of(&Status::new("a".into())), None);
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_turns() {
        let mut transitions = Transitions::default();
        let mut status = enforced(1);
        let fine = |since, degraded| {
            [
                stated("True", "Enforced", since),
                stated("False", "AsExpected", degraded),
            ]
        };
        assert_eq!(written(&status, &mut transitions, 10), fine(10, 10));
        assert_eq!(written(&enforced(2), &mut transitions, 20), fine(10, 10));
        status.degraded = vec![wrong("MissingSlice")];
        status.hindrance = Some(wrong("MissingSlice"));
        assert_eq!(
            written(&status, &mut transitions, 30),
            [
                stated("False", "MissingSlice", 30),
                stated("True", "MissingSlice", 30)
            ]
        );
        status.degraded = vec![wrong("UnusableResults")];
        status.hindrance = None;
        assert_eq!(
            written(&status, &mut transitions, 40),
            [
                stated("True", "Enforced", 40),
                stated("True", "UnusableResults", 30)
            ]
        );
        let again = Claim::of(&status).unwrap();
        let before = again.status(&mut transitions, Timestamp::UNIX_EPOCH);
        let mut of_another_process = Transitions::read(Some(before));
        assert_eq!(written(&status, &mut of_another_process, 50)[0].2, 40);
    }

    #[test]
    fn a_revision_that_is_not_enforced_yet_is_observed_and_not_programmed() {
        let mut status = enforced(1);
        status.document = Some(Document {
            revision: Some(2),
            generation: Some(7),
            published: None,
        });
        let claim = Claim::of(&status).unwrap();
        assert_eq!(
            (claim.observed_revision, claim.hash.as_deref()),
            (Some(2), Some("h"))
        );
        assert_eq!(
            written(&status, &mut Transitions::default(), 1)[0],
            stated("Unknown", "Pending", 1)
        );
        status.hindrance = Some(wrong("Refused"));
        let claim = Claim::of(&status).unwrap();
        assert!(claim.conditions[0].message.ends_with("revision 1 stays in force"));
    }

    #[test]
    fn who_is_in_a_group_is_no_part_of_a_claim_and_policies_are() {
        let before = enforced(1);
        let mut after = before.clone();
        after.content = Some("another".to_owned());
        after.applied.count += 1;
        assert_ne!(before, after);
        assert_eq!(Claim::of(&before), Claim::of(&after));
        after.policies = Some("others".to_owned());
        let written = Claim::of(&after).unwrap();
        let written = written.status(&mut Transitions::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(written.policies.as_deref(), Some("others"));
        assert_ne!(Claim::of(&before), Claim::of(&after));
    }
}
