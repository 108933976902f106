//! The case table and random clusters, with the product on the nodes and real packets between the pods.

#![expect(clippy::print_stdout, reason = "the figures of a run are its result")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::evaluate::evaluate;
use palisade_policy::model::{ContainerPort, NodeName, Packet, Protocol, Transport, Verdict};
use palisade_policy::testing::{builders, config, strategies};
use palisade_tests::bed::Topology;
use palisade_tests::cases::{self, AddressPair, Addresses, CaseProbe, Family, Occupant, Place, Slot, Target};
use palisade_tests::stage::CaseStage;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseError, TestError, TestRunner};

/// What a run of many states cost.
#[derive(Default)]
struct Figures {
    states: usize,
    probes: usize,
    allowed: usize,
    reached: Vec<Duration>,
}

impl Figures {
    fn count(&mut self, probes: &[CaseProbe]) {
        self.probes += probes.len();
        self.allowed += probes
            .iter()
            .filter(|probe| probe.expect == Verdict::Allow)
            .count();
    }

    fn print(mut self, what: &str, topology: Topology, stage: &CaseStage) {
        self.reached.sort_unstable();
        let at = |share: usize| {
            self.reached
                .get(self.reached.len() * share / 100)
                .copied()
                .unwrap_or_default()
        };
        println!(
            "{topology}: {what}, {} states, {} probes of which {} allowed, {} packets and handshakes sent, 0 mismatches; \
             from files to all kernels p50 {:?}, max {:?}",
            self.states,
            self.probes,
            self.allowed,
            stage.sent(),
            at(50),
            self.reached.last().copied().unwrap_or_default(),
        );
    }
}

/// The ports that probes may be answered on, services' targets included.
fn ports(cases: &[cases::Case]) -> BTreeSet<u16> {
    let packets = cases
        .iter()
        .flat_map(cases::Case::probes)
        .flat_map(|probe| &probe.packets);
    let ports = packets.filter_map(|packet| match packet.transport {
        Transport::Port(Protocol::Tcp | Protocol::Udp, port) => Some(port),
        Transport::Port(Protocol::Sctp, _) | Transport::Other(_) => None,
    });
    ports.collect()
}

/// What the oracle says of a probe's packets.
fn explain(state: &ClusterState, probe: &CaseProbe) -> String {
    let packets = probe
        .packets
        .iter()
        .map(|packet| format!("  {}", evaluate(state, packet)));
    packets.collect::<Vec<_>>().join("\n")
}

