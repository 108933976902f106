//! The plan, read as the kernel would read it, means what the API documentation says, whatever the cluster; and what it
//! costs a packet does not grow with the policies.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what a test made it may rely on"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use palisade_enforcer::flows::{Entry, Judge, Judgement, Tuple};
use palisade_enforcer::nft::model::{Interface, Ruleset, TableKey};
use palisade_enforcer::plan::{Facts, Place, Settings, plan};
use palisade_enforcer::walk::{Forwarded, walk};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::compile;
use palisade_policy::evaluate::{Reason, evaluate};
use palisade_policy::model::{NodeName, Packet, Pod, Protocol, Transport, Verdict};
use palisade_policy::rules::NodeRules;
use palisade_policy::testing::strategies::{history, packet};
use palisade_policy::testing::{builders, config};
use proptest::collection::vec;
use proptest::prelude::*;

/// How pods are attached to their node.
#[derive(Clone, Copy, Debug)]
enum Attachment {
    Routed,
    Bridged,
    /// A bridge that other nodes' pods are on as well.
    Shared,
}

const ATTACHMENTS: [Attachment; 3] = [Attachment::Routed, Attachment::Bridged, Attachment::Shared];

fn interface(name: &str) -> Interface {
    Interface::new(name).unwrap()
}

/// The place of a pod whose UID ends in something that fits into an interface's name.
fn place(pod: &Pod, addresses: BTreeSet<IpAddr>, attachment: Attachment) -> Place {
    let tail = pod.uid.as_str().rsplit(['-', '/']).next().unwrap();
    let bridge = match attachment {
        Attachment::Routed => None,
        Attachment::Bridged | Attachment::Shared => Some(interface("bridge0")),
    };
    Place {
        interface: interface(&format!("veth{tail}")),
        index: 1,
        bridge,
        addresses,
    }
}

/// Each node's ruleset, its facts such as its network would give them.
struct Nodes {
    rulesets: BTreeMap<NodeName, Ruleset>,
    facts: BTreeMap<NodeName, Facts>,
    attachment: Attachment,
}

impl Nodes {
    fn plan(state: &ClusterState, attachment: Attachment) -> Self {
        let published = compile(state);
        let slices = published.slices();
        let mut nodes = Self {
            rulesets: BTreeMap::new(),
            facts: BTreeMap::new(),
            attachment,
        };
        for name in published.nodes.keys() {
            let rules = published.rules(name).unwrap();
            let facts = facts(state, &rules, attachment);
            let plan = plan(&rules, &slices, &facts, &Settings::default()).unwrap();
            plan.ruleset.check().unwrap();
            nodes.rulesets.insert(name.clone(), plan.ruleset);
            nodes.facts.insert(name.clone(), facts);
        }
        nodes
    }

    /// Whether another pod than its owner still has an end of a packet on some node.
    fn is_contested(&self, state: &ClusterState, packet: &Packet) -> bool {
        let places = || self.facts.values().flat_map(|facts| &facts.places);
        [packet.source, packet.destination].into_iter().any(|end| {
            let owner = state.owner(end).map(|pod| &pod.uid);
            places().any(|(uid, place)| place.addresses.contains(&end) && owner != Some(uid))
        })
    }

    /// Whether a packet passes every node on its way, and how many rules it met.
    fn pass(&self, state: &ClusterState, packet: &Packet) -> (bool, usize) {
        let (source, destination) = (state.owner(packet.source), state.owner(packet.destination));
        let path = path(state, packet);
        let mut rules = 0;
        let passes = path.iter().all(|name| {
            let at = |pod: Option<&Pod>| match (pod, self.attachment) {
                (Some(pod), _) if pod.node.as_ref() == Some(name) => {
                    let place = place(pod, BTreeSet::new(), self.attachment);
                    place.bridge.unwrap_or(place.interface)
                }
                (Some(_), Attachment::Shared) => interface("bridge0"),
                _ => interface("eth0"),
            };
            let forwarded = Forwarded {
                input: at(source),
                output: at(destination),
                packet: *packet,
                established: false,
            };
            let walk = walk(&self.rulesets[name], &forwarded);
            rules += walk.rules;
            walk.accepted
        });
        (passes, rules)
    }
}

/// The nodes whose pods send or receive a packet.
fn path(state: &ClusterState, packet: &Packet) -> BTreeSet<NodeName> {
    let ends = [packet.source, packet.destination].map(|end| state.owner(end));
    ends.into_iter()
        .flatten()
        .filter_map(|pod| pod.node.clone())
        .collect()
}

