//! A stage with pods on it, the state that they are in, and everybody asking everybody.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nlink::netlink::{Connection, Nftables};
use palisade_enforcer::nft::{Kernel, Loaded, Nlink};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::evaluate::evaluate;
use palisade_policy::model::{NodeName, Packet, Pod, PodKey, PodUid, Policy, PolicyKey, Verdict};
use palisade_policy::testing::builders::{labels, namespace, pod, pods, policy, rule};
use palisade_tests::bed::{BedSpec, ManagedChild, NodeBed, Slot, Topology};
use palisade_tests::probe::{Listen, Observation, Probe};
use palisade_tests::stage::{Stage, program};
use serde_json::{Value, json};

use super::ends::{End, transports};
use super::{PATIENCE, PORT};

/// A stage, its pods and its state.
pub(crate) struct Town {
    /// Enforcers that were started apart from the stage's. They go first, for they write into the bed's directory.
    enforcers: Vec<ManagedChild>,
    pub(crate) stage: Stage,
    pub(crate) state: ClusterState,
    /// Everybody, by name: pods by their key, `node1`, `client1`.
    ends: BTreeMap<String, End>,
}

impl Town {
    /// A town without pods. Its nodes are known to the state, and the namespaces `shop` and `bank`.
    pub(crate) async fn start(topology: Topology, nodes: usize, slots_per_node: usize) -> Self {
        let stage = Stage::start(
            BedSpec {
                topology,
                nodes,
                slots_per_node,
            },
            [PORT],
        )
        .await
        .unwrap();
        let mut known = ClusterState::default();
        let mut ends = BTreeMap::new();
        for node in stage.bed().nodes() {
            known.apply(Event::NodeApplied(node.described()));
            let addresses = [node.addresses()[0], node.addresses()[1]];
            ends.insert(
                node.name().to_owned(),
                End {
                    host: node.host(),
                    addresses,
                    chooses: false,
                },
            );
        }
        for name in ["shop", "bank"] {
            known.apply(Event::NamespaceApplied(namespace(name, &[])));
        }
        if let Some(client) = stage.bed().clients().first() {
            let host = client.host();
            let end = End {
                addresses: client.addresses(),
                chooses: true,
                host,
            };
            ends.insert(end.host.name().to_owned(), end);
        }
        Self {
            stage,
            state: known,
            ends,
            enforcers: Vec::new(),
        }
    }

    /// A town in which the pods of [`Town::settle_shop`] live by the policies of [`shop_policies`], enforced.
    pub(crate) async fn shop(topology: Topology) -> Self {
        let mut town = Self::start(topology, 2, 4).await;
        town.settle_shop();
        for policy in shop_policies() {
            town.state.apply(Event::PolicyApplied(policy));
        }
        town.enact().await;
        town
    }

    /// Gives all slots of a town with four on each of two nodes to pods.
    pub(crate) fn settle_shop(&mut self) {
        for (node, index, key, role) in [
            (0, 0, "shop/web", "web"),
            (0, 1, "shop/front", "front"),
            (0, 2, "bank/outsider", "outsider"),
            (0, 3, "bank/bystander", "bystander"),
            (1, 0, "shop/far-web", "web"),
            (1, 1, "shop/far-front", "front"),
            (1, 2, "bank/far-outsider", "outsider"),
            (1, 3, "bank/far-bystander", "bystander"),
        ] {
            let slot = self.slot(node, index);
            self.settle(&slot, key, role);
        }
    }

    pub(crate) fn slot(&self, node: usize, index: usize) -> Slot {
        self.stage.bed().nodes()[node].slots()[index].clone()
    }

    /// Makes a slot a pod's for the node and for the API. Its UID is its key.
    pub(crate) fn settle(&mut self, slot: &Slot, key: &str, role: &str) {
        self.attach(slot, key);
        self.announce(slot, key, role);
    }

    /// The node's part: the CNI result.
    pub(crate) fn attach(&mut self, slot: &Slot, key: &str) {
        self.know(slot, key);
        let (uid, key) = (PodUid::from(key), PodKey::parse(key).unwrap());
        self.stage.bed_mut().assign(slot, &key, &uid).unwrap();
    }

    /// The API's part: the pod with its addresses.
    pub(crate) fn announce(&mut self, slot: &Slot, key: &str, role: &str) {
        self.know(slot, key);
        self.state
            .apply(Event::PodApplied(self.describe(slot, key, role)));
    }

    /// The pod as the API would have it.
    pub(crate) fn describe(&self, slot: &Slot, key: &str, role: &str) -> Pod {
        let mut pod = pod(key).on(self.stage.bed().nodes()[slot.node()].name());
        pod.labels = labels(&[("role", role)]);
        pod.addresses = slot.addresses().to_vec();
        pod
    }

