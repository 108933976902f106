//! One finding where many pods have the same for the same reason: nobody reads a thousand of them.

use std::collections::BTreeMap;

use palisade_policy::model::{PodKey, PolicyKey};

use crate::kernel::difference::{Difference, Finding, Judged, Kernel, Lost, LostPackets, Others, Witness};
use crate::kernel::spans::Spans;
use crate::kernel::transport::Transports;
use crate::kernel::walk::Step;

use super::Comparison;

/// What findings have in common that differ in the pod alone.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alike {
    /// Of connections that cannot go on, which packets are lost; `None` of a difference.
    packets: Option<LostPackets>,
    judged: Judged,
    kernel: Kernel,
    carried: Transports,
    addresses: Spans<u128>,
    is_v4: bool,
    last: Option<Step>,
    policies: Vec<PolicyKey>,
}

impl Alike {
    fn of(finding: &Finding) -> Option<Self> {
        match finding {
            Finding::Difference(one) => Some(Self {
                policies: one.policies.clone(),
                ..Self::new(
                    (one.judged, one.kernel),
                    &one.carried,
                    &one.others,
                    &one.witness,
                    &one.steps,
                )
            }),
            Finding::Lost(one) => Some(Self {
                packets: Some(one.packets),
                ..Self::new(
                    (one.judged, one.kernel),
                    &one.carried,
                    &one.others,
                    &one.witness,
                    &one.steps,
                )
            }),
            _ => None,
        }
    }

    fn new(
        (judged, kernel): (Judged, Kernel),
        carried: &Transports,
        others: &Others,
        witness: &Witness,
        steps: &[Step],
    ) -> Self {
        Self {
            packets: None,
            judged,
            kernel,
            carried: carried.clone(),
            addresses: others.addresses.clone(),
            is_v4: witness.source.is_ipv4(),
            last: steps.last().cloned(),
            policies: Vec::new(),
        }
    }
}

/// The pods of a finding that may be one for many.
fn pods(finding: &mut Finding) -> Option<&mut Vec<PodKey>> {
    match finding {
        Finding::Difference(Difference { pods, .. }) | Finding::Lost(Lost { pods, .. }) => Some(pods),
        _ => None,
    }
}

impl Comparison<'_, '_> {
    /// Makes one of differences that have all but the pod in common.
    pub(super) fn merge(&mut self) {
        let mut merged: Vec<Finding> = Vec::new();
        let mut places: BTreeMap<Alike, usize> = BTreeMap::new();
        for mut finding in std::mem::take(&mut self.findings) {
            if let Some(alike) = Alike::of(&finding) {
                let place = *places.entry(alike).or_insert(merged.len());
                if let Some(same) = merged.get_mut(place).and_then(pods)
                    && let Some(more) = pods(&mut finding)
                {
                    same.append(more);
                    continue;
                }
            }
            merged.push(finding);
        }
        for pods in merged.iter_mut().filter_map(pods) {
            pods.sort_unstable();
            pods.dedup();
        }
        self.findings = merged;
    }
}
