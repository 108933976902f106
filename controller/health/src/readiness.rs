//! Readiness as a list of named tasks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The tasks that a program has to have done before it is ready. Cheap to clone; all clones are one list.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<&'static str>>>);

/// One task of the list. It starts out pending, and stays so until [`Task::ready`] is called.
#[derive(Debug)]
pub struct Task {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Adds a task that is not ready yet. The name is what `/readyz` shows.
    pub fn task(&self, name: &'static str) -> Task {
        let task = Task {
            name,
            readiness: self.clone(),
        };
        task.pending();
        task
    }

    /// The tasks that are still to come; none when the program is ready.
    pub fn pending(&self) -> Vec<&'static str> {
        self.with(|pending| pending.iter().copied().collect())
    }

    /// A poisoned lock is no reason to lie: the set is whole after every operation on it.
    fn with<T>(&self, use_of: impl FnOnce(&mut BTreeSet<&'static str>) -> T) -> T {
        use_of(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Task {
    /// The task is done, or fine again.
    pub fn ready(&self) {
        self.readiness.with(|pending| pending.remove(self.name));
    }

    /// The task is not done, or no longer fine.
    pub fn pending(&self) {
        self.readiness.with(|pending| pending.insert(self.name));
    }

    /// Ready or pending.
    pub fn set(&self, ready: bool) {
        if ready {
            self.ready();
        } else {
            self.pending();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_ready_when_all_of_its_tasks_are() {
        let readiness = Readiness::default();
        let [watch, kernel] = ["watch", "kernel"].map(|name| readiness.task(name));
        assert_eq!(readiness.pending(), ["kernel", "watch"]);
        watch.ready();
        kernel.set(true);
        assert!(readiness.pending().is_empty());
        kernel.set(false);
        assert_eq!(readiness.pending(), ["kernel"]);
    }
}
