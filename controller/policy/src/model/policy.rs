//! Network policies. What the API says by nil, empty and default is said by enums here.

use std::fmt;

use super::{IpBlock, PolicyKey, PortName, PortRange, Protocol, Selector};

/// A network policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its place. It applies to pods of its own namespace only.
    pub key: PolicyKey,
    /// The pods that it applies to.
    pub subject: Selector,
    /// Its ingress rules, if it isolates pods for ingress. No rules: nothing is allowed.
    pub ingress: Option<Vec<Rule>>,
    /// Its egress rules, if it isolates pods for egress. No rules: nothing is allowed.
    pub egress: Option<Vec<Rule>>,
    /// What could not be understood. Each has already been left out of the rules, or widened the isolation.
    pub defects: Vec<Defect>,
}

impl Policy {
    /// Entries of all lists of a policy, at the most. As it is published, an entry takes up to some 100 bytes, and an API
    /// server takes no object of more than 1.5 MB; a policy that could not be published would hold up everything that has to
    /// wait for it. A policy is published whole, so that one near this limit takes more than the 100 KB that no other object
    /// takes: the controller tells of it (`LargeObject`), and `policy-audit lint` before (PA005 to PA007).
    ///
    /// A port that an egress rule names counts once more for each peer of the rule: it is resolved on the peers, so that each
    /// is published as a further group of those that declare it.
    pub const MOST_ENTRIES: usize = 10_000;

    /// Bytes of it when it is published, about: without what its peers' selectors say, as these are published as groups.
    pub fn said(&self) -> usize {
        const AROUND: usize = 200;
        let rules = self.ingress.iter().chain(&self.egress).flatten();
        let resolved = self.resolved() * GROUP;
        AROUND + self.subject.said() + rules.map(Rule::said).sum::<usize>() + resolved
    }

    /// How many entries its lists have, of [`Policy::MOST_ENTRIES`]. What a document repeats counts once.
    pub fn entries(&self) -> usize {
        let rules = self.ingress.iter().chain(&self.egress).flatten();
        self.subject.entries() + rules.map(Rule::entries).sum::<usize>() + self.resolved()
    }

    /// The groups of egress rules that stand for peers that declare a port by its name.
    fn resolved(&self) -> usize {
        self.egress.iter().flatten().map(Rule::resolved).sum()
    }

    /// The rules of one direction; `None` where the policy does not isolate it.
    pub fn rules(&self, direction: super::Direction) -> Option<&[Rule]> {
        match direction {
            super::Direction::Ingress => self.ingress.as_deref(),
            super::Direction::Egress => self.egress.as_deref(),
        }
    }
}

/// A part of a policy that could not be understood and therefore allows nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Defect {
    /// The field, as a path from the object's root: `spec.ingress[0].from[1].ipBlock.cidr`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// How the defect of a policy that is too large goes on after its entries.
const TOO_MANY: &str = " entries, of which a policy may have no more than ";

impl Defect {
    /// A policy has more entries than [`Policy::MOST_ENTRIES`].
    pub fn of_size(entries: usize) -> Self {
        Self {
            field: "spec".to_owned(),
            message: format!("has {entries}{TOO_MANY}{}", Policy::MOST_ENTRIES),
        }
    }

    /// Whether it is that the policy is too large, which an API server does not mind.
    pub fn is_of_size(&self) -> bool {
        self.field == "spec" && self.message.contains(TOO_MANY)
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// One rule: a connection is allowed if both its peer and its port match.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// Whom it allows.
    pub peers: Peers,
    /// On which ports of the destination.
    pub ports: Ports,
}

/// Bytes of a reference to a group.
const GROUP: usize = "\"0123456789abcdefghjk\",".len();

impl Rule {
    /// Peers, each once for each name of a port.
    fn resolved(&self) -> usize {
        let (Peers::AnyOf(peers), Ports::AnyOf(ports)) = (&self.peers, &self.ports) else {
            return 0;
        };
        let named = |port: &&PolicyPort| matches!(port.port, PortMatch::Named(_));
        peers.len() * ports.iter().filter(named).count()
    }

