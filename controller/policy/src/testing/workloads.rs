//! Clusters of the sizes that benches are about, the same ones every time.
//!
//! W1 to W5 are the shapes that are hard for one reason each: many small namespaces, one crowd that everybody names, many equal
//! groups, as many groups as pods, namespaces that name each other. [`mixed`] is what a cluster of people looks like.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::builders::{
    any_port, block, everybody, named_port, namespace, node, pod, pods, pods_in, policy, port, ports, rule,
};
use crate::cluster::{ClusterState, Event};
use crate::model::{NamespaceScope, Pod, Selector};
use crate::model::{Operator, Peer, PodPeer, Policy, Protocol, Requirement, Rule};

/// A cluster to measure with.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// How documents call it.
    pub name: &'static str,
    /// What is in it.
    pub about: &'static str,
    /// Makes it.
    pub state: fn() -> ClusterState,
}

/// All workloads at full size.
pub const ALL: [Workload; 6] = [
    Workload {
        name: "mixed",
        about: "100 namespaces × 100 pods × 10 policies of every sort, both families",
        state: || mixed(100),
    },
    Workload {
        name: "W1",
        about: "25,000 namespaces × 4 pods × 3 policies: deny by default, two apps that talk to themselves",
        state: || small_namespaces(25_000),
    },
    Workload {
        name: "W2",
        about: "1 namespace, 10,000 pods, 10,000 policies, each selects and names every pod",
        state: || crowd(10_000),
    },
    Workload {
        name: "W3",
        about: "100 namespaces × 1,000 pods × 101 policies: deny by default, 100 apps that talk to themselves",
        state: || large_namespaces(100),
    },
    Workload {
        name: "W4",
        about: "1 namespace, 10,000 pods, 10,000 policies, one to one",
        state: || one_to_one(10_000),
    },
    Workload {
        name: "W5",
        about: "1,000 namespaces × 100 pods × 10 policies whose peers are the pods of 10 namespaces",
        state: || neighbours(1_000),
    },
];

/// What [`chosen`] gives without `--bench`.
const SMALL: Workload = Workload {
    name: "small",
    about: "10 namespaces × 4 pods × 3 policies",
    state: || small_namespaces(10),
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
pub fn small_namespaces(namespaces: usize) -> ClusterState {
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
    cluster.state
}

/// W2: every policy selects all pods of one namespace and names all of them.
pub fn crowd(size: usize) -> ClusterState {
    let mut cluster = Cluster::default();
    cluster.namespace("crowd", &[]);
    for number in 0..size {
        let own = number.to_string();
        cluster.pod(pod(&format!("crowd/pod-{number}")).labelled(&[("crowd", "yes"), ("number", &own)]));
        let all = [("crowd", "yes")];
        let everyone = policy(&format!("crowd/policy-{number}")).selecting(&all);
        cluster.policy(everyone.allowing_from([rule([pods(&all)])]));
    }
    cluster.state
}

/// W3: namespaces of a hundred apps of ten pods. All are denied by default, and each app may talk to itself.
pub fn large_namespaces(namespaces: usize) -> ClusterState {
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
    cluster.state
}

/// W4: as many policies as pods; each selects one and names it.
pub fn one_to_one(size: usize) -> ClusterState {
    let mut cluster = Cluster::default();
    cluster.namespace("pairs", &[]);
    for number in 0..size {
        let app = format!("app-{number}");
        cluster.pod(pod(&format!("pairs/{app}")).labelled(&[("app", &app)]));
        cluster.policy(talks_to_itself("pairs", &app));
    }
    cluster.state
}

/// W5: groups of ten namespaces. Each of a namespace's ten policies selects ten of its hundred pods and names the pods of the
/// whole group.
pub fn neighbours(namespaces: usize) -> ClusterState {
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
    cluster.state
}

fn talks_to_itself(namespace: &str, app: &str) -> Policy {
    let own = [("app", app)];
    policy(&format!("{namespace}/{app}"))
        .selecting(&own)
        .allowing_from([rule([pods(&own)])])
        .allowing_to([rule([pods(&own)])])
}

/// What people run: a hundred pods of ten apps in each namespace, in both families, and ten policies of the sorts that people
/// write: deny by default, DNS, front ends that an ingress controller reaches, databases, metrics by port name, the internet
/// without the cluster, offices, teams across namespaces, port ranges, and selectors with every operator.
pub fn mixed(namespaces: usize) -> ClusterState {
    const APPS: [&str; 10] = [
        "front", "cart", "db", "cache", "queue", "worker", "search", "mail", "auth", "admin",
    ];
    let mut cluster = Cluster::default();
    let mut dice = Dice(1);
    for (name, app) in [
        ("kube-system", "dns"),
        ("ingress", "proxy"),
        ("monitoring", "scraper"),
    ] {
        cluster.namespace(name, &[("role", name)]);
        for nth in 0..10 {
            let labelled = pod(&format!("{name}/{app}-{nth}")).labelled(&[("app", app)]);
            cluster.pod_of_both_families(labelled.declaring("dns", Protocol::Udp, 53));
        }
    }
    for number in 0..namespaces {
        let name = format!("team-{number}");
        let team = format!("group-{}", number % 20);
        let stage = dice.pick(&["production", "staging", "test"]);
        cluster.namespace(&name, &[("team", &team), ("stage", stage)]);
        for app in APPS {
            let http = dice.pick(&[80, 8080, 8443]);
            for nth in 0..10 {
                let hash = format!("{:08x}", dice.next() >> 32);
                let pod = pod(&format!("{name}/{app}-{nth}"))
                    .labelled(&[("app", app), ("pod-template-hash", &hash), ("stage", stage)])
                    .declaring("http", Protocol::Tcp, http)
                    .declaring("metrics", Protocol::Tcp, 9090);
                cluster.pod_of_both_families(pod);
            }
        }
        for (nth, policy) in policies_of(&name, &team, &APPS, &mut dice)
            .into_iter()
            .enumerate()
        {
            let mut policy = policy;
            policy.key.name = format!("{:02}-{}", nth, policy.key.name).into();
            cluster.policy(policy);
        }
    }
    cluster.state
}

/// The ten policies of a namespace of [`mixed`].
fn policies_of(name: &str, team: &str, apps: &[&str], dice: &mut Dice) -> Vec<Policy> {
    let key = |policy: &str| format!("{name}/{policy}");
    let mut some_app = || [("app", dice.pick(apps))];
    let (client, server, worker) = (some_app(), some_app(), some_app());
    let tcp = |number| port(Protocol::Tcp, number);
    let office = format!("203.0.113.{}/28", dice.below(16) * 16);
    let partner = format!("2001:db8:{:x}::/48", dice.below(16));
    let high = 30_000 + u16::try_from(dice.below(2_000)).unwrap_or_default();
    let old = Requirement {
        key: "stage".into(),
        operator: Operator::NotIn(["test".into()].into()),
    };
    let hashed = Requirement {
        key: "pod-template-hash".into(),
        operator: Operator::Exists,
    };
    let released = Peer::Pods(PodPeer {
        namespaces: NamespaceScope::Matching([old].into_iter().collect()),
        pods: [hashed].into_iter().collect::<Selector>(),
    });
    vec![
        policy(&key("deny")).allowing_from([]).allowing_to([]),
        policy(&key("dns")).allowing_to([rule([pods_in(&[("role", "kube-system")], &[("app", "dns")])])
            .on_ports([named_port(Protocol::Udp, "dns"), port(Protocol::Tcp, 53)])]),
        policy(&key("front"))
            .selecting(&[("app", "front")])
            .allowing_from([
                rule([pods_in(&[("role", "ingress")], &[])]).on_ports([named_port(Protocol::Tcp, "http")])
            ]),
        policy(&key("db"))
            .selecting(&[("app", "db")])
            .allowing_from([rule([pods(&client), pods(&server)]).on_ports([tcp(5432)])]),
        policy(&key("metrics"))
            .allowing_from([rule([pods_in(&[("role", "monitoring")], &[])])
                .on_ports([named_port(Protocol::Tcp, "metrics")])]),
        policy(&key("internet")).selecting(&worker).allowing_to([rule([
            block("0.0.0.0/0", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]),
            block("2000::/3", &[]),
        ])
        .on_ports([tcp(443), any_port(Protocol::Sctp)])]),
        policy(&key("office")).selecting(&server).allowing_from([rule([
            block(&office, &[]),
            block(&partner, &[]),
        ])
        .on_ports([tcp(443)])]),
        policy(&key("team"))
            .selecting(&client)
            .allowing_from([rule([pods_in(&[("team", team)], &[("app", "front")])]).on_ports([tcp(8080)])])
            .allowing_to([rule([pods_in(&[("team", team)], &[]), pods(&server)])]),
        policy(&key("range")).selecting(&worker).allowing_from([
            rule([pods(&client)]).on_ports([ports(Protocol::Tcp, high, high + 500)]),
            rule([released]).on_ports([port(Protocol::Udp, 4_789)]),
        ]),
        policy(&key("open"))
            .selecting(&[("app", "admin")])
            .allowing_to([open_to(dice)]),
    ]
}

