//! B2: one event on a loaded cluster, by kind of event: how long until what is to be published is known, and how much that is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_crds::{AddressGroup, NodeRuleSet, PodSlice, PolicySlice};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::{Changes, Compiler, compile};
use palisade_policy::model::{Labels, Namespace, Peers, Pod, Policy};
use palisade_policy::testing::workloads::{Dice, Workload};

use super::oracle;
use crate::figure::{Figure, Part};

pub(crate) const CASES: [&str; 2] = ["W5", "W8"];

/// Events of each kind.
const REPEATS: usize = 200;

/// Pods of a rolling update.
const ROLLED: usize = 100;

/// Seconds that one event of a pod should take, in the middle and at the most of 99 in 100.
const POD: [f64; 2] = [50e-6, 1e-3];

pub(crate) fn measure(case: &str) -> Result<Vec<Figure>> {
    let workload = Workload::named(case).context("no such workload")?;
    let mut bed = Bed {
        compiler: Compiler::from_state(ClusterState::from_events((workload.objects)())),
        dice: Dice::new(2),
    };
    bed.compiler.flush();
    let mut figures = Vec::new();
    for kind in Kind::ALL {
        figures.extend(bed.measure(kind)?);
    }
    ensure!(
        bed.compiler.published() == compile(bed.compiler.state()),
        "another outcome than from scratch"
    );
    oracle::agree(bed.compiler.state(), &bed.compiler.published())?;
    Ok(figures)
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    PodAdded,
    PodDeleted,
    PodMoved,
    PodRelabelled,
    NamespaceRelabelled,
    PolicyEdited,
    PolicyAdded,
    PolicyDeleted,
    RollingUpdate,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::PodAdded,
        Self::PodDeleted,
        Self::PodMoved,
        Self::PodRelabelled,
        Self::NamespaceRelabelled,
        Self::PolicyEdited,
        Self::PolicyAdded,
        Self::PolicyDeleted,
        Self::RollingUpdate,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::PodAdded => "pod added",
            Self::PodDeleted => "pod deleted",
            Self::PodMoved => "pod gets another address",
            Self::PodRelabelled => "pod relabelled",
            Self::NamespaceRelabelled => "namespace relabelled",
            Self::PolicyEdited => "policy edited",
            Self::PolicyAdded => "policy added",
            Self::PolicyDeleted => "policy deleted",
            Self::RollingUpdate => "100 pods replaced",
        }
    }

    /// Whether it is an event of one pod.
    fn is_of_pod(self) -> bool {
        matches!(
            self,
            Self::PodAdded | Self::PodDeleted | Self::PodMoved | Self::PodRelabelled
        )
    }
}

struct Bed {
    compiler: Compiler,
    dice: Dice,
}

