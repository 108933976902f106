//! All pairs of ends between which connections are allowed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{End, Family, Flow, PortSet, Reach};

/// The flows of a family, in order of the destination.
pub(super) fn flows(reach: &Reach, family: Family) -> impl Iterator<Item = Flow> {
    let ends: Vec<End> = reach.ends().map(|(end, _)| end).collect();
    let all = ends.clone();
    ends.into_iter().flat_map(move |to| {
        let mut by_ports: BTreeMap<PortSet, Vec<End>> = BTreeMap::new();
        for from in &all {
            if matches!((from, to), (End::Outside(_), End::Outside(_))) {
                continue;
            }
            let ports = reach.ports(*from, to, family);
            if !ports.is_empty() {
                by_ports.entry(ports).or_default().push(*from);
            }
        }
        by_ports.into_iter().map(move |(ports, from)| Flow {
            from: Arc::from(from),
            to,
            ports,
        })
    })
}
