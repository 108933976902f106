//! Things under numbers.
//!
//! Groups, classes and pods refer to each other by the thousand. A number of four bytes is what such a reference takes, and
//! following it is one step.

/// Things under small numbers; the number of a thing that has gone is given to another.
#[derive(Clone, Debug)]
pub(super) struct Slots<T> {
    things: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            things: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// Makes room for as many things as are to come.
    pub(super) fn reserve(&mut self, things: usize) {
        self.things.reserve(things);
    }

    /// Puts a thing somewhere; returns where.
    pub(super) fn insert(&mut self, thing: T) -> u32 {
        if let Some(number) = self.free.pop()
            && let Some(slot) = self.things.get_mut(number as usize)
        {
            *slot = Some(thing);
            return number;
        }
        self.things.push(Some(thing));
        // Four thousand million things do not fit into memory.
        u32::try_from(self.things.len() - 1).unwrap_or(u32::MAX)
    }

    /// Takes a thing out.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let thing = self.things.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(thing)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.things.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.things.get_mut(number as usize)?.as_mut()
    }

    /// All things, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.things.iter().flatten()
    }
}

/// Adds a number to a sorted list, if it is not there.
pub(super) fn add(numbers: &mut Vec<u32>, number: u32) {
    if let Err(position) = numbers.binary_search(&number) {
        numbers.insert(position, number);
    }
}

/// Removes a number from a sorted list, if it is there.
pub(super) fn take(numbers: &mut Vec<u32>, number: u32) {
    if let Ok(position) = numbers.binary_search(&number) {
        numbers.remove(position);
    }
}

/// The numbers of a sorted list that another does not have.
pub(super) fn without<'a>(numbers: &'a [u32], other: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    let lacks = |number: &u32| other.binary_search(number).is_err();
    numbers.iter().copied().filter(lacks)
}
