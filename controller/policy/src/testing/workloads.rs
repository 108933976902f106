//! Clusters of the sizes that benches are about, the same ones every time.
//!
//! W1 to W5 are the shapes that are hard for one reason each: many small namespaces, one crowd that everybody names, many equal
//! groups, as many groups as pods, namespaces that name each other. W6 to W8 have many nodes, and [`mixed()`] is what a cluster of
//! people looks like.

mod fleets;
mod mixed;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::builders::{namespace, node, pod, pods, pods_in, policy, rule};
use crate::cluster::{ClusterState, Event};
use crate::model::{Pod, Policy};

pub use fleets::{any_to_any, customers, nodes_of_everything, wide_groups};
pub use mixed::mixed;

/// A cluster to measure with.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// How documents call it.
    pub name: &'static str,
    /// What is in it.
    pub about: &'static str,
    /// Makes its objects.
    pub objects: fn() -> Vec<Event>,
}

impl Workload {
    /// The cluster with all objects.
    pub fn state(&self) -> ClusterState {
        ClusterState::from_events((self.objects)())
    }

    /// The workload of a name, at full size.
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|workload| workload.name == name)
    }
}

/// All workloads at full size.
pub const ALL: [Workload; 10] = [
    Workload {
        name: "mixed",
        about: "100 namespaces × 100 pods × 10 policies of every sort, both families",
        objects: || mixed(100),
    },
    Workload {
        name: "W1",
        about: "25,000 namespaces × 4 pods × 3 policies: deny by default, two apps that talk to themselves",
        objects: || small_namespaces(25_000),
    },
    Workload {
        name: "W2",
        about: "1 namespace, 10,000 pods, 10,000 policies, each selects and names every pod",
        objects: || crowd(10_000),
    },
    Workload {
        name: "W3",
        about: "100 namespaces × 1,000 pods × 101 policies: deny by default, 100 apps that talk to themselves",
        objects: || large_namespaces(100),
    },
    Workload {
        name: "W4",
        about: "1 namespace, 10,000 pods, 10,000 policies, one to one",
        objects: || one_to_one(10_000),
    },
    Workload {
        name: "W5",
        about: "1,000 namespaces × 100 pods × 10 policies whose peers are the pods of 10 namespaces",
        objects: || neighbours(1_000),
    },
    Workload {
        name: "W6",
        about: "1,250 nodes × 200 pods, 10,000 policies of 5 rules",
        objects: || any_to_any(250),
    },
    Workload {
        name: "W7",
        about: "1,000 nodes, 6,000 label sets, 30,000 pods, 30,000 policies of pods, ports and blocks",
        objects: || nodes_of_everything(100),
    },
    Workload {
        name: "W8",
        about: "5,000 nodes, 150,000 pods, 10,000 policies: groups of 10,000, blocks, port ranges and names, IPv6",
        objects: || wide_groups(500),
    },
    Workload {
        name: "customers",
        about: "100,000 namespaces of one pod that is closed to all others",
        objects: || customers(100_000),
    },
];

/// What [`chosen`] gives without `--bench`.
const SMALL: Workload = Workload {
    name: "small",
    about: "10 namespaces × 4 pods × 3 policies",
    objects: || small_namespaces(10),
};

/// The workloads that the arguments of a bench name; all if they name none. Without `--bench` it is a small one: so does
/// `cargo test` run benches, where times say nothing but that they work.
pub fn chosen(arguments: impl IntoIterator<Item = String>) -> Vec<Workload> {
    let (options, names): (Vec<String>, Vec<String>) = arguments
        .into_iter()
        .skip(1)
        .partition(|argument| argument.starts_with('-'));
    if !options.iter().any(|option| option == "--bench") {
        return vec![SMALL];
    }
    let wanted = |workload: &Workload| names.is_empty() || names.iter().any(|name| name == workload.name);
    ALL.into_iter().filter(wanted).collect()
}

/// W1: namespaces of four pods of two apps. All are denied by default, and each app may talk to itself.
pub fn small_namespaces(namespaces: usize) -> Vec<Event> {
    let mut cluster = Cluster::default();
    for number in 0..namespaces {
        let name = format!("tenant-{number}");
        cluster.namespace(&name, &[("tenant", &name)]);
        for nth in 0..4 {
            let app = if nth < 2 { "a" } else { "b" };
            cluster.pod(pod(&format!("{name}/{app}-{nth}")).labelled(&[("app", app)]));
        }
        cluster.policy(
            policy(&format!("{name}/default-deny"))
                .allowing_from([])
                .allowing_to([]),
        );
        for app in ["a", "b"] {
            cluster.policy(talks_to_itself(&name, app));
        }
    }
    cluster.objects
}

/// W2: every policy selects all pods of one namespace and names all of them.
pub fn crowd(size: usize) -> Vec<Event> {
    let mut cluster = Cluster::default();
    cluster.namespace("crowd", &[]);
    for number in 0..size {
        let own = number.to_string();
        cluster.pod(pod(&format!("crowd/pod-{number}")).labelled(&[("crowd", "yes"), ("number", &own)]));
        let all = [("crowd", "yes")];
        let everyone = policy(&format!("crowd/policy-{number}")).selecting(&all);
        cluster.policy(everyone.allowing_from([rule([pods(&all)])]));
    }
    cluster.objects
}

