//! One question about connections: allowed or denied, and why.
//!
//! ```text
//!   Resolved ──scene──► the pods and policies that have a say ──parties──► who is treated alike (Reach)
//!                                                                             │
//!                          text, json ◄── Answer ◄──account── Evaluation ◄────┴── a witness of each case (the oracle)
//! ```
//!
//! The two ends may be many pods and addresses. Those that get the same answer are one [`Case`], and each case is explained by
//! a packet that stands for it: what the oracle says of that packet, in the words of the policies, with what would change it.

mod account;
mod cases;
mod json;
mod parties;
mod remedy;
mod scene;
mod text;
mod twin;
mod words;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use palisade_policy::model::{Direction, Packet, Pod, PodKey, PodUid, Verdict};
use palisade_policy::reach::{Family, PortSet, Reach};

use crate::inventory::Inventory;
use crate::question::{Note, Resolved};

pub use account::{Account, Clause, Finding, RuleMatch, RuleMiss, Unclear};
pub use cases::TooMany;
pub use json::json;
pub use remedy::{Change, Remedy};
pub use text::text;
pub(crate) use twin::another;

/// What was asked, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who connects, in words.
    pub from: String,
    /// Who answers, in words.
    pub to: String,
    /// On which port, in words; empty if all are asked about.
    pub port: String,
    /// All cases together.
    pub verdict: Overall,
    /// Those that are treated alike, what is denied first. Every pair and port that was asked about is in exactly one, but for
    /// pods and themselves: of many, a pod stands beside itself for another one like it.
    pub cases: Vec<Case>,
    /// What is worth knowing besides.
    pub remarks: Vec<Remark>,
}

/// What becomes of many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Overall {
    /// None is allowed.
    Denied,
    /// Some are allowed, some are denied.
    Partly,
    /// All are allowed.
    Allowed,
}

/// Connections that get the same answer: every one from any of some ends to any of some others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Through which port of which Service, if through one.
    pub by: Option<String>,
    /// In which address families.
    pub families: BTreeSet<Family>,
    /// Who connects.
    pub from: Party,
    /// Who answers.
    pub to: Party,
    /// The ports that are asked about.
    pub asked: PortSet,
    /// Those of them that are open.
    pub allowed: PortSet,
    /// Packets that stand for the case: one that is denied, one that is allowed, as far as there are such.
    pub witnesses: Vec<Witness>,
}

/// Some ends of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party {
    /// Pods.
    pub pods: BTreeSet<Member>,
    /// Addresses that are no pod's.
    pub addresses: BTreeSet<IpAddr>,
    /// All addresses of these blocks that are no pod's.
    pub blocks: BTreeSet<IpNet>,
}

/// A pod among some ends. Two can be called alike: those that stand for workloads, and one that replaces another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its place.
    pub key: PodKey,
    /// Which pod it is.
    pub uid: PodUid,
}

/// A packet, what becomes of it and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The packet.
    pub packet: Packet,
    /// Whether it may pass.
    pub verdict: Verdict,
    /// Why.
    pub why: Why,
    /// The pod that the destination would be, if it is none of the ends but another one like the source.
    pub twin: Option<Pod>,
}

/// Why a packet may pass or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is between a pod and its own node.
    OwnNode(PodKey),
    /// It is from a pod to itself.
    Itself(PodKey),
    /// Neither end is a pod that policies apply to.
    NoPod,
    /// What the policies of the source and of the destination say; an end that is no pod has no say.
    Judged(Vec<Account>),
}

/// Something that is worth knowing besides the verdict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remark {
    /// About one of the ends.
    Of(Note),
    /// Pods that are among both ends reach themselves, whatever the policies say.
    Themselves,
    /// An address that nobody has, of another pod like this one: there is no second one among the ends.
    Another(IpAddr, PodKey),
    /// Between pods and the nodes that they run on everything is allowed, also where such addresses are among many.
    OwnNodes,
    /// A change is told of one packet, and other pairs of its case may want more.
    OnePacket,
    /// What policies say is about who opens a connection.
    Replies,
    /// What happens to connections that are open already.
    Established,
}

/// Answers questions about one inventory.
pub struct Explainer<'a> {
    inventory: &'a Inventory,
    /// Who reaches whom in all of it; worked out for the first question about many.
    reach: OnceCell<Reach>,
    /// Addresses that were made up for pods in networks of nodes that are not known.
    made_up: BTreeSet<IpAddr>,
}

/// Answers a question, unless it is about too many ends that are all different.
pub fn explain(inventory: &Inventory, question: &Resolved) -> Result<Answer, TooMany> {
    Explainer::new(inventory).explain(question)
}

impl<'a> Explainer<'a> {
    /// For any number of questions.
    pub fn new(inventory: &'a Inventory) -> Self {
        let made_up = inventory.placeholders.iter().filter_map(|uid| {
            let pod = inventory.state.pods().get(uid)?;
            pod.host_network.then_some(&pod.addresses)
        });
        Self {
            inventory,
            reach: OnceCell::new(),
            made_up: made_up.flatten().copied().collect(),
        }
    }

