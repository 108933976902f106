//! Policies in plain words.
//!
//! [`describe`] says what a policy does in sentences that somebody can read who has never written one. The sentences are
//! those of one policy alone: what other policies allow to the same pods comes on top.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use palisade_policy::model::{
    Direction, IpBlock, NamespaceScope, Operator, Peer, Peers, PodPeer, Policy, PolicyPort, PortMatch, Ports,
    Protocol, Requirement, Rule, Selector,
};

/// Peers, values and ports that are told one by one in a sentence; the others are counted.
const SHORT: usize = 12;

/// As many of them where there is room for all that people write.
const FULL: usize = 2_000;

/// The label that the API server gives every namespace: its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A policy in sentences. Its `Display` is all of them in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Whom it applies to.
    pub subject: Sentence,
    /// What it does to them.
    pub effect: String,
    /// What it allows in; `None` where it does not isolate for ingress.
    pub ingress: Option<Allowance>,
    /// What it allows out; `None` where it does not isolate for egress.
    pub egress: Option<Allowance>,
    /// What could not be understood and allows nothing.
    pub defects: Vec<String>,
}

/// What a policy allows in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The direction.
    pub direction: Direction,
    /// Each rule, without a full stop. None: nothing is allowed.
    pub rules: Vec<Sentence>,
}

/// A sentence, which is its short form when it is displayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Of very many peers, values or ports the first ones are named and the others counted.
    pub short: String,
    /// All of them; `None` where the short form has all.
    pub full: Option<String>,
}

impl Sentence {
    /// Made by saying it with so many members of each list.
    fn of(say: impl Fn(usize) -> String) -> Self {
        let (short, full) = (say(SHORT), say(FULL));
        let full = (full != short).then_some(full);
        Self { short, full }
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short)
    }
}

/// Says what `policy` does, if it selects `subjects` pods; `None` where nobody knows, as no pods were read.
pub fn describe(policy: &Policy, subjects: Option<usize>) -> Description {
    let allowance = |direction| {
        let rules = policy.rules(direction)?.iter();
        let rules = rules.map(|it| Sentence::of(|most| rule(policy, it, direction, most)));
        Some(Allowance {
            direction,
            rules: rules.collect(),
        })
    };
    Description {
        subject: Sentence::of(|most| subject(policy, subjects, most)),
        effect: effect(policy, subjects),
        ingress: allowance(Direction::Ingress),
        egress: allowance(Direction::Egress),
        defects: policy.defects.iter().map(ToString::to_string).collect(),
    }
}

impl Description {
    /// What it allows, ingress first.
    pub fn allowances(&self) -> impl Iterator<Item = &Allowance> {
        self.ingress.iter().chain(&self.egress)
    }
}

impl Allowance {
    /// What comes before the rules: `Allows in:`; where there is none, all there is to say.
    pub fn heading(&self) -> &'static str {
        match (self.direction, self.rules.is_empty()) {
            (Direction::Ingress, false) => "Allows in:",
            (Direction::Egress, false) => "Allows out:",
            (Direction::Ingress, true) => "Allows nothing in.",
            (Direction::Egress, true) => "Allows nothing out.",
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.subject, self.effect)?;
        for allowance in self.allowances() {
            write!(f, " {}", allowance.heading())?;
            if !allowance.rules.is_empty() {
                let rules: Vec<&str> = allowance.rules.iter().map(|rule| &*rule.short).collect();
                write!(f, " {}.", rules.join("; "))?;
            }
        }
        if !self.defects.is_empty() {
            write!(f, " Not understood: {}.", self.defects.join("; "))?;
        }
        Ok(())
    }
}

fn subject(policy: &Policy, subjects: Option<usize>, most: usize) -> String {
    let namespace = &policy.key.namespace;
    let labels = labels("with", &policy.subject, most);
    let Some(subjects) = subjects else {
        let pods = labels.map_or("every pod".to_owned(), |labels| format!("pods {labels}"));
        return format!("Applies to {pods} in {namespace}.");
    };
    match (subjects, labels) {
        (0, None) => format!("Applies to every pod in {namespace}, which has none."),
        (0, Some(labels)) => format!("Applies to pods {labels} in {namespace}, of which there are none."),
        (1, None) => format!("Applies to every pod in {namespace}, which is one."),
        (count, None) => format!("Applies to all {count} pods in {namespace}."),
        (1, Some(labels)) => format!("Applies to 1 pod {labels} in {namespace}."),
        (count, Some(labels)) => format!("Applies to {count} pods {labels} in {namespace}."),
    }
}

fn effect(policy: &Policy, subjects: Option<usize>) -> String {
    let them = if subjects == Some(1) { "it" } else { "them" };
    let direction = match (&policy.ingress, &policy.egress) {
        (Some(_), Some(_)) => "ingress and egress",
        (Some(_), None) => "ingress",
        (None, Some(_)) => "egress",
        (None, None) => return format!("Isolates {them} in no direction."),
    };
    format!("Isolates {them} for {direction}.")
}

/// One rule: `from pods with app=client in shop, on TCP 80`.
fn rule(policy: &Policy, rule: &Rule, direction: Direction, most: usize) -> String {
    let preposition = match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    };
    let peers = match &rule.peers {
        Peers::All => format!("{preposition} everybody, inside the cluster and outside"),
        Peers::AnyOf(peers) if peers.is_empty() => {
            format!("{preposition} nobody, as none of its peers could be understood")
        }
        Peers::AnyOf(peers) => {
            let peers = peers
                .iter()
                .map(|it| format!("{preposition} {}", whom(policy, it, most)));
            list(peers, " or ", most)
        }
    };
    format!("{peers}, on {}", on(&rule.ports, most))
}

