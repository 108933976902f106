//! Faults in a live table: each is found, with a packet that shows it.
//!
//! The enforcer's own program has written the tables, and is gone when somebody edits them: nobody puts them right.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;

use palisade_audit::kernel::{Finding, Judged, Kernel, LostPackets, NodeReport, NodeTables, Verifier, text};
use palisade_enforcer::nft::model::{Ruleset, TableKey};
use palisade_enforcer::nft::{Kernel as _, Nlink};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{self, NodeName, PodKey, PodUid, Protocol, Transport};
use palisade_policy::testing::builders::{
    any_port, block, labels, named_port, namespace, pod, pods, pods_in, policy, port, ports, rule,
};
use palisade_tests::bed::{BedSpec, Slot, Topology};
use palisade_tests::probe::Probe;
use palisade_tests::stage::{Stage, program};

use super::loaded::{chain, entry, inet, named, set, written};

/// The pods of the first node by name, and one of the second.
const PODS: [(&str, usize, usize); 4] = [
    ("shop/web", 0, 0),
    ("shop/front", 0, 1),
    ("bank/teller", 0, 2),
    ("shop/far", 1, 0),
];

/// A stage of two nodes with pods and policies of every form, of which the first node is looked at.
struct Live {
    stage: Stage,
    state: ClusterState,
    slots: BTreeMap<&'static str, Slot>,
}

impl Live {
    async fn start(topology: Topology) -> Self {
        let spec = BedSpec {
            topology,
            nodes: 2,
            slots_per_node: 3,
        };
        let mut stage = Stage::start(spec, [80]).await.unwrap();
        let mut cluster = ClusterState::default();
        for node in stage.bed().nodes() {
            cluster.apply(Event::NodeApplied(node.described()));
        }
        for name in ["shop", "bank"] {
            cluster.apply(Event::NamespaceApplied(namespace(name, &[("name", name)])));
        }
        let mut slots = BTreeMap::new();
        let mut occupied = Vec::new();
        for (key, node, index) in PODS {
            let node = &stage.bed().nodes()[node];
            let slot = node.slots()[index].clone();
            let name = key.rsplit('/').next().unwrap();
            let mut pod = pod(key).on(node.name()).declaring("http", Protocol::Tcp, 80);
            pod.uid = PodUid::from(key);
            pod.labels = labels(&[("app", name)]);
            pod.addresses = slot.addresses().to_vec();
            cluster.apply(Event::PodApplied(pod));
            occupied.push((slot.clone(), PodKey::parse(key).unwrap(), PodUid::from(key)));
            slots.insert(key, slot);
        }
        for policy in policies() {
            cluster.apply(Event::PolicyApplied(policy));
        }
        stage.occupy(occupied).unwrap();
        stage.enact(&cluster).await.unwrap();
        let mut live = Self {
            stage,
            state: cluster,
            slots,
        };
        live.leave_alone().await;
        live
    }

    fn name(&self) -> NodeName {
        self.stage.bed().nodes()[0].name().into()
    }

    /// Kills the enforcer: what is edited from now on stays.
    async fn leave_alone(&mut self) {
        self.stage.node(0).unwrap().1.kill().await.unwrap();
    }

    /// Has an enforcer put everything right.
    async fn repair(&mut self) {
        let (node, enforcer) = self.stage.node(0).unwrap();
        enforcer.restart(node).unwrap();
        self.stage.enact(&self.state).await.unwrap();
        self.leave_alone().await;
        let report = self.report().await;
        assert!(report.agrees(), "after a repair: {}", text(&[report]));
    }

    async fn report(&self) -> NodeReport {
        let node = &self.stage.bed().nodes()[0];
        let mut command = Command::new(program().unwrap());
        command
            .args(["tables", "--node", node.name(), "--cni-results"])
            .arg(node.cni_results());
        let document = node.run(command, "").await.unwrap();
        self.compare(&document)
    }

    fn compare(&self, document: &str) -> NodeReport {
        let tables = NodeTables::parse(document.as_bytes()).unwrap();
        Verifier::new(&self.state).verify(&self.name(), &tables)
    }

    async fn ruleset(&self) -> Ruleset {
        let kernel = Nlink::open_in(self.stage.bed().nodes()[0].netns()).unwrap();
        kernel.read().await.unwrap().ruleset
    }

