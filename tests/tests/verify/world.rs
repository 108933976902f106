//! Random clusters, planned: for each node the ruleset that the enforcer would load, and the document that it would hand out.

use std::collections::{BTreeMap, BTreeSet};

use palisade_audit::kernel::NodeTables;
use palisade_enforcer::facts::{Bridge, Observed};
use palisade_enforcer::nft::Loaded;
use palisade_enforcer::nft::model::{Interface, Ruleset};
use palisade_enforcer::plan::{Facts, Place, Settings, plan};
use palisade_enforcer::tables::Tables;
use palisade_policy::cluster::ClusterState;
use palisade_policy::compile::compile;
use palisade_policy::model::{NodeName, Pod};

/// How pods are attached to their node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attachment {
    Routed,
    Bridged,
    /// A bridge that other nodes' pods are on as well.
    Shared,
}

pub(crate) const ATTACHMENTS: [Attachment; 3] = [Attachment::Routed, Attachment::Bridged, Attachment::Shared];

pub(crate) fn interface(name: &str) -> Interface {
    Interface::new(name).unwrap()
}

/// A node of a cluster.
pub(crate) struct Node {
    pub(crate) ruleset: Ruleset,
    pub(crate) observed: Observed,
}

impl Node {
    /// The document that the node hands out.
    pub(crate) fn document(&self, name: &NodeName) -> NodeTables {
        parse(name, &self.ruleset, &self.observed)
    }
}

/// The document of a node with another ruleset.
pub(crate) fn parse(name: &NodeName, ruleset: &Ruleset, observed: &Observed) -> NodeTables {
    let loaded = Loaded {
        ruleset: ruleset.clone(),
        ..Loaded::default()
    };
    let document = Tables::new(name, &loaded, observed).unwrap();
    NodeTables::parse(&serde_json::to_vec(&document).unwrap()).unwrap()
}

/// The interface behind which a node has one of its pods.
pub(crate) fn veth(pod: &Pod) -> Interface {
    let tail = pod.uid.as_str().rsplit(['-', '/']).next().unwrap();
    interface(&format!("veth{tail}"))
}

/// Plans all nodes of a cluster.
pub(crate) fn nodes(state: &ClusterState, attachment: Attachment) -> BTreeMap<NodeName, Node> {
    let published = compile(state);
    let slices = published.slices();
    let bridge = (attachment != Attachment::Routed).then(|| interface("bridge0"));
    let uplinks: BTreeSet<Interface> = match attachment {
        Attachment::Routed | Attachment::Bridged => BTreeSet::new(),
        Attachment::Shared => [interface("vxlan0")].into(),
    };
    let mut nodes = BTreeMap::new();
    for name in published.nodes.keys() {
        let rules = published.rules(name).unwrap();
        let places = rules.pods.iter().map(|(uid, local)| {
            let place = Place {
                interface: veth(&state.pods()[uid]),
                index: 1,
                bridge: bridge.clone(),
                addresses: local.addresses.iter().copied().collect(),
            };
            (uid.clone(), place)
        });
        let facts = Facts {
            places: places.collect(),
            uplinks: bridge
                .iter()
                .map(|bridge| (bridge.clone(), uplinks.clone()))
                .collect(),
        };
        let plan = plan(&rules, &slices, &facts, &Settings::default()).unwrap();
        let own = state
            .nodes()
            .get(name)
            .map(|node| node.addresses.clone())
            .unwrap_or_default();
        let bridges = bridge.iter().map(|name| {
            let bridge = Bridge {
                index: 2,
                filtered: true,
                has_pods: true,
                addresses: BTreeSet::new(),
                uplinks: uplinks.clone(),
            };
            (name.clone(), bridge)
        });
        let observed = Observed {
            places: facts.places,
            addresses: own.into_iter().collect(),
            bridges: bridges.collect(),
            ..Observed::default()
        };
        let ruleset = plan.ruleset;
        nodes.insert(name.clone(), Node { ruleset, observed });
    }
    nodes
}
