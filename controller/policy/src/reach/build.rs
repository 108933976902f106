//! From the objects to classes, ranges and what tells them apart.
//!
//! Every question to a selector is asked once for each kind of pods (namespace and labels), every rule is read once, and what
//! several policies allow together is worked out once for each set of policies that isolates anybody. A policy that selects no
//! pod tells nobody apart.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::family::ByFamily;
use super::ground::Ground;
use super::numbering::Numbering;
use super::population::{Body, Population};
use super::profile::{Entries, Name, Numbers, Profile, Rulebook};
use super::terms::{Scope, Terms};
use super::{Class, Member, Outside, Reach, Resident, Traits};
use crate::cluster::ClusterState;
use crate::model::{Direction, Labels, NamespaceName, NodeName, PodKey, PodUid, Policy};

/// What makes a class. Pods that are equal in all of it are not told apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key<'a> {
    namespace: &'a NamespaceName,
    ingress: Option<usize>,
    egress: Option<usize>,
    terms: usize,
    numbers: Numbers,
    ranges: ByFamily<Option<usize>>,
}

pub(super) fn reach(state: &ClusterState) -> Reach {
    let population = Population::of(state);
    let isolation = Isolation::of(state, &population);
    let mut rulebook = Rulebook::default();
    let ingress = profiles(&mut rulebook, &isolation, Direction::Ingress);
    let egress = profiles(&mut rulebook, &isolation, Direction::Egress);

    let (terms_of_kinds, terms) = population.selected(&rulebook.terms, state);
    let terms: Vec<Arc<[usize]>> = terms.into_iter().map(Into::into).collect();
    let blocks = std::mem::take(&mut rulebook.blocks).into_values();
    let ground = Ground::new(&blocks);
    let declarations = Declarations::new(&rulebook, &ingress, &egress);

    let mut keys = Numbering::default();
    let mut classes: Vec<Draft<'_>> = Vec::new();
    for body in &population.bodies {
        let (on_ingress, on_egress) = isolation.of_kind(body.kind);
        let range = |address: Option<IpAddr>| address.and_then(|address| ground.range(address));
        let key = Key {
            namespace: &body.pod.key.namespace,
            ingress: on_ingress,
            egress: on_egress,
            terms: terms_of_kinds.get(body.kind).copied().unwrap_or_default(),
            numbers: declarations.of(body, on_ingress),
            ranges: ByFamily {
                v4: range(body.v4.map(Into::into)),
                v6: range(body.v6.map(Into::into)),
            },
        };
        let class = keys.number(key.clone());
        if class == classes.len() {
            classes.push(Draft {
                key,
                bodies: Vec::new(),
                kinds: BTreeSet::new(),
            });
        }
        if let Some(class) = classes.get_mut(class) {
            class.bodies.push(*body);
            class.kinds.insert(body.kind);
        }
    }
    classes.sort_by_cached_key(Draft::order);

    let mut reach = Reach::default();
    let mut homes = Homes::default();
    for (number, class) in classes.into_iter().enumerate() {
        for body in &class.bodies {
            homes.settle(number, body);
        }
        let profile = |profiles: &[Arc<Profile>], set: Option<usize>| profiles.get(set?).cloned();
        let traits = Traits {
            ingress: profile(&ingress, class.key.ingress),
            egress: profile(&egress, class.key.egress),
            terms: terms.get(class.key.terms).cloned().unwrap_or_default(),
            numbers: class.key.numbers.clone(),
            ranges: class.key.ranges,
        };
        let policies = |profile: &Option<Arc<Profile>>| {
            profile
                .as_ref()
                .map(|profile| profile.policies.clone())
                .unwrap_or_default()
        };
        reach.classes.push(Class {
            namespace: class.key.namespace.clone(),
            labels: class.labels(&population),
            members: class.bodies.iter().map(Body::member).collect(),
            ingress: policies(&traits.ingress),
            egress: policies(&traits.egress),
        });
        reach.traits.push(traits);
    }
    reach.residents = std::mem::take(&mut homes.residents);
    reach.nodes = homes.nodes(state);
    for (range, (family, blocks)) in ground.ranges().into_iter().enumerate() {
        reach.outside.push(Outside { family, blocks });
        reach.traits.push(Traits {
            ranges: ByFamily::new(|of| (of == family).then_some(range)),
            ..Traits::default()
        });
    }
    reach.ground = ground;
    reach.strangers = super::witness::strangers(&reach.outside, &[(&reach, state)]);
    reach
}

