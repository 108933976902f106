//! Rules, peers and policies that add nothing to what others allow.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use palisade_policy::model::{
    Direction, NamespaceName, Peer, Peers, Policy, PolicyPort, Ports, Rule, Selector,
};

use super::Code;
use super::cover::{self, Own};
use super::field::Fields;
use super::finding::{Finding, Findings};
use super::scene::{Scene, Seen, SeenRule};
use super::slips;
use crate::inventory::ObjectRef;

/// The longest list whose entries are compared each with each.
const COMPARED: usize = 256;

const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

pub(super) fn check<'a>(scene: &Scene<'a>, seen: &Seen<'a>, findings: &mut Findings) {
    let own = own(scene, &seen.policy.key.namespace);
    for direction in DIRECTIONS {
        let rules = seen.rules(direction);
        let of = |code, rule: &SeenRule<'_>, message: String| {
            Finding::of_policy(code, seen.policy, message).at(Fields::rule(direction, rule.index))
        };
        if let Some(open) = rules.iter().find(|seen| cover::is_everything(seen.rule)) {
            let message = format!("allows all {direction}, so that no other rule restricts anything");
            findings.add(of(Code::AllowsEverything, open, message));
        }
        for rule in rules {
            if let Some(by) = shadow(rule, rules, own) {
                let message = format!("{} allows all of it", Fields::rule(direction, by.index));
                findings.add(of(Code::RuleShadowed, rule, message));
            } else {
                peers(scene, seen, direction, rule, own, findings);
            }
        }
    }
}

fn own<'s>(scene: &'s Scene<'_>, name: &'s NamespaceName) -> Own<'s> {
    Own {
        name,
        labels: scene.labels(name),
    }
}

/// Another rule that allows all that a rule does; of two equal ones the first counts.
fn shadow<'s, 'a>(rule: &SeenRule<'a>, rules: &'s [SeenRule<'a>], own: Own<'_>) -> Option<&'s SeenRule<'a>> {
    if cover::is_void(rule.rule) {
        return None;
    }
    let others = rules
        .iter()
        .take(COMPARED)
        .filter(|other| other.index != rule.index);
    let mut others = others.filter(|other| !cover::is_void(other.rule));
    others.find(|other| {
        let covered = cover::rule(rule.rule, other.rule, own);
        covered && (other.index < rule.index || !cover::rule(other.rule, rule.rule, own))
    })
}

fn peers<'a>(
    scene: &Scene<'a>,
    seen: &Seen<'a>,
    direction: Direction,
    rule: &SeenRule<'a>,
    own: Own<'_>,
    findings: &mut Findings,
) {
    let mut first: HashMap<&Peer, usize> = HashMap::new();
    let compared = rule.peers.get(..COMPARED).unwrap_or(&rule.peers);
    for at in &rule.peers {
        let equal = *first.entry(at.peer).or_insert(at.index);
        let wider = || {
            let mut others = compared.iter().filter(|other| other.index != at.index);
            let wider = others.find(|other| {
                cover::peer(at.peer, other.peer, own) && !cover::peer(other.peer, at.peer, own)
            });
            wider.map(|other| other.index)
        };
        let by = (equal != at.index).then_some(equal).or_else(wider);
        let Some(by) = by.filter(|_| !slips::is_part_of_one(scene, seen, rule, at)) else {
            continue;
        };
        let message = format!("{} allows all of it", seen.fields.peer(direction, rule.index, by));
        let finding = Finding::of_policy(Code::PeerShadowed, seen.policy, message);
        findings.add(finding.at(seen.field(direction, rule, at)));
    }
}

/// What policies mean, however they are written: equal for those that say the same.
#[derive(PartialEq, Eq, Hash)]
struct Meaning<'a> {
    namespace: &'a NamespaceName,
    subject: &'a Selector,
    ingress: Option<BTreeSet<RuleMeaning<'a>>>,
    egress: Option<BTreeSet<RuleMeaning<'a>>>,
}

/// A rule without the order of its lists; `None` for all.
type RuleMeaning<'a> = (Option<BTreeSet<&'a Peer>>, Option<BTreeSet<&'a PolicyPort>>);

