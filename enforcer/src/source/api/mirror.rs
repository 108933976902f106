//! What the API server holds for this node, as far as it was heard. No input or output.
//!
//! Two watches may hold one slice while one replaces the other, and either may be ahead. The newer version wins; the
//! slice is gone when it is told to be deleted, or when no watch holds it any more.

use std::collections::BTreeMap;
use std::time::SystemTime;

use palisade_crds::{AcceptedRules, AcceptedSlice, AddressGroup, RuleSet};
use palisade_policy::model::NodeName;
use palisade_policy::rules::{GroupId, SliceId};

use super::ApiError;
use super::subscriptions::{Step, SubscriptionId, Subscriptions};
use super::watch::{Heard, Object, Refusal};

/// Something from one of the watches.
#[derive(Debug)]
pub(super) enum News {
    RuleSet(Heard<AcceptedRules>),
    Slices(SubscriptionId, Heard<AcceptedSlice>),
}

/// The rule set and the slices.
#[derive(Debug)]
pub(super) struct Mirror {
    node: NodeName,
    /// `None`: not listed yet.
    rule_set: Option<Option<Object<AcceptedRules>>>,
    slices: BTreeMap<(GroupId, SliceId), Held>,
    subscriptions: Subscriptions,
}

#[derive(Debug)]
struct Held {
    version: Option<u64>,
    content: Result<AcceptedSlice, Refusal>,
    /// The watches that have told of it. Never empty.
    holders: Vec<SubscriptionId>,
}

impl Mirror {
    pub(super) fn new(node: NodeName) -> Self {
        Self {
            node,
            rule_set: None,
            slices: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
        }
    }

    /// The document of the rule set, if there is one that can be read or not.
    pub(super) fn document(&self) -> Option<&Object<AcceptedRules>> {
        self.rule_set.as_ref()?.as_ref()
    }

    /// Remembers what was heard. Returns what to watch and what no more.
    pub(super) fn hear(&mut self, news: News) -> Vec<Step> {
        let steps = match news {
            News::RuleSet(heard) => self.hear_rule_set(heard),
            News::Slices(id, heard) => self.hear_slices(id, heard),
        };
        for step in &steps {
            if let Step::Stop(id) = step {
                self.release(*id, |_| true);
            }
        }
        steps
    }

    fn hear_rule_set(&mut self, heard: Heard<AcceptedRules>) -> Vec<Step> {
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
        self.rule_set = Some(found);
        match self.document().map(|document| &document.content) {
            Some(Ok(accepted)) => {
                let used = accepted.rules.groups.keys().cloned().collect();
                self.subscriptions.want(used)
            }
            // The last one stays in force, and it may come back.
            Some(Err(_)) | None => Vec::new(),
        }
    }

    fn hear_slices(&mut self, id: SubscriptionId, heard: Heard<AcceptedSlice>) -> Vec<Step> {
        match heard {
            Heard::Listed(objects) => {
                let listed: Vec<_> = objects.iter().filter_map(|object| key(&object.name)).collect();
                self.release(id, |key| !listed.contains(key));
                for object in objects {
                    self.hold(id, object);
                }
                self.subscriptions.synced(id)
            }
            Heard::Applied(object) => {
                self.hold(id, object);
                Vec::new()
            }
            Heard::Deleted { name, version } => {
                let key = key(&name);
                let held = key.as_ref().and_then(|key| self.slices.get(key));
                if held.is_some_and(|held| !is_older(version, held.version))
                    && let Some(key) = key
                {
                    self.slices.remove(&key);
                }
                Vec::new()
            }
            Heard::Following | Heard::Failed(_) => Vec::new(),
        }
    }

    fn hold(&mut self, id: SubscriptionId, object: Object<AcceptedSlice>) {
        // What has another kind of name can be named by no rule set.
        let Some(key) = key(&object.name) else { return };
        match self.slices.get_mut(&key) {
            None => {
                let held = Held {
                    version: object.version,
                    content: object.content,
                    holders: vec![id],
                };
                self.slices.insert(key, held);
            }
            Some(held) => {
                if !held.holders.contains(&id) {
                    held.holders.push(id);
                }
                if !is_older(object.version, held.version) {
                    held.version = object.version;
                    held.content = object.content;
                }
            }
        }
    }

    /// A watch does not hold these any more.
    fn release(&mut self, id: SubscriptionId, gone: impl Fn(&(GroupId, SliceId)) -> bool) {
        self.slices.retain(|key, held| {
            if gone(key) {
                held.holders.retain(|holder| *holder != id);
            }
            !held.holders.is_empty()
        });
    }

    /// The rule set with all of its slices.
    pub(super) fn assemble(&self) -> Result<RuleSet, ApiError> {
        let Some(found) = &self.rule_set else {
            return Err(ApiError::NotListed);
        };
        let Some(document) = found else {
            return Err(ApiError::NoRuleSet {
                node: self.node.clone(),
            });
        };
        let refused = |object: &str, refusal: &Refusal| ApiError::Refused {
            object: object.to_owned(),
            reason: refusal.reason(),
            message: refusal.to_string(),
        };
        let accepted = match &document.content {
            Ok(accepted) => accepted.clone(),
            Err(refusal) => return Err(refused(&format!("NodeRuleSet {}", document.name), refusal)),
        };
        RuleSet::assemble(accepted, |group, slice| {
            let key = (group.clone(), slice);
            match self.slices.get(&key).map(|held| &held.content) {
                Some(Ok(accepted)) => Ok(accepted.clone()),
                Some(Err(refusal)) => {
                    let name = AddressGroup::name_of(group, slice);
                    Err(refused(&format!("AddressGroup {name}"), refusal))
                }
                None if self.subscriptions.is_in_sync(group) => Err(ApiError::MissingSlice {
                    group: group.clone(),
                    slice,
                }),
                None => Err(ApiError::NotListed),
            }
        })
    }
}

/// Whether an object is published by what is heard now, for measuring how long it took.
pub(super) fn published(news: &News) -> Option<SystemTime> {
    match news {
        News::RuleSet(Heard::Applied(object)) => object.published,
        News::Slices(_, Heard::Applied(object)) => object.published,
        News::RuleSet(_) | News::Slices(..) => None,
    }
}

/// Group and slice of an object, from its name.
fn key(name: &str) -> Option<(GroupId, SliceId)> {
    let (group, slice) = name.rsplit_once('-')?;
    Some((GroupId::parse(group).ok()?, SliceId::parse(slice).ok()?))
}

/// Whether one version was replaced by another. Without numbers the order of arrival counts.
fn is_older(version: Option<u64>, than: Option<u64>) -> bool {
    version.zip(than).is_some_and(|(version, than)| version < than)
}