    fn reach(&self) -> &Reach {
        self.reach.get_or_init(|| Reach::of(&self.inventory.state))
    }

    /// Answers a question, unless it is about too many ends that are all different.
    pub fn explain(&self, question: &Resolved) -> Result<Answer, TooMany> {
        Ok(answer(question, cases::cases(self, question)?))
    }
}

fn answer(question: &Resolved, cases: Vec<Case>) -> Answer {
    let is_denied = |case: &Case| case.verdict() != Overall::Allowed;
    let is_allowed = |case: &Case| case.verdict() != Overall::Denied;
    let verdict = match (cases.iter().any(is_denied), cases.iter().any(is_allowed)) {
        (false, _) => Overall::Allowed,
        (true, false) => Overall::Denied,
        (true, true) => Overall::Partly,
    };
    let remarks = remarks(question, &cases, verdict);
    Answer {
        from: question.from.clone(),
        to: question.to.clone(),
        port: question.port.clone(),
        verdict,
        cases,
        remarks,
    }
}

fn remarks(question: &Resolved, cases: &[Case], verdict: Overall) -> Vec<Remark> {
    let mut remarks: Vec<Remark> = question.notes.iter().cloned().map(Remark::Of).collect();
    let judged = |case: &&Case| {
        let mut witnesses = case.witnesses.iter();
        case.verdict() != Overall::Allowed && witnesses.any(|witness| matches!(witness.why, Why::Judged(_)))
    };
    let meet = |case: &Case| !case.from.pods.is_disjoint(&case.to.pods);
    if cases.iter().filter(judged).any(meet) {
        remarks.push(Remark::Themselves);
    }
    let witnesses = cases.iter().flat_map(|case| &case.witnesses);
    let others: BTreeSet<Remark> = witnesses
        .filter_map(|witness| {
            let twin = witness.twin.as_ref()?;
            Some(Remark::Another(witness.packet.destination, twin.key.clone()))
        })
        .collect();
    remarks.extend(others);
    let blocks = |case: &Case| {
        let (from, to) = (&case.from, &case.to);
        !from.blocks.is_empty() && !to.pods.is_empty() || !to.blocks.is_empty() && !from.pods.is_empty()
    };
    if cases.iter().filter(judged).any(blocks) {
        remarks.push(Remark::OwnNodes);
    }
    let is_of_many = |case: &&Case| case.from.len() > 1 || case.to.len() > 1;
    let mut of_many = cases.iter().filter(is_of_many).flat_map(|case| &case.witnesses);
    if of_many.any(Witness::has_remedies) {
        remarks.push(Remark::OnePacket);
    }
    remarks.push(Remark::Replies);
    if verdict != Overall::Allowed {
        remarks.push(Remark::Established);
    }
    remarks
}

impl Answer {
    /// The destination with its port, in words.
    pub fn target(&self) -> String {
        let port = if self.port.is_empty() {
            "every port"
        } else {
            &self.port
        };
        format!("{}, {port}", self.to)
    }
}

impl Case {
    /// What becomes of its connections.
    pub fn verdict(&self) -> Overall {
        if self.allowed == self.asked {
            Overall::Allowed
        } else if self.allowed.is_empty() {
            Overall::Denied
        } else {
            Overall::Partly
        }
    }
}

impl Witness {
    fn has_remedies(&self) -> bool {
        let Why::Judged(accounts) = &self.why else {
            return false;
        };
        let has = |account: &Account| matches!(&account.finding, Finding::Denied { remedies, .. } if !remedies.is_empty());
        accounts.iter().any(has)
    }
}

impl Party {
    /// Whether it is one pod, or one address.
    pub fn is_one(&self) -> bool {
        self.len() == 1 && self.blocks.is_empty()
    }

    /// How many pods, addresses and blocks it has.
    fn len(&self) -> usize {
        self.pods.len() + self.addresses.len() + self.blocks.len()
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn extend(&mut self, other: &Self) {
        self.pods.extend(other.pods.iter().cloned());
        self.addresses.extend(&other.addresses);
        self.blocks.extend(&other.blocks);
    }
}

impl fmt::Display for Member {
    /// As its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

impl fmt::Display for Overall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "allowed",
            Self::Partly => "partly allowed",
            Self::Denied => "denied",
        })
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(note) => note.fmt(f),
            Self::Themselves => f.write_str("a pod always reaches itself, whatever is said of others"),
            Self::Another(address, pod) => {
                write!(f, "{address} is nobody's: it stands for another pod like {pod}")
            }
            Self::OwnNodes => f.write_str(
                "between a pod and the node that it runs on everything is allowed, whatever is said of other addresses",
            ),
            Self::OnePacket => f.write_str(
                "what would pass is said of the packet above it; other pairs of the same case may need more",
            ),
            Self::Replies => f.write_str("this is about who opens the connection; what answers it passes"),
            Self::Established => f.write_str(
                "Palisade ends connections that are open when a policy comes to deny them; other enforcers may let them go on",
            ),
        }
    }
}

/// The list of peers that rules of a direction have.
fn peers_of(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}
