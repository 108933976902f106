//! Policies in plain words.
//!
//! [`describe`] says what a policy does in sentences that somebody can read who has never written one. The sentences are
//! those of one policy alone: what other policies allow to the same pods comes on top.

use std::collections::BTreeMap;
use std::fmt;

use palisade_policy::model::{
    Direction, IpBlock, NamespaceScope, Operator, Peer, Peers, PodPeer, Policy, PolicyPort, PortMatch, Ports,
    Protocol, Requirement, Rule, Selector,
};

/// Peers, values and ports that are told one by one; the others are counted.
const TOLD: usize = 12;

/// The label that the API server gives every namespace: its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A policy in sentences. Its `Display` is all of them in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Whom it applies to.
    pub subject: String,
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
    pub rules: Vec<String>,
}

/// Says what `policy` does, if it selects `subjects` pods.
pub fn describe(policy: &Policy, subjects: usize) -> Description {
    let allowance = |direction| {
        let rules = policy.rules(direction)?;
        let rules = rules.iter().map(|it| rule(policy, it, direction)).collect();
        Some(Allowance { direction, rules })
    };
    Description {
        subject: subject(policy, subjects),
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
                write!(f, " {}.", allowance.rules.join("; "))?;
            }
        }
        if !self.defects.is_empty() {
            write!(f, " Not understood: {}.", self.defects.join("; "))?;
        }
        Ok(())
    }
}

fn subject(policy: &Policy, subjects: usize) -> String {
    let namespace = &policy.key.namespace;
    let labels = labels("with", &policy.subject);
    match (subjects, labels) {
        (0, None) => format!("Applies to every pod in {namespace}, which has none."),
        (0, Some(labels)) => format!("Applies to pods {labels} in {namespace}, of which there are none."),
        (1, None) => format!("Applies to every pod in {namespace}, which is one."),
        (count, None) => format!("Applies to all {count} pods in {namespace}."),
        (1, Some(labels)) => format!("Applies to 1 pod {labels} in {namespace}."),
        (count, Some(labels)) => format!("Applies to {count} pods {labels} in {namespace}."),
    }
}

fn effect(policy: &Policy, subjects: usize) -> String {
    let them = if subjects == 1 { "it" } else { "them" };
    let direction = match (&policy.ingress, &policy.egress) {
        (Some(_), Some(_)) => "ingress and egress",
        (Some(_), None) => "ingress",
        (None, Some(_)) => "egress",
        (None, None) => return format!("Isolates {them} in no direction."),
    };
    format!("Isolates {them} for {direction}.")
}

/// One rule: `from pods with app=client in shop, on TCP 80`.
fn rule(policy: &Policy, rule: &Rule, direction: Direction) -> String {
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
                .map(|it| format!("{preposition} {}", peer(policy, it)));
            list(peers, " or ")
        }
    };
    format!("{peers}, on {}", ports(&rule.ports))
}

/// Whom a peer of a policy means: `pods with app=web in shop`.
pub fn peer(policy: &Policy, peer: &Peer) -> String {
    match peer {
        Peer::Pods(pods) => pod_peer(policy, pods),
        Peer::Block(block) => addresses(block),
    }
}

fn pod_peer(policy: &Policy, peer: &PodPeer) -> String {
    let pods = match labels("with", &peer.pods) {
        None => "all pods".to_owned(),
        Some(labels) => format!("pods {labels}"),
    };
    match &peer.namespaces {
        NamespaceScope::Own => format!("{pods} in {}", policy.key.namespace),
        NamespaceScope::Matching(selector) => format!("{pods} in {}", namespaces(selector)),
    }
}

/// `any namespace`, `namespaces shop and desk`, `any namespace labelled team=a`.
fn namespaces(selector: &Selector) -> String {
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
        return format!("{word} {}", list(names.iter().map(ToString::to_string), " and "));
    }
    match labels("labelled", selector) {
        None => "any namespace".to_owned(),
        Some(labels) => format!("any namespace {labels}"),
    }
}

