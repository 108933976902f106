//! What the policies that isolate a pod allow it together, in one direction.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::PortSet;
use super::ground::Ground;
use super::numbering::Numbering;
use super::terms::{Scope, Terms};
use crate::model::{
    IpBlock, NamespaceScope, Peer, Peers, Policy, PolicyKey, PortMatch, PortName, Ports, Protocol, Rule,
};

/// A port name that some rule uses. The same name may stand for one port of each protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name {
    number: usize,
    protocol: Protocol,
}

/// What a pod declares under names that matter for it, in order.
pub(super) type Numbers = Arc<[(Name, u16)]>;

/// The ports of some rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Allowance {
    /// Those that are the same whatever the destination.
    pub(super) ports: PortSet,
    /// Those that each destination gives its own numbers, in order.
    pub(super) names: Vec<Name>,
}

impl Allowance {
    fn of<'a>(ports: &'a Ports, names: &mut Numbering<(&'a PortName, Protocol)>) -> Self {
        let Ports::AnyOf(ports) = ports else {
            return Self {
                ports: PortSet::all(),
                names: Vec::new(),
            };
        };
        let mut allowance = Self::default();
        for port in ports {
            let protocol = port.protocol;
            let fixed = match &port.port {
                PortMatch::Any => PortSet::protocol(protocol),
                PortMatch::Range(range) => PortSet::range(protocol, *range),
                PortMatch::Named(name) => {
                    let number = names.number((name, protocol));
                    allowance.names.push(Name { number, protocol });
                    continue;
                }
            };
            allowance.ports = allowance.ports.union(&fixed);
        }
        allowance.names.sort_unstable();
        allowance.names.dedup();
        allowance
    }

    fn is_empty(&self) -> bool {
        self.ports.is_empty() && self.names.is_empty()
    }

    fn union(&self, other: &Self) -> Self {
        let names: BTreeSet<Name> = self.names.iter().chain(&other.names).copied().collect();
        Self {
            ports: self.ports.union(&other.ports),
            names: names.into_iter().collect(),
        }
    }

    /// Adds the ports on a destination to others, without a copy where these are all.
    fn add_to<'a>(&'a self, ports: &mut Cow<'a, PortSet>, destination: &[(Name, u16)]) {
        let own = self.on(destination);
        if ports.is_empty() {
            *ports = own;
        } else if !own.is_empty() && *ports != own {
            *ports = Cow::Owned(ports.union(&own));
        }
    }

    /// The ports on a destination.
    pub(super) fn on(&self, destination: &[(Name, u16)]) -> Cow<'_, PortSet> {
        let declared = destination
            .iter()
            .filter(|(name, _)| self.names.binary_search(name).is_ok());
        declared.fold(Cow::Borrowed(&self.ports), |ports, (name, number)| {
            Cow::Owned(ports.union(&PortSet::numbers(name.protocol, [*number])))
        })
    }
}

/// The other end of a connection, as rules see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Other<'a> {
    /// The terms that select it, in order. None selects what is outside.
    pub(super) terms: &'a [usize],
    /// The range that its address lies in.
    pub(super) range: usize,
}

/// What a set of policies allows in one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    /// Another one has another.
    pub(super) number: usize,
    /// The policies.
    pub(super) policies: BTreeSet<PolicyKey>,
    /// For everybody.
    pub(super) base: Arc<Allowance>,
    /// For pods that terms select, by term.
    pub(super) terms: Vec<(usize, Arc<Allowance>)>,
    /// For addresses in blocks, by block.
    pub(super) blocks: Vec<(usize, Arc<Allowance>)>,
}

impl Profile {
    /// On which ports it allows connections with another end.
    pub(super) fn towards(
        &self,
        other: Other<'_>,
        destination: &[(Name, u16)],
        ground: &Ground,
    ) -> Cow<'_, PortSet> {
        let mut ports = self.base.on(destination);
        for_common(&self.terms, other.terms, |allowance| {
            allowance.add_to(&mut ports, destination);
        });
        for (block, allowance) in &self.blocks {
            if ground.is_within(other.range, *block) {
                allowance.add_to(&mut ports, destination);
            }
        }
        ports
    }

    /// The port names that its rules use.
    pub(super) fn names(&self) -> impl Iterator<Item = Name> {
        let by_term = self.terms.iter().map(|(_, allowance)| allowance);
        let by_block = self.blocks.iter().map(|(_, allowance)| allowance);
        let all = by_term.chain(by_block).chain([&self.base]);
        all.flat_map(|allowance| allowance.names.iter().copied())
    }
}

