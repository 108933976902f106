//! One policy's rules, with groups in the place of selectors.

use std::collections::{BTreeMap, BTreeSet};

use super::index::SelectorIndex;
use crate::model::{
    Direction, Labels, NamespaceName, NamespaceScope, Peer, Peers, PodPeer, Policy, PolicyKey, PolicyPort,
    PortMatch, Ports, Rule, Selector,
};
use crate::rules::{
    CompiledPeers, CompiledPort, CompiledPorts, CompiledRule, GroupId, GroupSpec, NamedPort, PolicyRules,
    Scope,
};

/// A policy as it was compiled last.
#[derive(Clone, Debug)]
struct Compiled {
    subject: Selector,
    rules: PolicyRules,
    groups: BTreeMap<GroupId, GroupSpec>,
    /// The port names that its ingress rules use, which are resolved on the pods that it selects.
    port_names: BTreeSet<NamedPort>,
}

/// All policies, compiled, and by the pods that they may select.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    compiled: BTreeMap<PolicyKey, Compiled>,
    by_subject: BTreeMap<NamespaceName, SelectorIndex<PolicyKey>>,
    reprofiled: BTreeSet<PolicyKey>,
}

/// What an update of a policy means for others.
#[derive(Debug)]
pub(super) struct PolicyChange {
    pub(super) groups_added: Vec<(GroupId, GroupSpec)>,
    pub(super) groups_removed: Vec<GroupId>,
    /// The old and the new subject where they differ.
    pub(super) subjects: [Option<Selector>; 2],
}

impl Policies {
    /// Compiles a policy anew; `None` where nothing has changed by it.
    pub(super) fn update(&mut self, key: &PolicyKey, policy: Option<&Policy>) -> Option<PolicyChange> {
        let new = policy.map(compile);
        let old = self.compiled.remove(key);
        if old.is_none() && new.is_none() {
            return None;
        }
        let groups_in = |compiled: &Option<Compiled>| {
            compiled
                .as_ref()
                .map(|compiled| compiled.groups.clone())
                .unwrap_or_default()
        };
        let (old_groups, new_groups) = (groups_in(&old), groups_in(&new));
        let subject_in =
            |compiled: &Option<Compiled>| compiled.as_ref().map(|compiled| compiled.subject.clone());
        let (old_subject, new_subject) = (subject_in(&old), subject_in(&new));
        let moved = old_subject != new_subject;
        if moved {
            let index = self.by_subject.entry(key.namespace.clone()).or_default();
            if let Some(subject) = &old_subject {
                index.remove(subject, key);
            }
            if let Some(subject) = &new_subject {
                index.insert(subject, key);
            }
            if index.is_empty() {
                self.by_subject.remove(&key.namespace);
            }
        }
        if let (Some(old), Some(new)) = (&old, &new)
            && profile_inputs(old) != profile_inputs(new)
        {
            self.reprofiled.insert(key.clone());
        }
        if let Some(new) = new {
            self.compiled.insert(key.clone(), new);
        }
        Some(PolicyChange {
            groups_removed: old_groups
                .keys()
                .filter(|id| !new_groups.contains_key(id))
                .cloned()
                .collect(),
            groups_added: new_groups
                .into_iter()
                .filter(|(id, _)| !old_groups.contains_key(id))
                .collect(),
            subjects: if moved {
                [old_subject, new_subject]
            } else {
                [None, None]
            },
        })
    }

    /// Policies whose pods need another profile though the policies select the same pods.
    pub(super) fn take_reprofiled(&mut self) -> impl Iterator<Item = PolicyKey> + use<> {
        std::mem::take(&mut self.reprofiled).into_iter()
    }

    /// The policies that select pods with these labels.
    pub(super) fn selecting(&self, namespace: &NamespaceName, labels: &Labels) -> BTreeSet<PolicyKey> {
        let candidates = self
            .by_subject
            .get(namespace)
            .into_iter()
            .flat_map(|index| index.candidates(labels));
        candidates
            .filter(|key| {
                self.compiled
                    .get(*key)
                    .is_some_and(|compiled| compiled.subject.matches(labels))
            })
            .cloned()
            .collect()
    }

    /// The rules of a policy.
    pub(super) fn rules(&self, key: &PolicyKey) -> Option<&PolicyRules> {
        self.compiled.get(key).map(|compiled| &compiled.rules)
    }

    /// The port names that a policy resolves on the pods that it selects.
    pub(super) fn port_names(&self, key: &PolicyKey) -> impl Iterator<Item = &NamedPort> {
        self.compiled
            .get(key)
            .into_iter()
            .flat_map(|compiled| &compiled.port_names)
    }
}

/// What of a policy is part of its pods' profiles.
fn profile_inputs(compiled: &Compiled) -> (bool, bool, &BTreeSet<NamedPort>) {
    (
        compiled.rules.ingress.is_some(),
        compiled.rules.egress.is_some(),
        &compiled.port_names,
    )
}

/// The groups that a policy's rules refer to.
pub(super) fn groups_of(rules: &PolicyRules) -> impl Iterator<Item = &GroupId> {
    rules
        .ingress
        .iter()
        .chain(&rules.egress)
        .flatten()
        .flat_map(|rule| match &rule.peers {
            CompiledPeers::All => None.into_iter().flatten(),
            CompiledPeers::AnyOf { groups, .. } => Some(groups).into_iter().flatten(),
        })
}

