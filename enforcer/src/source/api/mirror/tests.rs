use std::sync::Arc;

use palisade_crds::{AddressGroup, NodeRuleSet, PodSlice, PolicySlice};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::{Published, compile};
use palisade_policy::rules::{POLICY_CAPACITY, SLICE_CAPACITY, slices};
use palisade_policy::testing::builders::{namespace, node, pod, pods, policy, rule};

use super::*;
use crate::source::api::watch::Refusal;

/// Pods on node `a` under `policies` policies of which each lets pods elsewhere in.
fn compiled(residents: &[&str], policies: usize, addresses: &[String]) -> Published {
    let mut events = vec![
        Event::NodeApplied(node("a", &[])),
        Event::NamespaceApplied(namespace("shop", &[])),
    ];
    events.extend(residents.iter().map(|name| Event::PodApplied(pod(name))));
    for number in 0..policies {
        let allow = policy(&format!("shop/allow-{number}")).selecting(&[]);
        events.push(Event::PolicyApplied(
            allow.allowing_from([rule([pods(&[("role", "frontend")])])]),
        ));
    }
    for address in addresses {
        let frontend = pod(&format!("shop/{address}")).on("b");
        events.push(Event::PodApplied(
            frontend.labelled(&[("role", "frontend")]).at(address),
        ));
    }
    compile(&ClusterState::from_events(events))
}

fn addresses(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("10.2.0.{number}")).collect()
}

/// Everything that is published for node `a`, as objects of one version. What is referred to comes first, as it is
/// written.
struct Objects {
    rule_set: Object<AcceptedRules>,
    pods: Vec<Object<AcceptedPods>>,
    policies: Vec<Object<AcceptedPolicies>>,
    groups: Vec<Object<AcceptedSlice>>,
}

impl Objects {
    fn new(version: u64, policies: usize, members: usize) -> Self {
        Self::of(&["shop/web"], version, policies, members)
    }

    fn of(residents: &[&str], version: u64, policies: usize, members: usize) -> Self {
        let published = compiled(residents, policies, &addresses(members));
        let (head, pods) = published.nodes[&"a".into()].cut();
        let document = NodeRuleSet::publish(&head, version);
        let pods = pods.values().rev().map(|slice| {
            let document = PodSlice::publish(slice, version);
            let name = PodSlice::name_of(&NodeId::of(&slice.node), slice.id);
            object(&name, version, (&document).try_into().unwrap())
        });
        let policies = published.policies.iter().flat_map(|(namespace, slices)| {
            slices.values().rev().map(move |slice| {
                let document = PolicySlice::publish(slice, version);
                let name = PolicySlice::name_of(namespace, slice.id);
                object(&name, version, (&document).try_into().unwrap())
            })
        });
        let groups = published.groups.iter().flat_map(|(id, group)| {
            slices(id, group).into_values().rev().map(move |slice| {
                let document = AddressGroup::publish(&slice, &group.spec.scope, version);
                let name = AddressGroup::name_of(id, slice.id);
                object(&name, version, (&document).try_into().unwrap())
            })
        });
        Self {
            rule_set: object("a", version, (&document).try_into().unwrap()),
            pods: pods.collect(),
            policies: policies.collect(),
            groups: groups.collect(),
        }
    }
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

/// Hears news, and that policies that are to be confirmed are what the watch has told.
fn hear(mirror: &mut Mirror, news: News) -> Vec<Order> {
    let mut orders = mirror.hear(news);
    for (namespace, number) in confirmations(&mut orders) {
        orders.extend(mirror.hear(News::Confirmed(namespace, number, Vec::new())));
    }
    orders.extend(mirror.select());
    orders
}

/// Takes the orders to confirm out of others.
fn confirmations(orders: &mut Vec<Order>) -> Vec<(NamespaceName, u64)> {
    let of = |order: &Order| match order {
        Order::Confirm(namespace, number) => Some((namespace.clone(), *number)),
        Order::Pods(_) | Order::Policies(_) | Order::Groups(_) => None,
    };
    let found = orders.iter().filter_map(of).collect();
    orders.retain(|order| of(order).is_none());
    found
}

/// The subscription to the policies of the pod's namespace.
fn policies_started(orders: &[Order]) -> SubscriptionId {
    match orders {
        [Order::Policies(Step::Start(id, keys))] if *keys == ["shop".into()].into() => *id,
        _ => panic!("{orders:?}"),
    }
}

fn groups_started(orders: &[Order]) -> SubscriptionId {
    match orders {
        [Order::Groups(Step::Start(id, keys))] if keys.len() == 1 => *id,
        _ => panic!("{orders:?}"),
    }
}

/// How many policies and members of groups there are to enforce, or why that is not known.
fn content(mirror: &mut Mirror) -> Result<(usize, usize), &'static str> {
    let rules = mirror.assemble().map_err(|error| error.reason())?;
    let members = rules.slices.values().map(|slice| slice.members.len()).sum();
    Ok((rules.rules.policies().len(), members))
}

