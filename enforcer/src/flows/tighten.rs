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
    !filled.is_empty() && denies(&filled, desired)
}

/// Whether elements of one of these sets can keep a packet from passing.
fn denies(filled: &BTreeSet<&Name>, ruleset: &Ruleset) -> bool {
    let chains = ruleset.tables.get(&TableKey::Inet).into_iter();
    let mut rules = chains
        .flat_map(|table| table.chains.values())
        .flat_map(|chain| &chain.rules);
    rules.any(|rule| {
        rule.matches.iter().any(|condition| match condition {
            Match::InSet { set, negated, .. } => {
                (*negated || rule.verdict == Verdict::Drop) && filled.contains(set)
            }
            _ => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::diff;
    use crate::nft::model::{Chain, Element, Field, Hook, KeyType, Part, Rule, Set};

    /// What is in the set passes, and nothing else.
    fn ruleset(addresses: &[[u8; 4]], negated: bool) -> Ruleset {
        let [peers, chain] = ["peers", "closed"].map(|name| Name::new(name).unwrap());
        let mut ruleset = Ruleset::default();
        let table = ruleset.tables.entry(TableKey::Inet).or_default();
        let mut set = Set::hash([KeyType::Ipv4Address]);
        let element = |address: &[u8; 4]| Element::new(&[Part::address(*address)]);
        set.elements = addresses.iter().map(element).collect();
        table.sets.insert(peers.clone(), set.into());
        let peer = Match::InSet {
            key: vec![Field::SourceV4],
            set: peers,
            negated,
        };
        let rules = vec![Rule::new([peer], Verdict::Accept), Rule::new([], Verdict::Drop)];
        let chain_of = Chain {
            hook: Some(Hook::Forward { priority: 0 }),
            comment: None,
            rules,
        };
        table.chains.insert(chain, chain_of);
        ruleset
    }

    fn is_tighter(before: &Ruleset, after: &Ruleset) -> bool {
        tightens(&diff(before, after), after)
    }

    #[test]
    fn a_further_peer_denies_nobody_anything() {
        let (one, two) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        assert!(!is_tighter(&ruleset(&[one], false), &ruleset(&[one, two], false)));
        assert!(is_tighter(&ruleset(&[one, two], false), &ruleset(&[one], false)));
        assert!(is_tighter(&ruleset(&[one], true), &ruleset(&[one, two], true)));
    }

    #[test]
    fn other_rules_may_deny_anything() {
        let (before, mut after) = (ruleset(&[], false), ruleset(&[], false));
        assert!(!is_tighter(&before, &after));
        let table = after.tables.get_mut(&TableKey::Inet).unwrap();
        table.chains.values_mut().next().unwrap().rules.remove(0);
        assert!(is_tighter(&before, &after));
        assert!(is_tighter(&Ruleset::default(), &before));
    }
}