    fn said(&self) -> usize {
        const AROUND: usize = "{\"index\":100,\"groups\":[],\"blocks\":[],\"ports\":[]},".len();
        let peers = match &self.peers {
            Peers::All => 0,
            Peers::AnyOf(peers) => peers.iter().map(Peer::said).sum(),
        };
        let ports = match &self.ports {
            Ports::All => 0,
            Ports::AnyOf(ports) => ports.iter().map(PolicyPort::said).sum(),
        };
        AROUND + peers + ports
    }

    fn entries(&self) -> usize {
        let peers = match &self.peers {
            Peers::All => 0,
            Peers::AnyOf(peers) => peers.iter().map(Peer::entries).sum(),
        };
        let ports = match &self.ports {
            Ports::All => 0,
            Ports::AnyOf(ports) => ports.len(),
        };
        1 + peers + ports
    }
}

/// The peers of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peers {
    /// `from` or `to` absent or empty: everybody, inside the cluster and outside.
    All,
    /// Any of these. None at all only where no entry could be understood.
    AnyOf(Vec<Peer>),
}

/// One entry of `from` or `to`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Pods by their labels and their namespace's labels.
    Pods(PodPeer),
    /// Addresses, whoever has them.
    Block(IpBlock),
}

impl Peer {
    fn said(&self) -> usize {
        const BLOCK: usize = "{\"cidr\":\"\",\"except\":[]},".len();
        const EXCEPT: usize = "\"\",".len();
        match self {
            Self::Pods(_) => GROUP,
            Self::Block(block) => {
                let except = block.except().iter().map(|net| EXCEPT + net.to_string().len());
                BLOCK + block.cidr().to_string().len() + except.sum::<usize>()
            }
        }
    }

    fn entries(&self) -> usize {
        let own = match self {
            Self::Block(block) => block.except().len(),
            Self::Pods(PodPeer { namespaces, pods }) => {
                let namespaces = match namespaces {
                    NamespaceScope::Own => 0,
                    NamespaceScope::Matching(selector) => selector.entries(),
                };
                namespaces + pods.entries()
            }
        };
        1 + own
    }
}

/// Pods of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodPeer {
    /// The namespaces.
    pub namespaces: NamespaceScope,
    /// The pods in them; an absent `podSelector` beside a `namespaceSelector` selects all of them.
    pub pods: Selector,
}

/// Where a pod peer looks for pods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamespaceScope {
    /// `namespaceSelector` absent: the policy's own namespace.
    Own,
    /// Every namespace whose labels match.
    Matching(Selector),
}

/// The ports of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ports {
    /// `ports` absent or empty: everything, protocols without ports included.
    All,
    /// Any of these. None at all only where no entry could be understood.
    AnyOf(Vec<PolicyPort>),
}

/// One entry of `ports`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyPort {
    /// Its protocol, TCP by default.
    pub protocol: Protocol,
    /// The ports of that protocol.
    pub port: PortMatch,
}

/// What a port entry says of the destination port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PortMatch {
    /// No `port`: every port of the protocol.
    Any,
    /// `port`, or `port` to `endPort`.
    Range(PortRange),
    /// A name, resolved on the destination pod: each pod's own number.
    Named(PortName),
}

impl PolicyPort {
    fn said(&self) -> usize {
        const PROTOCOL: usize = "{\"protocol\":\"TCP\"},".len();
        let port = match &self.port {
            PortMatch::Any => 0,
            PortMatch::Range(range) if range.first() == range.last() => "\"port\":65535,".len(),
            PortMatch::Range(_) => "\"port\":65535,\"endPort\":65535,".len(),
            PortMatch::Named(name) => "\"name\":\"\",".len() + name.as_str().len(),
        };
        PROTOCOL + port
    }
}

impl fmt::Display for PolicyPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.port {
            PortMatch::Any => write!(f, "{}", self.protocol),
            PortMatch::Range(range) => write!(f, "{range}/{}", self.protocol),
            PortMatch::Named(name) => write!(f, "{name}/{}", self.protocol),
        }
    }
}