    /// Knows who is in a slot without telling anybody.
    pub(crate) fn know(&mut self, slot: &Slot, key: &str) {
        if self
            .ends
            .get(key)
            .is_some_and(|end| end.host.name() == slot.name())
        {
            return;
        }
        let end = End {
            host: slot.host(),
            addresses: slot.addresses(),
            chooses: false,
        };
        self.ends.insert(key.to_owned(), end);
    }

    pub(crate) fn forget(&mut self, name: &str) {
        self.ends.remove(name);
    }

    /// Listens in a slot that came later.
    pub(crate) fn listen(&self, slot: &Slot) {
        self.stage
            .prober()
            .add(&slot.host(), &Listen::on([PORT]))
            .unwrap();
    }

    pub(crate) fn end(&self, name: &str) -> End {
        self.ends[name].clone()
    }

    /// Changes a pod's role.
    pub(crate) fn relabel(&mut self, key: &str, role: &str) {
        let mut pod = self.state.pods()[&PodUid::from(key)].clone();
        pod.labels = labels(&[("role", role)]);
        self.state.apply(Event::PodApplied(pod));
    }

    pub(crate) fn apply(&mut self, policy: Policy) {
        self.state.apply(Event::PolicyApplied(policy));
    }

    pub(crate) fn withdraw(&mut self, policy: &str) {
        self.state
            .apply(Event::PolicyDeleted(PolicyKey::parse(policy).unwrap()));
    }

    /// Publishes the state and waits until every kernel has it, and all pods in their places.
    pub(crate) async fn enact(&mut self) -> Duration {
        let begin = Instant::now();
        self.publish_and_wait().await;
        for node in 0..self.stage.bed().nodes().len() {
            let whole = |status: &Value| status["ready"] == true && status["unplaced"] == json!([]);
            self.until(node, "of a whole", whole).await;
        }
        begin.elapsed()
    }

    /// Publishes the state and waits for nothing.
    pub(crate) fn publish(&self) {
        self.stage.publish(&self.state).unwrap();
    }

    /// Publishes the state and waits until every kernel has it, whether or not all pods are in their places.
    pub(crate) async fn publish_and_wait(&mut self) {
        self.publish();
        for node in 0..self.stage.bed().nodes().len() {
            let name = NodeName::from(self.node(node).name());
            let wanted = palisade_crds::files::read(self.stage.rules(), &name)
                .unwrap()
                .content;
            self.until(node, "of the rules", |status| status["content"] == *wanted)
                .await;
        }
    }

    /// What a node's enforcer says about itself; null before it has said anything.
    pub(crate) fn status(&self, node: usize) -> Value {
        std::fs::read(self.status_file(self.node(node)))
            .map_or(Value::Null, |text| serde_json::from_slice(&text).unwrap())
    }

    fn status_file(&self, node: &NodeBed) -> PathBuf {
        self.stage
            .rules()
            .with_file_name(format!("{}.status.json", node.name()))
    }

