//! One thing that was found, and all of them.

use std::collections::BTreeMap;

use palisade_policy::model::Policy;

use super::Code;
use crate::inventory::ObjectRef;

/// Findings of one code about one object that are told one by one.
const TOLD: usize = 10;

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What sort of thing.
    pub code: Code,
    /// The object that it is about.
    pub object: ObjectRef,
    /// The field, as a path from the object's root (`spec.ingress[0].from[1]`); none where it is about the whole.
    pub field: Option<String>,
    /// What is wrong here: a sentence without a full stop.
    pub message: String,
    /// How to put it right here.
    pub fix: String,
    /// Other objects that have to do with it, in order.
    pub related: Vec<ObjectRef>,
}

impl Finding {
    pub(super) fn new(code: Code, object: ObjectRef, message: impl Into<String>) -> Self {
        Self {
            code,
            object,
            field: None,
            message: message.into(),
            fix: code.entry().fix.to_owned(),
            related: Vec::new(),
        }
    }

    pub(super) fn of_policy(code: Code, policy: &Policy, message: impl Into<String>) -> Self {
        Self::new(code, ObjectRef::Policy(policy.key.clone()), message)
    }

    pub(super) fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    pub(super) fn fixed_by(mut self, fix: impl Into<String>) -> Self {
        self.fix = fix.into();
        self
    }

    pub(super) fn related_to(mut self, objects: impl IntoIterator<Item = ObjectRef>) -> Self {
        self.related.extend(objects);
        self.related.sort();
        self.related.dedup();
        self
    }
}

/// What the checks have found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
}

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        self.found.push(finding);
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.found.extend(findings);
    }

    /// All of it in order. Of many that say the same of one object, the last one told counts the others.
    pub(super) fn sorted(self) -> Vec<Finding> {
        let mut found = self.found;
        found.sort_by_cached_key(|finding| {
            let place = finding.field.as_deref().map(parts);
            (
                finding.object.clone(),
                place,
                finding.code,
                finding.message.clone(),
            )
        });
        let mut counts: BTreeMap<(ObjectRef, Code), usize> = BTreeMap::new();
        for finding in &found {
            *counts.entry((finding.object.clone(), finding.code)).or_default() += 1;
        }
        let mut told: BTreeMap<(ObjectRef, Code), usize> = BTreeMap::new();
        found.retain_mut(|finding| {
            let key = (finding.object.clone(), finding.code);
            let more = counts.get(&key).map_or(0, |count| count.saturating_sub(TOLD));
            let told = told.entry(key).or_default();
            *told += 1;
            if *told == TOLD && more > 0 {
                finding.message = format!("{}; and {more} more like this", finding.message);
            }
            *told <= TOLD
        });
        found
    }
}

/// A part of a path, so that `[10]` comes after `[2]`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Index(u64),
    Name(String),
}

fn parts(field: &str) -> Vec<Part> {
    let parts = field
        .split(['.', '[', ']'])
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse()
                .map_or_else(|_| Part::Name(part.to_owned()), Part::Index)
        });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use palisade_policy::testing::builders::policy;

    use super::*;

    #[test]
    fn many_of_a_kind_are_told_by_their_number_and_in_the_order_of_the_document() {
        let policy = policy("shop/web");
        let mut findings = Findings::default();
        for index in (0..25).rev() {
            let finding = Finding::of_policy(Code::PeerSelectsNothing, &policy, "selects nobody");
            findings.add(finding.at(format!("spec.ingress[0].from[{index}]")));
        }
        let sorted = findings.sorted();
        let fields: Vec<&str> = sorted
            .iter()
            .filter_map(|finding| finding.field.as_deref())
            .collect();
        assert_eq!(fields.len(), TOLD);
        assert_eq!(fields[2], "spec.ingress[0].from[2]");
        assert_eq!(sorted[8].message, "selects nobody");
        assert_eq!(sorted[9].message, "selects nobody; and 15 more like this");
    }
}
