//! All answers on one page of HTML.
//!
//! ```text
//!   Inventory ─► Reach ─► rows ─► matrix ─┐                ┌─► sections   plain HTML: what needs no program to be read
//!        └─────► lint ────────────────────┼─► Overview ────┼─► data       JSON for the page's own program
//!                         figures, scopes ┘                └─► page       around it: style, program, what it may not do
//! ```
//!
//! The page holds everything that it shows and asks no network for anything, which its content security policy enforces.
//! Nothing that comes from objects can become markup: `html` is the only way to write any. Its size has bounds, and what
//! they leave out is said on the page.

mod data;
mod ends;
mod figures;
mod html;
mod matrix;
mod names;
mod page;
mod policies;
#[cfg(test)]
mod properties;
mod sections;
mod singles;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use palisade_policy::model::{NamespaceName, PolicyKey};
use palisade_policy::reach::Reach;

use crate::inventory::{Inventory, ObjectRef, Places};
use crate::lint::Finding;

use ends::{Grain, Rows};
use figures::{Connectivity, Coverage};
use matrix::Matrix;
use names::Names;
use policies::Scope;

/// The most runs of equal cells that a page holds: some megabytes.
const MOST_RUNS: usize = 500_000;

/// What the page says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Where the objects come from: `shop/`, `cluster kind-1`.
    pub source: String,
    /// When they were read, as the page shall say it: `2026-11-25 16:00 UTC`.
    pub time: String,
}

/// Writes the page. `findings` are those of [`crate::lint::lint`], and `places` knows where they are written.
pub fn render(
    inventory: &Inventory,
    reach: &Reach,
    findings: &[Finding],
    places: &dyn Places,
    about: &About,
) -> Result<String, serde_json::Error> {
    page::write(&Overview::of(inventory, reach, findings, places, about))
}

/// Everything that the page is made of.
struct Overview<'a> {
    inventory: &'a Inventory,
    reach: &'a Reach,
    /// The worst first, those of a code together.
    findings: Vec<&'a Finding>,
    places: &'a dyn Places,
    about: &'a About,
    names: Names,
    rows: Rows,
    matrix: Matrix,
    coverage: BTreeMap<NamespaceName, Coverage>,
    connectivity: Connectivity,
    subjects: BTreeMap<&'a PolicyKey, Vec<usize>>,
    /// In the order of the policies; `None` where the page cannot hold it.
    scopes: Option<Vec<Scope>>,
    /// The findings of each object, as indexes into `findings`.
    findings_of: BTreeMap<&'a ObjectRef, Vec<usize>>,
}

impl<'a> Overview<'a> {
    fn of(
        inventory: &'a Inventory,
        reach: &'a Reach,
        findings: &'a [Finding],
        places: &'a dyn Places,
        about: &'a About,
    ) -> Self {
        let names = Names::of(inventory, reach);
        let (rows, matrix) = relation(reach, &names);
        let scopes = match rows.grain {
            Grain::Classes => policies::scopes(&inventory.state, reach),
            Grain::Namespaces => None,
        };
        let mut findings: Vec<&Finding> = findings.iter().collect();
        findings.sort_by_key(|finding| (std::cmp::Reverse(finding.code.severity()), finding.code));
        let mut findings_of: BTreeMap<&ObjectRef, Vec<usize>> = BTreeMap::new();
        for (index, finding) in findings.iter().enumerate() {
            findings_of.entry(&finding.object).or_default().push(index);
        }
        Self {
            inventory,
            reach,
            findings,
            places,
            about,
            coverage: figures::coverage(inventory, reach, &names),
            connectivity: Connectivity::of(reach, &names),
            subjects: policies::subjects(reach),
            names,
            rows,
            matrix,
            scopes,
            findings_of,
        }
    }

    /// Whether there were any pods among the objects: of policies alone, nothing can be said of whom they select.
    fn has_pods(&self) -> bool {
        !self.inventory.state.pods().is_empty()
    }

    /// The findings about a policy itself.
    fn findings_of_policy(&self, key: &PolicyKey) -> &[usize] {
        self.findings_of
            .get(&ObjectRef::Policy(key.clone()))
            .map(Vec::as_slice)
            .unwrap_or_default()
    }
}

/// The matrix as fine as the page can hold it.
fn relation(reach: &Reach, names: &Names) -> (Rows, Matrix) {
    if reach.classes().len() + reach.outside().len() <= ends::MOST {
        let rows = Rows::of(reach, names, Grain::Classes, ends::MOST);
        let matrix = Matrix::of(reach, &rows);
        if matrix.size() <= MOST_RUNS {
            return (rows, matrix);
        }
    }
    let mut most = ends::MOST;
    loop {
        let rows = Rows::of(reach, names, Grain::Namespaces, most);
        let matrix = Matrix::of(reach, &rows);
        // A hundred rows are ten thousand cells at most, which is less than the bound.
        if matrix.size() <= MOST_RUNS || most <= 100 {
            return (rows, matrix);
        }
        most /= 2;
    }
}