/// Whom a peer of a policy means: `pods with app=web in shop`.
pub fn peer(policy: &Policy, peer: &Peer) -> String {
    whom(policy, peer, SHORT)
}

fn whom(policy: &Policy, peer: &Peer, most: usize) -> String {
    match peer {
        Peer::Pods(pods) => pod_peer(policy, pods, most),
        Peer::Block(block) => addresses(block, most),
    }
}

fn pod_peer(policy: &Policy, peer: &PodPeer, most: usize) -> String {
    let pods = match labels("with", &peer.pods, most) {
        None => "all pods".to_owned(),
        Some(labels) => format!("pods {labels}"),
    };
    match &peer.namespaces {
        NamespaceScope::Own => format!("{pods} in {}", policy.key.namespace),
        NamespaceScope::Matching(selector) => format!("{pods} in {}", namespaces(selector, most)),
    }
}

/// `any namespace`, `namespaces shop and desk`, `any namespace labelled team=a`.
fn namespaces(selector: &Selector, most: usize) -> String {
    let mut requirements = selector.requirements();
    if let (Some(only), None) = (requirements.next(), requirements.next())
        && let Operator::In(names) = &only.operator
        && &*only.key == NAME_LABEL
    {
        let word = if names.len() == 1 {
            "namespace"
        } else {
            "namespaces"
        };
        let names = names.iter().map(ToString::to_string);
        return format!("{word} {}", list(names, " and ", most));
    }
    match labels("labelled", selector, most) {
        None => "any namespace".to_owned(),
        Some(labels) => format!("any namespace {labels}"),
    }
}

/// `with app=web and tier=(a or b), without old (any value)`; `None` of the selector of everything.
fn labels(with: &str, selector: &Selector, most: usize) -> Option<String> {
    let (wanted, unwanted): (Vec<&Requirement>, Vec<&Requirement>) =
        selector
            .requirements()
            .partition(|requirement| match requirement.operator {
                Operator::In(_) | Operator::Exists => true,
                Operator::NotIn(_) | Operator::DoesNotExist => false,
            });
    let group = |word: &str, requirements: &[&Requirement], conjunction: &str| {
        let labels = requirements.iter().map(|it| label(it, most));
        (!requirements.is_empty()).then(|| format!("{word} {}", list(labels, conjunction, most)))
    };
    let groups = [group(with, &wanted, " and "), group("without", &unwanted, " or ")];
    let groups: Vec<String> = groups.into_iter().flatten().collect();
    (!groups.is_empty()).then(|| groups.join(", "))
}

/// The label that a requirement asks for, or that it bars.
fn label(requirement: &Requirement, most: usize) -> String {
    let key = &requirement.key;
    match &requirement.operator {
        Operator::In(values) | Operator::NotIn(values) => match (values.len(), values.first()) {
            (1, Some(value)) => format!("{key}={value}"),
            _ => format!(
                "{key}=({})",
                list(values.iter().map(ToString::to_string), " or ", most)
            ),
        },
        Operator::Exists | Operator::DoesNotExist => format!("{key} (any value)"),
    }
}

fn addresses(block: &IpBlock, most: usize) -> String {
    let cidr = block.cidr();
    let all = if cidr.addr().is_ipv4() {
        "every IPv4 address"
    } else {
        "every IPv6 address"
    };
    let base = if cidr.prefix_len() == 0 {
        all.to_owned()
    } else {
        format!("addresses in {cidr}")
    };
    if block.except().is_empty() {
        base
    } else {
        let except = list(block.except().iter().map(ToString::to_string), " and ", most);
        format!("{base} except {except}")
    }
}

/// The ports of a rule: `TCP 80, 443 and 8000 to 8999 and every UDP port`.
pub fn ports(ports: &Ports) -> String {
    on(ports, SHORT)
}

fn on(ports: &Ports, most: usize) -> String {
    match ports {
        Ports::All => "every port and protocol".to_owned(),
        Ports::AnyOf(ports) if ports.is_empty() => {
            "nothing, as none of its ports could be understood".to_owned()
        }
        Ports::AnyOf(ports) => entries(ports, most),
    }
}

fn entries(ports: &[PolicyPort], most: usize) -> String {
    let mut numbers: BTreeMap<Protocol, Vec<String>> = BTreeMap::new();
    let mut others = Vec::new();
    for port in ports {
        let protocol = port.protocol;
        match &port.port {
            PortMatch::Any => others.push(format!("every {protocol} port")),
            PortMatch::Range(range) if range.first() == range.last() => {
                numbers
                    .entry(protocol)
                    .or_default()
                    .push(range.first().to_string());
            }
            PortMatch::Range(range) => {
                let words = format!("{} to {}", range.first(), range.last());
                numbers.entry(protocol).or_default().push(words);
            }
            PortMatch::Named(name) => others.push(format!("the {protocol} port named {name}")),
        }
    }
    let numbers = numbers
        .into_iter()
        .map(|(protocol, numbers)| format!("{protocol} {}", list(numbers.into_iter(), " or ", most)));
    let all: Vec<String> = numbers.chain(others).collect();
    list(all.into_iter(), " and ", most)
}

/// `a, b and c`; of more than `most` the first ones and the number of the others.
fn list(items: impl ExactSizeIterator<Item = String>, conjunction: &str, most: usize) -> String {
    let count = items.len();
    let mut told: Vec<String> = items.take(most).collect();
    if count > most {
        told.push(format!("{} more", count - most));
    }
    let last = told.pop().unwrap_or_default();
    if told.is_empty() {
        return last;
    }
    format!("{}{conjunction}{last}", told.join(", "))
}