/// A mirror with everything in sync, and its two subscriptions.
fn filled(objects: Objects) -> (Mirror, [SubscriptionId; 2]) {
    let mut mirror = Mirror::new("a".into());
    let orders = hear(&mut mirror, News::RuleSet(Heard::Listed(vec![objects.rule_set])));
    let policies = policies_started(&orders);
    let orders = hear(
        &mut mirror,
        News::Policies(policies, Heard::Listed(objects.policies)),
    );
    let groups = groups_started(&orders);
    let orders = hear(&mut mirror, News::Groups(groups, Heard::Listed(objects.groups)));
    assert_eq!(orders, []);
    (mirror, [policies, groups])
}

fn deleted<T>(name: &str, version: u64) -> Heard<T> {
    Heard::Deleted {
        name: name.to_owned(),
        version: Some(version),
    }
}

#[test]
fn a_rule_set_is_given_out_with_all_that_it_refers_to_or_not_at_all() {
    let Objects {
        rule_set,
        policies,
        groups,
        ..
    } = Objects::new(1, 1, 1);
    let mut mirror = Mirror::new("a".into());
    assert_eq!(content(&mut mirror), Err("NotListed"));
    hear(&mut mirror, News::RuleSet(Heard::Listed(Vec::new())));
    assert_eq!(content(&mut mirror), Err("NoRuleSet"));
    let id = policies_started(&hear(&mut mirror, News::RuleSet(Heard::Applied(rule_set))));
    assert_eq!(
        content(&mut mirror),
        Err("NotListed"),
        "the policies may be there or not"
    );
    assert_eq!(
        hear(&mut mirror, News::Policies(id, Heard::Listed(Vec::new()))),
        []
    );
    assert_eq!(content(&mut mirror), Err("MissingSlice"));
    let orders = hear(
        &mut mirror,
        News::Policies(id, Heard::Applied(policies[0].clone())),
    );
    let group = groups_started(&orders);
    assert_eq!(
        content(&mut mirror),
        Err("NotListed"),
        "the members may be there or not"
    );
    hear(&mut mirror, News::Groups(group, Heard::Listed(Vec::new())));
    assert_eq!(content(&mut mirror), Err("MissingSlice"));
    hear(
        &mut mirror,
        News::Groups(group, Heard::Applied(groups[0].clone())),
    );
    assert_eq!(content(&mut mirror), Ok((1, 1)));
    hear(&mut mirror, News::Groups(group, deleted(&groups[0].name, 2)));
    assert_eq!(content(&mut mirror), Err("MissingSlice"));
    hear(
        &mut mirror,
        News::Groups(group, Heard::Listed(vec![groups[0].clone()])),
    );
    assert_eq!(content(&mut mirror), Ok((1, 1)));
    let orders = hear(&mut mirror, News::Policies(id, deleted(&policies[0].name, 2)));
    assert_eq!(orders, [], "the groups are watched on");
    assert_eq!(content(&mut mirror), Err("MissingSlice"));
    let orders = hear(
        &mut mirror,
        News::Policies(id, Heard::Applied(policies[0].clone())),
    );
    assert_eq!(orders, []);
    assert_eq!(content(&mut mirror), Ok((1, 1)));
    hear(&mut mirror, News::RuleSet(deleted("a", 3)));
    assert_eq!(content(&mut mirror), Err("NoRuleSet"));
}

#[test]
fn what_is_missing_is_named() {
    let (mut mirror, [policies, groups]) = filled(Objects::new(1, 1, 1));
    let Objects { groups: slices, .. } = Objects::new(1, 1, 1);
    let missing = |mirror: &mut Mirror| match mirror.assemble() {
        Err(ApiError::MissingSlice { object }) => object,
        other => panic!("{other:?}"),
    };
    hear(&mut mirror, News::Groups(groups, Heard::Listed(Vec::new())));
    assert_eq!(missing(&mut mirror), format!("AddressGroup {}", slices[0].name));
    hear(&mut mirror, News::Policies(policies, Heard::Listed(Vec::new())));
    assert_eq!(missing(&mut mirror), "PolicySlice shop-s");
}

