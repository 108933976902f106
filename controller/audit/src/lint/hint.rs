//! What was probably meant.

use std::collections::{BTreeMap, BTreeSet};

use palisade_policy::model::{Labels, Operator, Requirement, Selector};

/// How alike two words are that may be one and the same, by Jaro and Winkler: `prod` and `production`, `app` and `apps`,
/// but not `web` and `db`.
const ALIKE: f64 = 0.85;

/// Letters that a word has at the least in which one that is wrong, missing or exchanged is a slip, as in `wbe`.
const SLIP: usize = 3;

/// Values of a label that are named where none is alike.
const NAMED: usize = 3;

/// The word that is most like the wanted one, if any is at all.
pub(crate) fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = known
        .into_iter()
        .filter(|word| *word != wanted)
        .map(|word| (likeness(&wanted.to_lowercase(), &word.to_lowercase()), word));
    let alike = alike.filter(|(likeness, _)| *likeness >= ALIKE);
    // Of equals the first in order, whatever order they come in.
    alike
        .max_by(|(a, one), (b, other)| a.total_cmp(b).then_with(|| other.cmp(one)))
        .map(|(_, word)| word)
}

fn likeness(one: &str, other: &str) -> f64 {
    let slip = one.chars().count() >= SLIP && strsim::osa_distance(one, other) == 1;
    let likeness = strsim::jaro_winkler(one, other);
    if slip { likeness.max(ALIKE) } else { likeness }
}

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
    /// The label that was probably meant: `app=web`.
    pub(super) meant: Option<String>,
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
            let other = nearest(key, self.values.keys().copied());
            // A key that is only alike is what was meant if it has the value that is asked for.
            let value = wanted.and_then(|values| values.first()).map(AsRef::as_ref);
            let meant = other.and_then(|other| {
                let has = |value: &str| self.values.get(other).is_some_and(|known| known.contains(value));
                value
                    .filter(|value| has(value))
                    .map(|value| format!("{other}={value}"))
            });
            let meant = meant.or_else(|| other.map(str::to_owned));
            return Some(Hint {
                text: format!("no {whose} has a label {key:?}{}", question(meant.as_deref())),
                meant,
            });
        };
        let wanted = wanted?;
        if wanted.iter().any(|value| known.contains(value.as_ref())) {
            return None;
        }
        let meant = wanted
            .iter()
            .find_map(|value| nearest(value, known.iter().copied()));
        let meant = meant.map(|value| format!("{key}={value}"));
        let there = if meant.is_some() {
            String::new()
        } else {
            format!(" (there is {})", some(key, known))
        };
        Some(Hint {
            text: format!(
                "no {whose} has {requirement}{there}{}",
                question(meant.as_deref())
            ),
            meant,
        })
    }
}

fn question(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |meant| format!("; was {meant} meant?"))
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
    fn words_that_are_merely_short_are_not_alike() {
        assert_eq!(nearest("web", ["db", "api"]), None);
        assert_eq!(nearest("prod", ["production", "testing"]), Some("production"));
        assert_eq!(
            nearest("kube-sytem", ["kube-public", "kube-system"]),
            Some("kube-system")
        );
    }
}
