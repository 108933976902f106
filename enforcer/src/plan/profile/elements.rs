//! What the members of groups bring into a profile's sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use palisade_policy::rules::{GroupId, Member};

use super::super::address::ALL_PORTS;
use super::super::family::Family;
use super::super::group::{Groups, Turn};
use super::super::name;
use super::allowance::{Ports, Use};
use crate::nft::Draft;
use crate::nft::model::{Comment, Element, Field, InvalidName, KeyType, Name, Part, Set, TableKey};

/// What a set of addresses of pods allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shape {
    /// All ports.
    Peers,
    /// All ports of a protocol.
    Protocols,
    /// Single ports.
    Ports,
    /// A range of ports: of each a set of its own.
    Range(Ports),
}

/// The groups that are copied into a profile's sets.
#[derive(Debug)]
pub(in crate::plan) struct Copies {
    uses: BTreeMap<GroupId, BTreeSet<Use>>,
    /// The sets by shape and family (true for IPv4).
    names: BTreeMap<(Shape, bool), Name>,
    /// Elements that more than one member, group or use brings: how many more.
    further: BTreeMap<(Name, Element), usize>,
}

impl Shape {
    fn of(r#use: Use) -> Self {
        match r#use {
            Use::All => Self::Peers,
            Use::On(ports) if ports.span == ALL_PORTS => Self::Protocols,
            Use::On(ports) if ports.span.0 != ports.span.1 => Self::Range(ports),
            Use::On(_) | Use::OfMembers(_) => Self::Ports,
        }
    }

    fn suffix(self, digit: &str) -> String {
        match self {
            Self::Peers => format!("peers{digit}"),
            Self::Protocols => format!("protocols{digit}"),
            Self::Ports => format!("ports{digit}"),
            Self::Range(Ports { protocol, span }) => format!("range{digit}_{protocol}_{}_{}", span.0, span.1),
        }
    }

    /// The fields that are looked up in its sets, and their types.
    pub(super) fn key(self, peer: Field, family: &Family) -> (Vec<Field>, Vec<KeyType>) {
        match self {
            Self::Peers | Self::Range(_) => (vec![peer], vec![family.key]),
            Self::Protocols => (vec![peer, Field::L4Protocol], vec![family.key, KeyType::Protocol]),
            Self::Ports => (
                vec![peer, Field::L4Protocol, Field::DestinationPort],
                vec![family.key, KeyType::Protocol, KeyType::Port],
            ),
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Peers => "pods that are allowed on all ports",
            Self::Protocols => "pods that are allowed on all ports of a protocol",
            Self::Ports => "pods that are allowed on single ports",
            Self::Range(_) => "pods that are allowed on a range of ports",
        }
    }
}

impl Copies {
    /// Of the groups in `uses`, in the sets of a chain.
    pub(super) fn new(chain: &Name, uses: BTreeMap<GroupId, BTreeSet<Use>>) -> Result<Self, InvalidName> {
        let mut names = BTreeMap::new();
        let shapes: BTreeSet<Shape> = uses.values().flatten().map(|r#use| Shape::of(*r#use)).collect();
        for shape in shapes {
            for family in Family::both() {
                let name = name::of_chain(chain, &shape.suffix(family.digit))?;
                names.insert((shape, family.v4), name);
            }
        }
        Ok(Self {
            uses,
            names,
            further: BTreeMap::new(),
        })
    }

    /// The sets of a large group, which the chains of all profiles share.
    pub(in crate::plan) fn of_large(
        group: GroupId,
        groups: &Groups,
        draft: &mut Draft,
    ) -> Result<Self, InvalidName> {
        let (mut names, mut sets) = (BTreeMap::new(), BTreeMap::new());
        for family in Family::both() {
            let name = name::group(&group, family.digit)?;
            let set = Set {
                comment: Some(Comment::fit("a large group of pods, shared by profiles")),
                ..Set::hash([family.key])
            };
            names.insert((Shape::Peers, family.v4), name.clone());
            sets.insert(name, set);
        }
        let mut copies = Self {
            uses: BTreeMap::from([(group, BTreeSet::from([Use::All]))]),
            names,
            further: BTreeMap::new(),
        };
        copies.fill(&mut sets, groups);
        for (name, set) in sets {
            draft.set(TableKey::Inet, &name, Some(Arc::new(set)));
        }
        Ok(copies)
    }

    /// Takes the sets out of the ruleset.
    pub(in crate::plan) fn remove(self, draft: &mut Draft) {
        for name in self.names.values() {
            draft.set(TableKey::Inet, name, None);
        }
    }

    /// The sets of a family, by what they allow.
    pub(super) fn sets(&self, family: &Family) -> impl Iterator<Item = (Shape, &Name)> {
        let v4 = family.v4;
        let own = self.names.iter().filter(move |((_, of_v4), _)| *of_v4 == v4);
        own.map(|((shape, _), name)| (*shape, name))
    }

    /// The groups.
    pub(super) fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.uses.keys()
    }

