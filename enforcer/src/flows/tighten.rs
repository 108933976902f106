//! Which changes can deny what was allowed.

use std::collections::BTreeSet;

use crate::nft::model::{Match, Name, Ruleset, TableKey, Verdict};
use crate::nft::{Change, Operation};

/// Whether a change that leads to `desired` may deny what was allowed before. It does not if all it does to the forward
/// hook is to add elements to sets that only allow: a pod that joins a group.
pub fn tightens(change: &Change<'_>, desired: &Ruleset) -> bool {
    let mut filled = BTreeSet::new();
    for operation in change.operations() {
        match operation {
            Operation::AddElements {
                table: TableKey::Inet,
                name,
                ..
            } => {
                filled.insert(*name);
            }
            _ if operation.table() == TableKey::Inet => return true,
            _ => {}
        }
    }
    !filled.is_disjoint(&denying(desired))
}

/// The sets whose elements can keep a packet from passing.
fn denying(ruleset: &Ruleset) -> BTreeSet<&Name> {
    let chains = ruleset.tables.get(&TableKey::Inet).into_iter();
    let rules = chains
        .flat_map(|table| table.chains.values())
        .flat_map(|chain| &chain.rules);
    let sets = rules.flat_map(|rule| {
        rule.matches.iter().filter_map(|condition| match condition {
            Match::InSet { set, negated, .. } if *negated || rule.verdict == Verdict::Drop => Some(set),
            _ => None,
        })
    });
    sets.collect()
}
