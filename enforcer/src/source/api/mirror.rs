//! What the API server holds for this node, as far as it was heard. No input or output.
//!
//! The rule set tells the pods, or that they are in slices; the pods tell the namespaces, their policies tell the groups: what is watched follows from what was heard, step by
//! step. Which policies select the node's pods is found out anew when the rule set or policies have changed, and not when
//! members of groups have, which is far more often.
//!
//! A pod is written after the policies that were there before it, but comes by another watch. So a rule set with a pod that is
//! new, in itself or in a slice, waits until the policies of its namespace were listed after it, or [confirmed](super::confirm), and
//! any new one while a watch of policies is interrupted: a pod is never opened by what its policies were before it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use palisade_crds::{
    AcceptedPods, AcceptedPolicies, AcceptedResidents, AcceptedRules, AcceptedSlice, RuleSet, Selected,
    Selection,
};
use palisade_policy::model::{NamespaceName, NodeName};
use palisade_policy::rules::{GroupId, NodeId, Residents};

use super::ApiError;
use super::key::{Key, parse};
use super::shelf::Shelf;
use super::subscriptions::{Step, SubscriptionId};
use super::watch::{Heard, Object};

/// Something from one of the watches.
#[derive(Debug)]
pub(super) enum News {
    RuleSet(Heard<AcceptedRules>),
    Pods(SubscriptionId, Heard<AcceptedPods>),
    Policies(SubscriptionId, Heard<AcceptedPolicies>),
    Groups(SubscriptionId, Heard<AcceptedSlice>),
    /// The policies of a namespace were read, as of the order with this number.
    Confirmed(NamespaceName, u64, Vec<Object<AcceptedPolicies>>),
}

/// What has to be done, by the kind of the slices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Pods(Step<NodeId>),
    Policies(Step<NamespaceName>),
    Groups(Step<GroupId>),
    /// Read the policies of a namespace.
    Confirm(NamespaceName, u64),
}

/// The rule set and the slices.
#[derive(Debug)]
pub(super) struct Mirror {
    node: NodeName,
    rule_set: Own,
    /// The slices of the node's pods, while the rule set is split.
    pods: Shelf<NodeId>,
    /// The node's pods, or why they are not known.
    residents: Result<AcceptedResidents, ApiError>,
    /// The pods that were known last, of a rule set that is still there.
    known: Option<Arc<Residents>>,
    policies: Shelf<NamespaceName>,
    groups: Shelf<GroupId>,
    /// The namespaces whose policies have to be read before the rule set is given out, with the number of the order.
    unconfirmed: BTreeMap<NamespaceName, u64>,
    /// Counts these orders.
    orders: u64,
    /// The namespaces of watches that have not listed yet: what these list is newer than all orders up to a number.
    to_list: BTreeMap<SubscriptionId, (BTreeSet<NamespaceName>, u64)>,
    /// The policies that select the node's pods, or why these are not known; `None` until that is asked.
    selected: Option<Result<Selected, ApiError>>,
    selection: Selection,
    /// What was put together last.
    whole: Option<RuleSet>,
    /// Groups of which something was heard since; `None` if it may be any.
    heard: Option<BTreeSet<GroupId>>,
}

/// The rule set of the node.
#[derive(Debug)]
enum Own {
    /// Not listed yet.
    Unknown,
    /// There is none.
    Absent,
    /// There is one, be it of use or not. Boxed, as the others are nothing.
    Present(Box<Object<AcceptedRules>>),
}

impl Mirror {
    pub(super) fn new(node: NodeName) -> Self {
        Self {
            node,
            rule_set: Own::Unknown,
            pods: Shelf::default(),
            residents: Err(ApiError::NotListed),
            known: None,
            policies: Shelf::default(),
            groups: Shelf::default(),
            unconfirmed: BTreeMap::new(),
            orders: 0,
            to_list: BTreeMap::new(),
            selected: None,
            selection: Selection::default(),
            whole: None,
            heard: None,
        }
    }

    /// The document of the rule set, if there is one that can be read or not.
    pub(super) fn document(&self) -> Option<&Object<AcceptedRules>> {
        match &self.rule_set {
            Own::Present(document) => Some(document),
            Own::Unknown | Own::Absent => None,
        }
    }

    /// Whether with this there may be something else to enforce.
    pub(super) fn is_change(&self, news: &News) -> bool {
        match news {
            News::RuleSet(Heard::Applied(object)) => !self.has(object),
            News::RuleSet(heard) => heard.is_content(),
            News::Pods(_, heard) => heard.is_content(),
            News::Policies(_, heard) => heard.is_content(),
            News::Groups(_, heard) => heard.is_content(),
            News::Confirmed(..) => true,
        }
    }

    /// Whether an object says what is known already, as after a write of its status.
    fn has(&self, object: &Object<AcceptedRules>) -> bool {
        let before = self.document().map(|document| &document.content);
        let (Some(Ok(before)), Ok(after)) = (before, &object.content) else {
            return false;
        };
        (&before.hash, before.revision) == (&after.hash, after.revision)
    }