/// Runs the whole table on one topology, and lists every mismatch before it fails.
async fn run_the_table(topology: Topology) -> Result<()> {
    // Which ports there are does not depend on the addresses.
    let ports = ports(&cases::load(&Addresses::documentation())?);
    let mut stage = CaseStage::start(topology, ports).await?;
    let cases = cases::load(stage.addresses())?;
    let (mut figures, mut mismatches) = (Figures::default(), Vec::new());
    for case in &cases {
        stage.serve(&case.services).await?;
        for (number, step) in case.steps.iter().enumerate() {
            let place = format!("{}: {}, step {number}", case.file, case.name);
            let enacted = stage
                .enact(&step.state, &step.occupants)
                .await
                .with_context(|| place.clone())?;
            figures.states += 1;
            figures.count(&step.probes);
            figures.reached.push(enacted.took);
            let observations = stage.observe(&step.probes).await.with_context(|| place.clone())?;
            for (probe, observation) in step.probes.iter().zip(observations) {
                if !observation.agrees(probe.expect) {
                    let why = explain(&step.state, probe);
                    mismatches.push(format!(
                        "{place}: {probe}: {observation}, the table says {}\n{why}",
                        probe.expect
                    ));
                }
            }
        }
    }
    assert!(
        mismatches.is_empty(),
        "{} mismatches\n\n{}",
        mismatches.len(),
        mismatches.join("\n")
    );
    figures.print(&format!("{} cases", cases.len()), topology, &stage);
    stage.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn routed_packets_agree_with_the_case_table() -> Result<()> {
    run_the_table(Topology::Routed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bridged_packets_agree_with_the_case_table() -> Result<()> {
    run_the_table(Topology::Bridge).await
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_on_a_segment_agree_with_the_case_table() -> Result<()> {
    run_the_table(Topology::Segment).await
}

const RANDOM_PORTS: [u16; 4] = [53, 80, 81, 8080];
const NAMESPACES: [&str; 3] = ["shop", "bank", "lab"];

/// A cluster on the slots of a bed, and who asks whom what in it.
#[derive(Clone, Debug)]
struct RandomCluster {
    events: Vec<Event>,
    occupants: BTreeMap<Slot, Occupant>,
    questions: Vec<Question>,
}

/// The asker, the asked, and what is asked in which family.
type Question = ((Slot, AddressPair), (Slot, AddressPair), Family, Transport);

fn random_cluster(addresses: &Addresses) -> impl Strategy<Value = RandomCluster> + use<> {
    let nodes: Vec<_> = addresses.nodes.values().map(|plan| plan.node.clone()).collect();
    let slots = addresses.nodes.iter().flat_map(|(name, plan)| {
        let slot = |(index, pair)| {
            (
                Slot {
                    node: (*name).into(),
                    index,
                },
                plan.node.name.clone(),
                pair,
            )
        };
        plan.slots.into_iter().enumerate().map(slot)
    });
    let slots: Vec<(Slot, NodeName, AddressPair)> = slots.collect();
    let known: Vec<_> = slots.iter().flat_map(|(_, _, pair)| pair.both()).collect();
    let declared = (
        select(&["http", "dns"][..]),
        select(&Protocol::ALL[..]),
        select(&RANDOM_PORTS[..]),
    )
        .prop_map(|(name, protocol, number)| ContainerPort {
            name: name.into(),
            protocol,
            number,
        });
    let pod = (select(&NAMESPACES[..]), strategies::labels(), vec(declared, 0..3));
    let labels = vec((select(&["app", "tier"][..]), select(&["x", "y"][..])), 0..3);
    let transport = prop_oneof![
        6 => (select(&Protocol::ALL[..]), select(&RANDOM_PORTS[..]))
            .prop_map(|(protocol, port)| Transport::Port(protocol, port)),
        1 => Just(Transport::Other(1)),
    ];
    let places: Vec<_> = slots
        .iter()
        .map(|(slot, _, pair)| (slot.clone(), *pair))
        .collect();
    let question = (
        select(places.clone()),
        select(places),
        select(&Family::ALL[..]),
        transport,
    );
    let policies = vec(strategies::policy_around(&known), 1..7);
    let crowd = slots.len();
    (
        vec(pod, crowd),
        vec(labels, NAMESPACES.len()),
        policies,
        vec(question, 150),
    )
        .prop_map(move |(pods, labels, policies, questions)| {
            let mut events: Vec<Event> = policies.into_iter().map(Event::PolicyApplied).collect();
            events.extend(nodes.iter().cloned().map(Event::NodeApplied));
            let namespaces = NAMESPACES.into_iter().zip(labels);
            events.extend(
                namespaces.map(|(name, labels)| Event::NamespaceApplied(builders::namespace(name, &labels))),
            );
            let mut occupants = BTreeMap::new();
            for (number, ((slot, node, pair), (namespace, labels, ports))) in
                slots.iter().zip(pods).enumerate()
            {
                let mut pod = builders::pod(&format!("{namespace}/pod-{number}")).on(node.clone());
                (pod.labels, pod.ports, pod.addresses) = (labels, ports, pair.both().to_vec());
                occupants.insert(
                    slot.clone(),
                    Occupant {
                        uid: pod.uid.clone(),
                        key: pod.key.clone(),
                    },
                );
                events.push(Event::PodApplied(pod));
            }
            RandomCluster {
                events,
                occupants,
                questions,
            }
        })
}

/// The questions as probes, with what the oracle says.
fn probes(state: &ClusterState, questions: &[Question]) -> Vec<CaseProbe> {
    let probe = |((from, source), (to, destination), family, transport): &Question| {
        let transport = match (transport, family) {
            (Transport::Other(_), Family::V6) => Transport::Other(58),
            (transport, _) => *transport,
        };
        let packet = Packet {
            source: source.of(*family),
            destination: destination.of(*family),
            transport,
        };
        CaseProbe {
            line: format!("{from:?} -> {to:?}"),
            from: Place::Pod(from.clone()),
            to: Target::Place(Place::Pod(to.clone())),
            transport,
            family: *family,
            expect: evaluate(state, &packet).verdict,
            packets: vec![packet],
        }
    };
    questions.iter().map(probe).collect()
}

/// Compares random clusters with the oracle; a mismatch is shrunk with packets and printed whole.
fn run_random_clusters(topology: Topology) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stage = runtime.block_on(CaseStage::start(topology, RANDOM_PORTS))?;
    let strategy = random_cluster(stage.addresses());
    let stage = std::cell::RefCell::new((stage, Figures::default()));
    let mut runner = TestRunner::new(ProptestConfig {
        max_shrink_iters: 100,
        ..config(40)
    });
    let outcome = runner.run(&strategy, |cluster| {
        let (stage, figures) = &mut *stage.borrow_mut();
        let cluster_state = ClusterState::from_events(cluster.events.clone());
        let probes = probes(&cluster_state, &cluster.questions);
        let observed = runtime.block_on(async {
            let enacted = stage.enact(&cluster_state, &cluster.occupants).await?;
            figures.reached.push(enacted.took);
            stage.observe(&probes).await
        });
        let observed = observed.map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
        figures.states += 1;
        figures.count(&probes);
        for (probe, observation) in probes.iter().zip(observed) {
            let agrees = observation.agrees(probe.expect);
            prop_assert!(
                agrees,
                "{probe}: {observation}\n{}",
                explain(&cluster_state, probe)
            );
        }
        Ok(())
    });
    let (stage, figures) = stage.into_inner();
    match outcome {
        Ok(()) => figures.print("random clusters", topology, &stage),
        Err(TestError::Fail(reason, cluster)) => bail!("{reason}\nminimal cluster: {:#?}", cluster.events),
        Err(abort) => bail!("{abort}"),
    }
    runtime.block_on(stage.stop())
}

#[test]
fn random_clusters_agree_with_routed_packets() -> Result<()> {
    run_random_clusters(Topology::Routed)
}

#[test]
fn random_clusters_agree_with_bridged_packets() -> Result<()> {
    run_random_clusters(Topology::Bridge)
}

#[test]
fn random_clusters_agree_with_packets_on_a_segment() -> Result<()> {
    run_random_clusters(Topology::Segment)
}