fn facts(state: &ClusterState, rules: &NodeRules, attachment: Attachment) -> Facts {
    let places = rules.pods.iter().map(|(uid, local)| {
        let pod = &state.pods()[uid];
        let addresses = match attachment {
            // Every address that the pod was given, also one that the API has meanwhile given to another.
            Attachment::Routed | Attachment::Bridged => pod.addresses.iter().copied().collect(),
            // On one segment an address cannot be in two places.
            Attachment::Shared => local.addresses.iter().copied().collect(),
        };
        (uid.clone(), place(pod, addresses, attachment))
    });
    let uplinks = match attachment {
        Attachment::Routed => BTreeMap::new(),
        Attachment::Bridged => [(interface("bridge0"), BTreeSet::new())].into(),
        Attachment::Shared => [(interface("bridge0"), [interface("vxlan0")].into())].into(),
    };
    Facts {
        places: places.collect(),
        uplinks,
    }
}

/// Without pod networks: an address in one that no pod has is closed, of which the API says nothing.
fn without_networks(events: Vec<Event>) -> ClusterState {
    ClusterState::from_events(events.into_iter().map(|event| match event {
        Event::NodeApplied(mut node) => {
            node.pod_networks.clear();
            Event::NodeApplied(node)
        }
        other => other,
    }))
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn the_plan_means_what_the_documentation_says(events in history(150), packets in vec(packet(), 150)) {
        let state = without_networks(events);
        for attachment in ATTACHMENTS {
            let nodes = Nodes::plan(&state, attachment);
            for packet in &packets {
                let expected = evaluate(&state, packet);
                // Between a pod and its node nothing is forwarded.
                if matches!(expected.reason, Reason::OwnNode { .. }) {
                    continue;
                }
                let (passes, _) = nodes.pass(&state, packet);
                prop_assert_eq!(passes, expected.verdict == Verdict::Allow, "{:?} {}", attachment, expected);
            }
        }
    }
}

/// What conntrack remembers of a connection that this packet opened, called by another address than that of its
/// destination, or answered at another than that of its source.
fn remembered(packet: &Packet, called: IpAddr, answered: IpAddr) -> Entry<'static> {
    let (protocol, port) = match packet.transport {
        Transport::Port(protocol, port) => (protocol.number(), port),
        Transport::Other(number) => (number, 0),
    };
    let original = Tuple {
        source: packet.source,
        destination: called,
        protocol,
        source_port: 40_000,
        destination_port: 1,
    };
    let reply = Tuple {
        source: packet.destination,
        destination: answered,
        protocol,
        source_port: port,
        destination_port: 2,
    };
    Entry::unnamed(original, reply)
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn a_flow_is_ended_where_the_documentation_denies_what_opened_it(
        events in history(150),
        packets in vec((packet(), packet()), 150),
    ) {
        let state = without_networks(events);
        for attachment in ATTACHMENTS {
            let nodes = Nodes::plan(&state, attachment);
            let judges: BTreeMap<_, _> = nodes.rulesets.iter().map(|(name, ruleset)| {
                let own = state.nodes().get(name).map(|node| node.addresses.iter().copied().collect());
                let facts = &nodes.facts[name];
                let judge = Judge::new(ruleset, facts, Vec::new(), own.unwrap_or_default(), BTreeSet::new());
                (name, judge.unwrap())
            }).collect();
            for (packet, translated) in &packets {
                // Which of them opened the flow, what is remembered does not tell.
                if nodes.is_contested(&state, packet) {
                    continue;
                }
                let expected = evaluate(&state, packet);
                let entry = remembered(packet, translated.destination, translated.source);
                let stays = path(&state, packet).iter().all(|node| {
                    matches!(judges[node].judge(&entry, &mut HashMap::new()), Judgement::Keep(_))
                });
                prop_assert_eq!(stays, expected.verdict == Verdict::Allow, "{:?} {}", attachment, expected);
            }
        }
    }
}

