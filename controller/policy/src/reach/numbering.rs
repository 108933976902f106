//! Numbers in the place of values, so that equal values are compared, hashed and stored once.

use std::collections::HashMap;
use std::hash::Hash;

/// Gives each value a number, from 0 in the order in which they come; equal values have the same.
#[derive(Clone, Debug)]
pub(super) struct Numbering<T>(HashMap<T, usize>);

impl<T> Default for Numbering<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Eq + Hash> Numbering<T> {
    /// The number of a value, a new one if it has none.
    pub(super) fn number(&mut self, value: T) -> usize {
        let next = self.0.len();
        *self.0.entry(value).or_insert(next)
    }

    /// The number of a value that has one.
    pub(super) fn get(&self, value: &T) -> Option<usize> {
        self.0.get(value).copied()
    }

    /// The values in the order of their numbers.
    pub(super) fn into_values(self) -> Vec<T> {
        let mut values: Vec<(usize, T)> = self
            .0
            .into_iter()
            .map(|(value, number)| (number, value))
            .collect();
        values.sort_unstable_by_key(|(number, _)| *number);
        values.into_iter().map(|(_, value)| value).collect()
    }
}