/// W3: namespaces of a hundred apps of ten pods. All are denied by default, and each app may talk to itself.
pub fn large_namespaces(namespaces: usize) -> Vec<Event> {
    let mut cluster = Cluster::default();
    for number in 0..namespaces {
        let name = format!("large-{number}");
        cluster.namespace(&name, &[("large", &name)]);
        cluster.policy(
            policy(&format!("{name}/default-deny"))
                .allowing_from([])
                .allowing_to([]),
        );
        for app in 0..100 {
            let app = format!("app-{app}");
            for nth in 0..10 {
                cluster.pod(pod(&format!("{name}/{app}-{nth}")).labelled(&[("app", &app)]));
            }
            cluster.policy(talks_to_itself(&name, &app));
        }
    }
    cluster.objects
}

/// W4: as many policies as pods; each selects one and names it.
pub fn one_to_one(size: usize) -> Vec<Event> {
    let mut cluster = Cluster::default();
    cluster.namespace("pairs", &[]);
    for number in 0..size {
        let app = format!("app-{number}");
        cluster.pod(pod(&format!("pairs/{app}")).labelled(&[("app", &app)]));
        cluster.policy(talks_to_itself("pairs", &app));
    }
    cluster.objects
}

/// W5: groups of ten namespaces. Each of a namespace's ten policies selects ten of its hundred pods and names the pods of the
/// whole group.
pub fn neighbours(namespaces: usize) -> Vec<Event> {
    let mut cluster = Cluster::default();
    for number in 0..namespaces {
        let name = format!("ns-{number}");
        let group = format!("group-{}", number / 10);
        cluster.namespace(&name, &[("group", &group)]);
        for app in 0..10 {
            let app = format!("app-{app}");
            for nth in 0..10 {
                cluster.pod(pod(&format!("{name}/{app}-{nth}")).labelled(&[("app", &app)]));
            }
            let peers = || rule([pods_in(&[("group", &group)], &[])]);
            let open = policy(&format!("{name}/{app}")).selecting(&[("app", &app)]);
            cluster.policy(open.allowing_from([peers()]).allowing_to([peers()]));
        }
    }
    cluster.objects
}

fn talks_to_itself(namespace: &str, app: &str) -> Policy {
    let own = [("app", app)];
    policy(&format!("{namespace}/{app}"))
        .selecting(&own)
        .allowing_from([rule([pods(&own)])])
        .allowing_to([rule([pods(&own)])])
}

/// A cluster while it is made: gives pods identities, addresses and nodes.
struct Cluster {
    objects: Vec<Event>,
    pods: u32,
    placement: Placement,
}

/// Which node a pod is on.
#[derive(Clone, Copy)]
enum Placement {
    /// So many on a node, one node after the other.
    Packed(u32),
    /// In turn on one of so many nodes, as a scheduler would spread the pods of one namespace.
    Spread(u32),
}

impl Default for Cluster {
    fn default() -> Self {
        Self::on(Placement::Packed(100))
    }
}

impl Cluster {
    fn on(placement: Placement) -> Self {
        Self {
            objects: Vec::new(),
            pods: 0,
            placement,
        }
    }

    fn namespace(&mut self, name: &str, labels: &[(&str, &str)]) {
        self.objects
            .push(Event::NamespaceApplied(namespace(name, labels)));
    }

    fn policy(&mut self, policy: Policy) {
        self.objects.push(Event::PolicyApplied(policy));
    }

    fn pod(&mut self, mut pod: Pod) {
        let number = self.pods;
        let (on, is_first) = match self.placement {
            Placement::Packed(slots) => (number / slots, number.is_multiple_of(slots)),
            Placement::Spread(nodes) => (number % nodes, number < nodes),
        };
        let name = format!("node-{on}");
        if is_first {
            let address = Ipv4Addr::from(0xac10_0001 + on);
            self.objects
                .push(Event::NodeApplied(node(&name, &[&address.to_string()])));
        }
        pod.uid = format!("{number:08x}-0000-4000-8000-000000000000").into();
        pod.addresses
            .push(IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + number)));
        self.objects.push(Event::PodApplied(pod.on(name.as_str())));
        self.pods += 1;
    }

    fn pod_of_both_families(&mut self, mut pod: Pod) {
        let address = Ipv6Addr::from(0xfd00 << 112 | u128::from(self.pods + 1));
        pod.addresses.push(IpAddr::V6(address));
        self.pod(pod);
    }
}

/// Numbers that look random and are the same every time (`SplitMix64`).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall as the seed says.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One of some things, of which there is at least one.
    pub fn pick<T: Copy + Default>(&mut self, things: &[T]) -> T {
        things.get(self.below(things.len())).copied().unwrap_or_default()
    }

    /// A number below a limit that is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = limit as u64;
        usize::try_from(self.next() % limit).unwrap_or_default()
    }
}
