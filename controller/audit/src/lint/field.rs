//! Where a rule, a peer or a port of a policy stands in its document.

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::model::{Direction, Policy};

/// The paths of a policy's fields.
///
/// An entry that cannot be understood is missing from the rules, so the entries after it have moved up. Its defect tells
/// where it stood.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// Of each list (`spec.ingress[0].from`), the entries that are missing.
    missing: BTreeMap<String, BTreeSet<usize>>,
}

impl Fields {
    pub(crate) fn of(policy: &Policy) -> Self {
        let mut missing: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (list, index) in policy.defects.iter().filter_map(|defect| entry(&defect.field)) {
            missing.entry(list).or_default().insert(index);
        }
        Self { missing }
    }

    /// `spec.ingress[0]`
    pub(crate) fn rule(direction: Direction, rule: usize) -> String {
        format!("spec.{direction}[{rule}]")
    }

    /// `spec.ingress[0].from[1]`, `spec.egress[0].to[1]`
    pub(crate) fn peer(&self, direction: Direction, rule: usize, peer: usize) -> String {
        let list = match direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        self.entry(&format!("{}.{list}", Self::rule(direction, rule)), peer)
    }

    /// `spec.ingress[0].ports[1]`
    pub(crate) fn port(&self, direction: Direction, rule: usize, port: usize) -> String {
        self.entry(&format!("{}.ports", Self::rule(direction, rule)), port)
    }

    fn entry(&self, list: &str, index: usize) -> String {
        let missing = self.missing.get(list);
        let written = missing
            .into_iter()
            .flatten()
            .fold(index, |index, missing| index + usize::from(*missing <= index));
        format!("{list}[{written}]")
    }
}

/// The list and the index of the entry that a field is in.
fn entry(field: &str) -> Option<(String, usize)> {
    ["from", "to", "ports"].into_iter().find_map(|list| {
        let (rule, rest) = field.split_once(&format!(".{list}["))?;
        let (index, _) = rest.split_once(']')?;
        Some((format!("{rule}.{list}"), index.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use palisade_policy::model::Defect;
    use palisade_policy::testing::builders::policy;

    use super::*;

    #[test]
    fn entries_that_are_missing_are_counted() {
        let mut policy = policy("shop/web");
        for field in [
            "spec.ingress[0].from[2].ipBlock.cidr",
            "spec.ingress[0].from[0]",
            "spec.egress[1].ports[0].endPort",
        ] {
            policy.defects.push(Defect {
                field: field.to_owned(),
                message: String::new(),
            });
        }
        let fields = Fields::of(&policy);
        let peer = |index| fields.peer(Direction::Ingress, 0, index);
        assert_eq!(peer(0), "spec.ingress[0].from[1]");
        assert_eq!(peer(1), "spec.ingress[0].from[3]");
        assert_eq!(fields.peer(Direction::Egress, 1, 0), "spec.egress[1].to[0]");
        assert_eq!(fields.port(Direction::Egress, 1, 0), "spec.egress[1].ports[1]");
    }
}
