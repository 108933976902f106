//! Two nodes with pods that may talk to a server and pods that may not, under policies that change and always say so.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{PodUid, Policy, PolicyKey, Protocol, Transport};
use palisade_policy::testing::builders::{block, labels, namespace, pod, pods, policy, port, ports, rule};
use palisade_policy::testing::workloads::Dice;
use palisade_tests::bed::{BedSpec, Slot, Topology};
use palisade_tests::probe::{Probe, Prober};
use palisade_tests::stage::Stage;

use crate::bench::asked::ask;

/// The port of the streams, and one that is closed to all.
pub(super) const PORT: u16 = 4_000;
const CLOSED: u16 = 4_001;

/// Policies on the server, beside the one that opens it and the one of its clients.
const POLICIES: usize = 100;

/// Pods elsewhere that policies name.
const MEMBERS: usize = 300;

/// Who is where: node, slot, name, role.
const CAST: [(usize, usize, &str, &str); 6] = [
    (0, 0, "web", "web"),
    (0, 1, "front", "front"),
    (0, 2, "outsider", "outsider"),
    (1, 0, "far-web", "web"),
    (1, 1, "far-front", "front"),
    (1, 2, "far-outsider", "outsider"),
];

/// The nodes with their state.
pub(super) struct Scene {
    stage: Stage,
    state: ClusterState,
    dice: Dice,
    serial: u32,
    /// What was asked with packets so far.
    pub(super) asked: Asked,
}

/// Questions and how many were answered wrongly.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub(super) verdicts: u64,
    pub(super) wrong: u64,
}

impl Scene {
    /// Starts the nodes and brings the first policies into their kernels.
    pub(super) async fn start() -> Result<Self> {
        let spec = BedSpec {
            topology: Topology::Routed,
            nodes: 2,
            slots_per_node: 3,
        };
        let stage = Stage::start(spec, [PORT, CLOSED]).await?;
        let mut scene = Self {
            stage,
            state: ClusterState::default(),
            dice: Dice::new(8),
            serial: 0,
            asked: Asked::default(),
        };
        for node in scene.stage.bed().nodes() {
            scene.state.apply(Event::NodeApplied(node.described()));
        }
        scene.state.apply(Event::NamespaceApplied(namespace("shop", &[])));
        let mut pods = Vec::new();
        for (node, _, name, role) in CAST {
            let slot = scene.slot(name)?;
            let mut pod = pod(&format!("shop/{name}")).on(format!("node{}", node + 1));
            pod.labels = labels(&[("role", role)]);
            pod.addresses = slot.addresses().to_vec();
            pods.push((slot, pod.key.clone(), pod.uid.clone()));
            scene.state.apply(Event::PodApplied(pod));
        }
        scene.stage.occupy(pods)?;
        for number in 0..MEMBERS {
            scene.member(number);
        }
        scene.add(0);
        scene.enact().await?;
        scene.ask().await?;
        Ok(scene)
    }

    /// Who asks.
    pub(super) fn prober(&self) -> &Prober {
        self.stage.prober()
    }

    /// How many policies there are.
    pub(super) fn policies(&self) -> usize {
        self.state.policies().len()
    }

    /// A question by UDP.
    pub(super) fn probe(&self, from: &str, to: &str, port: u16) -> Result<Probe> {
        Ok(Probe {
            from: self.slot(from)?.host().endpoint(),
            to: self.slot(to)?.v4(),
            transport: Transport::Port(Protocol::Udp, port),
        })
    }

    /// Adds the policies of a generation: other names, other blocks and ports than before, and another shape of the rule that
    /// allows.
    pub(super) fn add(&mut self, generation: usize) {
        let front = || rule([pods(&[("role", "front")])]);
        let open = match generation % 3 {
            0 => front().on_ports([port(Protocol::Udp, PORT)]),
            1 => front().on_ports([ports(Protocol::Udp, PORT - 100, PORT)]),
            _ => front().on_ports([port(Protocol::Udp, PORT), port(Protocol::Tcp, 443)]),
        };
        let named = |name: &str| policy(&format!("shop/{name}-{generation}"));
        self.state.apply(Event::PolicyApplied(
            named("web").selecting(&[("role", "web")]).allowing_from([open]),
        ));
        let out = rule([pods(&[("role", "web")])]).on_ports([port(Protocol::Udp, PORT)]);
        self.state.apply(Event::PolicyApplied(
            named("front").selecting(&[("role", "front")]).allowing_to([out]),
        ));
        for number in 0..POLICIES {
            let key = format!("shop/extra-{number}-{generation}");
            let policy = extra(&key, number + generation);
            self.state.apply(Event::PolicyApplied(policy));
        }
    }

    /// Deletes the policies of all generations but one.
    pub(super) fn keep(&mut self, generation: usize) {
        let suffix = format!("-{generation}");
        let keys = self.state.policies().keys();
        let old: Vec<PolicyKey> = keys.filter(|key| !key.name.ends_with(&suffix)).cloned().collect();
        for key in old {
            self.state.apply(Event::PolicyDeleted(key));
        }
    }