impl Bed {
    fn measure(&mut self, kind: Kind) -> Result<[Figure; 3]> {
        let (mut times, mut objects, mut bytes): (Vec<Duration>, Vec<usize>, Vec<usize>) = Default::default();
        // Events pick their objects at random: from lists, as looking through the maps takes longer than the event.
        let pods: Vec<Pod> = self.compiler.state().pods().values().cloned().collect();
        let policies: Vec<Policy> = self.compiler.state().policies().values().cloned().collect();
        let namespaces: Vec<Namespace> = self.compiler.state().namespaces().values().cloned().collect();
        for nth in 0..REPEATS {
            let pod = |dice: &mut Dice| any(dice, &pods).cloned();
            let events = match kind {
                Kind::PodAdded => vec![Event::PodApplied(twin(pod(&mut self.dice)?, nth))],
                Kind::PodDeleted => vec![Event::PodDeleted(pod(&mut self.dice)?.uid)],
                Kind::PodMoved => {
                    let old = pod(&mut self.dice)?;
                    let addresses = twin(old.clone(), nth).addresses;
                    vec![Event::PodApplied(Pod { addresses, ..old })]
                }
                Kind::PodRelabelled => {
                    let mut pod = pod(&mut self.dice)?;
                    let other = any(&mut self.dice, &pods)?;
                    pod.labels = other.labels.clone();
                    vec![Event::PodApplied(pod)]
                }
                Kind::NamespaceRelabelled => {
                    let mut namespace = any(&mut self.dice, &namespaces)?.clone();
                    namespace.labels = without_name(&any(&mut self.dice, &namespaces)?.labels);
                    namespace
                        .labels
                        .insert("kubernetes.io/metadata.name", namespace.name.as_str());
                    vec![Event::NamespaceApplied(namespace)]
                }
                Kind::PolicyEdited | Kind::PolicyAdded => {
                    let mut policy = any(&mut self.dice, &policies)?.clone();
                    let other = any(&mut self.dice, &policies)?;
                    if kind == Kind::PolicyAdded {
                        policy.key.name = format!("added-{nth}").into();
                    }
                    policy.ingress = Some(other.ingress.iter().flatten().cloned().collect());
                    for rule in policy.ingress.iter_mut().flatten() {
                        if let Peers::AnyOf(peers) = &mut rule.peers {
                            peers.truncate(1 + nth % 2);
                        }
                    }
                    vec![Event::PolicyApplied(policy)]
                }
                Kind::PolicyDeleted => {
                    let policy = any(&mut self.dice, &policies)?;
                    vec![Event::PolicyDeleted(policy.key.clone())]
                }
                Kind::RollingUpdate => {
                    let start = self.dice.below(pods.len().saturating_sub(ROLLED));
                    let old = pods.iter().skip(start).take(ROLLED).cloned();
                    old.flat_map(|pod| {
                        let gone = Event::PodDeleted(pod.uid.clone());
                        [Event::PodApplied(twin(pod, nth)), gone]
                    })
                    .collect()
                }
            };
            let start = Instant::now();
            for event in events {
                self.compiler.apply(event);
            }
            let changes = self.compiler.flush();
            times.push(start.elapsed());
            let (count, size) = written(&self.compiler, &changes)?;
            objects.push(count);
            bytes.push(size);
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let counts = |what: &str, counts: Vec<usize>| {
            Figure::counts(
                &format!("{}, {what}", kind.name()),
                counts.into_iter().map(|count| count as f64),
            )
        };
        let targets = kind.is_of_pod().then_some(POD);
        // The table has room for one target: the one that is further from being met.
        let time = Figure::times(kind.name(), times);
        let time = match targets {
            Some([half, most]) if time.spread.p99 / most > time.spread.p50 / half => {
                time.at_most(Part::P99, most)
            }
            Some([half, _]) => time.at_most(Part::P50, half),
            None => time,
        };
        Ok([
            time,
            counts("objects written", objects),
            counts("bytes written", bytes),
        ])
    }
}

/// Any of some things.
fn any<'t, T>(dice: &mut Dice, things: &'t [T]) -> Result<&'t T> {
    let at = dice.below(things.len().max(1));
    things.get(at).context("nothing to pick from")
}

/// A new pod like an old one, with an address of its own.
fn twin(mut pod: Pod, nth: usize) -> Pod {
    pod.uid = format!("{}-{nth}", pod.uid).into();
    pod.key.name = format!("{}-{nth}", pod.key.name).into();
    pod.created += 1;
    for address in &mut pod.addresses {
        *address = match address {
            IpAddr::V4(address) => {
                let [_, second, third, fourth] = address.octets();
                Ipv4Addr::new(u8::try_from(nth % 64 + 11).unwrap_or(11), second, third, fourth).into()
            }
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(*address) + ((nth as u128 + 1) << 64)).into(),
        };
    }
    pod
}

/// Labels of a namespace without the one that the API server gives it.
fn without_name(labels: &Labels) -> Labels {
    let given = |key: &str| key != "kubernetes.io/metadata.name";
    labels
        .iter()
        .filter(|(key, _)| given(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Objects that changes write or delete, and the bytes of those that they write.
fn written(compiler: &Compiler, changes: &Changes) -> Result<(usize, usize)> {
    let mut bytes = 0;
    for ((group, _), slice) in &changes.slices {
        if let Some((slice, scope)) = slice.as_ref().zip(compiler.scope(group)) {
            bytes += serde_json::to_vec(&AddressGroup::publish(slice, scope, 1))?.len();
        }
    }
    for slice in changes.policies.values().flatten() {
        bytes += serde_json::to_vec(&PolicySlice::publish(slice, 1))?.len();
    }
    for slice in changes.pods.values().flatten() {
        bytes += serde_json::to_vec(&PodSlice::publish(slice, 1))?.len();
    }
    for head in changes.nodes.values().flatten() {
        bytes += serde_json::to_vec(&NodeRuleSet::publish(head, 1))?.len();
    }
    let shared = changes.slices.len() + changes.policies.len();
    Ok((shared + changes.pods.len() + changes.nodes.len(), bytes))
}
