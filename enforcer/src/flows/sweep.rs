//! One look at all connections.

use std::collections::{HashMap, HashSet};

use super::conntrack::{Conntrack, ConntrackError};
use super::entry::Identity;
use super::judge::{Judge, Judgement, Kept, Lost};

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
    pub lost: Vec<Identity>,
}

/// Judges every connection.
pub async fn find(conntrack: &mut impl Conntrack, judge: &Judge) -> Result<Found, ConntrackError> {
    let mut found = Found::default();
    let mut verdicts = HashMap::new();
    // Each with what it belongs to.
    let mut related: Vec<(Box<[u8]>, Identity)> = Vec::new();
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
                    related.extend(entry.master.map(|master| (master.into(), entry.identity())));
                }
                Judgement::Delete(reason) => {
                    tally.judged += 1;
                    match reason {
                        Lost::Denied => tally.denied += 1,
                        Lost::PodGone => tally.of_gone_pods += 1,
                    }
                    lost.push(entry.identity());
                }
            }
        })
        .await?;
    let masters: HashSet<&[u8]> = lost.iter().map(|identity| &*identity.tuple).collect();
    let follow = related
        .into_iter()
        .filter(|(master, _)| masters.contains(&**master));
    let follow: Vec<Identity> = follow.map(|(_, identity)| identity).collect();
    tally.denied += u64::try_from(follow.len()).unwrap_or(u64::MAX);
    lost.extend(follow);
    Ok(found)
}
