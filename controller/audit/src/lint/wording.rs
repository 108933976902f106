//! How numbers and lists read in messages.

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
    let shown: Vec<String> = all.by_ref().take(NAMED).map(|item| item.to_string()).collect();
    let shown = shown.join(", ");
    match all.count() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The pods of some classes: `shop/web, shop/api`.
pub(super) fn pods<'c>(classes: impl IntoIterator<Item = &'c Class<'c>>) -> String {
    let mut keys: Vec<_> = classes
        .into_iter()
        .flat_map(|class| class.pods.iter().map(|pod| &pod.key))
        .collect();
    keys.sort();
    listed(keys)
}

/// How many pods some classes have.
pub(super) fn pod_count<'c>(classes: impl IntoIterator<Item = &'c Class<'c>>) -> usize {
    classes.into_iter().map(|class| class.pods.len()).sum()
}
