//! What the kernel has, and the way from there to what it should have.
//!
//! As long as nobody else writes, the kernel has the plan but for what was touched since it was written, and only that is compared.
//! At the start, after an edit by others and after every failure it is read, and all is compared with what was found.

use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;
use tracing::{debug, error, warn};

use super::{Condition, Node, Origin};
use crate::flows::tightens;
use crate::nft::{self, Change, CommitError, Counts, Edit, Generation, Kernel, Loaded, ReadError};

/// An answer of the kernel that takes longer will not come. The layer below gives up sooner.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often others may get in between reading and writing before this is left for later.
pub(super) const ATTEMPTS: usize = 8;

/// The kernel refuses what should be there, and nothing is left to try.
#[derive(Debug, Error)]
#[error("the kernel refuses the ruleset, and a rebuilt one as well; what it had before stays")]
pub struct Refused(#[source] CommitError);

/// What the kernel has.
#[derive(Debug, Default)]
pub(super) enum Known {
    /// Nobody knows.
    #[default]
    Nothing,
    /// It is being read. Only what was read tells whether these edits are in it.
    Awaited(Vec<Edit>),
    /// This was read, or was when it was read last.
    Read(Box<Loaded>),
    /// The plan but for what was touched of it since, at this generation.
    Planned(Generation),
}

impl Known {
    /// The generation that it had last.
    pub(super) fn generation(&self) -> Option<Generation> {
        match self {
            Self::Nothing | Self::Awaited(_) => None,
            Self::Read(loaded) => Some(loaded.generation),
            Self::Planned(generation) => Some(*generation),
        }
    }

    /// The same, to be moved on.
    pub(super) fn generation_mut(&mut self) -> Option<&mut Generation> {
        match self {
            Self::Nothing | Self::Awaited(_) => None,
            Self::Read(loaded) => Some(&mut loaded.generation),
            Self::Planned(generation) => Some(generation),
        }
    }
}

/// What to try next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Write what differs from what is known to be loaded.
    #[default]
    Change,
    /// Read what is loaded, and write what differs from that.
    ReadBack,
    /// Delete our tables and make them again.
    Rebuild,
}

impl<K: Kernel> Node<K> {
    /// Writes what differs, until it is written or something has to wait. Returns what was changed, and the
    /// generation that has it.
    pub(super) async fn bring(&mut self) -> Result<Option<(Counts, Generation)>, Refused> {
        for _ in 0..ATTEMPTS {
            // Whatever fails, what the kernel has then is not known.
            let known = match std::mem::take(&mut self.known) {
                Known::Nothing | Known::Awaited(_) => match read(&self.kernel).await {
                    Ok(loaded) => Known::Read(Box::new(loaded)),
                    Err(condition) => {
                        self.say(Origin::Kernel, Some(condition));
                        return Ok(None);
                    }
                },
                known => known,
            };
            let draft = self.desired.draft();
            let edit = match known {
                Known::Planned(_) if self.remedy == Remedy::Change => draft.edit(),
                _ => None,
            };
            let (change, generation) = match (&known, &edit) {
                (Known::Planned(generation), Some(edit)) => {
                    (nft::diff(&edit.before, &edit.after), *generation)
                }
                (Known::Read(loaded), _) if self.remedy == Remedy::Rebuild => {
                    (nft::rebuild(&loaded.ruleset, draft.ruleset()), loaded.generation)
                }
                (Known::Read(loaded), _) => (nft::repair(loaded, draft.ruleset()), loaded.generation),
                // The whole is to be compared, and so to be read.
                (Known::Planned(_) | Known::Nothing | Known::Awaited(_), _) => continue,
            };
            let counts = change.counts();
            // What is written for a sweep needs none.
            let is_for_a_sweep = self.pending.is_none() && self.remedy == Remedy::Change;
            if !is_for_a_sweep && tightens(&change, draft.ruleset()) {
                self.judging.tighten();
            }
            match commit(&self.kernel, change, generation).await {
                Ok(generation) => {
                    self.desired.planner.draft_mut().settle();
                    self.known = Known::Planned(generation);
                    self.say(Origin::Kernel, None);
                    self.remedy = Remedy::default();
                    return Ok(Some((counts, generation)));
                }
                Err(error @ CommitError::Stale { .. }) => debug!(%error, "planning again"),
                Err(error @ CommitError::OutcomeUnknown { .. }) => warn!(%error, "reading back"),
                Err(refused) => {
                    error!(error = %refused, remedy = ?self.remedy, "the kernel refused a change");
                    self.say(
                        Origin::Kernel,
                        Some(Condition {
                            reason: refused.reason(),
                            message: refused.to_string(),
                        }),
                    );
                    self.remedy = match self.remedy {
                        Remedy::Change => Remedy::ReadBack,
                        Remedy::ReadBack => Remedy::Rebuild,
                        Remedy::Rebuild => return Err(Refused(refused)),
                    };
                    return Ok(None);
                }
            }
        }
        let message = format!("others changed the kernel's ruleset during each of {ATTEMPTS} attempts");
        self.say(
            Origin::Kernel,
            Some(Condition {
                reason: "Stale",
                message,
            }),
        );
        Ok(None)
    }
}

/// Reads our tables.
pub(super) async fn read(kernel: &impl Kernel) -> Result<Loaded, Condition> {
    let failed = |error: ReadError| Condition {
        reason: error.reason(),
        message: error.to_string(),
    };
    match timeout(PATIENCE, kernel.read()).await {
        Ok(read) => read.map_err(failed),
        Err(late) => Err(Condition {
            reason: "ReadFailed",
            message: format!("reading the tables: {late}"),
        }),
    }
}

/// Commits a change stage by stage.
async fn commit(
    kernel: &impl Kernel,
    change: Change<'_>,
    expected: Generation,
) -> Result<Generation, CommitError> {
    let mut generation = expected;
    for stage in change.stages() {
        let committed = timeout(PATIENCE, kernel.commit(&stage, generation)).await;
        generation = committed.unwrap_or_else(|late| {
            Err(CommitError::OutcomeUnknown {
                message: late.to_string(),
            })
        })?;
    }
    Ok(generation)
}
