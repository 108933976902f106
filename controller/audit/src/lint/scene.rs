//! What every selector of every policy selects, found once.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use palisade_policy::model::{
    Direction, Labels, NamespaceName, NamespaceScope, Peer, Peers, PodPeer, Policy, PolicyKey, Rule, Selector,
};

use super::addresses::Addresses;
use super::field::Fields;
use super::hint::Vocabulary;
use super::offer::Offers;
use super::population::{Class, Population};
use super::selection::{Found, Selection};
use super::unread::Unread;
use crate::inventory::{Inventory, ObjectRef};

/// Policies with what they select.
pub(super) struct Scene<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) population: &'a Population<'a>,
    pub(super) addresses: Addresses<'a>,
    pub(super) offers: Offers<'a>,
    pub(super) unread: Unread<'a>,
    policies: Vec<Seen<'a>>,
    /// Of each class its profile in one direction, as a place among all profiles.
    ingress: Vec<usize>,
    egress: Vec<usize>,
    /// Sets of policies that isolate the same pods, as places among all policies, in order.
    profiles: Vec<Vec<usize>>,
    no_labels: Labels,
    /// The labels of the pods of namespaces, of those that were asked for.
    vocabularies: RefCell<HashMap<Scope<'a>, Rc<Vocabulary<'a>>>>,
}

/// Some namespaces.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Scope<'a> {
    Namespace(&'a NamespaceName),
    Matching(&'a Selector),
}

/// A policy with what it selects.
pub(super) struct Seen<'a> {
    pub(super) policy: &'a Policy,
    pub(super) subject: Found<'a>,
    pub(super) fields: Fields,
    ingress: Vec<SeenRule<'a>>,
    egress: Vec<SeenRule<'a>>,
}

/// A rule with what it selects.
pub(super) struct SeenRule<'a> {
    pub(super) index: usize,
    pub(super) rule: &'a Rule,
    /// Its peers; none if it is for everybody.
    pub(super) peers: Vec<SeenPeer<'a>>,
}

/// A peer with what it selects.
pub(super) struct SeenPeer<'a> {
    pub(super) index: usize,
    pub(super) peer: &'a Peer,
    /// The pods that it selects; of a block none.
    pub(super) found: Found<'a>,
    /// The namespaces that its `namespaceSelector` selects.
    pub(super) namespaces: Option<Rc<HashSet<&'a NamespaceName>>>,
}

impl<'a> Scene<'a> {
    pub(super) fn of(inventory: &'a Inventory, population: &'a Population<'a>) -> Self {
        let mut finder = Finder {
            inventory,
            population,
            namespaces: HashMap::new(),
            found: HashMap::new(),
        };
        let policies = inventory.state.policies().values();
        let policies: Vec<Seen<'a>> = policies.map(|policy| finder.policy(policy)).collect();
        let mut profiles = Profiles::default();
        let mut of = |direction| profiles.of_classes(&policies, population.classes().len(), direction);
        let (ingress, egress) = (of(Direction::Ingress), of(Direction::Egress));
        let profiles = profiles.all;
        Self {
            ingress,
            egress,
            addresses: Addresses::of(inventory),
            offers: Offers::of_all(inventory, population),
            unread: Unread::of(inventory, population),
            inventory,
            population,
            policies,
            no_labels: Labels::default(),
            vocabularies: RefCell::default(),
            profiles,
        }
    }

    /// All policies.
    pub(super) fn policies(&self) -> &[Seen<'a>] {
        &self.policies
    }

