//! What is wrong with policies, or likely to be.
//!
//! ```text
//!   Inventory ─► population   pods that no policy can tell apart, as one
//!        └─────► scene        what each selector of each policy selects, found once
//!                  └─► checks, one module for each topic ─► findings ─► output: text, JSON, SARIF, GitHub
//! ```
//!
//! A finding has a [`Code`]; [`mod@table`] is the one place that says what the codes are, and what the page of the
//! documentation, the rules in SARIF and `--explain` are made from. A check says only what somebody can act on: where the
//! objects that were read are a part of a cluster, what is not among them is not taken for missing.

mod addresses;
mod blocks;
mod code;
mod cover;
mod coverage;
mod dns;
mod documents;
mod ends;
pub(crate) mod field;
mod finding;
pub(crate) mod hint;
mod host_network;
mod offer;
pub mod output;
mod population;
mod ports;
mod redundant;
mod scene;
mod selection;
mod selectors;
mod services;
mod slips;
pub mod table;
mod unread;
mod wording;

use crate::inventory::Inventory;

pub use code::{Code, Entry, Severity};
pub use finding::Finding;

use ends::Ends;
use finding::Findings;
use population::Population;
use scene::Scene;

/// Everything that is found, sorted by object, field and code.
pub fn lint(inventory: &Inventory) -> Vec<Finding> {
    let population = Population::of(inventory);
    let scene = Scene::of(inventory, &population);
    let mut findings = Findings::default();
    let mut ends = Ends::of(&scene);
    for seen in scene.policies() {
        documents::check(&scene, seen, &mut findings);
        selectors::check(&scene, seen, &mut findings);
        slips::check(&scene, seen, &mut findings);
        host_network::check(seen, &mut findings);
        blocks::check(&scene, seen, &mut findings);
        ports::check(&scene, seen, &mut findings);
        redundant::check(&scene, seen, &mut findings);
        ends.check(seen, &mut findings);
    }
    redundant::check_all(&scene, &mut findings);
    coverage::check(&scene, &mut findings);
    dns::check(&scene, &mut findings);
    services::check(&scene, &mut findings);
    findings.sorted()
}