    /// Waits until a node's enforcer says something of a kind.
    pub(crate) async fn until(&mut self, node: usize, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(node);
            if holds(&status) {
                return status;
            }
            if Instant::now() > deadline {
                let log = self.stage.node(node).unwrap().1.log();
                panic!("no status {what}, but {status:#}\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Replaces the enforcers by ones that are told how the names of pods' interfaces begin, and `more`.
    pub(crate) async fn name_pod_interfaces(&mut self, more: &[&str]) {
        self.terminate().await;
        for node in self.stage.bed().nodes() {
            let slot = node.slots().first().unwrap();
            let (prefix, _) = slot.host_interface().split_once(char::is_numeric).unwrap();
            let mut command = Command::new(program().unwrap());
            command.args(["run", "--node", node.name()]);
            command.args(["--pod-interface", &format!("{prefix}*")]);
            command.args(more);
            command.arg("--rules").arg(self.stage.rules());
            command.arg("--cni-results").arg(node.cni_results());
            command.arg("--status").arg(self.status_file(node));
            self.enforcers.push(node.spawn(command).unwrap());
        }
    }

    /// Kills the enforcers of all nodes.
    pub(crate) async fn kill(&mut self) {
        for node in 0..self.stage.bed().nodes().len() {
            self.stage.node(node).unwrap().1.kill().await.unwrap();
        }
    }

    /// Asks the enforcers of all nodes to end.
    pub(crate) async fn terminate(&mut self) {
        for node in 0..self.stage.bed().nodes().len() {
            self.stage.node(node).unwrap().1.stop().await.unwrap();
        }
    }

    /// Starts the enforcers of all nodes again.
    pub(crate) fn restart(&mut self) {
        for node in 0..self.stage.bed().nodes().len() {
            let (node, enforcer) = self.stage.node(node).unwrap();
            enforcer.restart(node).unwrap();
        }
    }

    pub(crate) fn node(&self, node: usize) -> &NodeBed {
        &self.stage.bed().nodes()[node]
    }

    /// What is in our tables on a node.
    pub(crate) async fn loaded(&self, node: usize) -> Loaded {
        Nlink::open_in(self.node(node).netns())
            .unwrap()
            .read()
            .await
            .unwrap()
    }

    /// The number that the kernel counts changes of its ruleset with, on each node.
    pub(crate) async fn generations(&self) -> Vec<u32> {
        let mut generations = Vec::new();
        for node in self.stage.bed().nodes() {
            let connection = Connection::<Nftables>::new_in(&**node.netns()).unwrap();
            generations.push(connection.generation().await.unwrap());
        }
        generations
    }

    /// What `nft` prints on a node.
    pub(crate) async fn nft(&self, node: usize, arguments: &[&str]) -> String {
        let mut command = Command::new("nft");
        command.args(arguments);
        self.node(node).run(command, "").await.unwrap()
    }

    /// Runs a subcommand of the enforcer on a node.
    pub(crate) async fn enforcer(&self, node: usize, arguments: &[&str]) -> String {
        let mut command = Command::new(program().unwrap());
        command.args(arguments);
        self.node(node).run(command, "").await.unwrap()
    }

    /// Everybody asks everybody of these, by every transport and in both families, both ways.
    pub(crate) fn between(&self, some: &[&str], others: &[&str]) -> Vec<Probe> {
        let mut probes = Vec::new();
        for one in some {
            for other in others.iter().filter(|other| *other != one) {
                for (from, to) in [(one, other), (other, one)] {
                    probes.extend(self.questions(from, to));
                }
            }
        }
        probes
    }

    /// One asks another by every transport and in both families.
    pub(crate) fn questions(&self, from: &str, to: &str) -> Vec<Probe> {
        let (from, to) = (self.end(from), self.end(to));
        let both = (0..2).flat_map(|family| {
            transports(to.addresses[family]).map(|transport| from.asks(&to, family, transport))
        });
        both.collect()
    }

    /// Everybody in town.
    pub(crate) fn everybody(&self) -> Vec<&str> {
        self.ends.keys().map(String::as_str).collect()
    }

    /// What the oracle says of a probe.
    pub(crate) fn verdict(&self, probe: &Probe) -> Verdict {
        let name = probe.from.host().name();
        let end = self.ends.values().find(|end| end.host.name() == name).unwrap();
        let family = usize::from(probe.to.is_ipv6());
        let source = probe.from.source().unwrap_or(end.addresses[family]);
        let packet = Packet {
            source,
            destination: probe.to,
            transport: probe.transport,
        };
        evaluate(&self.state, &packet).verdict
    }

    /// Sends probes and compares what becomes of them with the oracle.
    pub(crate) async fn assert_agrees(&self, probes: &[Probe], when: &str) {
        let expected: Vec<Verdict> = probes.iter().map(|probe| self.verdict(probe)).collect();
        self.assert_verdicts(probes, &expected, when).await;
    }

    /// Sends probes that all pass, or none.
    pub(crate) async fn assert_all(&self, probes: &[Probe], verdict: Verdict, when: &str) {
        self.assert_verdicts(probes, &vec![verdict; probes.len()], when)
            .await;
    }

    async fn assert_verdicts(&self, probes: &[Probe], expected: &[Verdict], when: &str) {
        let seen: Vec<Observation> = self.stage.prober().observe(probes, expected).await.unwrap();
        let wrong: Vec<String> = probes
            .iter()
            .zip(expected)
            .zip(&seen)
            .filter(|((_, expected), seen)| !seen.agrees(**expected))
            .map(|((probe, expected), seen)| format!("{probe}: expected {expected}, {seen}"))
            .collect();
        assert!(
            wrong.is_empty(),
            "{when}: {} of {} probes\n{}",
            wrong.len(),
            probes.len(),
            wrong.join("\n")
        );
    }

    pub(crate) async fn stop(mut self) {
        self.enforcers.clear();
        self.stage.stop().await.unwrap();
    }
}

/// `shop/web` pods accept from `shop/front` pods only; those may ask nobody but them.
pub(crate) fn shop_policies() -> Vec<Policy> {
    vec![
        policy("shop/web")
            .selecting(&[("role", "web")])
            .allowing_from([rule([pods(&[("role", "front")])])]),
        policy("shop/front")
            .selecting(&[("role", "front")])
            .allowing_to([rule([pods(&[("role", "web")])])]),
    ]
}