#[test]
fn an_older_version_from_another_watch_does_not_come_back() {
    let (mut mirror, [_, groups]) = filled(Objects::new(5, 1, 2));
    let older = Objects::new(4, 1, 1).groups.remove(0);
    hear(&mut mirror, News::Groups(groups, Heard::Applied(older.clone())));
    assert_eq!(content(&mut mirror), Ok((1, 2)));
    hear(&mut mirror, News::Groups(groups, deleted(&older.name, 4)));
    assert_eq!(content(&mut mirror), Ok((1, 2)), "it was made again since");
    let newer = Objects::new(6, 1, 0).groups.remove(0);
    hear(&mut mirror, News::Groups(groups, Heard::Applied(newer)));
    assert_eq!(content(&mut mirror), Ok((1, 0)));
}

#[test]
fn policies_that_change_are_given_out_without_a_new_rule_set() {
    let (mut mirror, [policies, _]) = filled(Objects::new(1, 1, 1));
    let before = mirror.assemble().unwrap();
    let edited = Objects::new(2, 3, 1).policies.remove(0);
    let orders = hear(&mut mirror, News::Policies(policies, Heard::Applied(edited)));
    assert_eq!(orders, [], "the group is watched already");
    assert_eq!(content(&mut mirror), Ok((3, 1)));
    let after = mirror.assemble().unwrap();
    assert_eq!((&before.hash, before.revision), (&after.hash, after.revision));
    assert_ne!(before.policies, after.policies);
    assert_ne!(before.content, after.content);
}

#[test]
fn who_is_selected_is_not_found_out_again_when_members_change() {
    let (mut mirror, [policies, groups]) = filled(Objects::new(1, 1, 1));
    let before = mirror.assemble().unwrap();
    let joined = Objects::new(2, 1, 2).groups.remove(0);
    hear(&mut mirror, News::Groups(groups, Heard::Applied(joined)));
    assert_eq!(content(&mut mirror), Ok((1, 2)));
    let after = mirror.assemble().unwrap();
    assert!(Arc::ptr_eq(&before.rules, &after.rules));
    // The node's own write of the status.
    let mut own = Objects::new(1, 1, 1).rule_set;
    own.version = Some(3);
    hear(&mut mirror, News::RuleSet(Heard::Applied(own)));
    assert!(Arc::ptr_eq(&before.rules, &mirror.assemble().unwrap().rules));
    let edited = Objects::new(4, 2, 1).policies.remove(0);
    hear(&mut mirror, News::Policies(policies, Heard::Applied(edited)));
    assert!(!Arc::ptr_eq(&before.rules, &mirror.assemble().unwrap().rules));
}

#[test]
fn a_rule_set_of_another_revision_is_another() {
    let (mut mirror, _) = filled(Objects::new(1, 1, 1));
    let next = Objects::new(2, 1, 1).rule_set;
    let news = News::RuleSet(Heard::Applied(next));
    assert!(mirror.is_change(&news));
    hear(&mut mirror, news);
    assert_eq!(mirror.assemble().unwrap().revision, 2);
}

/// Lets changes of slices arrive one by one, and checks that at each moment there is all of what was before, all of what
/// is now, or nothing.
fn arrive<T>(
    mirror: &mut Mirror,
    arriving: Vec<Object<T>>,
    news: impl Fn(Heard<T>) -> News,
    [before, after]: [(usize, usize); 2],
) -> Vec<Result<(usize, usize), &'static str>> {
    let mut seen = Vec::new();
    for object in arriving {
        hear(mirror, news(Heard::Applied(object)));
        let found = content(mirror);
        assert!(
            [Ok(before), Ok(after), Err("MissingSlice")].contains(&found),
            "{found:?}"
        );
        seen.push(found);
    }
    assert_eq!(seen.last(), Some(&Ok(after)));
    seen
}