impl<'a> Meaning<'a> {
    fn of(policy: &'a Policy) -> Self {
        let rules = |direction| {
            let rules = policy.rules(direction)?.iter();
            let rules = rules.filter(|rule| !cover::is_void(rule)).map(Self::of_rule);
            Some(rules.collect())
        };
        Self {
            namespace: &policy.key.namespace,
            subject: &policy.subject,
            ingress: rules(Direction::Ingress),
            egress: rules(Direction::Egress),
        }
    }

    fn of_rule(rule: &'a Rule) -> RuleMeaning<'a> {
        let peers = match &rule.peers {
            Peers::All => None,
            Peers::AnyOf(peers) => Some(peers.iter().collect()),
        };
        let ports = match &rule.ports {
            Ports::All => None,
            Ports::AnyOf(ports) => Some(ports.iter().collect()),
        };
        (peers, ports)
    }
}

/// What takes more than one policy to see.
pub(super) fn check_all(scene: &Scene<'_>, findings: &mut Findings) {
    let mut first: HashMap<Meaning<'_>, &Policy> = HashMap::new();
    let mut single = Vec::new();
    for seen in scene.policies() {
        let policy = seen.policy;
        // What could not be understood may differ.
        if !policy.defects.is_empty() {
            continue;
        }
        let same = *first.entry(Meaning::of(policy)).or_insert(policy);
        if same.key == policy.key {
            single.push(seen);
        } else {
            let message = format!("says the same as {}", same.key);
            let finding = Finding::of_policy(Code::DuplicatePolicy, policy, message);
            findings.add(finding.related_to([ObjectRef::Policy(same.key.clone())]));
        }
    }
    let mut by_subject: BTreeMap<(&NamespaceName, &Selector), Vec<&Seen<'_>>> = BTreeMap::new();
    for seen in single {
        let policy = seen.policy;
        by_subject
            .entry((&policy.key.namespace, &policy.subject))
            .or_default()
            .push(seen);
    }
    let everything = Selector::everything();
    for ((namespace, subject), same) in &by_subject {
        let own = own(scene, namespace);
        let wider = by_subject.get(&(*namespace, &everything));
        let wider = wider.filter(|_| !subject.is_everything());
        for direction in DIRECTIONS {
            let others = same.iter().chain(wider.into_iter().flatten());
            let rules = others.flat_map(|seen| seen.rules(direction).iter().map(move |rule| (*seen, rule)));
            let rules = rules.filter(|(_, rule)| !cover::is_void(rule.rule));
            let rules: Vec<(&Seen<'_>, &SeenRule<'_>)> = rules.take(COMPARED).collect();
            for seen in same {
                elsewhere(seen, direction, &rules, own, findings);
            }
        }
    }
}

/// Rules of a policy that those of others for the same pods make superfluous.
fn elsewhere(
    seen: &Seen<'_>,
    direction: Direction,
    rules: &[(&Seen<'_>, &SeenRule<'_>)],
    own: Own<'_>,
    findings: &mut Findings,
) {
    for rule in seen.rules(direction) {
        if cover::is_void(rule.rule) || shadow(rule, seen.rules(direction), own).is_some() {
            continue;
        }
        let mut others = rules
            .iter()
            .filter(|(other, _)| other.policy.key != seen.policy.key);
        let by = others.find(|(other, wider)| {
            let equal = || cover::rule(wider.rule, rule.rule, own);
            let first = other.policy.key < seen.policy.key && other.policy.subject == seen.policy.subject;
            cover::rule(rule.rule, wider.rule, own)
                && (first || !equal() || other.policy.subject != seen.policy.subject)
        });
        let Some((other, wider)) = by else { continue };
        let message = format!(
            "{} of {} allows all of it",
            Fields::rule(direction, wider.index),
            other.policy.key
        );
        let finding = Finding::of_policy(Code::RuleShadowedElsewhere, seen.policy, message);
        let finding = finding.at(Fields::rule(direction, rule.index));
        findings.add(finding.related_to([other.object()]));
    }
}