    /// Puts what the members of all groups bring into empty sets.
    pub(super) fn fill(&mut self, sets: &mut BTreeMap<Name, Set>, groups: &Groups) {
        let mut brought: BTreeMap<&Name, Vec<Element>> = BTreeMap::new();
        for (group, uses) in &self.uses {
            for member in groups.members(group) {
                each(uses, member, |shape, v4, element| {
                    if let Some(name) = self.names.get(&(shape, v4)) {
                        brought.entry(name).or_default().push(element);
                    }
                });
            }
        }
        for (name, mut elements) in brought {
            elements.sort_unstable();
            for pair in elements.windows(2) {
                if let [one, next] = pair
                    && one == next
                {
                    *self.further.entry((name.clone(), next.clone())).or_default() += 1;
                }
            }
            if let Some(set) = sets.get_mut(name) {
                set.elements = elements.into_iter().collect();
            }
        }
    }

    /// Brings the sets to what has changed of a group.
    pub(in crate::plan) fn turn(&mut self, group: &GroupId, turn: &Turn, draft: &mut Draft) {
        let Some(uses) = self.uses.get(group) else {
            return;
        };
        let (names, further) = (&self.names, &mut self.further);
        for member in &turn.come {
            each(uses, member, |shape, v4, element| {
                if let Some(name) = names.get(&(shape, v4))
                    && !draft.add(TableKey::Inet, name, &element)
                {
                    *further.entry((name.clone(), element)).or_default() += 1;
                }
            });
        }
        for member in &turn.gone {
            each(uses, member, |shape, v4, element| {
                let Some(name) = names.get(&(shape, v4)) else {
                    return;
                };
                let key = (name.clone(), element);
                match further.get_mut(&key) {
                    Some(more) if *more > 1 => *more -= 1,
                    Some(_) => drop(further.remove(&key)),
                    None => drop(draft.remove(TableKey::Inet, name, &key.1)),
                }
            });
        }
    }
}

/// What a member brings in each use, by shape and family.
fn each(uses: &BTreeSet<Use>, member: &Member, mut bring: impl FnMut(Shape, bool, Element)) {
    for r#use in uses {
        let shape = Shape::of(*r#use);
        for address in &member.addresses {
            let part = Part::address(*address);
            let mut element = |parts: &[Part]| bring(shape, address.is_ipv4(), Element::new(parts));
            match (shape, *r#use) {
                (_, Use::OfMembers(protocol)) => {
                    for port in &member.ports {
                        element(&[part, Part::protocol(protocol), Part::port(*port)]);
                    }
                }
                (Shape::Protocols, Use::On(ports)) => element(&[part, Part::protocol(ports.protocol)]),
                (Shape::Ports, Use::On(ports)) => {
                    element(&[part, Part::protocol(ports.protocol), Part::port(ports.span.0)]);
                }
                (_, Use::All | Use::On(_)) => element(&[part]),
            }
        }
    }
}