fn compile(policy: &Policy) -> Compiled {
    let mut builder = Builder {
        namespace: &policy.key.namespace,
        groups: BTreeMap::new(),
    };
    let mut section = |direction| {
        policy.rules(direction).map(|rules| {
            let rules = rules.iter().enumerate();
            rules
                .flat_map(|(index, rule)| builder.rule(index, rule, direction))
                .collect::<Vec<_>>()
        })
    };
    let (ingress, egress) = (section(Direction::Ingress), section(Direction::Egress));
    let port_names = ingress.iter().flatten().flat_map(|rule| match &rule.ports {
        CompiledPorts::AnyOf(ports) => ports.iter().collect(),
        CompiledPorts::All | CompiledPorts::OfMembers(_) => Vec::new(),
    });
    let port_names = port_names.filter_map(|port| match port {
        CompiledPort::Named(name) => Some(name.clone()),
        CompiledPort::Protocol(_) | CompiledPort::Range(..) => None,
    });
    Compiled {
        subject: policy.subject.clone(),
        port_names: port_names.collect(),
        rules: PolicyRules {
            ingress,
            egress,
            defects: policy.defects.clone(),
        },
        groups: builder.groups,
    }
}

struct Builder<'a> {
    namespace: &'a NamespaceName,
    groups: BTreeMap<GroupId, GroupSpec>,
}

impl Builder<'_> {
    /// The compiled rules of one rule: none where it allows nothing, several where an egress rule names ports.
    fn rule(&mut self, index: usize, rule: &Rule, direction: Direction) -> Vec<CompiledRule> {
        let mut compiled = Vec::new();
        let mut push = |peers: CompiledPeers, ports: CompiledPorts| {
            if !allows_nothing(&peers, &ports) {
                compiled.push(CompiledRule { index, peers, ports });
            }
        };
        let Ports::AnyOf(ports) = &rule.ports else {
            push(self.peers(&rule.peers), CompiledPorts::All);
            return compiled;
        };
        let mut plain = BTreeSet::new();
        for PolicyPort { protocol, port } in ports {
            let protocol = *protocol;
            match (port, direction) {
                (PortMatch::Any, _) => {
                    plain.insert(CompiledPort::Protocol(protocol));
                }
                (PortMatch::Range(range), _) => {
                    plain.insert(CompiledPort::Range(protocol, *range));
                }
                (PortMatch::Named(name), Direction::Ingress) => {
                    plain.insert(CompiledPort::Named(NamedPort {
                        name: name.clone(),
                        protocol,
                    }));
                }
                (PortMatch::Named(name), Direction::Egress) => {
                    let port = NamedPort {
                        name: name.clone(),
                        protocol,
                    };
                    push(
                        self.declaring(&rule.peers, &port),
                        CompiledPorts::OfMembers(protocol),
                    );
                }
            }
        }
        if !plain.is_empty() {
            push(self.peers(&rule.peers), CompiledPorts::AnyOf(plain));
        }
        compiled
    }

    fn peers(&mut self, peers: &Peers) -> CompiledPeers {
        let Peers::AnyOf(peers) = peers else {
            return CompiledPeers::All;
        };
        let (mut groups, mut blocks) = (BTreeSet::new(), BTreeSet::new());
        for peer in peers {
            match peer {
                Peer::Pods(pods) => {
                    groups.insert(self.group(self.spec(pods, None)));
                }
                Peer::Block(block) => {
                    blocks.insert(block.clone());
                }
            }
        }
        CompiledPeers::AnyOf { groups, blocks }
    }

    /// The peers of an egress rule, each cut down to the pods that declare `port`: a destination that is no pod
    /// never matches a name.
    fn declaring(&mut self, peers: &Peers, port: &NamedPort) -> CompiledPeers {
        let everywhere = GroupSpec {
            scope: Scope::Cluster(Selector::everything()),
            pods: Selector::everything(),
            port: Some(port.clone()),
            within: None,
        };
        let specs: Vec<GroupSpec> = match peers {
            Peers::All => vec![everywhere],
            Peers::AnyOf(peers) => peers
                .iter()
                .map(|peer| match peer {
                    Peer::Pods(pods) => self.spec(pods, Some(port.clone())),
                    Peer::Block(block) => GroupSpec {
                        within: Some(block.clone()),
                        ..everywhere.clone()
                    },
                })
                .collect(),
        };
        let groups = specs.into_iter().map(|spec| self.group(spec)).collect();
        CompiledPeers::AnyOf {
            groups,
            blocks: BTreeSet::new(),
        }
    }

    fn spec(&self, peer: &PodPeer, port: Option<NamedPort>) -> GroupSpec {
        let scope = match &peer.namespaces {
            NamespaceScope::Own => Scope::Namespace(self.namespace.clone()),
            NamespaceScope::Matching(selector) => Scope::Cluster(selector.clone()),
        };
        GroupSpec {
            scope,
            pods: peer.pods.clone(),
            port,
            within: None,
        }
    }

    fn group(&mut self, spec: GroupSpec) -> GroupId {
        let id = spec.id();
        self.groups.insert(id.clone(), spec);
        id
    }
}

fn allows_nothing(peers: &CompiledPeers, ports: &CompiledPorts) -> bool {
    let nobody =
        matches!(peers, CompiledPeers::AnyOf { groups, blocks } if groups.is_empty() && blocks.is_empty());
    nobody || matches!(ports, CompiledPorts::AnyOf(ports) if ports.is_empty())
}