/// Where pods live.
#[derive(Default)]
struct Homes<'a> {
    residents: HashMap<IpAddr, Resident>,
    nodes: Numbering<&'a NodeName>,
}

impl<'a> Homes<'a> {
    fn settle(&mut self, class: usize, body: &Body<'a>) {
        let node = body.pod.node.as_ref().map(|name| self.nodes.number(name));
        let resident = Resident {
            class,
            pod: body.pod.uid.clone(),
            node,
        };
        let addresses = [body.v4.map(IpAddr::V4), body.v6.map(IpAddr::V6)];
        let addresses = addresses.into_iter().flatten();
        self.residents
            .extend(addresses.map(|address| (address, resident.clone())));
    }

    /// The addresses of each node; none of one that is not known.
    fn nodes(self, state: &ClusterState) -> Vec<Vec<IpAddr>> {
        let nodes = self.nodes.into_values().into_iter();
        let addresses = nodes.map(|name| state.nodes().get(name).map(|node| node.addresses.clone()));
        addresses.map(Option::unwrap_or_default).collect()
    }
}

/// A class while it is put together.
struct Draft<'a> {
    key: Key<'a>,
    bodies: Vec<Body<'a>>,
    kinds: BTreeSet<usize>,
}

impl<'a> Draft<'a> {
    /// By the first member.
    fn order(&self) -> Option<(&'a PodKey, &'a PodUid, Option<Ipv4Addr>, Option<Ipv6Addr>)> {
        let first = self.bodies.first()?;
        Some((&first.pod.key, &first.pod.uid, first.v4, first.v6))
    }

    /// The labels that all of the pods have.
    fn labels(&self, population: &Population<'_>) -> Labels {
        let mut kinds = self.kinds.iter().filter_map(|kind| population.kinds.get(*kind));
        let Some(first) = kinds.next() else {
            return Labels::default();
        };
        kinds.fold(first.labels.clone(), |common, kind| {
            let shared = common
                .iter()
                .filter(|(key, value)| kind.labels.get(key) == Some(value));
            shared.map(|(key, value)| (key.clone(), value.clone())).collect()
        })
    }
}

impl Body<'_> {
    fn member(&self) -> Member {
        Member {
            uid: self.pod.uid.clone(),
            v4: self.v4,
            v6: self.v6,
        }
    }
}

/// Which policies isolate which kinds of pods.
struct Isolation<'a> {
    policies: Vec<&'a Policy>,
    /// For each kind the sets that isolate it for ingress and for egress.
    of_kinds: Vec<(Option<usize>, Option<usize>)>,
    ingress: Vec<Vec<usize>>,
    egress: Vec<Vec<usize>>,
}