    fn address(&self, pod: &str) -> IpAddr {
        self.slots[pod]
            .addresses()
            .into_iter()
            .find(IpAddr::is_ipv4)
            .unwrap()
    }

    /// Edits the tables, and finds what the edit changed.
    async fn after(&self, edit: &str) -> NodeReport {
        self.stage.bed().nodes()[0]
            .nft(edit)
            .await
            .unwrap_or_else(|error| panic!("{edit}: {error:#}"));
        let report = self.report().await;
        assert!(!report.agrees(), "nothing is found after: {edit}");
        report
    }

    /// What real packets say of differences between slots on the port that everybody listens on.
    async fn probe(&self, report: &NodeReport, edit: &str) -> usize {
        let mut probes = Vec::new();
        let mut expected = Vec::new();
        for finding in &report.findings {
            let Finding::Difference(difference) = finding else {
                continue;
            };
            let witness = &difference.witness;
            let slot = |address: IpAddr| {
                self.slots
                    .values()
                    .find(|slot| slot.addresses().contains(&address))
            };
            let (Some(from), Some(to)) = (slot(witness.source), slot(witness.destination)) else {
                continue;
            };
            // What a pod sends to itself does not leave it: only a Service brings such a packet to the node.
            if from.name() == to.name() {
                continue;
            }
            let transport = Transport::Port(Protocol::Tcp, 80);
            if !difference.carried.contains(transport.into()) {
                continue;
            }
            probes.push(Probe {
                from: from.host().endpoint(),
                to: witness.destination,
                transport,
            });
            expected.push(match difference.kernel {
                Kernel::Allows => model::Verdict::Allow,
                Kernel::Denies => model::Verdict::Deny,
                Kernel::Unknown => continue,
            });
        }
        let observed = self.stage.prober().observe(&probes, &expected).await.unwrap();
        for ((probe, expected), observed) in probes.iter().zip(expected).zip(observed) {
            let passed = expected == model::Verdict::Allow;
            assert_eq!(
                observed.passed(),
                passed,
                "{probe:?} after {edit}\n{}",
                text(std::slice::from_ref(report))
            );
        }
        probes.len()
    }
}

fn policies() -> Vec<model::Policy> {
    vec![
        policy("shop/web").selecting(&[("app", "web")]).allowing_from([
            rule([pods(&[("app", "front")])])
                .on_ports([port(Protocol::Tcp, 80), ports(Protocol::Udp, 1000, 2000)]),
            rule([pods(&[("app", "far")])]).on_ports([named_port(Protocol::Tcp, "http")]),
            rule([
                block("192.0.2.0/24", &["192.0.2.128/25"]),
                block("2001:db8::/32", &["2001:db8:1::/48"]),
            ]),
            rule([block("198.51.100.0/24", &[])])
                .on_ports([ports(Protocol::Tcp, 80, 90), any_port(Protocol::Sctp)]),
        ]),
        policy("shop/front").selecting(&[("app", "front")]).allowing_to([
            rule([pods(&[("app", "web")])]),
            rule([pods_in(&[("name", "bank")], &[])]).on_ports([port(Protocol::Tcp, 443)]),
            rule([block("203.0.113.0/24", &["203.0.113.7/32"])]),
        ]),
        policy("bank/teller").allowing_from([rule([pods_in(&[("name", "shop")], &[("app", "far")])])]),
    ]
}

/// A differing packet from one end to another.
fn shows(report: &NodeReport, kernel: Kernel, from: IpAddr, to: IpAddr, policy: &str) -> bool {
    report.findings.iter().any(|finding| match finding {
        Finding::Difference(difference) => {
            let witness = &difference.witness;
            let rules = !difference.steps.is_empty();
            let policies = difference.policies.iter().any(|key| key.to_string() == policy);
            difference.kernel == kernel
                && (witness.source, witness.destination) == (from, to)
                && rules
                && policies
        }
        _ => false,
    })
}