#[test]
fn a_slice_that_splits_is_seen_as_it_was_until_all_of_it_is_there() {
    let many = POLICY_CAPACITY;
    let crowd = SLICE_CAPACITY + 20;
    for reversed in [false, true] {
        let (mut mirror, [policies, groups]) = filled(Objects::new(1, 1, 1));

        let mut split = Objects::new(2, many, 1).policies;
        assert!(split.len() >= 3, "{}", split.len());
        if reversed {
            split.reverse();
        }
        let news = |heard| News::Policies(policies, heard);
        let seen = arrive(&mut mirror, split, news, [(1, 1), (many, 1)]);
        assert_eq!(seen[0], if reversed { Err("MissingSlice") } else { Ok((1, 1)) });

        let mut split = Objects::new(3, many, crowd).groups;
        assert_eq!(split.len(), 3);
        if reversed {
            split.reverse();
        }
        let news = |heard| News::Groups(groups, heard);
        let seen = arrive(&mut mirror, split, news, [(many, 1), (many, crowd)]);
        let first = if reversed {
            Err("MissingSlice")
        } else {
            Ok((many, 1))
        };
        assert_eq!(seen[0], first);
    }
}

#[test]
fn a_slice_that_a_new_listing_does_not_have_is_gone() {
    let (mut mirror, [_, groups]) = filled(Objects::new(1, 1, 1));
    hear(&mut mirror, News::Groups(groups, Heard::Listed(Vec::new())));
    assert_eq!(content(&mut mirror), Err("MissingSlice"));
}

#[test]
fn an_object_that_is_refused_is_named_with_the_reason() {
    let undecodable = || Refusal::Undecodable("an unknown thing".to_owned());
    let (mut mirror, [policies, groups]) = filled(Objects::new(1, 1, 1));
    let mut next = Objects::new(2, 1, 1);
    let refused = |mirror: &mut Mirror, name: &str| {
        let error = mirror.assemble().unwrap_err();
        assert_eq!(error.reason(), "Undecodable");
        assert!(error.to_string().contains(name), "{error}");
    };
    next.groups[0].content = Err(undecodable());
    hear(
        &mut mirror,
        News::Groups(groups, Heard::Applied(next.groups[0].clone())),
    );
    refused(&mut mirror, &format!("AddressGroup {}", next.groups[0].name));
    next.policies[0].content = Err(undecodable());
    let news = News::Policies(policies, Heard::Applied(next.policies[0].clone()));
    assert_eq!(hear(&mut mirror, news), []);
    refused(&mut mirror, "PolicySlice shop-s");
    next.rule_set.content = Err(undecodable());
    let news = News::RuleSet(Heard::Applied(next.rule_set));
    assert_eq!(hear(&mut mirror, news), []);
    refused(&mut mirror, "NodeRuleSet a");
}

#[test]
fn what_nobody_needs_any_more_is_neither_watched_nor_kept() {
    let (mut mirror, [policies, groups]) = filled(Objects::new(1, 1, 1));
    let bare = Objects::new(2, 0, 0).rule_set;
    let orders = hear(&mut mirror, News::RuleSet(Heard::Applied(bare)));
    assert_eq!(
        orders,
        [
            Order::Policies(Step::Stop(policies)),
            Order::Groups(Step::Stop(groups))
        ]
    );
    assert!(mirror.policies.is_empty() && mirror.groups.is_empty());
    assert_eq!(content(&mut mirror), Ok((0, 0)));
}

#[test]
fn the_moment_of_publication_comes_from_whatever_has_changed() {
    let moment = SystemTime::UNIX_EPOCH;
    let mut objects = Objects::new(1, 1, 1);
    objects.rule_set.published = Some(moment);
    objects.policies[0].published = Some(moment);
    objects.groups[0].published = Some(moment);
    let (mirror, [policies, groups]) = filled(Objects::new(0, 1, 0));
    for news in [
        News::RuleSet(Heard::Applied(objects.rule_set)),
        News::Policies(policies, Heard::Applied(objects.policies.remove(0))),
        News::Groups(groups, Heard::Applied(objects.groups.remove(0))),
    ] {
        assert!(mirror.is_change(&news));
        assert_eq!(published(&news), Some(moment));
    }
    for news in [
        News::RuleSet(Heard::Following),
        News::Policies(policies, Heard::Following),
        News::Groups(groups, Heard::Failed("refused".to_owned())),
    ] {
        assert!(!mirror.is_change(&news));
        assert_eq!(published(&news), None);
    }
}