    /// Remembers what was heard. Returns what to watch and what no more.
    pub(super) fn hear(&mut self, news: News) -> Vec<Order> {
        let is_change = self.is_change(&news);
        match news {
            News::RuleSet(heard) => {
                self.forget_selected(is_change);
                self.hear_rule_set(heard)
            }
            News::Pods(id, heard) => {
                self.forget_selected(is_change);
                let mut steps = orders(self.pods.hear(id, heard), Order::Pods);
                if is_change {
                    steps.extend(self.unite());
                }
                steps
            }
            News::Policies(id, heard) => {
                let was_followed = self.policies.is_followed();
                match told(&heard) {
                    Told::Nothing => {}
                    Told::Of(namespace) => self.selection.forget(&namespace),
                    Told::OfAny => self.selection.forget_all(),
                }
                if matches!(heard, Heard::Listed(_)) {
                    self.confirm_listed(id);
                }
                let steps = self.policies.hear(id, heard);
                self.note_policies(&steps);
                let is_back = !was_followed && self.policies.is_followed();
                self.forget_selected(is_change || is_back);
                orders(steps, Order::Policies)
            }
            News::Groups(id, heard) => {
                match (told(&heard), &mut self.heard) {
                    (Told::Of(group), Some(heard)) => drop(heard.insert(group)),
                    (Told::OfAny, heard) => *heard = None,
                    (Told::Nothing | Told::Of(_), _) => {}
                }
                let steps = self.groups.hear(id, heard);
                self.forget_ended(&steps);
                orders(steps, Order::Groups)
            }
            News::Confirmed(namespace, number, slices) => {
                self.forget_selected(is_change);
                self.selection.forget(&namespace);
                self.policies.add(&namespace, slices);
                if self.unconfirmed.get(&namespace) == Some(&number) {
                    self.unconfirmed.remove(&namespace);
                }
                Vec::new()
            }
        }
    }

    /// What only a watch held that ends is forgotten, of whichever group.
    fn forget_ended(&mut self, steps: &[Step<GroupId>]) {
        if ends_one(steps) {
            self.heard = None;
        }
    }

    /// Watches of policies begin and end.
    fn note_policies(&mut self, steps: &[Step<NamespaceName>]) {
        for step in steps {
            match step {
                Step::Start(id, namespaces) => {
                    self.to_list.insert(*id, (namespaces.clone(), self.orders));
                }
                Step::Stop(id) => {
                    self.to_list.remove(id);
                }
            }
        }
        if ends_one(steps) {
            self.selection.forget_all();
        }
    }

    /// A watch of policies has listed. Its first listing was asked for after everything that was heard when it began.
    fn confirm_listed(&mut self, id: SubscriptionId) {
        let Some((namespaces, until)) = self.to_list.remove(&id) else {
            return;
        };
        self.unconfirmed
            .retain(|name, number| *number > until || !namespaces.contains(name));
    }

    fn forget_selected(&mut self, is_change: bool) {
        if is_change {
            self.selected = None;
        }
    }

    fn hear_rule_set(&mut self, heard: Heard<AcceptedRules>) -> Vec<Order> {
        let found = match heard {
            // A selector by name finds one object or none.
            Heard::Listed(objects) => objects.into_iter().next().map(|mut object| {
                // It was written some time ago; nobody waited for us to see it.
                object.published = None;
                object
            }),
            Heard::Applied(object) => Some(object),
            Heard::Deleted { .. } => None,
            Heard::Following | Heard::Failed(_) => return Vec::new(),
        };
        self.rule_set = found.map_or(Own::Absent, |object| Own::Present(Box::new(object)));
        let split = self.accepted().map(|accepted| accepted.head.pods.split);
        // Of one that is refused the last good one stays in force, and it may come back.
        let Some(split) = split else {
            self.known = None;
            return Vec::new();
        };
        let own = NodeId::of(&self.node);
        let steps = self.pods.want(split.then_some(own).into_iter().collect());
        let mut steps = orders(steps, Order::Pods);
        steps.extend(self.unite());
        steps
    }

    /// Puts the node's pods together. Returns which policies to watch and to confirm, and what to watch no more: nothing changes
    /// while a slice is missing.
    fn unite(&mut self) -> Vec<Order> {
        let Some(accepted) = self.accepted() else {
            return Vec::new();
        };
        let own = NodeId::of(&self.node);
        self.residents = accepted.unite(|slice| self.pods.slice(&own, slice));
        let Ok(united) = &self.residents else {
            return Vec::new();
        };
        let after = Arc::clone(&united.residents);
        let before = self.known.replace(Arc::clone(&after));
        let steps = self.policies.want(after.namespaces.clone());
        self.orders += 1;
        self.note_policies(&steps);
        let listed: BTreeSet<&NamespaceName> = steps.iter().flat_map(begun).collect();
        self.unconfirmed.retain(|name, _| after.namespaces.contains(name));
        let mut to_read = Vec::new();
        for namespace in to_confirm(before.as_deref(), &after) {
            self.unconfirmed.insert(namespace.clone(), self.orders);
            if !listed.contains(&namespace) {
                to_read.push(Order::Confirm(namespace, self.orders));
            }
        }
        let mut orders = orders(steps, Order::Policies);
        orders.extend(to_read);
        orders
    }

