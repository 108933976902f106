//! Why a node is not known to enforce what policies mean.

use std::fmt;

use palisade_policy::model::PodKey;

/// Why a node's kernel is not known to enforce what the policies mean now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It has pods, and nothing is published for it.
    NoRuleSet,
    /// There is no such node any more, and something is published for it.
    NoNode,
    /// No enforcer has ever reported.
    NoStatus,
    /// Its kernel has another rule set than the one that is published.
    OtherRules,
    /// Its kernel has other policies than those that are published.
    OtherPolicies,
    /// It reports what is published, and to have seen another revision of it.
    OtherRevision {
        /// What it has seen.
        observed: Option<u64>,
        /// What is published.
        revision: u64,
    },
    /// It reports what is published, and another number of pods than are in it.
    OtherNumber {
        /// What it reports.
        enforced: Option<u64>,
        /// How many there are.
        pods: usize,
    },
    /// It says itself that it does not enforce the newest rules.
    NotProgrammed {
        /// Its word for it.
        reason: String,
        /// Its sentence for it.
        message: String,
    },
    /// It does not say whether it enforces the newest rules.
    Unsaid,
    /// A document that it needs is missing: its kind and name.
    MissingSlice(String),
    /// A document that it needs cannot be read.
    Unreadable(String),
    /// Pods of the node are not in its rule set.
    UnknownPods(Pods),
    /// Pods in its rule set are not on the node, or are no more.
    GonePods(Pods),
    /// Pods in its rule set have other labels, addresses or ports now.
    ChangedPods(Aspect, Pods),
    /// Its rule set has other networks than the node.
    OtherNetworks,
    /// Policies have come to a namespace of its pods or have left it, and its rule set does not know.
    OtherNamespaces(String),
    /// Groups of pods that its policies refer to are published with other members.
    OtherMembers {
        /// How many.
        groups: usize,
        /// What is wrong with one of them.
        first: String,
    },
}

/// Some pods: how many, and one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pods {
    /// How many.
    pub count: usize,
    /// One of them.
    pub first: PodKey,
}

/// What is published of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// By which policies select it.
    Labels,
    /// By which it is known in packets.
    Addresses,
    /// What names of ports stand for on it.
    Ports,
}

impl Pods {
    /// These pods, if there are any.
    pub(super) fn of<'a>(mut pods: impl Iterator<Item = &'a PodKey>) -> Option<Self> {
        let first = pods.next()?.clone();
        Some(Self {
            count: 1 + pods.count(),
            first,
        })
    }
}

impl fmt::Display for Pods {
    /// `shop/web and 2 more`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 | 1 => self.first.fmt(f),
            count => write!(f, "{} and {} more", self.first, count - 1),
        }
    }
}

impl Aspect {
    fn as_str(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Addresses => "addresses",
            Self::Ports => "named ports",
        }
    }
}

impl Difference {
    /// Whether it leaves open what the node does about every policy, and not only about some whose publication says so itself.
    pub(super) fn concerns_every_policy(&self) -> bool {
        !matches!(self, Self::OtherMembers { .. })
    }

    /// Whether it looks like a change that is on its way: a moment later there may be none.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoRuleSet
            | Self::NoNode
            | Self::OtherRules
            | Self::OtherPolicies
            | Self::OtherRevision { .. }
            | Self::OtherNumber { .. }
            | Self::NotProgrammed { .. }
            | Self::MissingSlice(_)
            | Self::UnknownPods(_)
            | Self::GonePods(_)
            | Self::ChangedPods(..)
            | Self::OtherNetworks
            | Self::OtherNamespaces(_)
            | Self::OtherMembers { .. } => true,
            Self::NoStatus | Self::Unsaid | Self::Unreadable(_) => false,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRuleSet => f.write_str("no rule set is published for it"),
            Self::NoNode => f.write_str("there is no such node, and a rule set is published for it"),
            Self::NoStatus => f.write_str("no enforcer has reported yet"),
            Self::OtherRules => f.write_str("the kernel has another rule set than the one that is published"),
            Self::OtherPolicies => f.write_str("the kernel has other policies than those that are published"),
            Self::OtherRevision { observed, revision } => {
                write!(
                    f,
                    "revision {revision} is published, and the newest that it has seen is "
                )?;
                match observed {
                    Some(observed) => observed.fmt(f),
                    None => f.write_str("none"),
                }
            }
            Self::OtherNumber { enforced, pods } => {
                let enforced = enforced.unwrap_or_default();
                write!(f, "it enforces {enforced} of the {pods} pods of its rule set")
            }
            Self::NotProgrammed { reason, message } if message.is_empty() => {
                write!(f, "the kernel is not said to enforce the newest rules ({reason})")
            }
            Self::NotProgrammed { reason, message } => write!(f, "{reason}: {message}"),
            Self::Unsaid => f.write_str("it does not say whether the kernel enforces what it has seen"),
            Self::MissingSlice(name) => write!(f, "{name} is missing"),
            Self::Unreadable(error) => write!(f, "a document cannot be read: {error}"),
            Self::UnknownPods(pods) => write!(f, "its rule set lacks {pods}"),
            Self::GonePods(pods) => write!(f, "its rule set still has {pods}"),
            Self::ChangedPods(aspect, pods) => {
                write!(f, "its rule set has other {} of {pods}", aspect.as_str())
            }
            Self::OtherNetworks => f.write_str("its rule set has other pod networks than the node"),
            Self::OtherNamespaces(namespace) => {
                write!(f, "its rule set does not know which policies {namespace} has now")
            }
            Self::OtherMembers { groups: 0 | 1, first } => f.write_str(first),
            Self::OtherMembers { groups, first } => write!(f, "{first} (and {} more groups)", groups - 1),
        }
    }
}
