//! What a selector selects.

use std::rc::Rc;

use super::population::{Class, Standing};

/// Equal selectors share what they have found.
pub(super) type Found<'a> = Rc<Selection<'a>>;

/// The pods that a selector selects.
#[derive(Debug, Default)]
pub(super) struct Selection<'a> {
    /// Its place among all selections: two of the same number are the same.
    pub(super) number: usize,
    /// All of them in their order, those that take no part in policy included.
    pub(super) classes: Vec<&'a Class<'a>>,
    /// Those that are subjects and peers, in their order.
    pub(super) workloads: Vec<&'a Class<'a>>,
    /// Those on the host's network.
    pub(super) hosted: Vec<&'a Class<'a>>,
}

impl<'a> Selection<'a> {
    pub(super) fn of(number: usize, classes: Vec<&'a Class<'a>>) -> Self {
        let with = |standing| {
            let classes = classes.iter().copied();
            classes.filter(|class| class.standing == standing).collect()
        };
        Self {
            number,
            workloads: with(Standing::Workload),
            hosted: with(Standing::HostNetwork),
            classes,
        }
    }

    /// Whether no pod at all is selected, not even one that takes no part in policy.
    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Whether pods of a class are among it.
    pub(super) fn contains(&self, class: &Class<'_>) -> bool {
        let place = self
            .classes
            .binary_search_by_key(&class.number, |other| other.number);
        place.is_ok()
    }

    /// Whether any workload is in both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let (few, many) = if self.workloads.len() <= other.workloads.len() {
            (self, other)
        } else {
            (other, self)
        };
        few.workloads.iter().any(|class| many.contains(class))
    }
}
