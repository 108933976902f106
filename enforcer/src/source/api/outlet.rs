//! What there is to say of what was heard, and when. No input or output, and no clock.
//!
//! A rule set is given out when it is complete and says something new. Why there is no newer one is said after a short
//! patience, once; and taken back by giving out the rule set again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use palisade_crds::RuleSet;

use super::subscriptions::SubscriptionId;
use super::{ApiError, BUSY};

/// A rule set that is not complete gets this long to become so before that is said: watches are not ordered among each
/// other.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// A watch that has failed for this long is an outage.
pub(super) const OUTAGE: Duration = Duration::from_secs(10);

/// One of the watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WatchId {
    RuleSet,
    Pods(SubscriptionId),
    Policies(SubscriptionId),
    Groups(SubscriptionId),
}

/// What to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Say {
    Rules(RuleSet),
    Problem(ApiError),
}

/// What was said, and what keeps from saying more.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    /// The watches without an answer.
    failing: BTreeMap<WatchId, Failing>,
    /// The content of the rule set that was given out last, and when.
    given: Option<(String, Instant)>,
    /// Why there is no newer one, if that was said.
    said: Option<ApiError>,
    /// Since when there is no complete rule set.
    incomplete: Option<Instant>,
    /// When this was last asked.
    asked: Option<Instant>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    message: String,
}

impl Outlet {
    /// A watch got no answer, or was refused.
    pub(super) fn failed(&mut self, id: WatchId, now: Instant, message: &str) {
        let failing = self.failing.entry(id).or_insert_with(|| Failing {
            since: now,
            message: String::new(),
        });
        message.clone_into(&mut failing.message);
    }

    /// A watch has got an answer, or has ended. Returns whether it was failing.
    pub(super) fn recovered(&mut self, id: WatchId) -> bool {
        self.failing.remove(&id).is_some()
    }

    /// Whether a rule set was given out a moment ago.
    pub(super) fn is_busy(&self, now: Instant) -> bool {
        let given = self.given.as_ref();
        given.is_some_and(|(_, given)| now.saturating_duration_since(*given) < BUSY)
    }

    /// When to ask again although nothing is heard.
    pub(super) fn next(&self) -> Option<Instant> {
        let patience = self.incomplete.map(|since| since + PATIENCE);
        let outages = self.failing.values().map(|failing| failing.since + OUTAGE);
        let all = patience.into_iter().chain(outages);
        all.filter(|moment| self.asked.is_none_or(|asked| *moment > asked))
            .min()
    }

    /// What to say now, given what there is.
    pub(super) fn say(&mut self, now: Instant, found: Result<RuleSet, ApiError>) -> Option<Say> {
        self.asked = Some(now);
        let outage = self.outage(now);
        match found {
            Ok(rules) => {
                self.incomplete = None;
                let is_news = self
                    .given
                    .as_ref()
                    .is_none_or(|(given, _)| *given != rules.content);
                if is_news || (outage.is_none() && self.said.is_some()) {
                    self.said = None;
                    self.given = Some((rules.content.clone(), now));
                    return Some(Say::Rules(rules));
                }
                self.complain(outage?)
            }
            Err(error) => {
                let since = *self.incomplete.get_or_insert(now);
                let is_to_come = error == ApiError::NotListed || now < since + PATIENCE;
                self.complain(outage.or((!is_to_come).then_some(error))?)
            }
        }
    }

    fn outage(&self, now: Instant) -> Option<ApiError> {
        let mut failing = self.failing.values();
        let longest = failing.find(|failing| now >= failing.since + OUTAGE)?;
        Some(ApiError::Unreachable {
            message: longest.message.clone(),
        })
    }

