//! The kernel's tables beside the API's objects: every packet that they treat differently.
//!
//! ```text
//!   tables ─► walk ─────┐
//!                       ├─► for each pod, side and stretch of addresses: what must pass, what may, what does
//!   API ───► Expected ──┘
//! ```
//! Both sides are functions of the address at the other end, so the comparison is exact: where neither changes, one stretch
//! stands for all of its addresses.
//!
//! Some things are closed or open whatever policies say, and are taken as the node means them: neighbour discovery passes; an
//! address of the node's pod networks that no pod has is closed; between bridged pods link-local addresses are closed; a pod
//! sends from its own addresses. What the node itself sends or receives is not forwarded and not compared.

mod merge;
mod named;
mod notes;
mod path;
mod relation;
mod replies;
mod source;
mod stale;
mod unplaced;
mod witness;

use std::sync::Arc;

use palisade_policy::cluster::ClusterState;
use palisade_policy::model::NodeName;

use super::difference::{Compared, Finding, NodeReport};
use super::document::NodeTables;
use super::expected::Expected;
use super::node::Node;
use super::walk::Walker;
use named::Names;
use path::Paths;

/// How many differences are followed up; more of them are counted.
const FOLLOWED: usize = 2_000;

/// Compares what a node's kernel does with what the API says.
pub(crate) fn verify<'s>(
    state: &'s ClusterState,
    expected: &mut Expected<'s>,
    name: &NodeName,
    tables: &NodeTables,
) -> NodeReport {
    let node = Node::new(state, name, tables);
    let names = Names::of(&node, tables);
    let mut comparison = Comparison {
        state,
        tables,
        paths: Paths::new(&node, tables, &names),
        names,
        walker: Walker::new(&tables.ruleset),
        expected,
        node,
        findings: Vec::new(),
        untold: 0,
        compared: Compared::default(),
    };
    let notes = comparison.notes();
    comparison.unplaced();
    comparison.relation();
    comparison.unbound();
    comparison.sources();
    comparison.floods();
    comparison.stale();
    let foreign = tables.foreign.iter().cloned().map(Finding::Foreign);
    comparison.findings.extend(foreign);
    let Comparison {
        findings,
        untold,
        mut compared,
        node,
        ..
    } = comparison;
    let residents = node.residents.iter();
    compared.pods = residents
        .filter(|resident| resident.seat.is_some() && resident.judged().next().is_some())
        .count();
    NodeReport {
        node: node.name,
        generation: tables.generation,
        findings,
        untold,
        notes,
        compared,
        with_pods: Arc::default(),
    }
}

struct Comparison<'s, 't> {
    state: &'s ClusterState,
    tables: &'t NodeTables,
    node: Node<'s>,
    names: Names,
    paths: Paths,
    walker: Walker<'t>,
    expected: &'t mut Expected<'s>,
    findings: Vec<Finding>,
    untold: usize,
    compared: Compared,
}

/// An interface that nothing in the tables names, as one would be that leads out of the node.
const ELSEWHERE: &str = "?elsewhere";
