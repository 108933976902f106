//! The forms of a difference.

mod json;
mod markdown;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};

use palisade_policy::model::{Direction, PolicyKey};
use palisade_policy::reach::{End, Family};

use super::{Becomes, Change, Diff, Edit, Effect, Grant, Isolation, Meaning, PodEdit, Side};
use crate::relation::{Limits, Words};
use crate::style::Style;

/// In which form a difference is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For a pull request.
    Markdown,
}

/// Writes a difference.
pub fn write(diff: &Diff<'_>, form: Form, style: Style, to: &mut dyn Write) -> io::Result<()> {
    match form {
        Form::Text => text::write(diff, style, to),
        Form::Json => json::write(diff, to),
        Form::Markdown => markdown::write(diff, to),
    }
}

/// Which of the two states is spoken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    Before,
    After,
}

/// Says what is in a difference.
struct Speech<'a> {
    diff: &'a Diff<'a>,
    words: Words<'a>,
}

impl<'a> Speech<'a> {
    fn of(diff: &'a Diff<'a>) -> Self {
        Self {
            diff,
            words: Words::of(diff.ends()),
        }
    }

    fn sources(&self, change: &Change, limits: Limits) -> String {
        let saying = self.words.say_sources(&change.from, &change.to, change.family);
        self.words.said(&saying, limits)
    }

    fn destinations(&self, ends: &[End], limits: Limits) -> String {
        self.words.said(&self.words.say_destinations(ends), limits)
    }

    /// Why something becomes allowed or denied, a sentence for each direction that denies it.
    fn reasons(&self, change: &Change) -> Vec<String> {
        let sides = change.cause.sides();
        sides
            .map(|(direction, side)| {
                let reason = self.reason(change.effect, direction, side);
                if change.cause.perhaps_others {
                    format!("{reason} (and perhaps others)")
                } else {
                    reason
                }
            })
            .collect()
    }

    fn reason(&self, effect: Effect, direction: Direction, side: &Side) -> String {
        let (denying, granting) = match effect {
            Effect::Allowed => (Time::Before, Time::After),
            Effect::Denied => (Time::After, Time::Before),
        };
        let allow = match denying {
            Time::Before => "allowed",
            Time::After => "allows",
        };
        let denied = format!(
            "isolated by {}, and no rule {allow} it",
            self.policies(&side.isolating, denying)
        );
        let granted = if side.grants.contains(&Grant::Open) {
            "not isolated".to_owned()
        } else {
            let rules = side.grants.iter().filter_map(|grant| match grant {
                Grant::Open => None,
                Grant::Rule(policy, rule) => {
                    let edit = self.edit(policy, granting);
                    Some(format!("{policy} {direction}[{rule}]{edit}"))
                }
            });
            format!("allowed by {}", rules.collect::<Vec<_>>().join(" and "))
        };
        match effect {
            Effect::Allowed => format!("{direction}: was {denied}; now {granted}"),
            Effect::Denied => format!("{direction}: was {granted}; now {denied}"),
        }
    }

    /// Policies with what became of them.
    fn policies(&self, policies: &BTreeSet<PolicyKey>, time: Time) -> String {
        let named = policies
            .iter()
            .map(|policy| format!("{policy}{}", self.edit(policy, time)));
        named.collect::<Vec<_>>().join(" and ")
    }

    /// What became of a policy, where it matters: of what was, that it is removed; of what is, that it is not what it was.
    fn edit(&self, policy: &PolicyKey, time: Time) -> &'static str {
        match (self.diff.edits.policy(policy), time) {
            (Some(Edit::Removed), Time::Before) => " (removed)",
            (Some(Edit::Added), Time::After) => " (added)",
            (Some(Edit::Changed), Time::After) => " (changed)",
            (Some(_) | None, _) => "",
        }
    }

    fn isolation(&self, isolation: &Isolation, limits: Limits) -> String {
        let Isolation {
            direction, policies, ..
        } = isolation;
        let pods = self.destinations(&isolation.pods, limits);
        match isolation.becomes {
            Becomes::Isolated => {
                let policies = self.policies(policies, Time::After);
                format!("{pods}: isolated for {direction} by {policies}")
            }
            Becomes::Open => {
                let policies = self.policies(policies, Time::Before);
                format!("{pods}: open for {direction}, was isolated by {policies}")
            }
        }
    }

    /// Edits, a sentence each; of policies, whether that has any effect.
    fn edits(&self) -> Vec<String> {
        let edits = &self.diff.edits;
        let policies = edits.policies.iter().map(|(policy, (edit, meaning))| {
            let meaning = match meaning {
                Meaning::Changes => "",
                Meaning::None => ": no change in meaning",
                Meaning::ForOthers => ": only for pods that are new or gone",
                Meaning::Unknown => ": may have a part in the changes",
            };
            format!("NetworkPolicy {policy} {edit}{meaning}")
        });
        let namespaces = edits
            .namespaces
            .iter()
            .map(|(name, labels)| format!("Namespace {name} labelled {}", labels.join(" ")));
        let pods = edits.pods.iter().map(|(name, edit)| {
            let PodEdit {
                labels,
                ports,
                addresses,
            } = edit;
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let parts = [
                ("labelled", labels.join(" ")),
                ("with port", ports.join(", ")),
                ("at", addresses.join(" and ")),
            ];
            let parts = parts
                .iter()
                .filter(|(_, what)| !what.is_empty())
                .map(|(word, what)| format!("{word} {what}"));
            format!("Pod {name} {}", parts.collect::<Vec<_>>().join(", "))
        });
        policies.chain(namespaces).chain(pods).collect()
    }

    /// Pods that have another name, and what they were called.
    fn renamed(&self) -> Vec<String> {
        let renamed = self.diff.edits.renamed.iter();
        let renamed = renamed.map(|(name, was)| {
            let was: Vec<&str> = was.iter().map(String::as_str).collect();
            format!("{name} (was {})", was.join(" and "))
        });
        renamed.collect()
    }

    /// Pods that only the state after has, and whether they are isolated.
    fn newcomers(&self) -> Vec<String> {
        let new = self.diff.new.iter().map(|(name, directions)| {
            let isolated: Vec<String> = directions.iter().map(ToString::to_string).collect();
            if isolated.is_empty() {
                format!("{name} (not isolated)")
            } else {
                format!("{name} (isolated for {})", isolated.join(" and "))
            }
        });
        new.collect()
    }

    fn gone(&self) -> Vec<String> {
        self.diff.gone.iter().cloned().collect()
    }
}

