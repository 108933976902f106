//! What is published for the nodes: pods, policies and groups of pods, each once, that refer to each other.
//!
//! [`Residents`] are a node's pods, with their labels, published in a [`NodeHead`] and, where these are too many for it, in
//! [`PodSlice`]s. The policies of a namespace are published in [`PolicySlice`]s, for
//! all nodes: a node finds out by itself which of them select its pods ([`crate::assemble`]). Pods as peers are a
//! [`Group`], published in [`Slice`]s. So a pod that comes or goes changes one slice of each group that it is in, a policy
//! changes one slice of its namespace, and neither changes what a node is told.
//!
//! [`NodeRules`] is what a node makes of these: a [`Profile`] per direction for each pod, which is a set of policies; pods
//! under the same policies share it.
//!
//! Everything is sorted. Two equal states publish equal bytes.

mod canonical;
mod id;
mod pods;
mod ports;
mod slice;
mod tree;
mod trie;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::{
    Defect, Direction, IpBlock, Labels, NamespaceName, NodeName, PodKey, PodUid, PolicyKey, PortRange,
    Protocol, Selector, Sorted,
};

pub use id::{GroupId, InvalidId, NodeId, ProfileId};
pub(crate) use pods::pod_weight;
pub use pods::{NodeHead, POD_CAPACITY, PodSlice};
pub use ports::{NamedPort, NamedPorts};
pub use slice::{POLICY_CAPACITY, PolicySlice, SLICE_CAPACITY, Slice, slices};
pub(crate) use slice::{description, member_weight, weight};
pub(crate) use tree::hash;
pub use tree::{InvalidSliceId, SliceId};
pub(crate) use trie::{Cut, Trie};

/// What is published for one node alone, in one object or [several](Residents::cut).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Residents {
    /// The node.
    pub node: NodeName,
    /// Where its pods' addresses come from. An address in here that no pod in `pods` has is closed.
    pub pod_networks: Vec<IpNet>,
    /// The node's pods by UID, scheduled and not finished, isolated or not.
    pub pods: BTreeMap<PodUid, Arc<Resident>>,
    /// The namespaces of these pods that have policies.
    pub namespaces: BTreeSet<NamespaceName>,
}

/// A pod of a node, with all by which policies select it and speak of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Its place.
    pub key: PodKey,
    /// Its addresses as far as the API knows them; the node may know them earlier.
    pub addresses: Sorted<IpAddr>,
    /// Its labels.
    pub labels: Labels,
    /// The numbers that it declares for names of ports.
    pub ports: NamedPorts,
}

/// A policy whose pod peers are replaced by references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledPolicy {
    /// The pods of its namespace that it isolates.
    pub subject: Selector,
    /// Its rules.
    pub rules: PolicyRules,
}

/// Everything that one node has to enforce, together with the members of the groups that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRules {
    /// The node.
    pub node: NodeName,
    /// Where its pods' addresses come from. An address in here that no pod in `pods` has is closed.
    pub pod_networks: Vec<IpNet>,
    /// The node's pods by UID, scheduled and not finished, isolated or not.
    pub pods: BTreeMap<PodUid, LocalPod>,
    /// The profiles that the pods use.
    pub profiles: BTreeMap<ProfileId, Arc<ProfileRules>>,
    /// The groups that the policies use.
    pub groups: BTreeSet<GroupId>,
}

impl NodeRules {
    /// The policies that the profiles use.
    pub fn policies(&self) -> BTreeMap<&PolicyKey, &Arc<CompiledPolicy>> {
        let profiles = self.profiles.values();
        profiles.flat_map(|profile| profile.policies()).collect()
    }
}

/// A pod of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPod {
    /// Its place, for people.
    pub key: PodKey,
    /// Its addresses as far as the API knows them; the node may know them earlier.
    pub addresses: Sorted<IpAddr>,
    /// The profile that judges connections to it; `None`: not isolated, all are allowed.
    pub ingress: Option<ProfileId>,
    /// The profile that judges connections from it; `None`: not isolated, all are allowed.
    pub egress: Option<ProfileId>,
}

impl LocalPod {
    /// The profile of one direction.
    pub fn profile(&self, direction: Direction) -> Option<&ProfileId> {
        match direction {
            Direction::Ingress => self.ingress.as_ref(),
            Direction::Egress => self.egress.as_ref(),
        }
    }
}

/// The policies that isolate a pod in one direction. Allowed is what any of their rules allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Profile {
    /// The direction.
    pub direction: Direction,
    /// The policies. Never empty.
    pub policies: BTreeSet<PolicyKey>,
    /// The numbers that these pods declare for the port names that the policies' ingress rules use. Pods that
    /// declare others have another profile. A name that is missing here matches nothing. Empty for egress.
    pub named_ports: BTreeMap<NamedPort, BTreeSet<u16>>,
}