#[test]
fn a_new_rule_set_waits_while_a_watch_of_policies_is_interrupted() {
    let (mut mirror, [policies, groups]) = filled(Objects::new(1, 2, 1));
    assert_eq!(content(&mut mirror), Ok((2, 1)));
    hear(
        &mut mirror,
        News::Policies(policies, Heard::Failed("no route".to_owned())),
    );
    assert_eq!(content(&mut mirror), Ok((2, 1)), "what was given out stays");
    let newer = Objects::new(2, 3, 2);
    let members = newer.groups.into_iter().map(Heard::Applied);
    for heard in members {
        hear(&mut mirror, News::Groups(groups, heard));
    }
    assert_eq!(content(&mut mirror), Ok((2, 2)), "members come and go");
    hear(&mut mirror, News::RuleSet(Heard::Applied(newer.rule_set)));
    assert_eq!(content(&mut mirror), Err("NotListed"), "a policy may be unheard");
    hear(&mut mirror, News::Policies(policies, Heard::Following));
    for slice in newer.policies {
        hear(&mut mirror, News::Policies(policies, Heard::Applied(slice)));
    }
    assert_eq!(content(&mut mirror), Ok((3, 2)));
}

#[test]
fn a_new_pod_waits_until_the_policies_of_its_namespace_were_read() {
    let (mut mirror, [policies, _]) = filled(Objects::new(1, 2, 1));
    let newer = Objects::of(&["shop/web", "shop/new"], 2, 3, 1);
    let mut orders = mirror.hear(News::RuleSet(Heard::Applied(newer.rule_set.clone())));
    let [(shop, first)] = <[_; 1]>::try_from(confirmations(&mut orders)).unwrap();
    assert_eq!((shop.as_str(), orders), ("shop", Vec::new()));
    assert_eq!(mirror.select(), []);
    assert_eq!(content(&mut mirror), Err("NotListed"), "the watch may be behind");
    // Another one comes while the policies are read: what is read for the first may be older than that.
    let newest = Objects::of(&["shop/web", "shop/new", "shop/newer"], 3, 3, 1);
    let mut orders = mirror.hear(News::RuleSet(Heard::Applied(newest.rule_set)));
    let [(_, second)] = <[_; 1]>::try_from(confirmations(&mut orders)).unwrap();
    mirror.hear(News::Confirmed(shop.clone(), first, Vec::new()));
    mirror.select();
    assert_eq!(content(&mut mirror), Err("NotListed"));
    mirror.hear(News::Confirmed(shop, second, newer.policies));
    mirror.select();
    assert_eq!(content(&mut mirror), Ok((3, 1)));
    // The watch is behind indeed.
    let older = Objects::new(1, 2, 1).policies;
    hear(&mut mirror, News::Policies(policies, Heard::Listed(older)));
    assert_eq!(content(&mut mirror), Ok((3, 1)), "what was read is newer");
}

#[test]
fn the_first_listing_of_policies_confirms_them_and_a_later_one_does_not() {
    let first = Objects::new(1, 2, 1);
    let mut mirror = Mirror::new("a".into());
    let mut orders = mirror.hear(News::RuleSet(Heard::Listed(vec![first.rule_set])));
    assert_eq!(confirmations(&mut orders), [], "they are listed anyway");
    let policies = policies_started(&orders);
    mirror.select();
    assert_eq!(content(&mut mirror), Err("NotListed"));
    mirror.hear(News::Policies(policies, Heard::Listed(first.policies.clone())));
    let groups = groups_started(&mirror.select());
    hear(&mut mirror, News::Groups(groups, Heard::Listed(first.groups)));
    assert_eq!(content(&mut mirror), Ok((2, 1)));

    let newer = Objects::of(&["shop/web", "shop/new"], 2, 3, 1);
    let mut orders = mirror.hear(News::RuleSet(Heard::Applied(newer.rule_set)));
    let [(shop, number)] = <[_; 1]>::try_from(confirmations(&mut orders)).unwrap();
    // The watch began long before, and may have asked for this before the pod was there.
    mirror.hear(News::Policies(policies, Heard::Listed(first.policies)));
    mirror.select();
    assert_eq!(content(&mut mirror), Err("NotListed"));
    mirror.hear(News::Confirmed(shop, number, newer.policies));
    mirror.select();
    assert_eq!(content(&mut mirror), Ok((3, 1)));
}

