//! The difference of two states is what the oracle says of every pod, address and port in both.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail like tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use palisade_audit::diff::{Becomes, Diff, Effect, Meaning};
use palisade_audit::inventory::Inventory;
use palisade_audit::relation::Addresses;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::evaluate::evaluate;
use palisade_policy::model::{Packet, Pod, PodKey, PolicyKey, Protocol, Transport, Verdict};
use palisade_policy::reach::{End, Family};
use palisade_policy::testing::builders::{everybody, pod, pods_in, policy, port, rule};
use palisade_policy::testing::{config, strategies};
use proptest::prelude::*;

fn inventory(state: ClusterState) -> Inventory {
    Inventory {
        state,
        ..Inventory::default()
    }
}

/// What is asked about: every port that policies of the strategies name, those beside them, and one protocol without ports.
fn transports() -> Vec<Transport> {
    let ports = [1, 53, 79, 80, 81, 82, 8080, 65535];
    let each = Protocol::ALL
        .into_iter()
        .flat_map(|protocol| ports.map(|port| Transport::Port(protocol, port)));
    each.chain([Transport::Other(1)]).collect()
}

/// The pod of each name that counts, the newer one where there are two, with the addresses that it owns.
fn pods(state: &ClusterState) -> BTreeMap<&PodKey, (&Pod, Vec<IpAddr>)> {
    let mut found: BTreeMap<&PodKey, (&Pod, Vec<IpAddr>)> = BTreeMap::new();
    for pod in state.pods().values().filter(|pod| pod.is_workload()) {
        let owned = pod
            .addresses
            .iter()
            .filter(|address| state.owner(**address).is_some_and(|owner| owner.uid == pod.uid));
        let here = (pod, owned.copied().collect::<Vec<_>>());
        let known = found.entry(&pod.key).or_insert_with(|| here.clone());
        if (known.0.created, &known.0.uid) < (pod.created, &pod.uid) {
            *known = here;
        }
    }
    found.retain(|_, (_, addresses)| !addresses.is_empty());
    found
}

/// One end, as it is called, with its address in both states.
type Spot = (String, [IpAddr; 2]);

/// What pods were called that have another name after.
type Renamed = BTreeMap<String, BTreeSet<String>>;

/// Every pod and every address outside that both states have, in one family.
fn spots(states: [&ClusterState; 2], family: Family, renamed: &Renamed) -> Vec<Spot> {
    let [before, after] = states.map(pods);
    let of = |addresses: &[IpAddr]| {
        addresses
            .iter()
            .copied()
            .find(|address| Family::of(*address) == family)
    };
    let was: BTreeMap<String, &Vec<IpAddr>> = before
        .iter()
        .map(|(key, (_, own))| (key.to_string(), own))
        .collect();
    let mut spots: Vec<Spot> = after
        .iter()
        .filter_map(|(key, (_, own))| {
            let name = key.to_string();
            let old = renamed.get(&name).and_then(BTreeSet::first).unwrap_or(&name);
            Some((name.clone(), [of(was.get(old)?)?, of(own)?]))
        })
        .collect();
    let known = (0..28).flat_map(strategies::pod_addresses);
    let nodes = ["a", "b", "c"].into_iter().flat_map(strategies::node_addresses);
    let outside = known
        .chain(nodes)
        .filter(|address| Family::of(*address) == family)
        .filter(|address| states.iter().all(|state| state.owner(*address).is_none()));
    spots.extend(outside.map(|address| (address.to_string(), [address; 2])));
    spots
}

type Pair = (Effect, Family, String, String, Transport);