/// A profile with the policies that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRules {
    /// The profile.
    pub profile: Profile,
    /// Its policies, in the order of their names. What has not changed is the same memory in the next rules.
    pub policies: Vec<Arc<CompiledPolicy>>,
}

impl ProfileRules {
    /// The policies with their names.
    pub fn policies(&self) -> impl Iterator<Item = (&PolicyKey, &Arc<CompiledPolicy>)> {
        self.profile.policies.iter().zip(&self.policies)
    }

    /// The rules of all policies, in the profile's direction.
    pub fn rules(&self) -> impl Iterator<Item = &CompiledRule> {
        let direction = self.profile.direction;
        let sections = self
            .policies
            .iter()
            .filter_map(move |policy| policy.rules.rules(direction));
        sections.flatten()
    }

    /// Whether both are the same policies in the same memory: then nothing of the profile has changed.
    pub fn is_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&Arc<CompiledPolicy>, &Arc<CompiledPolicy>)| Arc::ptr_eq(one, other);
        self.policies.len() == other.policies.len()
            && self.policies.iter().zip(&other.policies).all(same)
            && self.profile == other.profile
    }
}

/// The rules of one policy, in the directions in which it isolates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRules {
    /// Its ingress rules; `None` where it does not isolate for ingress.
    pub ingress: Option<Vec<CompiledRule>>,
    /// Its egress rules, likewise.
    pub egress: Option<Vec<CompiledRule>>,
    /// What could not be understood of it, for status and explanation.
    pub defects: Vec<Defect>,
}

impl PolicyRules {
    /// The rules of one direction.
    pub fn rules(&self, direction: Direction) -> Option<&[CompiledRule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }

    /// The groups that the rules of both directions refer to.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        self.ingress
            .iter()
            .chain(&self.egress)
            .flatten()
            .flat_map(CompiledRule::groups)
    }
}

/// One rule, its pod peers replaced by references.
///
/// A policy's egress rule that mixes numbers and names gives several of these, because a named port has
/// groups of its own: those of the pods that declare it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompiledRule {
    /// Which rule of the policy's list this comes from, counted from 0.
    pub index: usize,
    /// Whom it allows.
    pub peers: CompiledPeers,
    /// On which ports.
    pub ports: CompiledPorts,
}

impl CompiledRule {
    /// The groups that it refers to.
    pub fn groups(&self) -> impl Iterator<Item = &GroupId> {
        let groups = match &self.peers {
            CompiledPeers::All => None,
            CompiledPeers::AnyOf { groups, .. } => Some(groups),
        };
        groups.into_iter().flatten()
    }
}

/// The peers of a compiled rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CompiledPeers {
    /// Everybody.
    All,
    /// The members of these groups and the addresses of these blocks.
    AnyOf {
        /// Groups of pods.
        groups: Sorted<GroupId>,
        /// Address blocks, each with its own excepts.
        blocks: Sorted<IpBlock>,
    },
}

/// The ports of a compiled rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CompiledPorts {
    /// Everything, protocols without ports included.
    All,
    /// Any of these.
    AnyOf(Sorted<CompiledPort>),
    /// Egress only: the numbers that each member of the rule's groups declares ([`Member::ports`]) in this
    /// protocol. Such a rule has groups and nothing else as peers.
    OfMembers(Protocol),
}

/// One port entry of a compiled rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CompiledPort {
    /// Every port of a protocol.
    Protocol(Protocol),
    /// Some ports of a protocol.
    Range(Protocol, PortRange),
    /// Ingress only: the numbers that the profile gives for this name.
    Named(NamedPort),
}

/// What a group is made of. Equal specs are one group, whichever policies use it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupSpec {
    /// Where the pods are.
    pub scope: Scope,
    /// Which pods.
    pub pods: Selector,
    /// Only pods that declare this port, and then with its numbers.
    pub port: Option<NamedPort>,
    /// Only addresses in this block.
    pub within: Option<IpBlock>,
}

/// The namespaces of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One namespace, by name.
    Namespace(NamespaceName),
    /// All namespaces whose labels match.
    Cluster(Selector),
}

/// The members of a group, by pod UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What it is made of.
    pub spec: GroupSpec,
    /// Its members.
    pub members: BTreeMap<PodUid, Arc<Member>>,
}

/// A pod in a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Its place, for people.
    pub pod: PodKey,
    /// Its addresses that belong to the group. Never empty.
    pub addresses: Sorted<IpAddr>,
    /// The numbers that it declares for the group's port name; empty where the group has none.
    pub ports: Sorted<u16>,
}
