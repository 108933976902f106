//! Why a connection becomes allowed or denied.

use std::collections::BTreeSet;

use palisade_policy::model::{Direction, PolicyKey};

/// Why connections become allowed or denied. A direction is told if it denies them in the one state.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// What the sources' policies say.
    pub egress: Option<Side>,
    /// What the destinations' policies say.
    pub ingress: Option<Side>,
    /// Whether not every connection was asked about, so that other policies may have a part in it.
    pub perhaps_others: bool,
}

/// What one side says.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side {
    /// In the state where it denies: the policies that isolate the pod, none of which allows the connection.
    pub isolating: BTreeSet<PolicyKey>,
    /// In the state where it allows: everything that does; of a policy the first rule.
    pub grants: BTreeSet<Grant>,
}

/// What allows a connection on one side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// No policy isolates the pod.
    Open,
    /// A rule, counted from 0.
    Rule(PolicyKey, usize),
}

impl Cause {
    /// Each side that says anything, with its direction.
    pub fn sides(&self) -> impl Iterator<Item = (Direction, &Side)> {
        let egress = self.egress.iter().map(|side| (Direction::Egress, side));
        let ingress = self.ingress.iter().map(|side| (Direction::Ingress, side));
        egress.chain(ingress)
    }

    pub(super) fn side(&mut self, direction: Direction) -> &mut Side {
        let side = match direction {
            Direction::Egress => &mut self.egress,
            Direction::Ingress => &mut self.ingress,
        };
        side.get_or_insert_default()
    }
}

impl Grant {
    /// The policy whose rule it is.
    pub fn policy(&self) -> Option<&PolicyKey> {
        match self {
            Self::Rule(policy, _) => Some(policy),
            Self::Open => None,
        }
    }
}
