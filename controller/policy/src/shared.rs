//! Equal things kept once.
//!
//! A hundred pods have the same labels, a thousand the same namespace, and each comes with texts of its own. What is shared here
//! gives up its own for those of the first that came. Nobody sees it but the allocator: a thing is equal to its copies.

use std::hash::Hash;

use crate::map::Set;

/// What is cheap to copy, because copies are the same memory.
pub(crate) trait Share: Clone + Eq + Hash {
    /// Whether there are other copies.
    fn is_shared(&self) -> bool;
}

/// Things below this number are not worth a look at whether they are still in use.
const FEW: usize = 1_024;

/// All things of a sort that are in use, and some that were a while ago.
#[derive(Clone, Debug)]
pub(crate) struct Shared<T> {
    known: Set<T>,
    /// With so many it is time to look which of them are in use.
    many: usize,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            known: Set::default(),
            many: FEW,
        }
    }
}

impl<T: Share> Shared<T> {
    /// Puts the copy that is known in the place of a thing.
    pub(crate) fn share(&mut self, thing: &mut T) {
        if let Some(known) = self.known.get(thing) {
            *thing = known.clone();
            return;
        }
        // Twice as many as were in use at the last look: so looking costs each thing no more than a constant.
        if self.known.len() >= self.many {
            self.known.retain(T::is_shared);
            self.many = FEW.max(2 * self.known.len());
        }
        self.known.insert(thing.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeName;

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let mut shared = Shared::default();
        let mut kept = NodeName::from("kept");
        shared.share(&mut kept);
        for number in 0..20 * FEW {
            shared.share(&mut NodeName::from(number.to_string()));
        }
        assert!(shared.known.len() <= FEW + 1, "{} are known", shared.known.len());
        let mut again = NodeName::from("kept");
        shared.share(&mut again);
        assert!(std::ptr::eq(again.as_str(), kept.as_str()), "the same memory");
    }
}
