//! What was probably meant.

mod alike;

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::model::{Labels, Operator, Requirement, Selector};

pub(crate) use alike::nearest;
use alike::{is_enumeration, is_slip, nearest_key, parts};

/// Values of a label that are named where none is alike.
const NAMED: usize = 3;

/// The labels that some objects have.
#[derive(Clone, Debug, Default)]
pub(super) struct Vocabulary<'a> {
    values: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

/// Why a selector selects nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    /// What is there instead: a clause that follows on "selects no pod".
    pub(super) text: String,
    /// What was probably meant, if anything is like it.
    pub(super) meant: Option<Meant>,
}

/// A label that was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meant {
    /// `app=web`
    label: String,
    /// Whether it is another value of the label that was asked for.
    pub(super) same_key: bool,
    /// Whether it is so near that something else is hardly meant, whatever else there may be.
    pub(super) surely: bool,
}

impl<'a> Vocabulary<'a> {
    pub(super) fn of(labels: impl IntoIterator<Item = &'a Labels>) -> Self {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (key, value) in labels.into_iter().flat_map(Labels::iter) {
            values.entry(key).or_default().insert(value);
        }
        Self { values }
    }

    /// Why none of these objects is selected, `whose` being what they are: "pod in shop".
    pub(super) fn hint(&self, selector: &Selector, whose: &str) -> Hint {
        let hints = selector
            .requirements()
            .filter_map(|requirement| self.missing(requirement, whose));
        let mut hints: Vec<Hint> = hints.collect();
        // What was probably meant is worth more than what is merely missing.
        hints.sort_by_key(|hint| hint.meant.is_none());
        hints.into_iter().next().unwrap_or_else(|| Hint {
            text: format!("no {whose} fulfils all of it at once"),
            meant: None,
        })
    }

    /// Why nobody fulfils a requirement; `None` where somebody may.
    fn missing(&self, requirement: &Requirement, whose: &str) -> Option<Hint> {
        let key = requirement.key.as_ref();
        let wanted = match &requirement.operator {
            Operator::In(values) => Some(values),
            Operator::Exists => None,
            Operator::NotIn(_) | Operator::DoesNotExist => return None,
        };
        let Some(known) = self.values.get(key) else {
            let other = nearest_key(key, self.values.keys().copied());
            // A key that is only alike is what was meant if it has the value that is asked for.
            let value = wanted.and_then(|values| values.first()).map(AsRef::as_ref);
            let meant = other.map(|other| {
                let has = |value: &str| self.values.get(other).is_some_and(|known| known.contains(value));
                let value = value.filter(|value| has(value));
                let same_domain = parts(key).0 == parts(other).0;
                Meant {
                    label: value.map_or_else(|| other.to_owned(), |value| format!("{other}={value}")),
                    same_key: false,
                    surely: is_slip(key, other) || (same_domain && value.is_some()),
                }
            });
            return Some(Hint {
                text: format!("no {whose} has a label {key:?}{}", question(meant.as_ref())),
                meant,
            });
        };
        let wanted = wanted?;
        if wanted.iter().any(|value| known.contains(value.as_ref())) {
            return None;
        }
        let meant = wanted.iter().find_map(|value| {
            let others = known.iter().copied();
            let others = others.filter(|other| !is_enumeration(value, other));
            Some((value, nearest(value, others)?))
        });
        let meant = meant.map(|(value, other)| Meant {
            label: format!("{key}={other}"),
            same_key: true,
            surely: is_slip(value, other),
        });
        let there = if meant.is_some() {
            String::new()
        } else {
            format!(" (there is {})", some(key, known))
        };
        Some(Hint {
            text: format!("no {whose} has {requirement}{there}{}", question(meant.as_ref())),
            meant,
        })
    }
}

fn question(meant: Option<&Meant>) -> String {
    meant.map_or_else(String::new, |meant| format!("; was {} meant?", meant.label))
}

fn some(key: &str, values: &BTreeSet<&str>) -> String {
    let shown = values.iter().take(NAMED).map(|value| format!("{key}={value}"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    match values.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use palisade_policy::testing::builders::{labels, selector};

    use super::*;

    fn hint(pairs: &[(&str, &str)]) -> String {
        let known = [
            labels(&[("app", "web"), ("tier", "front")]),
            labels(&[("app", "database")]),
        ];
        Vocabulary::of(&known).hint(&selector(pairs), "pod in shop").text
    }

    #[test]
    fn hints_name_what_is_there() {
        assert_eq!(
            hint(&[("app", "wbe")]),
            "no pod in shop has app=wbe; was app=web meant?"
        );
        assert_eq!(
            hint(&[("apps", "web")]),
            "no pod in shop has a label \"apps\"; was app=web meant?"
        );
        assert_eq!(
            hint(&[("app", "queue")]),
            "no pod in shop has app=queue (there is app=database, app=web)"
        );
        assert_eq!(hint(&[("zone", "a")]), "no pod in shop has a label \"zone\"");
        assert_eq!(
            hint(&[("app", "database"), ("tier", "front")]),
            "no pod in shop fulfils all of it at once"
        );
        assert_eq!(
            hint(&[("app", "queue"), ("tier", "fornt")]),
            "no pod in shop has tier=fornt; was tier=front meant?"
        );
    }

    #[test]
    fn what_is_surely_meant_is_told_from_what_may_be() {
        let known = [
            labels(&[("team", "team-a"), ("env", "production")]),
            labels(&[("kubernetes.io/metadata.name", "monitoring")]),
        ];
        let vocabulary = Vocabulary::of(&known);
        let surely = |key, value| {
            let hint = vocabulary.hint(&selector(&[(key, value)]), "namespace");
            hint.meant.map(|meant| meant.surely)
        };
        assert_eq!(surely("kubernetes.io/metadata.name", "monitorng"), Some(true));
        assert_eq!(surely("kubernetes.io/name", "monitoring"), Some(true));
        assert_eq!(surely("evn", "production"), Some(true));
        assert_eq!(surely("env", "prod"), Some(false));
        assert_eq!(surely("name", "monitoring"), Some(false));
        // One of many teams.
        assert_eq!(surely("team", "team-b"), None);
        assert_eq!(surely("zone", "a"), None);
    }
}
