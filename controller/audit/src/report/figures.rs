//! The figures of the summary: how many pods are isolated, and how many pairs of pods may connect.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::AddAssign;

use palisade_policy::model::NamespaceName;
use palisade_policy::reach::{End, Family, Flow, Reach};

use super::names::Names;
use crate::inventory::Inventory;

/// How far some pods are isolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    /// The pods that policies can select.
    pub(super) pods: u64,
    /// Those that some policy isolates for ingress.
    pub(super) ingress: u64,
    /// Those that some policy isolates for egress.
    pub(super) egress: u64,
    /// Running pods that no policy can select: those on the network of their node.
    pub(super) exempt: u64,
    /// Policies of their namespace.
    pub(super) policies: u64,
}

impl AddAssign for Coverage {
    fn add_assign(&mut self, other: Self) {
        self.pods += other.pods;
        self.ingress += other.ingress;
        self.egress += other.egress;
        self.exempt += other.exempt;
        self.policies += other.policies;
    }
}

/// The coverage of every namespace that there is, by name.
pub(super) fn coverage(
    inventory: &Inventory,
    reach: &Reach,
    names: &Names,
) -> BTreeMap<NamespaceName, Coverage> {
    let state = &inventory.state;
    let mut all: BTreeMap<NamespaceName, Coverage> = BTreeMap::new();
    for name in state.namespaces().keys() {
        all.entry(name.clone()).or_default();
    }
    for (index, class) in reach.classes().iter().enumerate() {
        let pods = names.pods(index);
        let coverage = all.entry(class.namespace.clone()).or_default();
        coverage.pods += pods;
        coverage.ingress += if class.ingress.is_empty() { 0 } else { pods };
        coverage.egress += if class.egress.is_empty() { 0 } else { pods };
    }
    let templates = inventory.representatives();
    for pod in state
        .pods()
        .values()
        .filter(|pod| pod.host_network && !pod.finished)
    {
        all.entry(pod.key.namespace.clone()).or_default().exempt += templates
            .get(&pod.uid)
            .and_then(|workload| workload.replicas)
            .map_or(1, u64::from);
    }
    for key in state.policies().keys() {
        all.entry(key.namespace.clone()).or_default().policies += 1;
    }
    all
}

/// How many of all connections that could be are allowed. A pair is a pod and another one that it may open connections to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Connectivity {
    /// All pairs.
    pub(super) pairs: u64,
    /// Those that may connect on some port.
    pub(super) connected: u64,
    /// Pods that some address outside may connect to.
    pub(super) from_outside: u64,
    /// Pods that may connect to some address outside.
    pub(super) to_outside: u64,
}

impl Connectivity {
    pub(super) fn of(reach: &Reach, names: &Names) -> Self {
        let classes = (0..reach.classes().len()).map(|class| names.pods(class));
        let mut count = Count {
            classes: classes.collect(),
            counted: vec![None; reach.classes().len()],
        };
        let pods: u64 = count.classes.iter().sum();
        let mut found = Self {
            pairs: pods.saturating_mul(pods.saturating_sub(1)),
            ..Self::default()
        };
        let mut to_outside: BTreeSet<End> = BTreeSet::new();
        let mut lists = Lists::default();
        let mut flows = [Family::V4, Family::V6].map(|family| reach.flows(family).peekable());
        // Flows of each family are in order of the destination: take those of one destination from both.
        while let Some(to) = flows
            .iter_mut()
            .filter_map(|flows| flows.peek().map(|flow| flow.to))
            .min()
        {
            let here: Vec<Vec<Flow>> = flows
                .iter_mut()
                .map(|flows| std::iter::from_fn(|| flows.next_if(|flow| flow.to == to)).collect())
                .collect();
            match to {
                End::Pods(class) => {
                    let pods = count.class(class);
                    let from = count.from(to, &here, &mut lists);
                    found.connected += pods.saturating_mul(from.pods);
                    if let Some(itself) = from.itself {
                        found.connected -= itself;
                    }
                    if from.outside {
                        found.from_outside += pods;
                    }
                }
                End::Outside(_) => to_outside.extend(here.iter().flatten().flat_map(|flow| flow.from.iter())),
            }
        }
        found.to_outside = to_outside.iter().map(|end| count.end(*end)).sum();
        found
    }
}

/// How many pods there are of each class.
#[derive(Debug)]
struct Count {
    classes: Vec<u64>,
    /// The last destination that each class was counted for, to count none twice.
    counted: Vec<Option<End>>,
}

/// Who connects to a class.
#[derive(Clone, Copy, Debug, Default)]
struct From {
    /// Pods, the class's own included.
    pods: u64,
    /// How many of the pairs are of a pod with itself; `None` where the class does not connect to itself.
    itself: Option<u64>,
    /// Whether an address outside does.
    outside: bool,
}

/// What is in a list of ends: its pods, and whether there is something outside. Flows share lists.
type Lists = HashMap<*const End, (std::sync::Arc<[End]>, u64, bool)>;

impl Count {
    fn class(&self, class: usize) -> u64 {
        self.classes.get(class).copied().unwrap_or_default()
    }

    fn end(&self, end: End) -> u64 {
        match end {
            End::Pods(class) => self.class(class),
            End::Outside(_) => 0,
        }
    }

    /// Who connects to `to`, by the flows of each family. Within a family no end is in two flows; if both families have
    /// flows, an end may be in both.
    fn from(&mut self, to: End, families: &[Vec<Flow>], lists: &mut Lists) -> From {
        let mut found = From::default();
        let both = families.iter().all(|flows| !flows.is_empty());
        let flows = || families.iter().flatten();
        if both {
            for end in flows().flat_map(|flow| flow.from.iter()) {
                match end {
                    End::Outside(_) => found.outside = true,
                    End::Pods(class) => {
                        let counted = self.counted.get_mut(*class);
                        if counted.is_some_and(|last| last.replace(to) != Some(to)) {
                            found.pods += self.class(*class);
                        }
                    }
                }
            }
        } else {
            for flow in flows() {
                let (_, pods, outside) = lists.entry(flow.from.as_ptr()).or_insert_with(|| {
                    let pods = flow.from.iter().map(|end| self.end(*end)).sum();
                    let outside = flow.from.iter().any(|end| matches!(end, End::Outside(_)));
                    (flow.from.clone(), pods, outside)
                });
                found.pods += *pods;
                found.outside |= *outside;
            }
        }
        let own = flows().any(|flow| flow.from.binary_search(&to).is_ok());
        found.itself = own.then(|| self.end(to));
        found
    }
}

/// `67 %`: rounded, but neither nothing nor all where it is not quite. Of nothing there is no share.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let rounded = (u128::from(part) * 200 + u128::from(whole)) / (u128::from(whole) * 2);
    match rounded {
        0 if part > 0 => "< 1 %".to_owned(),
        100 if part < whole => "> 99 %".to_owned(),
        rounded => format!("{rounded} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_not_rounded_to_nothing_or_all() {
        assert_eq!(percent(0, 0), "–");
        assert_eq!(percent(0, 3), "0 %");
        assert_eq!(percent(2, 3), "67 %");
        assert_eq!(percent(1, 100_000), "< 1 %");
        assert_eq!(percent(99_999, 100_000), "> 99 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100 %");
    }
}
