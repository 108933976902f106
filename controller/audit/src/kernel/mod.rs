//! What the kernel of a node does, read back from its tables and compared with what the API says.
//!
//! ```text
//!   document ─► read ─► ruleset ─► walk ─────────┐
//!   (what a node                                 ├─► compare ─► difference ─► text, json
//!    hands out)      ClusterState ─► expected ───┘
//! ```
//! Nothing here knows how rules are planned. A table is a relation between addresses and transports, whoever wrote it; where it
//! differs from what the oracle says of the API's objects, that is a finding, with a packet that shows it, the rule that
//! decides and the policies. What cannot be understood is a finding as well.

mod compare;
mod difference;
mod document;
mod expected;
mod json;
mod node;
mod read;
mod ruleset;
mod set;
mod spans;
#[cfg(test)]
mod tests;
mod text;
mod transport;
mod walk;

use std::collections::BTreeSet;
use std::sync::Arc;

use palisade_policy::cluster::ClusterState;
use palisade_policy::model::NodeName;

pub use difference::{
    Compared, Difference, Finding, Judged, Kernel, Lost, LostPackets, NodeReport, Others, SourceCheck, Stale,
    Witness,
};
pub use document::{Facts, Foreign, InvalidDocument, NodeTables, Place};
pub use json::json;
pub use read::Unreadable;
pub use ruleset::Family;
pub use spans::Spans;
pub use text::text;
pub use transport::{Carried, Transports};
pub use walk::Step;

/// The policies of a cluster, ready to be compared with the tables of any number of nodes.
pub struct Verifier<'a> {
    state: &'a ClusterState,
    with_pods: Arc<BTreeSet<NodeName>>,
    expected: expected::Expected<'a>,
}

impl<'a> Verifier<'a> {
    /// Reads the policies.
    pub fn new(state: &'a ClusterState) -> Self {
        let workloads = state.pods().values().filter(|pod| pod.is_workload());
        Self {
            state,
            with_pods: Arc::new(workloads.filter_map(|pod| pod.node.clone()).collect()),
            expected: expected::Expected::of(state),
        }
    }

    /// Compares what a node's kernel does with what the API says.
    pub fn verify(&mut self, node: &NodeName, tables: &NodeTables) -> NodeReport {
        let mut report = compare::verify(self.state, &mut self.expected, node, tables);
        report.with_pods = self.with_pods.clone();
        report
    }
}