/// Once in a while somebody allows everything.
fn open_to(dice: &mut Dice) -> Rule {
    match dice.below(4) {
        0 => everybody(),
        _ => everybody().on_ports([port(Protocol::Tcp, 443)]),
    }
}

/// A cluster while it is made: gives pods addresses and nodes.
#[derive(Default)]
struct Cluster {
    state: ClusterState,
    pods: u32,
}

impl Cluster {
    /// How many pods a node has.
    const POD_SLOTS: u32 = 100;

    fn namespace(&mut self, name: &str, labels: &[(&str, &str)]) {
        self.state.apply(Event::NamespaceApplied(namespace(name, labels)));
    }

    fn policy(&mut self, policy: Policy) {
        self.state.apply(Event::PolicyApplied(policy));
    }

    fn pod(&mut self, mut pod: Pod) {
        let (number, on) = (self.pods, self.pods / Self::POD_SLOTS);
        let name = format!("node-{on}");
        if number % Self::POD_SLOTS == 0 {
            let address = Ipv4Addr::from(0xac10_0001 + on);
            self.state
                .apply(Event::NodeApplied(node(&name, &[&address.to_string()])));
        }
        pod.addresses
            .push(IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + number)));
        self.state.apply(Event::PodApplied(pod.on(name.as_str())));
        self.pods += 1;
    }

    fn pod_of_both_families(&mut self, mut pod: Pod) {
        let address = Ipv6Addr::from(0xfd00 << 112 | u128::from(self.pods + 1));
        pod.addresses.push(IpAddr::V6(address));
        self.pod(pod);
    }
}

/// Numbers that look random and are the same every time (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One of some things, of which there is at least one.
    fn pick<T: Copy + Default>(&mut self, things: &[T]) -> T {
        things.get(self.below(things.len())).copied().unwrap_or_default()
    }

    /// A number below a limit that is not 0.
    fn below(&mut self, limit: usize) -> usize {
        let limit = limit as u64;
        usize::try_from(self.next() % limit).unwrap_or_default()
    }
}
