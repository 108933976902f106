//! One policy's rules, with groups in the place of selectors; the policies of each namespace, in slices.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::filed::Filed;
use super::group::{GroupNumber, Groups};
use crate::map::Map;
use crate::model::{
    Direction, NamespaceName, NamespaceScope, Peer, Peers, PodPeer, Policy, PolicyKey, PolicyPort, PortMatch,
    Ports, Rule, Selector, Sorted,
};
use crate::rules::{
    CompiledPeers, CompiledPolicy, CompiledPort, CompiledPorts, CompiledRule, Cut, GroupId, GroupSpec,
    NamedPort, POLICY_CAPACITY, PolicyRules, PolicySlice, Scope, SliceId, Trie, hash, weight,
};

/// A policy among those of its namespace.
type FiledPolicy = Filed<PolicyKey, Arc<CompiledPolicy>>;

/// All policies, compiled.
#[derive(Clone, Debug, Default)]
pub(super) struct Policies {
    compiled: Map<PolicyKey, Record>,
    by_namespace: Map<NamespaceName, Trie<FiledPolicy>>,
    /// Namespaces whose policies have changed, and whether they had any.
    touched: Vec<(NamespaceName, bool)>,
}

#[derive(Clone, Debug)]
struct Record {
    compiled: Arc<CompiledPolicy>,
    /// The groups that it uses, in the order of their numbers.
    groups: Box<[GroupNumber]>,
}

/// What an update of a policy means for groups.
#[derive(Debug, Default)]
pub(super) struct GroupsTurned {
    /// Groups that nobody used before.
    pub(super) fresh: Vec<GroupNumber>,
    /// Groups that nobody may use any more.
    pub(super) left: Vec<GroupNumber>,
}

impl Policies {
    /// Makes room for as many policies as are to come.
    pub(super) fn reserve(&mut self, policies: usize) {
        self.compiled.reserve(policies);
    }

    /// Compiles a policy anew.
    pub(super) fn update(
        &mut self,
        key: &PolicyKey,
        policy: Option<&Policy>,
        groups: &mut Groups,
        turned: &mut GroupsTurned,
    ) {
        let new = policy.map(|policy| compile(policy, groups, &mut turned.fresh));
        let after = new.as_ref().map(|new| Arc::clone(&new.compiled));
        let old = match new {
            Some(new) => {
                new.groups.iter().for_each(|group| groups.hold(*group));
                self.compiled.insert(key.clone(), new)
            }
            None => self.compiled.remove(key),
        };
        for group in old.iter().flat_map(|old| &old.groups) {
            if groups.release(*group) {
                turned.left.push(*group);
            }
        }
        let before = old.map(|old| old.compiled);
        if before != after {
            self.file(key, before, after);
        }
    }

    /// Puts a policy into the slices of its namespace.
    fn file(
        &mut self,
        key: &PolicyKey,
        before: Option<Arc<CompiledPolicy>>,
        after: Option<Arc<CompiledPolicy>>,
    ) {
        if self.touched.last().is_none_or(|(last, _)| *last != key.namespace) {
            let known = self.by_namespace.contains_key(&key.namespace);
            self.touched.push((key.namespace.clone(), known));
        }
        let trie = self.by_namespace.entry(key.namespace.clone());
        let trie = trie.or_insert_with(|| Trie::new(POLICY_CAPACITY));
        let filed = |thing| Filed {
            key: key.clone(),
            thing,
        };
        let hash = hash(&key.name);
        if let Some(before) = before {
            trie.remove(hash, &filed(before));
        }
        if let Some(after) = after {
            trie.insert(hash, weight(&after), filed(after));
        }
    }

    /// Whether a namespace has policies.
    pub(super) fn police(&self, namespace: &NamespaceName) -> bool {
        self.by_namespace.contains_key(namespace)
    }

