//! Label selectors (`LabelSelector` of the API).

use std::fmt;
use std::sync::Arc;

use super::{Labels, Sorted};

/// A label selector: all requirements must hold. Without any it selects everything.
///
/// Normalised: sorted and without repeats, so that two ways to write one selector compare, order and hash equal.
/// An absent selector (nil in the API) is an `Option` at the place that allows it, never an empty `Selector`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    requirements: Sorted<Requirement>,
}

/// One condition on one label key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label key.
    pub key: Arc<str>,
    /// What is asked of its value.
    pub operator: Operator,
}

/// The operators of `LabelSelectorRequirement`, with their values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The label is there and has one of these values. `matchLabels` is this with one value.
    In(Sorted<Arc<str>>),
    /// The label is absent or has none of these values.
    NotIn(Sorted<Arc<str>>),
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

impl Selector {
    /// The selector that selects everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The requirements in order.
    pub fn requirements(&self) -> impl ExactSizeIterator<Item = &Requirement> {
        self.requirements.iter()
    }

    /// Bytes of it when it is written as JSON, about.
    pub(super) fn said(&self) -> usize {
        const AROUND: usize = "{\"key\":\"\",\"operator\":\"NotIn\",\"values\":[]},".len();
        const VALUE: usize = "\"\",".len();
        let said = self.requirements.iter().map(|requirement| {
            let values = match &requirement.operator {
                Operator::In(values) | Operator::NotIn(values) => {
                    values.iter().map(|value| VALUE + value.len()).sum()
                }
                Operator::Exists | Operator::DoesNotExist => 0,
            };
            AROUND + requirement.key.len() + values
        });
        said.sum()
    }

    /// Its requirements, and the values of those with several.
    pub(crate) fn entries(&self) -> usize {
        let entries = self
            .requirements
            .iter()
            .map(|requirement| match &requirement.operator {
                Operator::In(values) | Operator::NotIn(values) if values.len() > 1 => 1 + values.len(),
                Operator::In(_) | Operator::NotIn(_) | Operator::Exists | Operator::DoesNotExist => 1,
            });
        entries.sum()
    }

    /// Whether all requirements hold for `labels`.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.matches(labels))
    }
}

impl FromIterator<Requirement> for Selector {
    fn from_iter<I: IntoIterator<Item = Requirement>>(requirements: I) -> Self {
        Self {
            requirements: requirements.into_iter().collect(),
        }
    }
}

impl Requirement {
    /// `key` has exactly `value`: one entry of `matchLabels`.
    pub fn equals(key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self {
            key: key.into(),
            operator: Operator::In(Sorted::from([value.into()])),
        }
    }

    /// Whether the requirement holds for `labels`.
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl fmt::Display for Selector {
    /// As `kubectl` writes selectors: `app=web,tier in (a,b),!old`. Everything is `<all>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everything() {
            return f.write_str("<all>");
        }
        for (position, requirement) in self.requirements.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.operator {
            Operator::In(values) => match (values.len(), values.first()) {
                (1, Some(value)) => write!(f, "{key}={value}"),
                _ => write!(f, "{key} in ({})", join(values)),
            },
            Operator::NotIn(values) => write!(f, "{key} notin ({})", join(values)),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
        }
    }
}

fn join(values: &Sorted<Arc<str>>) -> String {
    values.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(",")
}
