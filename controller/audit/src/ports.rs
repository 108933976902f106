//! The ports that a rule names, at a pod with these ports.

use palisade_policy::model::{ContainerPort, PolicyPort, PortMatch, Ports, Protocol};
use palisade_policy::reach::PortSet;

/// The ports that a rule names at a destination that declares some ports: a name is every number that it has there. No ports named
/// is all.
pub(crate) fn named(ports: &Ports, declared: &[ContainerPort]) -> PortSet {
    let Ports::AnyOf(entries) = ports else {
        return PortSet::all();
    };
    let of_protocol = |protocol| {
        let entries = entries.iter().filter(move |entry| entry.protocol == protocol);
        PortSet::spans(protocol, entries.flat_map(|entry| spans(entry, declared)))
    };
    Protocol::ALL
        .into_iter()
        .fold(PortSet::none(), |all, protocol| all.union(&of_protocol(protocol)))
}

fn spans(entry: &PolicyPort, declared: &[ContainerPort]) -> Vec<(u16, u16)> {
    match &entry.port {
        PortMatch::Any => vec![(0, u16::MAX)],
        PortMatch::Range(range) => vec![(range.first(), range.last())],
        PortMatch::Named(name) => {
            let named = declared.iter();
            let named = named.filter(|port| port.name == *name && port.protocol == entry.protocol);
            named.map(|port| (port.number, port.number)).collect()
        }
    }
}
