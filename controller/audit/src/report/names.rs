//! What classes of pods and ranges outside are called on the page.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use palisade_policy::model::{Labels, PodUid};
use palisade_policy::reach::{Class, Family, Outside, Reach};

use crate::inventory::{Inventory, WorkloadKey};

/// Blocks of a range that are told one by one.
const TOLD_BLOCKS: usize = 2;

/// What every pod belongs to, and how many pods it stands for.
#[derive(Debug)]
pub(super) struct Names<'a> {
    inventory: &'a Inventory,
    workloads: BTreeMap<&'a PodUid, &'a WorkloadKey>,
    replicas: BTreeMap<&'a PodUid, u64>,
}

impl<'a> Names<'a> {
    pub(super) fn of(inventory: &'a Inventory) -> Self {
        let mut workloads = BTreeMap::new();
        let mut replicas = BTreeMap::new();
        for workload in inventory.workloads.values() {
            for pod in &workload.pods {
                workloads.entry(pod).or_insert(&workload.key);
                if workload.representative {
                    replicas.insert(pod, u64::from(workload.replicas.unwrap_or(1)).max(1));
                }
            }
        }
        Self {
            inventory,
            workloads,
            replicas,
        }
    }

    /// How many pods a pod stands for: all replicas, if it was made from a template.
    pub(super) fn replicas(&self, pod: &PodUid) -> u64 {
        self.replicas.get(pod).copied().unwrap_or(1)
    }

    /// How many pods a class has.
    pub(super) fn pods(&self, class: &Class) -> u64 {
        class
            .members
            .iter()
            .map(|member| self.replicas(&member.uid))
            .sum()
    }

    /// The name of a class within its namespace: the workload's, where the class is all of one, or else its first pod's and
    /// the number of the others.
    pub(super) fn class(&self, class: &Class) -> String {
        let workloads: BTreeSet<_> = class
            .members
            .iter()
            .map(|member| self.workloads.get(&member.uid))
            .collect();
        if let (1, Some(Some(key))) = (workloads.len(), workloads.first()) {
            let whole = self
                .inventory
                .workloads
                .get(key)
                .map(|workload| workload.pods.len());
            if whole == Some(class.members.len()) {
                return key.name.to_string();
            }
        }
        let first = class
            .members
            .iter()
            .filter_map(|member| self.inventory.state.pods().get(&member.uid))
            .map(|pod| &*pod.key.name)
            .min()
            .unwrap_or_default();
        match class.members.len() {
            0 | 1 => first.to_owned(),
            count => format!("{first} and {} more", count - 1),
        }
    }
}

/// `app=web, tier=a`
pub(super) fn labels(labels: &Labels) -> String {
    let labels = labels.iter().map(|(key, value)| format!("{key}={value}"));
    labels.collect::<Vec<_>>().join(", ")
}

/// A family as people write it.
pub(super) fn family(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// The ranges outside that some pod can talk to, with their indexes: those of the families that pods have.
pub(super) fn ranges(reach: &Reach) -> impl Iterator<Item = (usize, &Outside)> {
    let members = || reach.classes().iter().filter_map(|class| class.members.first());
    let v4 = members().any(|member| member.v4.is_some());
    let v6 = members().any(|member| member.v6.is_some());
    reach
        .outside()
        .iter()
        .enumerate()
        .filter(move |(_, range)| match range.family {
            Family::V4 => v4,
            Family::V6 => v6,
        })
}

/// The name of each range outside: its blocks, and of the largest of a family that it is the rest.
pub(super) fn outside(reach: &Reach) -> Vec<String> {
    let ranges = reach.outside();
    let largest = |of: Family| {
        let of_family = ranges.iter().enumerate().filter(|(_, range)| range.family == of);
        of_family
            .max_by_key(|(index, range)| (size(range), std::cmp::Reverse(*index)))
            .map(|(index, _)| index)
    };
    let rest = [largest(Family::V4), largest(Family::V6)];
    let name = |(index, range): (usize, &Outside)| {
        let alone = ranges.iter().filter(|other| other.family == range.family).count() == 1;
        let family = family(range.family);
        if alone {
            return format!("any {family} address");
        }
        if rest.contains(&Some(index)) {
            return format!("other {family} addresses");
        }
        blocks(&range.blocks)
    };
    ranges.iter().enumerate().map(name).collect()
}

/// `10.0.0.0/8, 192.168.0.0/16 and 3 more`
pub(super) fn blocks(blocks: &[IpNet]) -> String {
    let told: Vec<String> = blocks.iter().take(TOLD_BLOCKS).map(ToString::to_string).collect();
    let told = told.join(", ");
    match blocks.len().saturating_sub(TOLD_BLOCKS) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

/// How many addresses a range has, at most the largest number there is.
fn size(range: &Outside) -> u128 {
    let sizes = range.blocks.iter().map(|block| {
        let free = u32::from(block.max_prefix_len() - block.prefix_len());
        1_u128.checked_shl(free).unwrap_or(u128::MAX)
    });
    sizes.fold(0, u128::saturating_add)
}