    /// The profile of pods of a class: which policies isolate them.
    pub(super) fn profile_of(&self, class: &Class<'_>, direction: Direction) -> usize {
        let profiles = match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        };
        profiles.get(class.number).copied().unwrap_or_default()
    }

    /// The policies of a profile, as places among all.
    pub(super) fn profile(&self, profile: usize) -> &[usize] {
        self.profiles.get(profile).map(Vec::as_slice).unwrap_or_default()
    }

    /// The policies that isolate pods of a class, as places among all.
    pub(super) fn isolating(&self, class: &Class<'_>, direction: Direction) -> &[usize] {
        self.profile(self.profile_of(class, direction))
    }

    /// The policies at these places.
    pub(super) fn at<'s>(&'s self, places: &'s [usize]) -> impl Iterator<Item = &'s Seen<'a>> {
        places.iter().filter_map(|place| self.policies.get(*place))
    }

    /// The labels of a namespace, as far as they are known.
    pub(super) fn labels(&self, name: &NamespaceName) -> &Labels {
        let namespace = self.inventory.state.namespaces().get(name);
        namespace.map_or(&self.no_labels, |namespace| &namespace.labels)
    }

    /// The labels of the pods of a namespace.
    pub(super) fn of_namespace(&self, name: &'a NamespaceName) -> Rc<Vocabulary<'a>> {
        self.vocabulary(Scope::Namespace(name), self.population.of_namespace(name))
    }

    /// The labels of the pods of the namespaces that a selector has found.
    pub(super) fn of_namespaces(
        &self,
        selector: &'a Selector,
        names: &HashSet<&'a NamespaceName>,
    ) -> Rc<Vocabulary<'a>> {
        let pods = names.iter().flat_map(|name| self.population.of_namespace(name));
        self.vocabulary(Scope::Matching(selector), pods)
    }

    fn vocabulary<'c>(
        &self,
        scope: Scope<'a>,
        pods: impl IntoIterator<Item = &'c Class<'a>>,
    ) -> Rc<Vocabulary<'a>>
    where
        'a: 'c,
    {
        let find = || Rc::new(Vocabulary::of(pods.into_iter().map(|class| class.labels)));
        self.vocabularies
            .borrow_mut()
            .entry(scope)
            .or_insert_with(find)
            .clone()
    }
}

impl<'a> Seen<'a> {
    pub(super) fn rules(&self, direction: Direction) -> &[SeenRule<'a>] {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }

    /// All rules with their direction.
    pub(super) fn all_rules(&self) -> impl Iterator<Item = (Direction, &SeenRule<'a>)> {
        let ingress = self.ingress.iter().map(|rule| (Direction::Ingress, rule));
        ingress.chain(self.egress.iter().map(|rule| (Direction::Egress, rule)))
    }

    /// All peers, with the path of each.
    pub(super) fn all_peers(&self) -> impl Iterator<Item = (Direction, &SeenRule<'a>, &SeenPeer<'a>)> {
        self.all_rules()
            .flat_map(|(direction, rule)| rule.peers.iter().map(move |peer| (direction, rule, peer)))
    }

    /// `spec.ingress[0].from[1]`
    pub(super) fn field(&self, direction: Direction, rule: &SeenRule<'_>, peer: &SeenPeer<'_>) -> String {
        self.fields.peer(direction, rule.index, peer.index)
    }

    pub(super) fn object(&self) -> ObjectRef {
        ObjectRef::Policy(self.policy.key.clone())
    }
}

impl SeenRule<'_> {
    pub(super) fn is_for_everybody(&self) -> bool {
        self.rule.peers == Peers::All
    }

    /// Whether its peers include pods of a class.
    pub(super) fn includes(&self, class: &Class<'_>) -> bool {
        self.is_for_everybody() || self.peers.iter().any(|peer| peer.includes(class))
    }
}

impl SeenPeer<'_> {
    /// Whether pods of a class are among it; of a block, whether it has an address of any of them, or may have.
    pub(super) fn includes(&self, class: &Class<'_>) -> bool {
        match self.peer {
            Peer::Pods(_) => self.found.contains(class),
            Peer::Block(block) => {
                let mut addresses = class.pods.iter().flat_map(|pod| &pod.addresses);
                class.unaddressed || addresses.any(|address| block.contains(*address))
            }
        }
    }
}

/// Profiles, each once. The first is that of no policies.
struct Profiles {
    all: Vec<Vec<usize>>,
    places: HashMap<Vec<usize>, usize>,
}

impl Default for Profiles {
    fn default() -> Self {
        Self {
            all: vec![Vec::new()],
            places: HashMap::from([(Vec::new(), 0)]),
        }
    }
}