/// `with app=web and tier=(a or b), without old (any value)`; `None` of the selector of everything.
fn labels(with: &str, selector: &Selector) -> Option<String> {
    let (wanted, unwanted): (Vec<&Requirement>, Vec<&Requirement>) =
        selector
            .requirements()
            .partition(|requirement| match requirement.operator {
                Operator::In(_) | Operator::Exists => true,
                Operator::NotIn(_) | Operator::DoesNotExist => false,
            });
    let group = |word: &str, requirements: &[&Requirement], conjunction: &str| {
        let labels = requirements.iter().map(|it| label(it));
        (!requirements.is_empty()).then(|| format!("{word} {}", list(labels, conjunction)))
    };
    let groups = [group(with, &wanted, " and "), group("without", &unwanted, " or ")];
    let groups: Vec<String> = groups.into_iter().flatten().collect();
    (!groups.is_empty()).then(|| groups.join(", "))
}

/// The label that a requirement asks for, or that it bars.
fn label(requirement: &Requirement) -> String {
    let key = &requirement.key;
    match &requirement.operator {
        Operator::In(values) | Operator::NotIn(values) => match (values.len(), values.first()) {
            (1, Some(value)) => format!("{key}={value}"),
            _ => format!("{key}=({})", list(values.iter().map(ToString::to_string), " or ")),
        },
        Operator::Exists | Operator::DoesNotExist => format!("{key} (any value)"),
    }
}

fn addresses(block: &IpBlock) -> String {
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
        let except = list(block.except().iter().map(ToString::to_string), " and ");
        format!("{base} except {except}")
    }
}

/// The ports of a rule: `TCP 80, 443 and 8000 to 8999 and every UDP port`.
pub fn ports(ports: &Ports) -> String {
    match ports {
        Ports::All => "every port and protocol".to_owned(),
        Ports::AnyOf(ports) if ports.is_empty() => {
            "nothing, as none of its ports could be understood".to_owned()
        }
        Ports::AnyOf(ports) => entries(ports),
    }
}

fn entries(ports: &[PolicyPort]) -> String {
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
        .map(|(protocol, numbers)| format!("{protocol} {}", list(numbers.into_iter(), " or ")));
    list(numbers.chain(others).collect::<Vec<_>>().into_iter(), " and ")
}

/// `a, b and c`; of very many the first ones and the number of the others.
fn list(items: impl ExactSizeIterator<Item = String>, conjunction: &str) -> String {
    let count = items.len();
    let mut told: Vec<String> = items.take(TOLD).collect();
    if count > TOLD {
        told.push(format!("{} more", count - TOLD));
    }
    let last = told.pop().unwrap_or_default();
    if told.is_empty() {
        return last;
    }
    format!("{}{conjunction}{last}", told.join(", "))
}

#[cfg(test)]
mod tests {
    use palisade_policy::model::Defect;
    use palisade_policy::testing::builders::{
        any_port, block, everybody, named_port, pods, pods_in, policy, port, ports as port_range, rule,
    };

    use super::*;

    fn requirement(key: &str, operator: Operator) -> Requirement {
        Requirement {
            key: key.into(),
            operator,
        }
    }

    #[test]
    fn a_policy_reads_as_sentences() {
        let client = pods_in(&[("team", "a")], &[("app", "client")]);
        let policy = policy("shop/web")
            .selecting(&[("app", "web")])
            .allowing_from([rule([client]).on_ports([port_range(Protocol::Tcp, 80, 90)])]);
        insta::assert_snapshot!(describe(&policy, 3), @"Applies to 3 pods with app=web in shop. Isolates them for ingress. Allows in: from pods with app=client in any namespace labelled team=a, on TCP 80 to 90.");
    }