fn by_the_oracle(states: [&ClusterState; 2], renamed: &Renamed) -> BTreeSet<Pair> {
    let mut found = BTreeSet::new();
    for family in Family::ALL {
        let spots = spots(states, family, renamed);
        for (from, source) in &spots {
            for (to, destination) in spots.iter().filter(|(to, _)| to != from) {
                for transport in transports() {
                    let verdict = |state: usize| {
                        let packet = Packet {
                            source: source[state],
                            destination: destination[state],
                            transport,
                        };
                        evaluate(states[state], &packet).verdict
                    };
                    let effect = match (verdict(0), verdict(1)) {
                        (Verdict::Deny, Verdict::Allow) => Effect::Allowed,
                        (Verdict::Allow, Verdict::Deny) => Effect::Denied,
                        (Verdict::Allow, Verdict::Allow) | (Verdict::Deny, Verdict::Deny) => continue,
                    };
                    found.insert((effect, family, from.clone(), to.clone(), transport));
                }
            }
        }
    }
    found
}

fn by_the_difference(diff: &Diff<'_>, states: [&ClusterState; 2]) -> BTreeSet<Pair> {
    let ends = diff.ends();
    let renamed = &diff.edits.renamed;
    let mut found = BTreeSet::new();
    for family in Family::ALL {
        let spots = spots(states, family, renamed);
        let names = |end: &End| -> Vec<&Spot> {
            let is_meant = |spot: &&Spot| match end {
                End::Pods(class) => {
                    let owner = states[1].owner(spot.1[1]);
                    let members = &ends.classes[*class].members;
                    owner.is_some_and(|pod| members.iter().any(|member| member.uid == pod.uid))
                }
                End::Outside(range) => {
                    let range = &ends.outside[*range];
                    range.family == family
                        && states[0].owner(spot.1[0]).is_none()
                        && Addresses::of(family, &range.blocks).contains(spot.1[0])
                }
            };
            spots.iter().filter(is_meant).collect()
        };
        for change in &diff.changes {
            if change.family.is_some_and(|own| own != family) {
                continue;
            }
            for (from, to) in change
                .from
                .iter()
                .flat_map(|from| change.to.iter().map(move |to| (from, to)))
            {
                for (from, source) in names(from) {
                    for (to, destination) in names(to).into_iter().filter(|(to, _)| to != from) {
                        // A pod and its own node reach each other in any case, and that node may be in a range.
                        let packet = |state: usize, transport| Packet {
                            source: source[state],
                            destination: destination[state],
                            transport,
                        };
                        let own_node = |state: usize| {
                            let reason = evaluate(states[state], &packet(state, Transport::Other(1))).reason;
                            matches!(reason, palisade_policy::evaluate::Reason::OwnNode { .. })
                        };
                        if own_node(0) || own_node(1) {
                            continue;
                        }
                        for transport in transports()
                            .into_iter()
                            .filter(|port| change.ports.contains(*port))
                        {
                            found.insert((change.effect, family, from.clone(), to.clone(), transport));
                        }
                    }
                }
            }
        }
    }
    found
}

/// The pairs that policies decide about in both states: what a pod's own node may changes with the node.
fn decided(pairs: BTreeSet<Pair>, states: [&ClusterState; 2], renamed: &Renamed) -> BTreeSet<Pair> {
    let own_node = |(_, family, from, to, transport): &Pair| {
        let spots = spots(states, *family, renamed);
        let find = |name: &String| spots.iter().find(|(own, _)| own == name).unwrap().1;
        let (source, destination) = (find(from), find(to));
        (0..2).any(|state| {
            let packet = Packet {
                source: source[state],
                destination: destination[state],
                transport: *transport,
            };
            let reason = evaluate(states[state], &packet).reason;
            matches!(reason, palisade_policy::evaluate::Reason::OwnNode { .. })
        })
    };
    pairs.into_iter().filter(|pair| !own_node(pair)).collect()
}

