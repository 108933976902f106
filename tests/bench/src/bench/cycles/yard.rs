//! A node on which things come and go.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{Labels, Pod, PodUid, Policy, PolicyKey, Protocol, Transport};
use palisade_policy::testing::builders::{
    any_port, block, labels, namespace, pod, pods, policy, port, ports, rule,
};
use palisade_policy::testing::workloads::Dice;
use palisade_tests::bed::{BedSpec, NodeBed, Slot, Topology};
use palisade_tests::probe::Probe;
use palisade_tests::stage::{Enforcer, Stage};

use crate::bench::asked::{allowed, ask};

/// The port of the probes.
const PORT: u16 = 4_000;

/// Pods that stay, and slots for those that come and go.
const RESIDENTS: usize = 4;
const SLOTS: usize = 10;

/// Things that are there at a time besides what stays.
const AT_ONCE: usize = 60;

/// Changes that are published together, at the most.
const TOGETHER: usize = 8;

/// What comes and goes.
enum Thing {
    /// A pod of the node.
    Pod(Slot, PodUid),
    /// A pod elsewhere: a member of a group.
    Member(PodUid),
    /// A policy.
    Policy(PolicyKey),
    /// Labels of a pod that stays; they go when it has these again.
    Labels(PodUid, Labels),
}

/// The node with its state.
pub(super) struct Yard {
    stage: Stage,
    state: ClusterState,
    dice: Dice,
    /// Slots without a pod.
    free: Vec<Slot>,
    open: Vec<Thing>,
    serial: u32,
}

/// What a walk did.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Things that have come and gone.
    pub(super) cycles: usize,
    /// How long each publication took until the kernel had it.
    pub(super) times: Vec<Duration>,
    /// Questions that were asked with packets.
    pub(super) probes: usize,
    /// Those that passed.
    pub(super) allowed: usize,
}

impl Yard {
    /// A node with some pods and policies.
    pub(super) async fn start() -> Result<Self> {
        let spec = BedSpec {
            topology: Topology::Routed,
            nodes: 1,
            slots_per_node: SLOTS,
        };
        let stage = Stage::start(spec, [PORT]).await?;
        let mut yard = Self {
            free: stage.bed().slots().cloned().collect(),
            stage,
            state: ClusterState::default(),
            dice: Dice::new(9),
            open: Vec::new(),
            serial: 0,
        };
        let node = yard.node()?.0.described();
        yard.state.apply(Event::NodeApplied(node));
        yard.state.apply(Event::NamespaceApplied(namespace("yard", &[])));
        for _ in 0..RESIDENTS {
            yard.pod()?;
        }
        for _ in 0..40 {
            yard.member();
        }
        for _ in 0..20 {
            yard.policy();
        }
        // Those stay.
        yard.open.clear();
        yard.publish().await?;
        Ok(yard)
    }

    /// The node and its enforcer.
    pub(super) fn node(&mut self) -> Result<(&NodeBed, &mut Enforcer)> {
        self.stage.node(0)
    }

    /// Lets so many things come and go, or as many as there is time for.
    pub(super) async fn walk(&mut self, cycles: usize, deadline: Instant, ask: usize) -> Result<Walked> {
        let mut walked = Walked::default();
        while walked.cycles < cycles && Instant::now() < deadline {
            for _ in 0..=self.dice.below(TOGETHER) {
                // The more there is, the more goes.
                if self.dice.below(AT_ONCE) < self.open.len() {
                    let at = self.dice.below(self.open.len());
                    let thing = self.open.swap_remove(at);
                    self.undo(thing)?;
                    walked.cycles += 1;
                } else {
                    self.add()?;
                }
            }
            walked.times.push(self.publish().await?);
            if walked.times.len() % ask == 0 {
                self.ask(&mut walked).await?;
            }
        }
        Ok(walked)
    }

    /// Lets everything go that has come.
    pub(super) async fn clear(&mut self) -> Result<()> {
        while let Some(thing) = self.open.pop() {
            self.undo(thing)?;
        }
        self.publish().await.map(drop)
    }

    /// Ends everything.
    pub(super) async fn stop(self) -> Result<()> {
        self.stage.stop().await
    }

    /// Makes the slots that are taken pods, publishes the state, and waits until the kernel has it.
    async fn publish(&mut self) -> Result<Duration> {
        let slots = self.stage.bed().slots().cloned();
        let pods = slots.filter_map(|slot| {
            let pod = self.state.owner(slot.v4())?;
            Some((slot, pod.key.clone(), pod.uid.clone()))
        });
        let pods: Vec<_> = pods.collect();
        self.stage.occupy(pods)?;
        Ok(self.stage.enact(&self.state).await?.took)
    }

    fn add(&mut self) -> Result<()> {
        match self.dice.below(4) {
            0 if !self.free.is_empty() => self.pod()?,
            0 | 1 => self.member(),
            2 => self.policy(),
            _ => self.relabel()?,
        }
        Ok(())
    }

