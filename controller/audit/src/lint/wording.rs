//! How numbers and lists read in messages.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::population::Class;

/// Names that are told one by one.
const NAMED: usize = 3;

/// `1 pod`, `2 pods`
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `a, b, c and 4 more`
pub(super) fn listed<T: Display>(all: impl IntoIterator<Item = T>) -> String {
    let mut all = all.into_iter();
    let shown: Vec<T> = all.by_ref().take(NAMED).collect();
    counted_list(shown, all.count())
}

fn counted_list<T: Display>(shown: impl IntoIterator<Item = T>, more: usize) -> String {
    let shown: Vec<String> = shown.into_iter().map(|item| item.to_string()).collect();
    let shown = shown.join(", ");
    match more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The pods of some classes: `shop/api, shop/web`. Of many only those that are told are sorted.
pub(super) fn pods<'c>(classes: impl IntoIterator<Item = &'c Class<'c>>) -> String {
    let mut first = BTreeSet::new();
    let mut count: usize = 0;
    for class in classes {
        count += class.pods.len();
        for pod in class.pods.iter().take(NAMED) {
            first.insert(&pod.key);
            if first.len() > NAMED {
                first.pop_last();
            }
        }
    }
    let more = count.saturating_sub(first.len());
    counted_list(first, more)
}

/// How many pods some classes have, with all replicas of those that stand for workloads.
pub(super) fn pod_count<'c>(classes: impl IntoIterator<Item = &'c Class<'c>>) -> usize {
    classes.into_iter().map(|class| class.count).sum()
}