/// More pairs than are asked about one by one: what is not asked about is said, and no policy is called idle for it.
#[test]
fn what_is_not_asked_about_is_said() {
    const PODS: u16 = 110;
    let names = |number: u16| format!("x{number}");
    let pods = |namespace: &'static str, third: u8| {
        (0..PODS).map(move |number| {
            let id = names(number);
            let odd = if number % 2 == 1 { "odd" } else { "even" };
            let pod = pod(&format!("{namespace}/{id}")).at(&format!("10.{third}.{number}.1"));
            Event::PodApplied(pod.labelled(&[("id", &id), ("is", odd)]))
        })
    };
    // Every pod is a class of its own.
    let own = (0..PODS).map(|number| {
        let id = names(number);
        let guard = policy(&format!("dst/own-{id}"));
        let from = rule([pods_in(&[], &[("id", &id)])]).on_ports([port(Protocol::Tcp, 1)]);
        Event::PolicyApplied(guard.selecting(&[("id", &id)]).allowing_from([from]))
    });
    let base = pods("one", 1)
        .chain(pods("two", 2))
        .chain(pods("dst", 3))
        .chain(own);
    let before = inventory(ClusterState::from_events(base));
    let mut after = before.clone();
    let https = || [port(Protocol::Tcp, 443)];
    let from_odd = rule([pods_in(&[], &[("is", "odd")])]).on_ports(https());
    for added in [
        policy("dst/open").allowing_from([everybody().on_ports(https())]),
        // It allows as well what is only asked about as one of many.
        policy("dst/late")
            .selecting(&[("id", "x99")])
            .allowing_from([from_odd]),
        policy("dst/for-nobody").selecting(&[("id", "none")]),
    ] {
        after.state.apply(Event::PolicyApplied(added));
    }
    let diff = Diff::of(&before, &after);
    let asked = |perhaps_others| {
        let changes = &diff.changes;
        changes
            .iter()
            .any(|change| change.cause.perhaps_others == perhaps_others)
    };
    assert!(asked(true) && asked(false));
    let meaning = |name: &str| diff.edits.policies[&PolicyKey::new("dst", name)].1;
    assert_eq!(meaning("open"), Meaning::Changes);
    assert_eq!(meaning("late"), Meaning::Unknown);
    assert_eq!(meaning("for-nobody"), Meaning::None);
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn nothing_differs_from_itself(history in strategies::history(60)) {
        let state = inventory(ClusterState::from_events(history));
        let diff = Diff::of(&state, &state);
        prop_assert!(diff.is_empty(), "{:?}", diff.changes);
        prop_assert!(diff.edits.is_empty() && diff.new.is_empty() && diff.gone.is_empty());
    }

    #[test]
    fn a_difference_is_what_the_oracle_says(
        history in strategies::history(80),
        change in strategies::history(16),
    ) {
        let before = ClusterState::from_events(history);
        let mut after = before.clone();
        for event in change {
            after.apply(event);
        }
        let (before, after) = (inventory(before), inventory(after));
        let states = [&before.state, &after.state];
        let diff = Diff::of(&before, &after);
        let renamed = &diff.edits.renamed;
        for (name, was) in renamed {
            prop_assert_eq!(was.len(), 1);
            let labels = |state, name: &str| pods(state)[&PodKey::parse(name).unwrap()].0.labels.clone();
            let old = was.first().unwrap();
            prop_assert_eq!(labels(states[1], name), labels(states[0], old), "{} was {}", name, old);
            prop_assert!(PodKey::parse(old).is_some_and(|old| !pods(states[1]).contains_key(&old)));
        }
        let expected = decided(by_the_oracle(states, renamed), states, renamed);
        prop_assert_eq!(by_the_difference(&diff, states), expected);
        for change in &diff.changes {
            let denied = match change.effect {
                Effect::Allowed => states[0],
                Effect::Denied => states[1],
            };
            prop_assert_eq!(evaluate(denied, &change.witness).verdict, Verdict::Deny, "{:?}", change);
            prop_assert!(change.cause.sides().count() > 0, "{:?}", change);
            for (direction, side) in change.cause.sides() {
                prop_assert!(!side.isolating.is_empty() && !side.grants.is_empty(), "{:?}", change);
                for policy in &side.isolating {
                    prop_assert!(denied.policies()[policy].rules(direction).is_some());
                }
            }
        }
        for isolation in &diff.isolation {
            let isolated = match isolation.becomes {
                Becomes::Isolated => states[1],
                Becomes::Open => states[0],
            };
            prop_assert!(isolation.policies.iter().all(|policy| isolated.policies().contains_key(policy)));
        }
    }
}