    /// Something happens that is nothing to the pods that talk.
    pub(super) fn event(&mut self) {
        let nth = self.dice.below(MEMBERS);
        match self.dice.below(10) {
            // A member goes or comes back.
            0..4 => {
                let uid = PodUid::from(&*format!("shop/member-{nth}"));
                if self.state.pods().contains_key(&uid) {
                    self.state.apply(Event::PodDeleted(uid));
                } else {
                    self.member(nth);
                }
            }
            // It gets other labels, and perhaps an address.
            4..8 => self.member(nth),
            _ => {
                self.serial += 1;
                let key = format!("shop/new-{}", nth % 50);
                let parsed = PolicyKey::parse(&key);
                match parsed.filter(|key| self.state.policies().contains_key(key)) {
                    Some(key) if self.serial.is_multiple_of(2) => self.state.apply(Event::PolicyDeleted(key)),
                    _ => self
                        .state
                        .apply(Event::PolicyApplied(extra(&key, self.dice.below(1_000)))),
                }
            }
        }
    }

    /// Writes the documents for the enforcers.
    pub(super) fn publish(&self) -> Result<()> {
        self.stage.publish(&self.state)
    }

    /// Publishes, and waits until every kernel has it.
    pub(super) async fn enact(&mut self) -> Result<Duration> {
        Ok(self.stage.enact(&self.state).await?.took)
    }

    /// Everybody asks everybody; what comes of it should be what the oracle says.
    pub(super) async fn ask(&mut self) -> Result<()> {
        let mut questions = Vec::new();
        for (_, _, from, _) in CAST {
            for (_, _, to, _) in CAST.iter().filter(|(_, _, to, _)| *to != from) {
                for port in [PORT, CLOSED] {
                    questions.push((self.slot(from)?.v4(), self.probe(from, to, port)?));
                }
            }
        }
        for answer in ask(self.stage.prober(), &self.state, questions).await? {
            self.asked.verdicts += 1;
            if !answer.is_right() {
                self.asked.wrong += 1;
                eprintln!("  {answer}");
            }
        }
        Ok(())
    }

    /// How many rules the first node has.
    pub(super) fn rules(&mut self) -> Result<f64> {
        let (_, enforcer) = self.stage.node(0)?;
        let status = enforcer.status()?.context("no status")?;
        status
            .sizes
            .get("rules")
            .and_then(serde_json::Value::as_f64)
            .context("no sizes")
    }

    /// How many transactions the enforcers have made.
    pub(super) fn transactions(&mut self) -> Result<f64> {
        let mut sum = 0.0;
        for position in 0..self.stage.bed().nodes().len() {
            let (_, enforcer) = self.stage.node(position)?;
            let status = enforcer.status()?.context("no status")?;
            let count = status.applied.get("count").and_then(serde_json::Value::as_f64);
            sum += count.context("no count")?;
        }
        ensure!(sum > 0.0, "no enforcer has done anything");
        Ok(sum)
    }

    /// Ends everything.
    pub(super) async fn stop(self) -> Result<()> {
        self.stage.stop().await
    }

    fn slot(&self, name: &str) -> Result<Slot> {
        let place = CAST.iter().find(|(_, _, other, _)| *other == name);
        let (node, slot, ..) = place.with_context(|| format!("nobody is called {name}"))?;
        let node = self.stage.bed().nodes().get(*node);
        let slot = node.and_then(|node| node.slots().get(*slot));
        slot.cloned().context("no such slot")
    }

    /// A pod elsewhere comes, or gets other labels and perhaps another address.
    fn member(&mut self, nth: usize) {
        let mut pod = pod(&format!("shop/member-{nth}")).on("elsewhere");
        pod.labels = labels(&[("group", &format!("group-{}", self.dice.below(20)))]);
        let host = u32::try_from(nth * 4 + self.dice.below(4)).unwrap_or_default();
        pod.addresses = vec![std::net::Ipv4Addr::from_bits(0x0a80_0001 + host).into()];
        self.state.apply(Event::PodApplied(pod));
    }
}

/// A policy on the server that opens it for somebody else.
fn extra(key: &str, number: usize) -> Policy {
    let group = format!("group-{}", number % 20);
    let net = format!("172.16.{}.0/24", number % 250);
    let port = port(
        Protocol::Tcp,
        1_000 + u16::try_from(number % 5_000).unwrap_or_default(),
    );
    let allowed = match number % 4 {
        0 => rule([pods(&[("group", &group)])]),
        1 => rule([pods(&[("group", &group)])]).on_ports([port]),
        2 => rule([block(&net, &[])]),
        _ => rule([block(&net, &[])]).on_ports([port]),
    };
    policy(key).selecting(&[("role", "web")]).allowing_from([allowed])
}