impl<'a> Isolation<'a> {
    fn of(state: &'a ClusterState, population: &Population<'a>) -> Self {
        let inhabited: HashSet<&NamespaceName> = population.kinds.iter().map(|kind| kind.namespace).collect();
        let own = state.policies().values();
        let policies: Vec<&Policy> = own
            .filter(|policy| inhabited.contains(&policy.key.namespace))
            .collect();

        let mut subjects = Terms::default();
        let mut by_subject: Vec<Vec<usize>> = Vec::new();
        for (number, policy) in policies.iter().enumerate() {
            let subject = subjects.number(Scope::Namespace(&policy.key.namespace), &policy.subject);
            match by_subject.get_mut(subject) {
                Some(policies) => policies.push(number),
                None => by_subject.push(vec![number]),
            }
        }

        let (subjects_of_kinds, sets) = population.selected(&subjects, state);
        let (mut ingress, mut egress) = (Numbering::default(), Numbering::default());
        let isolating = |subjects: &[usize], direction| {
            let selecting = subjects
                .iter()
                .filter_map(|subject| by_subject.get(*subject))
                .flatten();
            let isolates = |number: &&usize| {
                let policy = policies.get(**number);
                policy.is_some_and(|policy| policy.rules(direction).is_some())
            };
            let mut isolating: Vec<usize> = selecting.filter(isolates).copied().collect();
            isolating.sort_unstable();
            (!isolating.is_empty()).then_some(isolating)
        };
        let of_sets: Vec<_> = sets
            .iter()
            .map(|subjects| {
                let on_ingress = isolating(subjects, Direction::Ingress);
                let on_egress = isolating(subjects, Direction::Egress);
                (
                    on_ingress.map(|policies| ingress.number(policies)),
                    on_egress.map(|policies| egress.number(policies)),
                )
            })
            .collect();
        let of_kinds = subjects_of_kinds
            .into_iter()
            .map(|set| of_sets.get(set).copied().unwrap_or_default());
        Self {
            of_kinds: of_kinds.collect(),
            ingress: ingress.into_values(),
            egress: egress.into_values(),
            policies,
        }
    }

    fn of_kind(&self, kind: usize) -> (Option<usize>, Option<usize>) {
        self.of_kinds.get(kind).copied().unwrap_or_default()
    }
}

/// The profile of each set of policies that isolates anybody in a direction.
fn profiles<'a>(
    rulebook: &mut Rulebook<'a>,
    isolation: &Isolation<'a>,
    direction: Direction,
) -> Vec<Arc<Profile>> {
    let sets = match direction {
        Direction::Ingress => &isolation.ingress,
        Direction::Egress => &isolation.egress,
    };
    let mut read: HashMap<usize, Entries> = HashMap::new();
    let mut profiles = Vec::with_capacity(sets.len());
    for (number, set) in sets.iter().enumerate() {
        let mut entries = Entries::new();
        let mut keys = BTreeSet::new();
        for policy in set {
            let Some(object) = isolation.policies.get(*policy) else {
                continue;
            };
            let rules = object.rules(direction).unwrap_or_default();
            entries.extend(
                read.entry(*policy)
                    .or_insert_with(|| rulebook.read(object, rules))
                    .iter(),
            );
            keys.insert(object.key.clone());
        }
        profiles.push(Arc::new(rulebook.profile(number, keys, entries)));
    }
    profiles
}

/// Which of the numbers that pods declare matter.
struct Declarations<'a, 'b> {
    rulebook: &'b Rulebook<'a>,
    /// The names that the rules of each ingress profile use: they mean numbers of the pods that it is for.
    ingress: Vec<HashSet<Name>>,
    /// The names that egress rules use: they mean numbers of every destination.
    egress: HashSet<Name>,
}

impl<'a, 'b> Declarations<'a, 'b> {
    fn new(rulebook: &'b Rulebook<'a>, ingress: &[Arc<Profile>], egress: &[Arc<Profile>]) -> Self {
        Self {
            rulebook,
            ingress: ingress.iter().map(|profile| profile.names().collect()).collect(),
            egress: egress.iter().flat_map(|profile| profile.names()).collect(),
        }
    }

    /// Those of a pod.
    fn of(&self, body: &Body<'a>, ingress: Option<usize>) -> Numbers {
        let own = ingress.and_then(|set| self.ingress.get(set));
        let used = body.pod.ports.iter().filter_map(|port| {
            let name = self.rulebook.name(&port.name, port.protocol)?;
            let matters = self.egress.contains(&name) || own.is_some_and(|own| own.contains(&name));
            matters.then_some((name, port.number))
        });
        let numbers: BTreeSet<(Name, u16)> = used.collect();
        numbers.into_iter().collect()
    }
}
