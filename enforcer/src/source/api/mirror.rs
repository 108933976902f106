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
    rule_set: Own,
    slices: BTreeMap<(GroupId, SliceId), Held>,
    subscriptions: Subscriptions,
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
            rule_set: Own::Unknown,
            slices: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
        }
    }

    /// The document of the rule set, if there is one that can be read or not.
    pub(super) fn document(&self) -> Option<&Object<AcceptedRules>> {
        match &self.rule_set {
            Own::Present(document) => Some(document),
            Own::Unknown | Own::Absent => None,
        }
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
        self.rule_set = found.map_or(Own::Absent, |object| Own::Present(Box::new(object)));
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
        let document = match &self.rule_set {
            Own::Unknown => return Err(ApiError::NotListed),
            Own::Absent => {
                let node = self.node.clone();
                return Err(ApiError::NoRuleSet { node });
            }
            Own::Present(document) => document,
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

/// Whether what there is may be another now.
pub(super) fn is_change(news: &News) -> bool {
    let nothing = matches!(
        news,
        News::RuleSet(Heard::Following | Heard::Failed(_))
            | News::Slices(_, Heard::Following | Heard::Failed(_))
    );
    !nothing
}

/// When the object that has changed was published.
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

#[cfg(test)]
mod tests {
    use palisade_crds::NodeRuleSet;
    use palisade_policy::cluster::{ClusterState, Event};
    use palisade_policy::compile::compile;
    use palisade_policy::rules::slices;
    use palisade_policy::testing::builders::{namespace, node, pod, pods, policy, rule};

    use super::*;

    /// The rule set of node `a`, with its slices, as objects of one version: a pod that lets pods elsewhere in.
    fn published(version: u64, addresses: &[&str]) -> (Object<AcceptedRules>, Vec<Object<AcceptedSlice>>) {
        let mut events = vec![
            Event::NodeApplied(node("a", &[])),
            Event::NamespaceApplied(namespace("shop", &[])),
            Event::PodApplied(pod("shop/web").at("10.1.0.7")),
            Event::PolicyApplied(
                policy("shop/all")
                    .selecting(&[])
                    .allowing_from([rule([pods(&[("role", "frontend")])])]),
            ),
        ];
        for address in addresses {
            let frontend = pod(&format!("shop/{address}")).on("b");
            events.push(Event::PodApplied(
                frontend.labelled(&[("role", "frontend")]).at(address),
            ));
        }
        let published = compile(&ClusterState::from_events(events));
        let rules = &published.nodes[&"a".into()];
        let document = NodeRuleSet::publish(rules, version);
        let rule_set = object("a", version, (&document).try_into().unwrap());
        let mut objects = Vec::new();
        for id in rules.groups.keys() {
            let group = &published.groups[id];
            for slice in slices(id, group).values() {
                let document = AddressGroup::publish(slice, &group.spec.scope);
                let name = AddressGroup::name_of(id, slice.id);
                objects.push(object(&name, version, (&document).try_into().unwrap()));
            }
        }
        assert_eq!(objects.len(), 1);
        (rule_set, objects)
    }

    fn object<T>(name: &str, version: u64, content: T) -> Object<T> {
        Object {
            name: name.to_owned(),
            version: Some(version),
            generation: Some(1),
            published: None,
            content: Ok(content),
        }
    }

    fn started(steps: &[Step]) -> SubscriptionId {
        let [Step::Start(id, _)] = steps else {
            panic!("{steps:?}");
        };
        *id
    }

    fn members(mirror: &Mirror) -> Result<usize, &'static str> {
        let rules = mirror.assemble().map_err(|error| error.reason())?;
        Ok(rules.slices.values().map(|slice| slice.members.len()).sum())
    }

    /// A mirror with a rule set and its slices in sync.
    fn filled(version: u64, addresses: &[&str]) -> (Mirror, SubscriptionId) {
        let (rule_set, slices) = published(version, addresses);
        let mut mirror = Mirror::new("a".into());
        let id = started(&mirror.hear(News::RuleSet(Heard::Listed(vec![rule_set]))));
        mirror.hear(News::Slices(id, Heard::Listed(slices)));
        (mirror, id)
    }

    #[test]
    fn a_rule_set_is_given_out_with_all_of_its_slices_or_not_at_all() {
        let (rule_set, slices) = published(1, &["10.2.0.1"]);
        let mut mirror = Mirror::new("a".into());
        assert_eq!(members(&mirror), Err("NotListed"));
        mirror.hear(News::RuleSet(Heard::Listed(Vec::new())));
        assert_eq!(members(&mirror), Err("NoRuleSet"));
        let id = started(&mirror.hear(News::RuleSet(Heard::Applied(rule_set))));
        assert_eq!(
            members(&mirror),
            Err("NotListed"),
            "the slices may be there or not"
        );
        mirror.hear(News::Slices(id, Heard::Listed(Vec::new())));
        assert_eq!(members(&mirror), Err("MissingSlice"));
        mirror.hear(News::Slices(id, Heard::Applied(slices[0].clone())));
        assert_eq!(members(&mirror), Ok(1));
        mirror.hear(News::Slices(
            id,
            Heard::Deleted {
                name: slices[0].name.clone(),
                version: Some(2),
            },
        ));
        assert_eq!(members(&mirror), Err("MissingSlice"));
        mirror.hear(News::RuleSet(Heard::Deleted {
            name: "a".to_owned(),
            version: Some(3),
        }));
        assert_eq!(members(&mirror), Err("NoRuleSet"));
    }

    #[test]
    fn an_older_version_from_another_watch_does_not_come_back() {
        let (mut mirror, first) = filled(5, &["10.2.0.1", "10.2.0.2"]);
        let (_, older) = published(4, &["10.2.0.1"]);
        mirror.hear(News::Slices(first, Heard::Applied(older[0].clone())));
        assert_eq!(members(&mirror), Ok(2));
        mirror.hear(News::Slices(
            first,
            Heard::Deleted {
                name: older[0].name.clone(),
                version: Some(4),
            },
        ));
        assert_eq!(members(&mirror), Ok(2), "it was made again since");
        let (_, newer) = published(6, &[]);
        mirror.hear(News::Slices(first, Heard::Applied(newer[0].clone())));
        assert_eq!(members(&mirror), Ok(0));
    }

    #[test]
    fn a_slice_that_a_new_listing_does_not_have_is_gone() {
        let (mut mirror, id) = filled(1, &["10.2.0.1"]);
        mirror.hear(News::Slices(id, Heard::Listed(Vec::new())));
        assert_eq!(members(&mirror), Err("MissingSlice"));
    }

    #[test]
    fn an_object_that_is_refused_is_named_with_the_reason() {
        let (mut mirror, id) = filled(1, &["10.2.0.1"]);
        let (mut rule_set, mut slices) = published(2, &["10.2.0.1"]);
        slices[0].content = Err(Refusal::Undecodable("an unknown thing".to_owned()));
        mirror.hear(News::Slices(id, Heard::Applied(slices[0].clone())));
        let error = mirror.assemble().unwrap_err();
        assert_eq!(error.reason(), "Undecodable");
        assert!(error.to_string().contains(&slices[0].name), "{error}");
        rule_set.content = Err(Refusal::Undecodable("an unknown thing".to_owned()));
        assert_eq!(mirror.hear(News::RuleSet(Heard::Applied(rule_set))), []);
        assert!(
            mirror
                .assemble()
                .unwrap_err()
                .to_string()
                .contains("NodeRuleSet a")
        );
    }

    #[test]
    fn slices_that_nobody_watches_any_more_are_forgotten() {
        let (mut mirror, id) = filled(1, &["10.2.0.1"]);
        let (mut rule_set, _) = published(2, &[]);
        let mut rules = rule_set.content.unwrap();
        let bare = palisade_policy::rules::NodeRules {
            groups: BTreeMap::new(),
            ..(*rules.rules).clone()
        };
        rules.rules = bare.into();
        rule_set.content = Ok(rules);
        let steps = mirror.hear(News::RuleSet(Heard::Applied(rule_set)));
        assert_eq!(steps, [Step::Stop(id)]);
        assert!(mirror.slices.is_empty());
    }
}