/// The first of a list, and how many more there are.
fn bounded(all: impl ExactSizeIterator<Item = String>, most: usize) -> String {
    let more = all.len().saturating_sub(most);
    let mut parts: Vec<String> = all.take(most).collect();
    if more > 0 {
        parts.push(format!("and {more} more"));
    }
    parts.join(", ")
}

/// The family of a change in one alone, in brackets.
fn family(family: Option<Family>) -> String {
    family.map(|family| format!(" ({family})")).unwrap_or_default()
}

/// What changes, in a sentence.
struct Headline<'a>(&'a Diff<'a>);

impl fmt::Display for Headline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(diff) = self;
        let policies = |meaning| {
            let policies = diff.edits.policies.values();
            policies.filter(|(_, own)| *own == meaning).count()
        };
        let counted = |count: usize| match count {
            1 => "1 policy".to_owned(),
            count => format!("{count} policies"),
        };
        if diff.is_empty() {
            f.write_str("no change in meaning")?;
        } else if diff.changes.is_empty() && diff.isolation.is_empty() {
            f.write_str("no change between pods that both states have")?;
        } else {
            let of = |effect| {
                let changes = diff.changes.iter().filter(move |change| change.effect == effect);
                changes.fold((0, 0), |(pods, outside), change| {
                    (pods + change.pairs, outside + change.outside)
                })
            };
            let (allowed, denied) = (of(Effect::Allowed), of(Effect::Denied));
            write!(
                f,
                "allowed: {}; denied: {}",
                Connections(allowed),
                Connections(denied)
            )?;
            for (becomes, word) in [(Becomes::Isolated, "isolated"), (Becomes::Open, "open")] {
                let changes = diff.isolation.iter().filter(|change| change.becomes == becomes);
                let pods: BTreeSet<End> = changes.flat_map(|change| change.pods.iter().copied()).collect();
                match diff.count(pods) {
                    0 => {}
                    1 => write!(f, "; 1 pod becomes {word}")?,
                    count => write!(f, "; {count} pods become {word}")?,
                }
            }
        }
        for (meaning, what) in [
            (Meaning::ForOthers, "edited for pods that are new or gone"),
            (Meaning::Unknown, "perhaps with a part in it"),
            (Meaning::None, "edited without effect"),
        ] {
            match policies(meaning) {
                0 => {}
                count => write!(f, "; {} {what}", counted(count))?,
            }
        }
        let new = diff.new.keys().map(|name| format!("{name} (new)"));
        let gone = diff.gone.iter().map(|name| format!("{name} (gone)"));
        let apart: Vec<String> = new.chain(gone).collect();
        if apart.is_empty() {
            return Ok(());
        }
        write!(f, "; not compared: {}", bounded(apart.into_iter(), APART))
    }
}

/// How many pods that are not compared are named in a sentence.
const APART: usize = 3;

/// Pairs of pods, and of pods and ranges outside.
struct Connections((u64, u64));

impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let Self((pods, outside)) = *self;
        match (pods, outside) {
            (0, 0) => f.write_str("none"),
            (pods, 0) => write!(f, "{pods} pair{} of pods", plural(pods)),
            (0, _) => f.write_str("with addresses outside"),
            (pods, _) => write!(
                f,
                "{pods} pair{} of pods, and with addresses outside",
                plural(pods)
            ),
        }
    }
}

/// The sign of an effect.
fn sign(effect: Effect) -> &'static str {
    match effect {
        Effect::Allowed => "+",
        Effect::Denied => "-",
    }
}

/// What became of an object, as a word for programs.
fn word(edit: Edit) -> &'static str {
    match edit {
        Edit::Added => "added",
        Edit::Removed => "removed",
        Edit::Changed => "changed",
    }
}
