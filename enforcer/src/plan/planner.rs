//! A plan that follows what changes.
//!
//! ```text
//!   members come, go ──► groups ──► elements of the profiles that use them ─┐
//!   profiles ──────────► those whose policies have changed, planned anew ───┼──► draft
//!   pods, facts ───────► what dispatches and closes, planned anew ──────────┘
//! ```
//! Whatever the history, the ruleset is the one that would be planned from scratch: random histories are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use palisade_policy::model::PodKey;
use palisade_policy::rules::{GroupId, NodeRules, ProfileId, Slice, SliceId};

use super::group::{Groups, Turn};
use super::profile::{Copies, Planned};
use super::{Facts, Plan, Settings, bridge, forward, name, source, subjects};
use crate::nft::Draft;
use crate::nft::model::{InvalidName, Ruleset, Table, TableKey};

/// The ruleset of a node, brought from one input to the next.
#[derive(Debug, Default)]
pub struct Planner {
    settings: Settings,
    draft: Draft,
    /// The rules and facts that were planned last.
    given: Option<(Arc<NodeRules>, Facts)>,
    groups: Groups,
    profiles: BTreeMap<ProfileId, Planned>,
    /// The profiles that use a group.
    users: BTreeMap<GroupId, BTreeSet<ProfileId>>,
    /// Large groups with sets of their own.
    large: BTreeMap<GroupId, Copies>,
    /// All but the profiles.
    front: Ruleset,
    /// What lies over it.
    over: Ruleset,
    unplaced: Vec<PodKey>,
}

impl Planner {
    /// Nothing planned yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// What is planned, and what of it was touched.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// The same, to be told that the kernel has it.
    pub fn draft_mut(&mut self) -> &mut Draft {
        &mut self.draft
    }

    /// Pods that the API names and the node does not know yet: closed until it does.
    pub fn unplaced(&self) -> &[PodKey] {
        &self.unplaced
    }

    /// What is planned, at the end.
    pub fn into_plan(self) -> Plan {
        Plan {
            ruleset: self.draft.into_ruleset(),
            unplaced: self.unplaced,
        }
    }

    /// Brings the ruleset to these rules and facts. `turned` are the slices with members that are others than at the last call, of
    /// all groups that the rules name or have named. After an error the planner is of no use any more.
    pub fn plan<'a>(
        &mut self,
        rules: &Arc<NodeRules>,
        turned: impl IntoIterator<Item = ((GroupId, SliceId), Option<&'a Arc<Slice>>)>,
        facts: &Facts,
    ) -> Result<(), InvalidName> {
        let mut turns: BTreeMap<GroupId, Turn> = BTreeMap::new();
        for (key, slice) in turned {
            self.groups.take(key, slice, &mut turns);
        }
        let mut stale = self.stale(rules);
        for (group, _) in turns
            .iter()
            .filter(|(group, turn)| self.groups.has_turned(group, turn))
        {
            stale.extend(self.users.get(group).into_iter().flatten());
        }
        for (group, turn) in &turns {
            self.turn(group, turn, &stale);
        }
        let mut touched: BTreeSet<GroupId> = turns.into_keys().collect();
        for id in stale {
            let before = self.profiles.remove(&id);
            self.forget(&id, before.as_ref(), &mut touched);
            let Some(profile) = rules.profiles.get(&id) else {
                if let Some(before) = before {
                    before.remove(&mut self.draft);
                }
                continue;
            };
            let chain = name::profile(&id, &profile.profile)?;
            let planned = Planned::plan(profile, chain, &self.groups, before, &mut self.draft)?;
            for group in planned.groups() {
                self.users.entry(*group).or_default().insert(id);
                touched.insert(*group);
            }
            self.profiles.insert(id, planned);
        }
        for group in touched {
            self.plan_large(group)?;
        }
        let same = |(known, known_facts): &(Arc<NodeRules>, Facts)| {
            Arc::ptr_eq(known, rules) && known_facts == facts
        };
        if !self.given.as_ref().is_some_and(same) {
            self.plan_front(rules, facts)?;
            self.given = Some((rules.clone(), facts.clone()));
        }
        Ok(())
    }

