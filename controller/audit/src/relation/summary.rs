//! What there is, in a few lines.

use std::collections::BTreeSet;
use std::fmt;

use palisade_policy::model::Direction;
use palisade_policy::reach::{Class, End};

use super::Relation;

/// How many pods there are and how many of them are isolated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Pods that policies are about; of templates all replicas.
    pub pods: u64,
    /// Classes of them.
    pub classes: usize,
    /// Namespaces that have any.
    pub namespaces: usize,
    /// Ranges of addresses outside.
    pub ranges: usize,
    /// Pods that a policy isolates for ingress.
    pub ingress: u64,
    /// Pods that a policy isolates for egress.
    pub egress: u64,
    /// Pods in the network of their node, which no policy is about.
    pub host_network: usize,
}

impl Summary {
    /// The summary of a relation.
    pub fn of(relation: &Relation<'_>) -> Self {
        let classes = relation.reach.classes();
        let pods = |chosen: fn(&Class) -> bool| {
            let chosen = classes.iter().enumerate().filter(|(_, class)| chosen(class));
            chosen
                .filter_map(|(index, _)| relation.names.pods(End::Pods(index)))
                .sum()
        };
        let namespaces: BTreeSet<_> = classes.iter().map(|class| &class.namespace).collect();
        let state = &relation.inventory.state;
        Self {
            pods: pods(|_| true),
            classes: classes.len(),
            namespaces: namespaces.len(),
            ranges: relation.reach.outside().len(),
            ingress: pods(|class| !class.ingress.is_empty()),
            egress: pods(|class| !class.egress.is_empty()),
            host_network: state
                .pods()
                .values()
                .filter(|pod| pod.host_network && !pod.finished)
                .count(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pods, .. } = self;
        writeln!(
            f,
            "{} in {} and {}; {} outside",
            counted(*pods, "pod", "pods"),
            counted(self.classes as u64, "class", "classes"),
            counted(self.namespaces as u64, "namespace", "namespaces"),
            counted(self.ranges as u64, "range of addresses", "ranges of addresses"),
        )?;
        writeln!(
            f,
            "isolated for {}: {} of {pods}, for {}: {} of {pods}",
            Direction::Ingress,
            self.ingress,
            Direction::Egress,
            self.egress,
        )?;
        if self.host_network > 0 {
            writeln!(
                f,
                "left out: {} in the network of their node, which no policy is about",
                counted(self.host_network as u64, "pod", "pods")
            )?;
        }
        write!(
            f,
            "always allowed beside that: between a pod and its own node, and from a pod to itself"
        )
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