    /// The slices that have changed, and the namespaces that have first or no more policies.
    pub(super) fn take_changes(&mut self) -> PolicyChanges {
        let mut changes = PolicyChanges::default();
        let mut touched = std::mem::take(&mut self.touched);
        // What a namespace had when it was touched first stays in front. Policies come in the order of their names, so that
        // there is nearly nothing to sort.
        touched.sort_by(|(one, _), (other, _)| one.cmp(other));
        touched.dedup_by(|(later, _), (first, _)| later == first);
        for (namespace, known) in touched {
            let Some(trie) = self.by_namespace.get_mut(&namespace) else {
                continue;
            };
            if trie.is_empty() {
                if let Some(trie) = self.by_namespace.remove(&namespace) {
                    let slices = trie.into_slices_before().into_iter();
                    changes
                        .slices
                        .extend(slices.map(|slice| ((namespace.clone(), slice), None)));
                }
            } else {
                let cuts = trie.take_changes(FiledPolicy::says_the_same);
                let slices = cuts.into_iter();
                let slices = slices.map(|(id, cut)| ((namespace.clone(), id), slice(&namespace, id, cut)));
                changes.slices.extend(slices);
            }
            if known != self.police(&namespace) {
                changes.turned.push(namespace);
            }
        }
        changes
    }

    /// All slices of all namespaces.
    pub(super) fn published(&self) -> BTreeMap<NamespaceName, BTreeMap<SliceId, PolicySlice>> {
        let slices = |(namespace, trie): (&NamespaceName, &Trie<FiledPolicy>)| {
            let slices = trie
                .cuts()
                .filter_map(|(id, cut)| Some((id, slice(namespace, id, cut)?)));
            (namespace.clone(), slices.collect())
        };
        self.by_namespace.iter().map(slices).collect()
    }
}

/// What has changed of policies.
#[derive(Debug, Default)]
pub(super) struct PolicyChanges {
    pub(super) slices: Vec<((NamespaceName, SliceId), Option<PolicySlice>)>,
    /// Namespaces that have policies now and had none, or the reverse.
    pub(super) turned: Vec<NamespaceName>,
}

fn slice(namespace: &NamespaceName, id: SliceId, cut: Cut<FiledPolicy>) -> Option<PolicySlice> {
    let (split, filed) = cut.open()?;
    Some(PolicySlice {
        namespace: namespace.clone(),
        id,
        split,
        policies: filed.into_iter().map(|filed| (filed.key, filed.thing)).collect(),
    })
}

fn compile(policy: &Policy, groups: &mut Groups, fresh: &mut Vec<GroupNumber>) -> Record {
    let mut builder = Builder {
        namespace: &policy.key.namespace,
        groups,
        fresh,
        used: BTreeSet::new(),
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
    Record {
        compiled: Arc::new(compiled),
        groups: builder.used.into_iter().collect(),
    }
}

struct Builder<'a> {
    namespace: &'a NamespaceName,
    groups: &'a mut Groups,
    fresh: &'a mut Vec<GroupNumber>,
    used: BTreeSet<GroupNumber>,
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
            push(
                self.peers(&rule.peers),
                CompiledPorts::AnyOf(plain.into_iter().collect()),
            );
        }
        compiled
    }

    fn peers(&mut self, peers: &Peers) -> CompiledPeers {
        let Peers::AnyOf(peers) = peers else {
            return CompiledPeers::All;
        };
        let (mut groups, mut blocks) = (Vec::new(), Vec::new());
        for peer in peers {
            match peer {
                Peer::Pods(pods) => groups.push(self.group(self.spec(pods, None))),
                Peer::Block(block) => blocks.push(block.clone()),
            }
        }
        CompiledPeers::AnyOf {
            groups: groups.into_iter().collect(),
            blocks: blocks.into_iter().collect(),
        }
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
            blocks: Sorted::default(),
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
        let (id, number) = self.groups.enter(spec, self.fresh);
        self.used.insert(number);
        id
    }
}

fn allows_nothing(peers: &CompiledPeers, ports: &CompiledPorts) -> bool {
    let nobody =
        matches!(peers, CompiledPeers::AnyOf { groups, blocks } if groups.is_empty() && blocks.is_empty());
    nobody || matches!(ports, CompiledPorts::AnyOf(ports) if ports.is_empty())
}