/// Does something with the allowances of the terms that both lists have.
fn for_common<'a>(
    allowances: &'a [(usize, Arc<Allowance>)],
    terms: &[usize],
    mut then: impl FnMut(&'a Allowance),
) {
    if allowances.len() <= terms.len() {
        for (term, allowance) in allowances {
            if terms.binary_search(term).is_ok() {
                then(allowance);
            }
        }
        return;
    }
    for term in terms {
        let at = allowances.binary_search_by_key(term, |(term, _)| *term);
        if let Some((_, allowance)) = at.ok().and_then(|at| allowances.get(at)) {
            then(allowance);
        }
    }
}

/// Whom an entry of a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    Everybody,
    Term(usize),
    Block(usize),
}

/// For each target of some rules the number of the allowance.
pub(super) type Entries = Vec<(Target, usize)>;

/// Reads rules and gives numbers to what they use.
#[derive(Default)]
pub(super) struct Rulebook<'a> {
    /// The terms of peers.
    pub(super) terms: Terms<'a>,
    /// The blocks of peers.
    pub(super) blocks: Numbering<&'a IpBlock>,
    names: Numbering<(&'a PortName, Protocol)>,
    ports: Numbering<&'a Ports>,
    /// The allowance of each of `ports`.
    allowances: Vec<Arc<Allowance>>,
    /// Unions of them.
    unions: HashMap<Vec<usize>, Arc<Allowance>>,
}

impl<'a> Rulebook<'a> {
    /// The rules of one direction of a policy.
    pub(super) fn read(&mut self, policy: &'a Policy, rules: &'a [Rule]) -> Entries {
        let mut entries = Entries::new();
        for rule in rules {
            let allowance = self.ports.number(&rule.ports);
            if allowance == self.allowances.len() {
                let read = Allowance::of(&rule.ports, &mut self.names);
                self.allowances.push(Arc::new(read));
            }
            if self
                .allowances
                .get(allowance)
                .is_none_or(|allowance| allowance.is_empty())
            {
                continue;
            }
            match &rule.peers {
                Peers::All => entries.push((Target::Everybody, allowance)),
                Peers::AnyOf(peers) => {
                    let targets = peers.iter().map(|peer| self.target(policy, peer));
                    entries.extend(targets.map(|target| (target, allowance)));
                }
            }
        }
        entries
    }

    fn target(&mut self, policy: &'a Policy, peer: &'a Peer) -> Target {
        match peer {
            Peer::Block(block) => Target::Block(self.blocks.number(block)),
            Peer::Pods(peer) => {
                let scope = match &peer.namespaces {
                    NamespaceScope::Own => Scope::Namespace(&policy.key.namespace),
                    NamespaceScope::Matching(selector) => Scope::Matching(selector),
                };
                Target::Term(self.terms.number(scope, &peer.pods))
            }
        }
    }

    /// What entries of several policies allow together.
    pub(super) fn profile(
        &mut self,
        number: usize,
        policies: BTreeSet<PolicyKey>,
        mut entries: Entries,
    ) -> Profile {
        entries.sort_unstable();
        entries.dedup();
        let mut profile = Profile {
            number,
            policies,
            ..Profile::default()
        };
        for same in entries.chunk_by(|(one, _), (other, _)| one == other) {
            let allowance = self.union(same.iter().map(|(_, allowance)| *allowance).collect());
            match same.first() {
                Some((Target::Everybody, _)) => profile.base = allowance,
                Some((Target::Term(term), _)) => profile.terms.push((*term, allowance)),
                Some((Target::Block(block), _)) => profile.blocks.push((*block, allowance)),
                None => {}
            }
        }
        profile
    }

    fn union(&mut self, numbers: Vec<usize>) -> Arc<Allowance> {
        if let Some(known) = self.unions.get(&numbers) {
            return known.clone();
        }
        let parts: Vec<&Arc<Allowance>> = numbers
            .iter()
            .filter_map(|number| self.allowances.get(*number))
            .collect();
        let union = match parts.as_slice() {
            [one] => Arc::clone(one),
            parts => Arc::new(
                parts
                    .iter()
                    .fold(Allowance::default(), |all, part| all.union(part)),
            ),
        };
        self.unions.insert(numbers, union.clone());
        union
    }

    /// The name that rules use for a port, if any does.
    pub(super) fn name(&self, name: &'a PortName, protocol: Protocol) -> Option<Name> {
        let number = self.names.get(&(name, protocol))?;
        Some(Name { number, protocol })
    }
}