    #[test]
    fn nothing_and_everything_are_said_as_such() {
        let closed = policy("shop/closed").allowing_from([]).allowing_to([]);
        insta::assert_snapshot!(describe(&closed, 12), @"Applies to all 12 pods in shop. Isolates them for ingress and egress. Allows nothing in. Allows nothing out.");
        let open = policy("shop/open").allowing_to([everybody()]);
        insta::assert_snapshot!(describe(&open, 1), @"Applies to every pod in shop, which is one. Isolates it for egress. Allows out: to everybody, inside the cluster and outside, on every port and protocol.");
    }

    #[test]
    fn a_policy_without_pods_says_so() {
        let policy = policy("shop/web").selecting(&[("app", "wbe")]);
        insta::assert_snapshot!(describe(&policy, 0), @"Applies to pods with app=wbe in shop, of which there are none. Isolates them in no direction.");
    }

    #[test]
    fn every_kind_of_peer_has_its_words() {
        let name = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).into()).collect();
            let selector = Selector::from_iter([requirement(NAME_LABEL, Operator::In(names))]);
            Peer::Pods(PodPeer {
                namespaces: NamespaceScope::Matching(selector),
                pods: Selector::everything(),
            })
        };
        let peers = [
            pods(&[]),
            pods(&[("app", "web"), ("tier", "a")]),
            pods_in(&[], &[]),
            name(&["desk"]),
            name(&["desk", "till"]),
            block("10.0.0.0/8", &["10.1.0.0/16", "10.2.0.0/16"]),
            block("0.0.0.0/0", &[]),
            block("::/0", &["fd00::/8"]),
        ];
        let policy = policy("shop/web");
        let words: Vec<String> = peers.iter().map(|it| peer(&policy, it)).collect();
        insta::assert_snapshot!(words.join("\n"), @r"
        all pods in shop
        pods with app=web and tier=a in shop
        all pods in any namespace
        all pods in namespace desk
        all pods in namespaces desk and till
        addresses in 10.0.0.0/8 except 10.1.0.0/16 and 10.2.0.0/16
        every IPv4 address
        every IPv6 address except fd00::/8
        ");
    }

    #[test]
    fn every_operator_has_its_words() {
        let values = || ["a".into(), "b".into()].into();
        let selector = Selector::from_iter([
            requirement("tier", Operator::In(values())),
            requirement("app", Operator::Exists),
            requirement("env", Operator::NotIn(values())),
            requirement("old", Operator::DoesNotExist),
        ]);
        insta::assert_snapshot!(labels("with", &selector).unwrap(), @"with app (any value) and tier=(a or b), without env=(a or b) or old (any value)");
    }

    #[test]
    fn every_kind_of_port_has_its_words() {
        let entries = Ports::AnyOf(vec![
            port(Protocol::Tcp, 80),
            any_port(Protocol::Udp),
            port(Protocol::Tcp, 443),
            named_port(Protocol::Tcp, "http"),
            port_range(Protocol::Sctp, 1, 9),
        ]);
        insta::assert_snapshot!(ports(&entries), @"TCP 80 or 443, SCTP 1 to 9, every UDP port and the TCP port named http");
    }

    #[test]
    fn what_could_not_be_understood_allows_nothing_in_words_too() {
        let mut policy = policy("shop/web").allowing_from([rule([]).on_ports([])]);
        policy.defects.push(Defect {
            field: "spec.ingress[0].from[0]".to_owned(),
            message: "is empty".to_owned(),
        });
        insta::assert_snapshot!(describe(&policy, 2), @"Applies to all 2 pods in shop. Isolates them for ingress. Allows in: from nobody, as none of its peers could be understood, on nothing, as none of its ports could be understood. Not understood: spec.ingress[0].from[0]: is empty.");
    }

    #[test]
    fn very_many_peers_are_counted() {
        let blocks = (0..100).map(|number| block(&format!("10.{number}.0.0/16"), &[]));
        let policy = policy("shop/web").allowing_to([rule(blocks)]);
        let words = describe(&policy, 2).to_string();
        assert!(
            words.ends_with("to addresses in 10.11.0.0/16 or 88 more, on every port and protocol."),
            "{words}"
        );
    }
}