    /// The rule set, if there is one that can be read.
    fn accepted(&self) -> Option<&AcceptedRules> {
        self.document()?.content.as_ref().ok()
    }

    /// Finds out which policies select the node's pods, if these may be others now. Returns which groups to watch and
    /// which no more: none while a policy is missing, as its groups are not known.
    pub(super) fn select(&mut self) -> Vec<Order> {
        if self.selected.is_some() {
            return Vec::new();
        }
        let selected = self.find_selected();
        let steps = match &selected {
            Ok(selected) => self.groups.want(selected.rules.groups.clone()),
            Err(_) => Vec::new(),
        };
        self.forget_ended(&steps);
        self.selected = Some(selected);
        orders(steps, Order::Groups)
    }

    fn find_selected(&mut self) -> Result<Selected, ApiError> {
        let document = match &self.rule_set {
            Own::Unknown => return Err(ApiError::NotListed),
            Own::Absent => {
                let node = self.node.clone();
                return Err(ApiError::NoRuleSet { node });
            }
            Own::Present(document) => document,
        };
        if !self.unconfirmed.is_empty() || !self.policies.is_followed() {
            return Err(ApiError::NotListed);
        }
        let refused = |refusal| ApiError::refused(format!("NodeRuleSet {}", document.name), refusal);
        document.content.as_ref().map_err(refused)?;
        let residents = self.residents.as_ref().map_err(Clone::clone)?;
        residents.select_again(&mut self.selection, |namespace, slice| {
            self.policies.slice(namespace, slice)
        })
    }

    /// The rule set with all that it refers to. To be asked after [`Self::select`].
    pub(super) fn assemble(&mut self) -> Result<RuleSet, ApiError> {
        let selected = self.selected.clone().unwrap_or(Err(ApiError::NotListed))?;
        let slice = |group: &GroupId, slice| self.groups.slice(group, slice);
        let whole = match (self.whole.take(), &self.heard) {
            (Some(mut whole), Some(heard)) => {
                let updated = whole.update(selected, heard, slice);
                // What was heard is still to be looked at where something is missing.
                let whole = self.whole.insert(whole);
                updated?;
                whole.clone()
            }
            _ => self.whole.insert(RuleSet::assemble(selected, slice)?).clone(),
        };
        self.heard = Some(BTreeSet::new());
        Ok(whole)
    }
}

/// Of what a watch has told.
enum Told<K> {
    Nothing,
    /// A slice of this tree.
    Of(K),
    /// Any: what is not listed any more may be of all trees that are watched.
    OfAny,
}

fn told<K: Key, T>(heard: &Heard<T>) -> Told<K> {
    match heard {
        Heard::Following | Heard::Failed(_) => Told::Nothing,
        Heard::Applied(Object { name, .. }) | Heard::Deleted { name, .. } => {
            parse(name).map_or(Told::Nothing, |(key, _)| Told::Of(key))
        }
        Heard::Listed(_) => Told::OfAny,
    }
}

/// What a step begins to watch.
fn begun<K>(step: &Step<K>) -> impl Iterator<Item = &K> {
    match step {
        Step::Start(_, keys) => Some(keys),
        Step::Stop(_) => None,
    }
    .into_iter()
    .flatten()
}

fn ends_one<K>(steps: &[Step<K>]) -> bool {
    steps.iter().any(|step| matches!(step, Step::Stop(_)))
}

/// The namespaces of pods that are new, and those that have policies now and had none.
fn to_confirm(before: Option<&Residents>, after: &Residents) -> BTreeSet<NamespaceName> {
    let knew = |uid| before.is_some_and(|before| before.pods.contains_key(uid));
    let named = |name: &NamespaceName| before.is_some_and(|before| before.namespaces.contains(name));
    let of_new_pods = after.pods.iter().filter(|(uid, _)| !knew(uid));
    let of_new_pods = of_new_pods.map(|(_, pod)| &pod.key.namespace);
    let of_new_pods = of_new_pods.filter(|name| after.namespaces.contains(*name));
    let new = after.namespaces.iter().filter(|name| !named(name));
    of_new_pods.chain(new).cloned().collect()
}

fn orders<K>(steps: Vec<Step<K>>, order: impl Fn(Step<K>) -> Order) -> Vec<Order> {
    steps.into_iter().map(order).collect()
}

/// When the object that has changed was published.
pub(super) fn published(news: &News) -> Option<SystemTime> {
    match news {
        News::RuleSet(heard) => heard.published(),
        News::Pods(_, heard) => heard.published(),
        News::Policies(_, heard) => heard.published(),
        News::Groups(_, heard) => heard.published(),
        News::Confirmed(..) => None,
    }
}

#[cfg(test)]
mod tests;
