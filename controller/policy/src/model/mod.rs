//! Validated types for the objects that decide about packets.
//!
//! Conversion from the Kubernetes API happens once, at the boundary (`palisade_controller::decode`). From here on
//! there is no optional string whose absence means something: what the API tells apart by nil and empty is an enum.

mod labels;
mod names;
mod network;
mod objects;
mod packet;
mod policy;
mod selector;
mod sorted;

pub use labels::Labels;
pub use names::{NamespaceName, NodeName, PodKey, PodUid, PolicyKey, PortName};
pub use network::{Direction, InvalidIpBlock, InvalidPortRange, IpBlock, PortRange, Protocol};
pub use objects::{ContainerPort, Namespace, Node, Pod};
pub(crate) use objects::{labels_weight, named_port_weight};
pub use packet::{Packet, Transport, Verdict};
pub use policy::{Defect, NamespaceScope, Peer, Peers, PodPeer, Policy, PolicyPort, PortMatch, Ports, Rule};
pub use selector::{Operator, Requirement, Selector};
pub use sorted::Sorted;