    fn complain(&mut self, error: ApiError) -> Option<Say> {
        // What an outage says varies with each attempt; the outage is one.
        let is_outage = |error: &ApiError| matches!(error, ApiError::Unreachable { .. });
        let same = |said: &ApiError| *said == error || (is_outage(said) && is_outage(&error));
        if self.said.as_ref().is_some_and(same) {
            return None;
        }
        self.said = Some(error.clone());
        Some(Say::Problem(error))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use palisade_crds::Selected;
    use palisade_policy::rules::NodeRules;

    use super::*;

    fn rules(content: &str) -> RuleSet {
        let rules = NodeRules {
            node: "a".into(),
            pod_networks: Vec::new(),
            pods: BTreeMap::new(),
            profiles: BTreeMap::new(),
            groups: BTreeSet::new(),
        };
        let selected = Selected {
            rules: rules.into(),
            revision: 1,
            hash: content.to_owned(),
            policies: String::new(),
        };
        RuleSet::assemble::<ApiError>(selected, |_, _| Err(ApiError::NotListed)).unwrap()
    }

    fn missing() -> ApiError {
        ApiError::NoRuleSet { node: "a".into() }
    }

    fn reason(say: Option<Say>) -> Option<&'static str> {
        match say? {
            Say::Rules(_) => Some("rules"),
            Say::Problem(error) => Some(error.reason()),
        }
    }

    #[test]
    fn each_rule_set_is_given_out_once() {
        let (mut outlet, now) = (Outlet::default(), Instant::now());
        assert_eq!(outlet.say(now, Ok(rules("1"))), Some(Say::Rules(rules("1"))));
        assert_eq!(outlet.say(now, Ok(rules("1"))), None);
        assert_eq!(outlet.say(now, Ok(rules("2"))), Some(Say::Rules(rules("2"))));
        assert!(outlet.is_busy(now) && !outlet.is_busy(now + BUSY));
        assert_eq!(outlet.next(), None, "nothing to wait for");
    }

    #[test]
    fn what_is_missing_is_said_after_a_while_and_taken_back_when_it_comes() {
        let (mut outlet, start) = (Outlet::default(), Instant::now());
        assert_eq!(outlet.say(start, Err(missing())), None);
        assert_eq!(outlet.next(), Some(start + PATIENCE));
        let later = start + PATIENCE;
        assert_eq!(reason(outlet.say(later, Err(missing()))), Some("NoRuleSet"));
        assert_eq!(outlet.say(later, Err(missing())), None, "once");
        assert_eq!(outlet.next(), None);
        assert_eq!(reason(outlet.say(later, Ok(rules("1")))), Some("rules"));
        assert_eq!(outlet.say(later, Err(missing())), None, "the patience is new");
        assert_eq!(outlet.say(later, Ok(rules("1"))), None, "nothing was said");
        outlet.say(later, Err(missing()));
        assert!(outlet.say(later + PATIENCE, Err(missing())).is_some());
        assert_eq!(
            reason(outlet.say(later + PATIENCE, Ok(rules("1")))),
            Some("rules")
        );
    }

    #[test]
    fn an_outage_is_said_once_while_new_rules_are_still_given_out() {
        let (mut outlet, start) = (Outlet::default(), Instant::now());
        outlet.say(start, Ok(rules("1")));
        outlet.failed(WatchId::RuleSet, start, "refused");
        assert_eq!(outlet.say(start, Ok(rules("1"))), None);
        assert_eq!(outlet.next(), Some(start + OUTAGE));
        outlet.failed(WatchId::RuleSet, start + OUTAGE / 2, "no route");
        let later = start + OUTAGE;
        let problem = Say::Problem(ApiError::Unreachable {
            message: "no route".to_owned(),
        });
        assert_eq!(outlet.say(later, Ok(rules("1"))), Some(problem));
        outlet.failed(WatchId::RuleSet, later, "refused");
        assert_eq!(outlet.say(later, Ok(rules("1"))), None);
        assert_eq!(reason(outlet.say(later, Ok(rules("2")))), Some("rules"));
        assert_eq!(
            reason(outlet.say(later, Ok(rules("2")))),
            Some("ApiUnreachable"),
            "the other watch is still out"
        );
        assert!(outlet.recovered(WatchId::RuleSet));
        assert_eq!(reason(outlet.say(later, Ok(rules("2")))), Some("rules"));
        assert!(!outlet.recovered(WatchId::RuleSet));
    }

    #[test]
    fn a_start_during_an_outage_says_so_and_nothing_before() {
        let (mut outlet, start) = (Outlet::default(), Instant::now());
        outlet.failed(WatchId::RuleSet, start, "refused");
        assert_eq!(outlet.say(start + OUTAGE / 2, Err(ApiError::NotListed)), None);
        let later = start + OUTAGE;
        let said = outlet.say(later, Err(ApiError::NotListed));
        assert_eq!(reason(said), Some("ApiUnreachable"));
    }
}
