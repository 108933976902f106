//! The case table and random clusters, with the product on the nodes and real packets between the pods.

#![expect(clippy::print_stdout, reason = "the figures of a run are its result")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::evaluate::evaluate;
use palisade_policy::model::{ContainerPort, Packet, Protocol, Transport};
use palisade_policy::testing::{builders, config, strategies};
use palisade_tests::bed::Topology;
use palisade_tests::cases::{self, CaseProbe, Family, NODES, Occupant, Place, SLOTS, Slot, Target};
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
    reached: Vec<Duration>,
}

impl Figures {
    fn print(mut self, what: &str, topology: Topology, stage: &CaseStage) {
        self.reached.sort_unstable();
        let at = |share: usize| {
            self.reached
                .get(self.reached.len() * share / 100)
                .copied()
                .unwrap_or_default()
        };
        println!(
            "{topology}: {what}, {} states, {} probes, {} packets and handshakes sent, 0 mismatches; \
             from files to all kernels p50 {:?}, max {:?}",
            self.states,
            self.probes,
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

/// Runs the whole table on one topology, and lists every mismatch before it fails.
async fn run_the_table(topology: Topology) -> Result<()> {
    // Which ports there are does not depend on the addresses.
    let ports = ports(&cases::load(&cases::Addresses::documentation())?);
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
            figures.probes += step.probes.len();
            figures.reached.push(enacted.took);
            let observations = stage.observe(&step.probes).await.with_context(|| place.clone())?;
            for (probe, observation) in step.probes.iter().zip(observations) {
                if !observation.agrees(probe.expect) {
                    let why: String = probe
                        .packets
                        .iter()
                        .map(|packet| format!("\n  {}", evaluate(&step.state, packet)))
                        .collect();
                    mismatches.push(format!(
                        "{place}: {probe}: {observation}, the table says {}{why}",
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

/// A cluster on the slots of a bed, and who asks whom what in it.
#[derive(Clone, Debug)]
struct RandomCluster {
    events: Vec<Event>,
    occupants: BTreeMap<Slot, Occupant>,
    /// Positions of the asker and the asked among the occupants, the family and what is asked.
    questions: Vec<(usize, usize, Family, Transport)>,
}

fn random_cluster(stage: &CaseStage) -> impl Strategy<Value = RandomCluster> + use<> {
    let addresses = stage.addresses().clone();
    let known: Vec<_> = addresses
        .nodes
        .values()
        .flat_map(|plan| plan.slots.iter().flat_map(|slot| slot.both()))
        .collect();
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
    let pod = (
        select(&["shop", "bank", "lab"][..]),
        strategies::labels(),
        vec(declared, 0..3),
    );
    let namespaces = vec(
        vec((select(&["app", "tier"][..]), select(&["x", "y"][..])), 0..3),
        3,
    );
    let transport = prop_oneof![
        6 => (select(&Protocol::ALL[..]), select(&RANDOM_PORTS[..])).prop_map(|(protocol, port)| Transport::Port(protocol, port)),
        1 => Just(Transport::Other(1)),
    ];
    let crowd = NODES.len() * SLOTS;
    let question = (0..crowd, 0..crowd, select(&Family::ALL[..]), transport);
    let policies = vec(strategies::policy_around(known), 1..7);
    (vec(pod, crowd), namespaces, policies, vec(question, 150)).prop_map(
        move |(pods, namespaces, policies, questions)| {
            let mut events: Vec<Event> = policies.into_iter().map(Event::PolicyApplied).collect();
            events.extend(
                addresses
                    .nodes
                    .values()
                    .map(|plan| Event::NodeApplied(plan.node.clone())),
            );
            let namespaces = ["shop", "bank", "lab"].into_iter().zip(namespaces);
            events.extend(
                namespaces.map(|(name, labels)| Event::NamespaceApplied(builders::namespace(name, &labels))),
            );
            let places = addresses
                .nodes
                .iter()
                .flat_map(|(name, plan)| (0..SLOTS).map(move |index| (*name, plan, index)));
            let mut occupants = BTreeMap::new();
            for (number, ((name, plan, index), (namespace, labels, ports))) in places.zip(pods).enumerate() {
                let mut pod = builders::pod(&format!("{namespace}/pod-{number}")).on(plan.node.name.clone());
                (pod.labels, pod.ports, pod.addresses) = (labels, ports, plan.slots[index].both().to_vec());
                occupants.insert(
                    Slot {
                        node: name.into(),
                        index,
                    },
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
        },
    )
}

/// The questions as probes, with what the oracle says.
fn probes(state: &ClusterState, cluster: &RandomCluster, addresses: &cases::Addresses) -> Vec<CaseProbe> {
    let slots: Vec<&Slot> = cluster.occupants.keys().collect();
    let questions = cluster.questions.iter().map(|&(from, to, family, transport)| {
        let (from, to) = (slots[from], slots[to]);
        let address = |slot: &Slot| addresses.nodes[slot.node.as_str()].slots[slot.index].of(family);
        let transport = match (transport, family) {
            (Transport::Other(_), Family::V6) => Transport::Other(58),
            (transport, _) => transport,
        };
        let packet = Packet {
            source: address(from),
            destination: address(to),
            transport,
        };
        CaseProbe {
            line: format!("{from:?} -> {to:?}"),
            from: Place::Pod(from.clone()),
            to: Target::Place(Place::Pod(to.clone())),
            transport,
            family,
            expect: evaluate(state, &packet).verdict,
            packets: vec![packet],
        }
    });
    questions.collect()
}

/// Compares random clusters with the oracle; a mismatch is shrunk with packets and printed whole.
fn run_random_clusters(topology: Topology) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stage = runtime.block_on(CaseStage::start(topology, RANDOM_PORTS))?;
    let strategy = random_cluster(&stage);
    let stage = std::cell::RefCell::new((stage, Figures::default()));
    let mut runner = TestRunner::new(ProptestConfig {
        max_shrink_iters: 100,
        ..config(12)
    });
    let outcome = runner.run(&strategy, |cluster| {
        let (stage, figures) = &mut *stage.borrow_mut();
        let state = ClusterState::from_events(cluster.events.clone());
        let probes = probes(&state, &cluster, stage.addresses());
        let observed = runtime.block_on(async {
            let enacted = stage.enact(&state, &cluster.occupants).await?;
            figures.reached.push(enacted.took);
            stage.observe(&probes).await
        });
        let observed = observed.map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
        figures.states += 1;
        figures.probes += probes.len();
        for (probe, observation) in probes.iter().zip(observed) {
            let agrees = observation.agrees(probe.expect);
            prop_assert!(
                agrees,
                "{probe}: {observation}\n{}",
                evaluate(&state, &probe.packets[0])
            );
        }
        Ok(())
    });
    let (stage, figures) = stage.into_inner();
    match outcome {
        Ok(()) => figures.print("random clusters", topology, &stage),
        Err(TestError::Fail(reason, cluster)) => panic!("{reason}\nminimal cluster: {:#?}", cluster.events),
        Err(abort) => panic!("{abort}"),
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
