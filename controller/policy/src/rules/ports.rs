//! Names of ports, and the numbers that a pod declares for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::model::{PortName, Protocol, Sorted};
use crate::shared::Share;

/// A port name with its protocol; the same name may stand for other numbers in another protocol.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// The name.
    pub name: PortName,
    /// The protocol.
    pub protocol: Protocol,
}

impl fmt::Display for NamedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.protocol)
    }
}

/// The numbers that a pod declares for each name, over all its containers. Copies are the same memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedPorts(Arc<[(NamedPort, Sorted<u16>)]>);

impl NamedPorts {
    /// The numbers of a name, if it is declared.
    pub fn get(&self, name: &NamedPort) -> Option<&Sorted<u16>> {
        let position = self.0.binary_search_by(|(known, _)| known.cmp(name)).ok()?;
        self.0.get(position).map(|(_, numbers)| numbers)
    }

    /// All names in their order, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (&NamedPort, &Sorted<u16>)> {
        self.0.iter().map(|(name, numbers)| (name, numbers))
    }
}

impl Default for NamedPorts {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

impl FromIterator<(NamedPort, u16)> for NamedPorts {
    fn from_iter<I: IntoIterator<Item = (NamedPort, u16)>>(declared: I) -> Self {
        let mut ports: BTreeMap<NamedPort, BTreeSet<u16>> = BTreeMap::new();
        for (name, number) in declared {
            ports.entry(name).or_default().insert(number);
        }
        let ports = ports.into_iter();
        Self(
            ports
                .map(|(name, numbers)| (name, numbers.into_iter().collect()))
                .collect(),
        )
    }
}

impl From<BTreeMap<NamedPort, Sorted<u16>>> for NamedPorts {
    fn from(ports: BTreeMap<NamedPort, Sorted<u16>>) -> Self {
        Self(ports.into_iter().collect())
    }
}

impl Share for NamedPorts {
    fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}