    /// The profiles that have come, gone, or stand for other policies.
    fn stale(&self, rules: &Arc<NodeRules>) -> BTreeSet<ProfileId> {
        if self
            .given
            .as_ref()
            .is_some_and(|(known, _)| Arc::ptr_eq(known, rules))
        {
            return BTreeSet::new();
        }
        let gone = self
            .profiles
            .keys()
            .filter(|id| !rules.profiles.contains_key(*id));
        let other = rules.profiles.iter().filter(|(id, profile)| {
            let known = self.profiles.get(*id).map(|planned| &planned.rules);
            !known.is_some_and(|known| Arc::ptr_eq(known, profile) || known.is_same(profile))
        });
        gone.chain(other.map(|(id, _)| id)).copied().collect()
    }

    /// Members of a group have come or gone: brings the sets to it that stay.
    fn turn(&mut self, group: &GroupId, turn: &Turn, stale: &BTreeSet<ProfileId>) {
        for id in self.users.get(group).into_iter().flatten() {
            if let Some(planned) = self.profiles.get_mut(id).filter(|_| !stale.contains(id)) {
                planned.turn(group, turn, &mut self.draft);
            }
        }
        if let Some(copies) = self.large.get_mut(group) {
            copies.turn(group, turn, &mut self.draft);
        }
    }

    fn forget(&mut self, id: &ProfileId, before: Option<&Planned>, touched: &mut BTreeSet<GroupId>) {
        for group in before.into_iter().flat_map(Planned::groups) {
            touched.insert(*group);
            if let Some(users) = self.users.get_mut(group) {
                users.remove(id);
                if users.is_empty() {
                    self.users.remove(group);
                }
            }
        }
    }

    /// A large group that some profile refers to has sets of its own, and no other.
    fn plan_large(&mut self, group: GroupId) -> Result<(), InvalidName> {
        let users = self.users.get(&group).into_iter().flatten();
        let refers = |id: &ProfileId| {
            self.profiles
                .get(id)
                .is_some_and(|planned| planned.large.contains(&group))
        };
        let is_needed = users.into_iter().any(refers);
        match self.large.remove(&group) {
            Some(copies) if is_needed => drop(self.large.insert(group, copies)),
            Some(copies) => copies.remove(&mut self.draft),
            None if is_needed => {
                let copies = Copies::of_large(group, &self.groups, &mut self.draft)?;
                self.large.insert(group, copies);
            }
            None => {}
        }
        Ok(())
    }

    /// Lays something over the plan: `add` gets the base chain alone, and adds rules to it and sets beside it. What was laid over it
    /// before goes.
    pub(crate) fn lay_over(
        &mut self,
        add: impl FnOnce(&mut Ruleset) -> Result<(), InvalidName>,
    ) -> Result<(), InvalidName> {
        let Some(planned) = self.front.tables.get(&TableKey::Inet) else {
            return Ok(());
        };
        let base = planned.chains.get_key_value(&forward::forwarded()?);
        let chains = base.map(|(name, chain)| (name.clone(), chain.clone()));
        let mut over = Ruleset::default();
        let table = Table {
            chains: chains.into_iter().collect(),
            ..Table::default()
        };
        over.tables.insert(TableKey::Inet, table);
        add(&mut over)?;
        for (key, table) in &over.tables {
            for (name, chain) in &table.chains {
                self.draft.chain(*key, name, Some(chain.clone()));
            }
            for (name, set) in &table.sets {
                self.draft.set(*key, name, Some(set.clone()));
            }
        }
        for (key, old) in &self.over.tables {
            let new = over.tables.get(key);
            for name in old.sets.keys() {
                if !new.is_some_and(|new| new.sets.contains_key(name)) {
                    self.draft.set(*key, name, None);
                }
            }
        }
        self.over = over;
        Ok(())
    }

    fn plan_front(&mut self, rules: &NodeRules, facts: &Facts) -> Result<(), InvalidName> {
        let subjects = subjects(rules, facts);
        let mut front = Ruleset::default();
        forward::plan(&mut front, rules, &subjects, facts, &self.settings)?;
        source::plan(&mut front, &subjects)?;
        bridge::plan(&mut front, &subjects, facts, &self.settings)?;
        self.draft.turn(&self.front, &front);
        self.front = front;
        let unplaced = rules
            .pods
            .iter()
            .filter(|(uid, _)| !facts.places.contains_key(uid));
        self.unplaced = unplaced.map(|(_, pod)| pod.key.clone()).collect();
        Ok(())
    }
}