#[test]
fn what_was_confirmed_once_is_not_asked_for_again() {
    let (mut mirror, _) = filled(Objects::new(1, 2, 1));
    for (version, policies) in [(2, 2), (3, 3)] {
        let rule_set = Objects::new(version, policies, 1).rule_set;
        let mut orders = mirror.hear(News::RuleSet(Heard::Applied(rule_set)));
        assert_eq!(confirmations(&mut orders), []);
    }
    let other = Objects::of(&["shop/other"], 4, 2, 1).rule_set;
    let mut orders = mirror.hear(News::RuleSet(Heard::Applied(other)));
    assert_eq!(confirmations(&mut orders).len(), 1);
}

/// So many names of pods that they fit into no rule set.
fn crowd(from: usize, to: usize) -> Vec<String> {
    (from..to)
        .map(|number| format!("shop/{number}-{}", "x".repeat(50)))
        .collect()
}

fn crowded(version: u64, names: &[String]) -> Objects {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Objects::of(&names, version, 1, 1)
}

/// How many pods there are to enforce, or why that is not known.
fn residents(mirror: &mut Mirror) -> Result<usize, &'static str> {
    let rules = mirror.assemble().map_err(|error| error.reason())?;
    Ok(rules.rules.pods.len())
}

/// The subscription to the slices of the node's pods, and further orders.
fn pods_started(mut orders: Vec<Order>) -> (SubscriptionId, Vec<Order>) {
    let Order::Pods(Step::Start(id, keys)) = orders.remove(0) else {
        panic!("{orders:?}")
    };
    assert_eq!(keys, [NodeId::of(&"a".into())].into());
    (id, orders)
}

#[test]
fn pods_in_slices_are_watched_while_the_rule_set_is_split_and_given_out_all_at_once() {
    let (mut mirror, _) = filled(Objects::new(1, 1, 1));
    assert_eq!(residents(&mut mirror), Ok(1));
    let many = crowded(2, &crowd(0, 200));
    assert!(many.pods.len() > 1);
    let (id, orders) = pods_started(hear(&mut mirror, News::RuleSet(Heard::Applied(many.rule_set))));
    assert_eq!(orders, [], "the policies are watched already");
    assert_eq!(
        residents(&mut mirror),
        Err("NotListed"),
        "the slices may be there or not"
    );
    hear(
        &mut mirror,
        News::Pods(id, Heard::Listed(many.pods[1..].to_vec())),
    );
    assert_eq!(residents(&mut mirror), Err("MissingSlice"));
    hear(&mut mirror, News::Pods(id, Heard::Applied(many.pods[0].clone())));
    assert_eq!(residents(&mut mirror), Ok(200));
    let whole = mirror.assemble().unwrap().hash;

    let fewer = crowded(3, &crowd(0, 199));
    let changed = fewer.pods.iter().zip(&many.pods);
    let changed = changed.filter(|(new, old)| new.content.as_ref().unwrap() != old.content.as_ref().unwrap());
    for (slice, _) in changed {
        hear(&mut mirror, News::Pods(id, Heard::Applied(slice.clone())));
    }
    assert_eq!(residents(&mut mirror), Ok(199), "without a new rule set");
    assert_ne!(
        mirror.assemble().unwrap().hash,
        whole,
        "the hash tells of all pods"
    );

    let few = Objects::new(4, 1, 1);
    let orders = hear(&mut mirror, News::RuleSet(Heard::Applied(few.rule_set)));
    assert_eq!(orders, [Order::Pods(Step::Stop(id))]);
    assert!(mirror.pods.is_empty());
    assert_eq!(residents(&mut mirror), Ok(1));
}

#[test]
fn a_new_pod_in_a_slice_waits_until_the_policies_of_its_namespace_were_read() {
    let (mut mirror, _) = filled(Objects::new(1, 1, 1));
    let before = crowded(2, &crowd(0, 199));
    let (id, _) = pods_started(hear(&mut mirror, News::RuleSet(Heard::Applied(before.rule_set))));
    hear(&mut mirror, News::Pods(id, Heard::Listed(before.pods)));
    assert_eq!(residents(&mut mirror), Ok(199));
    let mut told = 0;
    for slice in crowded(3, &crowd(0, 200)).pods {
        let mut orders = mirror.hear(News::Pods(id, Heard::Applied(slice)));
        for (namespace, number) in confirmations(&mut orders) {
            told += 1;
            mirror.select();
            assert_eq!(
                residents(&mut mirror),
                Err("NotListed"),
                "the watch may be behind"
            );
            mirror.hear(News::Confirmed(namespace, number, Vec::new()));
        }
        mirror.select();
    }
    assert_eq!((told, residents(&mut mirror)), (1, Ok(200)));
}