/// Two pods on two nodes and `policies` policies on one of them, of which the last allows what is asked.
fn many_policies(policies: u16) -> (ClusterState, Packet) {
    let mut events = vec![
        Event::NamespaceApplied(builders::namespace("shop", &[])),
        Event::PodApplied(builders::pod("shop/web").at("10.0.0.1").on("a")),
        Event::PodApplied(
            builders::pod("shop/last")
                .at("10.0.1.1")
                .on("b")
                .labelled(&[("app", "last")]),
        ),
    ];
    for number in 0..policies {
        let last = number + 1 == policies;
        let app = if last {
            "last".to_owned()
        } else {
            format!("app-{number}")
        };
        let pods = builders::rule([builders::pods(&[("app", &app)])]);
        let cidr = format!("172.16.{}.{}/32", number / 256, number % 256);
        let block = builders::rule([builders::block(&cidr, &[])]);
        let policy = builders::policy(&format!("shop/policy-{number:04}")).allowing_from([
            pods.on_ports([builders::port(Protocol::Tcp, 1000 + number)]),
            block.on_ports([builders::ports(Protocol::Udp, 1, 1 + number)]),
        ]);
        events.push(Event::PolicyApplied(policy));
    }
    let transport = Transport::Port(Protocol::Tcp, 1000 + policies - 1);
    let [source, destination] = ["10.0.1.1", "10.0.0.1"].map(|address| address.parse().unwrap());
    (
        ClusterState::from_events(events),
        Packet {
            source,
            destination,
            transport,
        },
    )
}

#[test]
fn a_packet_meets_as_many_rules_under_a_thousand_policies_as_under_one() {
    let rules_met = |policies, port| {
        let (state, mut packet) = many_policies(policies);
        if let Some(port) = port {
            packet.transport = Transport::Port(Protocol::Tcp, port);
        }
        let (passes, rules) = Nodes::plan(&state, Attachment::Routed).pass(&state, &packet);
        assert_eq!(passes, port.is_none(), "{policies} policies");
        rules
    };
    for port in [None, Some(9)] {
        let one = rules_met(1, port);
        for policies in [10, 100, 1000] {
            assert_eq!(rules_met(policies, port), one, "{policies} policies");
        }
    }
}

#[test]
fn a_pod_that_joins_a_group_is_one_element_in_each_set_that_holds_the_group() {
    let (state, _) = many_policies(100);
    let before = Nodes::plan(&state, Attachment::Routed);
    let mut joined = state.clone();
    let newcomer = builders::pod("shop/newcomer")
        .at("10.0.2.1")
        .on("b")
        .labelled(&[("app", "last")]);
    joined.apply(Event::PodApplied(newcomer));
    let after = Nodes::plan(&joined, Attachment::Routed);
    let node = NodeName::from("a");
    let (before, after) = (&before.rulesets[&node], &after.rulesets[&node]);
    let (before, after) = (&before.tables[&TableKey::Inet], &after.tables[&TableKey::Inet]);
    assert_eq!(before.chains, after.chains, "no chain changes");
    assert_eq!(before.maps, after.maps, "no dispatch changes");
    let mut added = 0;
    for (name, set) in &after.sets {
        let old = &before.sets[name].elements;
        assert!(old.is_subset(&set.elements));
        added += set.elements.len() - old.len();
    }
    assert_eq!(added, 1, "one set holds the group");
}

#[test]
fn what_no_known_pod_has_is_closed_in_the_nodes_pod_network() {
    let mut node = builders::node("a", &["192.168.0.1"]);
    node.pod_networks = vec!["10.0.0.0/24".parse().unwrap()];
    let state = ClusterState::from_events([
        Event::NamespaceApplied(builders::namespace("shop", &[])),
        Event::NodeApplied(node),
        Event::PodApplied(builders::pod("shop/known").at("10.0.0.1").on("a")),
    ]);
    for attachment in [Attachment::Routed, Attachment::Bridged] {
        let nodes = Nodes::plan(&state, attachment);
        let ruleset = &nodes.rulesets[&NodeName::from("a")];
        let passes = |input: &str, source: &str, output: &str, destination: &str| {
            let [source, destination] = [source, destination].map(|address| address.parse().unwrap());
            let packet = Packet {
                source,
                destination,
                transport: Transport::Port(Protocol::Tcp, 80),
            };
            let [input, output] = [input, output].map(interface);
            walk(
                ruleset,
                &Forwarded {
                    input,
                    output,
                    packet,
                    established: false,
                },
            )
            .accepted
        };
        assert!(
            passes("eth0", "8.8.8.8", "eth1", "9.9.9.9"),
            "what has nothing to do with pods"
        );
        assert!(
            !passes("veth-new", "10.0.0.2", "eth0", "8.8.8.8"),
            "from an unknown pod"
        );
        assert!(
            !passes("eth0", "8.8.8.8", "veth-new", "10.0.0.2"),
            "to an unknown pod"
        );
        assert!(
            !passes("eth0", "10.0.0.1", "eth1", "8.8.8.8"),
            "a known pod's address from elsewhere"
        );
    }
}
