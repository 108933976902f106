//! One finding where many pods have the same for the same reason: nobody reads a thousand of them.

use std::collections::BTreeMap;

use crate::kernel::difference::{Difference, Finding, Lost};

use super::Comparison;

impl Comparison<'_, '_> {
    /// Makes one of differences that have all but the pod in common.
    pub(super) fn merge(&mut self) {
        let mut merged: Vec<Finding> = Vec::new();
        let mut places: BTreeMap<_, usize> = BTreeMap::new();
        for finding in std::mem::take(&mut self.findings) {
            let key = match &finding {
                Finding::Difference(Difference {
                    judged,
                    kernel,
                    carried,
                    others,
                    witness,
                    steps,
                    policies,
                    ..
                }) => Some((
                    None,
                    *judged,
                    *kernel,
                    carried,
                    others,
                    witness,
                    steps,
                    policies.clone(),
                )),
                Finding::Lost(Lost {
                    judged,
                    kernel,
                    carried,
                    others,
                    witness,
                    steps,
                    packets,
                    ..
                }) => Some((
                    Some(*packets),
                    *judged,
                    *kernel,
                    carried,
                    others,
                    witness,
                    steps,
                    Vec::new(),
                )),
                _ => None,
            };
            let key = key.map(
                |(packets, judged, kernel, carried, others, witness, steps, policies)| {
                    let (carried, addresses) = (carried.clone(), others.addresses.clone());
                    let (is_v4, last) = (witness.source.is_ipv4(), steps.last().cloned());
                    (packets, judged, kernel, carried, addresses, is_v4, last, policies)
                },
            );
            if let Some(key) = key {
                let place = *places.entry(key).or_insert(merged.len());
                match (merged.get_mut(place), &finding) {
                    (Some(Finding::Difference(same)), Finding::Difference(more)) => {
                        same.pods.extend_from_slice(&more.pods);
                        continue;
                    }
                    (Some(Finding::Lost(same)), Finding::Lost(more)) => {
                        same.pods.extend_from_slice(&more.pods);
                        continue;
                    }
                    _ => {}
                }
            }
            merged.push(finding);
        }
        for finding in &mut merged {
            if let Finding::Difference(Difference { pods, .. }) | Finding::Lost(Lost { pods, .. }) = finding {
                pods.sort_unstable();
                pods.dedup();
            }
        }
        self.findings = merged;
    }
}
