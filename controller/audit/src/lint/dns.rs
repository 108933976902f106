//! Pods whose egress forgets DNS.
//!
//! It is told at the policies that are at fault: those that restrict egress and speak of others whom one looks up by name. Of
//! several that isolate the same pods, the one that isolates most of those that lack DNS.

mod lookup;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use palisade_policy::model::{Direction, NamespaceName, Protocol, Selector};

use super::Code;
use super::finding::{Finding, Findings};
use super::population::Class;
use super::scene::{Scene, Seen};
use super::selectors::contradicts_itself;
use super::wording::{counted, pod_count, pods};
use lookup::{Servers, allows, is_reached_by_name, servers};

/// What pods may not do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Lack {
    Tcp,
    Udp,
    Both,
}

/// What a policy has to do with DNS.
#[derive(Clone, Copy)]
struct Stand {
    /// Whether it allows connections to somebody whom one looks up by name.
    names: bool,
    udp: bool,
    tcp: bool,
}

/// Pods that lack DNS.
struct Lacking<'s> {
    lack: Lack,
    /// The policies that may be at fault, as places among all; never empty.
    at_fault: Vec<usize>,
    classes: Vec<&'s Class<'s>>,
}

pub(super) fn check(scene: &Scene<'_>, findings: &mut Findings) {
    let servers = servers(&scene.offers);
    let policies = scene.policies();
    let stands: Vec<Stand> = policies.iter().map(|seen| Stand::of(seen, &servers)).collect();
    let lacking = lacking(scene, &stands);
    let mut pods_of: HashMap<(Lack, usize), usize> = HashMap::new();
    for Lacking {
        lack,
        at_fault,
        classes,
    } in &lacking
    {
        for place in at_fault {
            *pods_of.entry((*lack, *place)).or_default() += pod_count(classes.iter().copied());
        }
    }
    let mut told: BTreeMap<(usize, Lack), Vec<Lacking<'_>>> = BTreeMap::new();
    for lacking in lacking {
        let weight = |place: &&usize| {
            let pods = pods_of.get(&(lacking.lack, **place)).copied();
            (pods.unwrap_or_default(), std::cmp::Reverse(**place))
        };
        if let Some(place) = lacking.at_fault.iter().max_by_key(weight).copied() {
            told.entry((place, lacking.lack)).or_default().push(lacking);
        }
    }
    for ((place, lack), all) in told {
        let Some(seen) = policies.get(place) else { continue };
        let classes = || all.iter().flat_map(|lacking| lacking.classes.iter().copied());
        let count = counted(pod_count(classes()), "pod");
        let message = format!("{count} {}: {}", lack.message(), pods(classes()));
        let finding = Finding::of_policy(lack.code(), seen.policy, message).at("spec.egress");
        let others: BTreeSet<usize> = all
            .iter()
            .flat_map(|lacking| &lacking.at_fault)
            .copied()
            .collect();
        let others = others.into_iter().filter(|other| *other != place);
        let others = others.filter_map(|other| policies.get(other));
        findings.add(finding.related_to(others.map(Seen::object)));
    }
    without_pods(scene, &stands, findings);
}

impl Lack {
    /// What is lacking where this is allowed; nothing where nobody needs it.
    fn of(Stand { names, udp, tcp }: Stand) -> Option<Self> {
        match (udp, tcp) {
            (true, true) => None,
            (true, false) => Some(Self::Tcp),
            (false, true) => Some(Self::Udp),
            (false, false) => names.then_some(Self::Both),
        }
    }

    /// Whether a policy is what makes others believe that pods have no need of what they lack.
    fn is_fault_of(self, stand: Stand) -> bool {
        match self {
            Self::Tcp => stand.udp,
            Self::Udp => stand.tcp,
            Self::Both => stand.names,
        }
    }

    fn code(self) -> Code {
        match self {
            Self::Tcp => Code::DnsOverUdpOnly,
            Self::Udp | Self::Both => Code::NoDns,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Tcp => "may ask DNS over UDP, but not over TCP",
            Self::Udp => "may ask DNS over TCP, but not over UDP, which all ask first",
            Self::Both => "may connect to others, but not to DNS on port 53",
        }
    }
}

