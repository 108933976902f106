//! How a node begins beside tables of an earlier process: these are read while rules and facts are on their way, and planned.

use super::kernel::{Known, read};
use super::{Desired, Node, Origin};
use crate::nft::{Kernel, Loaded};

impl<K: Kernel> Node<K> {
    /// Says that the tables are being read: until that is [known](Self::know), nothing is written.
    pub(in crate::run) fn await_tables(&mut self) {
        self.known = Known::Awaited(Vec::new());
    }

    /// Takes in what was read at the start; `None` if it could not be, and is to be read again.
    pub(in crate::run) fn know(&mut self, loaded: Option<Loaded>) {
        let read = loaded.map_or(Known::Nothing, |loaded| Known::Read(Box::new(loaded)));
        if let Known::Awaited(edits) = std::mem::replace(&mut self.known, read) {
            for edit in edits {
                self.edited(edit);
            }
        }
    }

    /// Plans ahead. What goes wrong is told when it is planned again.
    pub(super) fn prepare(&mut self) {
        if self.plan_rules().is_err() {
            self.desired = Desired::new(self.settings.clone());
        }
    }

    /// Learns which flows an earlier process has ended, before it is planned which are to be ended. Returns whether it could.
    pub(super) async fn adopt(&mut self) -> bool {
        let loaded = match std::mem::take(&mut self.known) {
            Known::Read(loaded) => Ok(loaded),
            Known::Nothing | Known::Awaited(_) | Known::Planned(_) => read(&self.kernel).await.map(Box::new),
        };
        match loaded {
            Ok(loaded) => {
                self.judging.adopt(&loaded.ruleset);
                self.known = Known::Read(loaded);
                true
            }
            Err(condition) => {
                self.say(Origin::Kernel, Some(condition));
                false
            }
        }
    }
}