    fn undo(&mut self, thing: Thing) -> Result<()> {
        match thing {
            Thing::Pod(slot, uid) => {
                self.state.apply(Event::PodDeleted(uid));
                self.free.push(slot);
            }
            Thing::Member(uid) => self.state.apply(Event::PodDeleted(uid)),
            Thing::Policy(key) => self.state.apply(Event::PolicyDeleted(key)),
            Thing::Labels(uid, labels) => {
                let mut pod = self.state.pods().get(&uid).context("a pod that stays")?.clone();
                pod.labels = labels;
                self.state.apply(Event::PodApplied(pod));
            }
        }
        Ok(())
    }

    /// A pod of the node comes.
    fn pod(&mut self) -> Result<()> {
        let slot = self.free.pop().context("no slot is free")?;
        let mut pod = self.new_pod("node1");
        pod.addresses = slot.addresses().to_vec();
        self.open.push(Thing::Pod(slot, pod.uid.clone()));
        self.state.apply(Event::PodApplied(pod));
        Ok(())
    }

    /// A pod elsewhere comes.
    fn member(&mut self) {
        let mut pod = self.new_pod("elsewhere");
        let number = self.serial % 60_000;
        let v4 = u32::from_be_bytes([10, 128, 0, 1]) + number;
        let v6 = (0xfd00_0128_u128 << 96) + u128::from(number) + 1;
        pod.addresses = vec![
            std::net::Ipv4Addr::from_bits(v4).into(),
            std::net::Ipv6Addr::from_bits(v6).into(),
        ];
        self.open.push(Thing::Member(pod.uid.clone()));
        self.state.apply(Event::PodApplied(pod));
    }

    fn new_pod(&mut self, node: &str) -> Pod {
        self.serial += 1;
        let mut pod = pod(&format!("yard/pod-{}", self.serial)).on(node);
        pod.labels = labels(&[("role", &self.role())]);
        pod
    }

    fn role(&mut self) -> String {
        format!("role-{}", self.dice.below(6))
    }

    /// A policy comes.
    fn policy(&mut self) {
        self.serial += 1;
        let (subject, peer) = (self.role(), self.role());
        let number = 1 + u16::try_from(self.dice.below(200)).unwrap_or_default();
        let net = format!("172.16.{number}.0/24");
        let peer = || rule([pods(&[("role", &peer)])]);
        let tcp = port(Protocol::Tcp, number);
        let allowed = match self.dice.below(6) {
            0 => peer(),
            1 => peer().on_ports([port(Protocol::Udp, PORT), tcp]),
            2 => peer().on_ports([any_port(Protocol::Udp)]),
            3 => rule([block(&net, &[])]),
            4 => rule([block(&net, &[])]).on_ports([tcp]),
            _ => peer().on_ports([ports(Protocol::Udp, number, PORT)]),
        };
        let policy: Policy = policy(&format!("yard/policy-{}", self.serial)).selecting(&[("role", &subject)]);
        let policy = match self.dice.below(3) {
            0 => policy.allowing_to([allowed]),
            1 => policy.allowing_to([allowed.clone()]).allowing_from([allowed]),
            _ => policy.allowing_from([allowed]),
        };
        self.open.push(Thing::Policy(policy.key.clone()));
        self.state.apply(Event::PolicyApplied(policy));
    }

    /// A pod gets other labels. It must not have other labels than its first already.
    fn relabel(&mut self) -> Result<()> {
        let uids: Vec<PodUid> = self.state.pods().keys().cloned().collect();
        let uid = uids.get(self.dice.below(uids.len())).context("no pods")?;
        let comes_and_goes = self.open.iter().any(|thing| match thing {
            Thing::Pod(_, other) | Thing::Member(other) | Thing::Labels(other, _) => other == uid,
            Thing::Policy(_) => false,
        });
        if comes_and_goes {
            return Ok(());
        }
        let mut pod = self.state.pods().get(uid).context("no such pod")?.clone();
        self.open.push(Thing::Labels(uid.clone(), pod.labels.clone()));
        pod.labels = labels(&[("role", &self.role())]);
        self.state.apply(Event::PodApplied(pod));
        Ok(())
    }

    /// All pods of the node ask each other, and what comes of it is what the oracle says.
    async fn ask(&mut self, walked: &mut Walked) -> Result<()> {
        let mut questions = Vec::new();
        let resident = |slot: &&Slot| self.free.iter().all(|free| free.name() != slot.name());
        let slots: Vec<&Slot> = self.stage.bed().slots().filter(resident).collect();
        for from in &slots {
            for to in slots.iter().filter(|to| to.name() != from.name()) {
                let probe = Probe {
                    from: from.host().endpoint(),
                    to: to.v4(),
                    transport: Transport::Port(Protocol::Udp, PORT),
                };
                questions.push((from.v4(), probe));
            }
        }
        let answers = ask(self.stage.prober(), &self.state, questions).await?;
        for answer in &answers {
            ensure!(answer.is_right(), "{answer}");
        }
        walked.probes += answers.len();
        walked.allowed += allowed(&answers);
        Ok(())
    }
}