impl Stand {
    fn of(seen: &Seen<'_>, servers: &Servers<'_>) -> Self {
        let rules = || seen.rules(Direction::Egress).iter();
        let own = &seen.policy.key.namespace;
        let over = |protocol| rules().any(|rule| allows(rule, own, protocol, servers));
        Self {
            names: rules().any(is_reached_by_name),
            udp: over(Protocol::Udp),
            tcp: over(Protocol::Tcp),
        }
    }

    /// What policies allow together.
    fn together(stands: impl IntoIterator<Item = Self>) -> Self {
        let nothing = Self {
            names: false,
            udp: false,
            tcp: false,
        };
        stands.into_iter().fold(nothing, |all, one| Self {
            names: all.names || one.names,
            udp: all.udp || one.udp,
            tcp: all.tcp || one.tcp,
        })
    }
}

/// All pods that lack DNS; those under the same policies are together.
fn lacking<'s>(scene: &'s Scene<'_>, stands: &[Stand]) -> Vec<Lacking<'s>> {
    let mut profiles: BTreeMap<usize, Vec<&Class<'_>>> = BTreeMap::new();
    for class in scene.population.classes() {
        let profile = scene.profile_of(class, Direction::Egress);
        if !scene.profile(profile).is_empty() {
            profiles.entry(profile).or_default().push(class);
        }
    }
    let lacking = profiles.into_iter().filter_map(|(profile, classes)| {
        let stands = scene
            .profile(profile)
            .iter()
            .filter_map(|place| Some((*place, *stands.get(*place)?)));
        let lack = Lack::of(Stand::together(stands.clone().map(|(_, stand)| stand)))?;
        let at_fault = stands.filter(|(_, stand)| lack.is_fault_of(*stand));
        Some(Lacking {
            lack,
            at_fault: at_fault.map(|(place, _)| place).collect(),
            classes,
        })
    });
    lacking.collect()
}

/// Policies of namespaces whose pods were not read, each for a pod as its `podSelector` has it. Whatever other policies may
/// be for that pod too may let it ask DNS.
fn without_pods(scene: &Scene<'_>, stands: &[Stand], findings: &mut Findings) {
    let mut namespaces: BTreeMap<&NamespaceName, Vec<(&Seen<'_>, Stand)>> = BTreeMap::new();
    for (seen, stand) in scene.policies().iter().zip(stands) {
        let namespace = &seen.policy.key.namespace;
        if seen.policy.rules(Direction::Egress).is_some()
            && scene.population.of_namespace(namespace).is_empty()
            && scene.unread.pods_of(namespace)
        {
            namespaces.entry(namespace).or_default().push((seen, *stand));
        }
    }
    for policies in namespaces.values() {
        for (seen, stand) in policies {
            let subject = &seen.policy.subject;
            // Alone it lacks at least what it lacks with others.
            let alone = Lack::of(*stand);
            if alone.is_none() || contradicts_itself(subject) {
                continue;
            }
            let others = policies.iter().filter(|(other, stand)| {
                (stand.udp || stand.tcp) && may_be_one(subject, &other.policy.subject)
            });
            let all = Stand::together(others.map(|(_, stand)| *stand).chain([*stand]));
            let Some(lack) = Lack::of(all).filter(|lack| lack.is_fault_of(*stand)) else {
                continue;
            };
            let whose = if subject.is_everything() {
                format!("pods of {}", seen.policy.key.namespace)
            } else {
                format!("pods with {subject}")
            };
            let message = format!("{whose} {}", lack.message());
            findings.add(Finding::of_policy(lack.code(), seen.policy, message).at("spec.egress"));
        }
    }
}

/// Whether a pod can fulfil both of two selectors.
fn may_be_one(one: &Selector, other: &Selector) -> bool {
    let both: Selector = one.requirements().chain(other.requirements()).cloned().collect();
    !contradicts_itself(&both)
}
