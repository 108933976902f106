//! Who leads, as one replica sees it: pure decisions about a Lease.
//!
//! A replica never compares the times in a Lease with its own clock. It remembers when it saw the Lease change last, by
//! its own clock, and takes over when nothing has changed for as long as the Lease says. So clocks may differ.

use std::time::{Duration, Instant};

/// How long a Lease holds without being renewed.
pub(crate) const DURATION: Duration = Duration::from_secs(10);

/// How often the holder renews it, and others look at it.
pub(crate) const INTERVAL: Duration = Duration::from_secs(2);

/// How long the holder may write after a renewal: it stops a second before others may begin.
const TERM: Duration = Duration::from_secs(9);

/// A Lease as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who holds it.
    pub(crate) holder: Option<String>,
    /// How long it holds.
    pub(crate) duration: Duration,
    /// Its version; any write changes it.
    pub(crate) version: String,
}

/// What to do about a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// There is none: make it.
    Create,
    /// It is ours: renew it.
    Renew,
    /// It is nobody's, or its holder has let it lapse: take it.
    Take,
    /// Somebody else holds it.
    Stand,
}

/// What one replica knows of the Lease.
#[derive(Clone, Debug)]
pub(crate) struct Election {
    identity: String,
    seen: Option<(Record, Instant)>,
}

/// Until when a replica may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leadership {
    until: Option<Instant>,
}

impl Leadership {
    /// That of a Lease whose renewal was sent at `sent` and succeeded. Others see it later than that.
    pub(crate) fn renewed(sent: Instant) -> Self {
        Self {
            until: Some(sent + TERM),
        }
    }

    /// How long it lasts yet.
    pub(crate) fn left(self, now: Instant) -> Option<Duration> {
        self.until
            .and_then(|until| until.checked_duration_since(now))
            .filter(|left| !left.is_zero())
    }
}

impl Election {
    pub(crate) fn new(identity: String) -> Self {
        Self { identity, seen: None }
    }

    /// What to do, given the Lease as it is stored.
    pub(crate) fn decide(&mut self, record: Option<Record>, now: Instant) -> Decision {
        let Some(record) = record else {
            self.seen = None;
            return Decision::Create;
        };
        let holder = record.holder.as_deref().filter(|holder| !holder.is_empty());
        let decision = match holder {
            Some(holder) if holder == self.identity => Decision::Renew,
            None => Decision::Take,
            Some(_) => match &self.seen {
                Some((seen, since)) if *seen == record => {
                    if now.duration_since(*since) >= record.duration {
                        Decision::Take
                    } else {
                        return Decision::Stand;
                    }
                }
                _ => Decision::Stand,
            },
        };
        self.seen = Some((record, now));
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str, version: &str) -> Record {
        Record {
            holder: (!holder.is_empty()).then(|| holder.to_owned()),
            duration: DURATION,
            version: version.to_owned(),
        }
    }

    #[test]
    fn a_lease_that_nobody_holds_is_taken_and_ones_own_is_renewed() {
        let now = Instant::now();
        let mut election = Election::new("a".to_owned());
        assert_eq!(election.decide(None, now), Decision::Create);
        assert_eq!(election.decide(Some(held_by("", "1")), now), Decision::Take);
        assert_eq!(election.decide(Some(held_by("a", "2")), now), Decision::Renew);
    }

    #[test]
    fn a_lease_of_another_is_taken_only_when_it_has_not_changed_for_its_duration() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut election = Election::new("a".to_owned());
        assert_eq!(election.decide(Some(held_by("b", "1")), at(0)), Decision::Stand);
        assert_eq!(election.decide(Some(held_by("b", "1")), at(9)), Decision::Stand);
        assert_eq!(
            election.decide(Some(held_by("b", "2")), at(9)),
            Decision::Stand,
            "it was renewed"
        );
        assert_eq!(election.decide(Some(held_by("b", "2")), at(18)), Decision::Stand);
        assert_eq!(election.decide(Some(held_by("b", "2")), at(19)), Decision::Take);
    }

    #[test]
    fn a_holder_stops_before_another_may_begin() {
        let sent = Instant::now();
        let leadership = Leadership::renewed(sent);
        assert!(leadership.left(sent).is_some_and(|left| left < DURATION));
        assert_eq!(leadership.left(sent + DURATION), None);
        // The other cannot have seen the renewal before it was sent.
        let mut other = Election::new("b".to_owned());
        other.decide(Some(held_by("a", "1")), sent);
        let end = sent + TERM;
        assert_eq!(other.decide(Some(held_by("a", "1")), end), Decision::Stand);
        assert_eq!(leadership.left(end), None);
    }
}
