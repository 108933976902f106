//! One look at all connections.

use std::collections::{HashMap, HashSet};

use palisade_policy::model::Packet;

use super::conntrack::{Conntrack, ConntrackError};
use super::cut::Flow;
use super::entry::{Entry, Identity};
use super::judge::{Judge, Judgement, Kept, Reason};

/// How many entries were judged how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries that were seen.
    pub seen: u64,
    /// Of those, the ones with an end in a pod of this node that rules decide on.
    pub judged: u64,
    /// Those that the rules deny now.
    pub denied: u64,
    /// Those of pods that are gone.
    pub of_gone_pods: u64,
    /// Those in zones, which are left alone.
    pub zoned: u64,
    /// Those that could not be read, which are left alone.
    pub unreadable: u64,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many of each.
    pub tally: Tally,
    /// What has to go.
    pub lost: Vec<Lost>,
}

/// An entry that has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// What names it.
    pub identity: Identity,
    /// The packet that is denied now; `None` where the pod is gone.
    pub denied: Option<Packet>,
    /// What its server must not go on with.
    pub flow: Option<Flow>,
}

impl Lost {
    fn denied(entry: &Entry<'_>) -> Self {
        Self {
            identity: entry.identity(),
            denied: Some(entry.packet()),
            flow: Flow::of(entry),
        }
    }

    /// It goes even if the rules allow it. The next pod of the address must not answer on it.
    fn of_gone_pod(entry: &Entry<'_>) -> Self {
        Self {
            denied: None,
            ..Self::denied(entry)
        }
    }
}

/// Judges every connection.
pub async fn find(conntrack: &mut impl Conntrack, judge: &Judge) -> Result<Found, ConntrackError> {
    let mut found = Found::default();
    let mut verdicts = HashMap::new();
    // Each with what it belongs to.
    let mut related: Vec<(Box<[u8]>, Lost)> = Vec::new();
    let Found { tally, lost } = &mut found;
    tally.unreadable = conntrack
        .list(|entry| {
            tally.seen += 1;
            match judge.judge(entry, &mut verdicts) {
                Judgement::Keep(Kept::Elsewhere) => {}
                Judgement::Keep(Kept::Zoned) => tally.zoned += 1,
                Judgement::Keep(Kept::Allowed) => tally.judged += 1,
                Judgement::Keep(Kept::Related) => {
                    tally.judged += 1;
                    let lost = Lost::denied(entry);
                    related.extend(entry.master.map(|master| (master.into(), lost)));
                }
                Judgement::Delete(reason) => {
                    tally.judged += 1;
                    lost.push(match reason {
                        Reason::Denied => {
                            tally.denied += 1;
                            Lost::denied(entry)
                        }
                        Reason::PodGone => {
                            tally.of_gone_pods += 1;
                            Lost::of_gone_pod(entry)
                        }
                    });
                }
            }
        })
        .await?;
    let masters: HashSet<&[u8]> = lost.iter().map(|lost| &*lost.identity.tuple).collect();
    let follow = related
        .into_iter()
        .filter(|(master, _)| masters.contains(&**master));
    let follow: Vec<Lost> = follow.map(|(_, lost)| lost).collect();
    tally.denied += u64::try_from(follow.len()).unwrap_or(u64::MAX);
    lost.extend(follow);
    Ok(found)
}