impl Profiles {
    /// The profile of each class.
    fn of_classes(&mut self, policies: &[Seen<'_>], classes: usize, direction: Direction) -> Vec<usize> {
        let mut isolating = vec![Vec::new(); classes];
        for (place, seen) in policies.iter().enumerate() {
            if seen.policy.rules(direction).is_none() {
                continue;
            }
            for class in &seen.subject.workloads {
                if let Some(places) = isolating.get_mut(class.number) {
                    places.push(place);
                }
            }
        }
        let profiles = isolating.into_iter().map(|places| {
            let next = self.all.len();
            *self.places.entry(places).or_insert_with_key(|places| {
                self.all.push(places.clone());
                next
            })
        });
        profiles.collect()
    }
}

type Namespaces<'a> = Rc<HashSet<&'a NamespaceName>>;

/// Finds what selectors select; equal ones only once.
struct Finder<'a> {
    inventory: &'a Inventory,
    population: &'a Population<'a>,
    namespaces: HashMap<&'a Selector, Namespaces<'a>>,
    found: HashMap<(Option<&'a NamespaceName>, Option<&'a Selector>, &'a Selector), Found<'a>>,
}

impl<'a> Finder<'a> {
    fn policy(&mut self, policy: &'a Policy) -> Seen<'a> {
        let subject = self.own(&policy.key.namespace, &policy.subject);
        let mut rules = |direction| {
            let rules = policy.rules(direction).unwrap_or_default().iter().enumerate();
            rules
                .map(|(index, rule)| self.rule(&policy.key, index, rule))
                .collect()
        };
        Seen {
            ingress: rules(Direction::Ingress),
            egress: rules(Direction::Egress),
            fields: Fields::of(policy),
            policy,
            subject,
        }
    }

    fn rule(&mut self, policy: &'a PolicyKey, index: usize, rule: &'a Rule) -> SeenRule<'a> {
        let peers: &[Peer] = match &rule.peers {
            Peers::All => &[],
            Peers::AnyOf(peers) => peers,
        };
        let peers = peers.iter().enumerate().map(|(index, peer)| {
            let (found, namespaces) = match peer {
                Peer::Block(_) => (Rc::default(), None),
                Peer::Pods(PodPeer { namespaces, pods }) => match namespaces {
                    NamespaceScope::Own => (self.own(&policy.namespace, pods), None),
                    NamespaceScope::Matching(selector) => {
                        let (found, namespaces) = self.matching(selector, pods);
                        (found, Some(namespaces))
                    }
                },
            };
            SeenPeer {
                index,
                peer,
                found,
                namespaces,
            }
        });
        SeenRule {
            index,
            rule,
            peers: peers.collect(),
        }
    }

    fn own(&mut self, namespace: &'a NamespaceName, pods: &'a Selector) -> Found<'a> {
        let (population, number) = (self.population, self.found.len() + 1);
        let find = || {
            let classes = population.of_namespace(namespace).iter();
            let classes = classes.filter(|class| pods.matches(class.labels));
            Rc::new(Selection::of(number, classes.collect()))
        };
        let key = (Some(namespace), None, pods);
        self.found.entry(key).or_insert_with(find).clone()
    }

    fn matching(&mut self, selector: &'a Selector, pods: &'a Selector) -> (Found<'a>, Namespaces<'a>) {
        let namespaces = self.namespaces(selector);
        let (population, number) = (self.population, self.found.len() + 1);
        let find = || {
            let there = |class: &&Class<'_>| selector.is_everything() || namespaces.contains(class.namespace);
            let classes = population.candidates(pods).filter(there);
            let classes = classes.filter(|class| pods.matches(class.labels));
            Rc::new(Selection::of(number, classes.collect()))
        };
        let key = (None, Some(selector), pods);
        let found = self.found.entry(key).or_insert_with(find).clone();
        (found, namespaces)
    }

    fn namespaces(&mut self, selector: &'a Selector) -> Namespaces<'a> {
        let all = self.inventory.state.namespaces();
        let find = || {
            let matching = all
                .values()
                .filter(|namespace| selector.matches(&namespace.labels));
            Rc::new(matching.map(|namespace| &namespace.name).collect())
        };
        self.namespaces.entry(selector).or_insert_with(find).clone()
    }
}