#[expect(
    clippy::too_many_lines,
    reason = "one fault after another, each in a few lines"
)]
async fn each_fault_is_found(topology: Topology) {
    let mut live = Live::start(topology).await;
    let report = live.report().await;
    assert!(report.agrees(), "{}", text(&[report]));
    let ruleset = live.ruleset().await;
    let table = inet(&ruleset);
    let [web, front, teller, far] = PODS.map(|(key, ..)| live.address(key));
    let outside: IpAddr = "198.51.100.7".parse().unwrap();
    let mut probed = 0;

    // An element of a set.
    let (name, peers) = set(table, "ingress_web", "_ports4");
    let key = &peers.key;
    let allowed = peers
        .elements
        .iter()
        .find(|element| written(element, key).starts_with(&front.to_string()))
        .unwrap();
    let allowed = written(allowed, key);
    let edit = format!("delete element inet palisade {name} {{ {allowed} }}");
    let report = live.after(&edit).await;
    assert!(
        shows(&report, Kernel::Denies, front, web, "shop/web"),
        "{}",
        text(&[report])
    );
    probed += live.probe(&report, &edit).await;

    // The port of an element.
    let other = allowed.replace("80", "81");
    let edit = format!("add element inet palisade {name} {{ {other} }}");
    let report = live.after(&edit).await;
    assert!(
        shows(&report, Kernel::Denies, front, web, "shop/web"),
        "{}",
        text(&[report])
    );
    assert!(
        shows(&report, Kernel::Allows, front, web, "shop/web"),
        "{}",
        text(&[report])
    );
    live.repair().await;

    // A rule.
    let web_chain = chain(table, "ingress_web");
    let edit = format!("flush chain inet palisade {web_chain}");
    let report = live.after(&edit).await;
    assert!(
        shows(&report, Kernel::Allows, teller, web, "shop/web"),
        "{}",
        text(&[report])
    );
    probed += live.probe(&report, &edit).await;
    live.repair().await;

    // An accept before all others.
    let edit = "insert rule inet palisade forwarded accept";
    let report = live.after(edit).await;
    assert!(
        shows(&report, Kernel::Allows, teller, web, "shop/web"),
        "{}",
        text(&[report])
    );
    assert!(
        shows(&report, Kernel::Allows, front, outside, "shop/front"),
        "{}",
        text(&[report])
    );
    probed += live.probe(&report, edit).await;
    live.repair().await;

    // Where a pod's packets are led to.
    let ingress = named(table, "ingress4");
    let (_, to_web, verdict_web) = entry(ingress, web);
    let edit = format!("delete element inet palisade ingress4 {{ {to_web} }}");
    let report = live.after(&edit).await;
    // On one segment the address could be another node's pod's: nobody asks for it any more.
    let found = match topology {
        Topology::Routed | Topology::Bridge => shows(&report, Kernel::Denies, front, web, "shop/web"),
        Topology::Segment => shows(&report, Kernel::Allows, teller, web, "shop/web"),
    };
    assert!(found, "{}", text(&[report]));
    probed += live.probe(&report, &edit).await;
    live.repair().await;

    // Two pods' verdicts, one for the other.
    let (_, to_teller, verdict_teller) = entry(ingress, teller);
    let edit = format!(
        "delete element inet palisade ingress4 {{ {to_web}, {to_teller} }}
         add element inet palisade ingress4 {{ {to_web} : {verdict_teller}, {to_teller} : {verdict_web} }}"
    );
    let report = live.after(&edit).await;
    assert!(
        shows(&report, Kernel::Denies, front, web, "shop/web"),
        "{}",
        text(&[report])
    );
    assert!(
        shows(&report, Kernel::Denies, far, teller, "bank/teller"),
        "{}",
        text(&[report])
    );
    probed += live.probe(&report, &edit).await;
    live.repair().await;

    // Two pods' interfaces, one for the other: on a bridge all have the same.
    if topology == Topology::Routed {
        let swapped = |one: &str, other: &str| {
            let (interface, _) = one.split_once(" . ").unwrap();
            let (_, address) = other.split_once(" . ").unwrap();
            format!("{interface} . {address}")
        };
        let (a, b) = (swapped(&to_web, &to_teller), swapped(&to_teller, &to_web));
        let edit = format!(
            "delete element inet palisade ingress4 {{ {to_web}, {to_teller} }}
             add element inet palisade ingress4 {{ {a} : {verdict_teller}, {b} : {verdict_web} }}"
        );
        let report = live.after(&edit).await;
        assert!(
            shows(&report, Kernel::Denies, front, web, "shop/web"),
            "{}",
            text(&[report])
        );
        let stale =
            |finding: &&Finding| matches!(finding, Finding::Stale(stale) if stale.why.contains("is behind"));
        assert_eq!(
            report.findings.iter().filter(stale).count(),
            2,
            "{}",
            text(&[report])
        );
        probed += live.probe(&report, &edit).await;
        live.repair().await;
    }

    // A pod that is gone.
    let gone: IpAddr = "10.99.0.1".parse().unwrap();
    let report = live
        .after(&format!(
            "add element inet palisade ingress4 {{ \"veth-gone\" . {gone} : accept }}"
        ))
        .await;
    let is_gone = |finding: &Finding| match finding {
        Finding::Stale(stale) => {
            let met = stale
                .witness
                .as_ref()
                .is_some_and(|(witness, _)| witness.destination == gone);
            stale.object == "ingress4" && met && stale.why.contains("no pod has")
        }
        _ => false,
    };
    assert!(report.findings.iter().any(is_gone), "{}", text(&[report]));
    live.repair().await;

    // A block that is wider than its policy says.
    let (blocks, _) = set(table, "ingress_web", "_blocks4");
    let edit =
        format!("flush set inet palisade {blocks}; add element inet palisade {blocks} {{ 192.0.2.0/24 }}");
    let report = live.after(&edit).await;
    let excepted = |finding: &Finding| match finding {
        Finding::Difference(difference) => {
            let held = difference.others.addresses.stretches();
            let wanted = [(0xc000_0280_u128, 0xc000_02ff_u128)];
            difference.kernel == Kernel::Allows && held == wanted && difference.witness.destination == web
        }
        _ => false,
    };
    assert!(report.findings.iter().any(excepted), "{}", text(&[report]));
    live.repair().await;

    // What a pod may send as its own.
    let netdev = &ruleset.tables[&TableKey::Netdev];
    let check = netdev
        .chains
        .keys()
        .find(|name| name.as_str().starts_with("from_"))
        .unwrap();
    let edit = format!("flush chain netdev palisade {check}; delete chain netdev palisade {check}");
    let report = live.after(&edit).await;
    let forged = |finding: &Finding| match finding {
        Finding::Source(source) => source.kernel == Kernel::Allows && !source.arp && source.witness.is_ipv4(),
        _ => false,
    };
    assert!(report.findings.iter().any(forged), "{}", text(&[report]));
    live.repair().await;

    // What follows the first packet of a connection, and what comes back.
    let report = live
        .after("insert rule inet palisade forwarded ct state established,related drop")
        .await;
    for lost in [LostPackets::Replies, LostPackets::Later] {
        let is_lost = |finding: &Finding| match finding {
            Finding::Lost(found) => {
                let ends = (found.witness.source, found.witness.destination);
                found.packets == lost && found.kernel == Kernel::Denies && ends == (front, web)
            }
            _ => false,
        };
        assert!(report.findings.iter().any(is_lost), "{}", text(&[report]));
    }
    live.repair().await;

    // An interface that is no pod's: it may be the one that leads out.
    let report = live
        .after("insert rule inet palisade forwarded iifname \"uplink9\" drop")
        .await;
    let closed = |finding: &Finding| match finding {
        Finding::Difference(found) => found.kernel == Kernel::Denies && found.judged == Judged::Ingress,
        _ => false,
    };
    assert!(report.findings.iter().any(closed), "{}", text(&[report]));
    live.repair().await;

    // A rule that nobody of us writes: of its chain nothing can be said.
    let report = live
        .after("insert rule inet palisade forwarded meta mark 7 accept")
        .await;
    let unknown =
        |finding: &Finding| matches!(finding, Finding::Difference(found) if found.kernel == Kernel::Unknown);
    assert!(report.findings.iter().any(unknown), "{}", text(&[report]));
    live.repair().await;

    let report = live.report().await;
    assert!(report.agrees(), "{}", text(&[report]));
    assert!(probed >= 5, "{probed} differences were asked with packets");
    live.stage.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_found_where_pods_are_routed() {
    each_fault_is_found(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_found_where_pods_are_bridged() {
    each_fault_is_found(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_is_found_on_one_segment() {
    each_fault_is_found(Topology::Segment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nft_lists_is_taken_as_well() {
    let live = Live::start(Topology::Routed).await;
    let node = &live.stage.bed().nodes()[0];
    let mut command = Command::new("nft");
    command.args(["-j", "-a", "list", "ruleset"]);
    let report = live.compare(&node.run(command, "").await.unwrap());
    assert!(report.agrees(), "{}", text(&[report]));
    assert!(
        report.notes.iter().any(|note| note.contains("they are believed")),
        "{:?}",
        report.notes
    );
    live.stage.stop().await.unwrap();
}
