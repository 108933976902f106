//! One policy's rules, with groups in the place of selectors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{
    Direction, NamespaceName, NamespaceScope, Peer, Peers, PodPeer, Policy, PolicyKey, PolicyPort, PortMatch,
    Ports, Rule, Selector,
};
use crate::rules::{
    CompiledPeers, CompiledPolicy, CompiledPort, CompiledPorts, CompiledRule, GroupId, GroupSpec, NamedPort,
    PolicyRules, Scope,
};

type GroupSpecs = BTreeMap<GroupId, GroupSpec>;

/// All policies, compiled.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    compiled: BTreeMap<PolicyKey, Arc<CompiledPolicy>>,
    groups: BTreeMap<PolicyKey, GroupSpecs>,
}

/// What an update of a policy means for groups.
#[derive(Debug)]
pub(super) struct PolicyChange {
    pub(super) groups_added: Vec<(GroupId, GroupSpec)>,
    pub(super) groups_removed: Vec<GroupId>,
}

impl Policies {
    /// Compiles a policy anew.
    pub(super) fn update(&mut self, key: &PolicyKey, policy: Option<&Policy>) -> PolicyChange {
        let old = self.groups.remove(key).unwrap_or_default();
        let mut new = GroupSpecs::new();
        if let Some(policy) = policy {
            let (compiled, groups) = compile(policy);
            self.compiled.insert(key.clone(), Arc::new(compiled));
            self.groups.insert(key.clone(), groups.clone());
            new = groups;
        } else {
            self.compiled.remove(key);
        }
        PolicyChange {
            groups_removed: old.keys().filter(|id| !new.contains_key(id)).cloned().collect(),
            groups_added: new.into_iter().filter(|(id, _)| !old.contains_key(id)).collect(),
        }
    }

    /// The policies of a namespace.
    pub(super) fn of_namespace(
        &self,
        name: &NamespaceName,
    ) -> impl Iterator<Item = (&PolicyKey, &Arc<CompiledPolicy>)> {
        let first = PolicyKey::new(name.as_str(), "");
        self.compiled
            .range(first..)
            .take_while(move |(key, _)| key.namespace == *name)
    }
}

fn compile(policy: &Policy) -> (CompiledPolicy, GroupSpecs) {
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
    let compiled = CompiledPolicy {
        subject: policy.subject.clone(),
        rules: PolicyRules {
            ingress,
            egress,
            defects: policy.defects.clone(),
        },
    };
    (compiled, builder.groups)
}

struct Builder<'a> {
    namespace: &'a NamespaceName,
    groups: GroupSpecs,
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
