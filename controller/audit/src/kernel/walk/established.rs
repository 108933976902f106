//! Whether a place lets pass all packets of connections that are there already, whatever else they are.
//!
//! A stateful ruleset says so once, before anything else. Where it does, no reply need be followed: one look at the rules
//! answers for all pairs of addresses. Where this cannot be seen at a glance it need not be wrong; then packets are followed.

use crate::kernel::ruleset::{Condition, End, Family, Outcome, Policy, Rule, SetRef, Table, Verdict};

use super::{Phase, Stop, Walker};

/// What becomes of established packets that come into a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// All are accepted.
    Accepts,
    /// None is dropped; some come to the end.
    Passes,
    /// That cannot be said without knowing more of them.
    Depends,
}

impl Walker<'_> {
    /// Whether every established packet passes a stop.
    pub(crate) fn lets_established_pass(&mut self, stop: &Stop) -> bool {
        let bases = self.known_bases(stop);
        bases
            .iter()
            .all(|(place, policy)| match self.leads(stop.family, *place) {
                Leads::Accepts => true,
                Leads::Passes => *policy == Policy::Accept,
                Leads::Depends => false,
            })
    }

    fn leads(&mut self, family: Family, place: usize) -> Leads {
        if let Some(known) = self.leads.get(&(family, place)) {
            return *known;
        }
        let ruleset = self.ruleset;
        let found = ruleset.tables.get(&family).map_or(Leads::Depends, |table| {
            let rules = table.chains.get(place).map_or(&[][..], |chain| &chain.rules);
            self.through(family, table, rules)
        });
        self.leads.insert((family, place), found);
        found
    }

    fn through(&mut self, family: Family, table: &Table, rules: &[Rule]) -> Leads {
        let mut some_end = false;
        let end = |some_end| if some_end { Leads::Passes } else { Leads::Accepts };
        for rule in rules {
            let Ok(body) = &rule.body else {
                return Leads::Depends;
            };
            let mut of_all = true;
            let mut of_none = false;
            for condition in &body.conditions {
                match condition {
                    Condition::OfConnections { new, established } => {
                        of_none |= !Phase::Reply.is_met(*new, *established);
                    }
                    Condition::Lookup(lookup) => {
                        of_all = false;
                        let set = match &lookup.set {
                            SetRef::Here(set) => Some(set),
                            SetRef::Named(name) => table.sets.get(name).and_then(|set| set.as_ref().ok()),
                        };
                        let Some(set) = set else { return Leads::Depends };
                        let drops = matches!(body.outcome, Outcome::Always(Verdict::Drop));
                        let ends = [End::Source, End::Destination];
                        of_none |= drops && ends.iter().all(|end| lookup.is_of_ended_flows(set, *end));
                    }
                }
            }
            if of_none {
                continue;
            }
            of_all &= matches!(body.outcome, Outcome::Always(_));
            for verdict in table.verdicts(body) {
                let (led, returns) = match verdict {
                    Verdict::Accept => (Leads::Accepts, false),
                    Verdict::Continue => continue,
                    Verdict::Drop => return Leads::Depends,
                    Verdict::Return => (Leads::Passes, false),
                    Verdict::Jump(next) | Verdict::Goto(next) => {
                        let Some(next) = table.chain(next) else {
                            return Leads::Depends;
                        };
                        let led = self.leads(family, next);
                        (led, matches!(verdict, Verdict::Jump(_)))
                    }
                };
                match (led, returns) {
                    (Leads::Depends, _) => return Leads::Depends,
                    (Leads::Accepts, _) if of_all => return end(some_end),
                    (Leads::Passes, false) if of_all => return Leads::Passes,
                    (Leads::Passes, false) => some_end = true,
                    (Leads::Accepts | Leads::Passes, _) => {}
                }
            }
        }
        Leads::Passes
    }
}
