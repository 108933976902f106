//! The shared case table: what the semantics mean, one situation at a time.
//!
//! The files under `tests/cases` are for reading: each document is a small cluster, a reason, and probes with their
//! verdicts. The oracle, the compiled rules and real packets all run them; whoever does brings the [`Addresses`].
//!
//! ```text
//!   tests/cases/*.yaml ─► document ─► build ─► Case { Step { events, state, probes } }
//!                                       ▲                                   │
//!                         Addresses ────┘                packets as the forward hook sees them
//! ```
//!
//! Expectations come from the API documentation of `NetworkPolicy` and from the project's semantics, never from what an
//! implementation answers. [`coverage`] holds the table to being complete.

mod addresses;
mod build;
pub mod coverage;
mod document;
mod error;
mod probe;
mod spec;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use comfy_table::Table;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{NodeName, Packet, PodKey, PodUid, Protocol, Transport, Verdict};
use serde::Deserialize;

pub use addresses::{
    AddressError, AddressPair, Addresses, CLIENTS, Family, NODES, NetworkPair, NodePlan, SLOTS,
};
pub use error::{CaseError, Problem};

use document::CaseDocument;

/// The files of the table, each a theme, in the order in which a reader should meet them.
const FILES: [(&str, &str); 11] = [
    ("isolation.yaml", include_str!("../../cases/isolation.yaml")),
    ("peers.yaml", include_str!("../../cases/peers.yaml")),
    ("selectors.yaml", include_str!("../../cases/selectors.yaml")),
    ("ports.yaml", include_str!("../../cases/ports.yaml")),
    ("named-ports.yaml", include_str!("../../cases/named-ports.yaml")),
    ("ip-blocks.yaml", include_str!("../../cases/ip-blocks.yaml")),
    (
        "pods-and-nodes.yaml",
        include_str!("../../cases/pods-and-nodes.yaml"),
    ),
    ("services.yaml", include_str!("../../cases/services.yaml")),
    ("protocols.yaml", include_str!("../../cases/protocols.yaml")),
    ("changes.yaml", include_str!("../../cases/changes.yaml")),
    ("broken.yaml", include_str!("../../cases/broken.yaml")),
];

/// A situation with the verdicts that it must give.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file that it stands in.
    pub file: &'static str,
    /// Its name: a sentence, unique in the table.
    pub name: String,
    /// The rows of the semantics that it is a case of.
    pub rows: BTreeSet<u8>,
    /// The pitfalls of production enforcers that it is a case of, in the words of the semantics.
    pub pitfalls: BTreeSet<&'static str>,
    /// Why the verdicts are what they are.
    pub why: String,
    /// The services that the probes use.
    pub services: BTreeMap<PodKey, Service>,
    /// The state, and what becomes of it.
    pub steps: Vec<Step>,
}

/// A change of the state, and probes after it.
#[derive(Clone, Debug)]
pub struct Step {
    /// What happens, where the case says so.
    pub why: Option<String>,
    /// What changes. The events of the first step make the whole state.
    pub events: Vec<Event>,
    /// The state after the events.
    pub state: ClusterState,
    /// The pods that live in slots after the events. A finished pod lives nowhere.
    pub occupants: BTreeMap<Slot, Occupant>,
    /// The probes.
    pub probes: Vec<CaseProbe>,
}

/// A place for a pod with a network of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The node.
    pub node: NodeName,
    /// Which of the node's [`SLOTS`], counted from 0.
    pub index: usize,
}

/// A pod in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// Its identity.
    pub uid: PodUid,
    /// Its place in the API.
    pub key: PodKey,
}

/// A service, as a proxy on each node implements it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its ports.
    pub ports: BTreeMap<(Protocol, u16), ServicePort>,
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The port of the endpoints.
    pub target: u16,
    /// The endpoints' slots.
    pub endpoints: Vec<Slot>,
    /// The port on every node, where there is one.
    pub node_port: Option<u16>,
    /// What the nodes do with the source address of clients that come by the node port.
    pub external: ExternalTraffic,
}

/// `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum ExternalTraffic {
    /// Any endpoint; the node's address replaces the client's after the forward hook of the node that was entered.
    #[default]
    Cluster,
    /// Endpoints of the node that was entered only; the client's address stays.
    Local,
}

/// One packet that somebody sends, and what must become of it.
#[derive(Clone, Debug)]
pub struct CaseProbe {
    /// The line of the case that it comes from.
    pub line: String,
    /// Who sends it.
    pub from: Place,
    /// Whom it is sent to.
    pub to: Target,
    /// What it carries, before a service's port is replaced.
    pub transport: Transport,
    /// Its family.
    pub family: Family,
    /// What the forward hook judges: one packet, or one for each endpoint that a service may choose.
    pub packets: Vec<Packet>,
    /// The verdict on each of them.
    pub expect: Verdict,
}

/// Who sends and receives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The pod in a slot.
    Pod(Slot),
    /// A node itself, or a pod on its network.
    Node(NodeName),
    /// An external client by its position in [`CLIENTS`].
    Client(usize),
}

/// Whom a probe is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An address of its own.
    Place(Place),
    /// A service's own address.
    Service(PodKey),
    /// A node's port that leads to a service.
    NodePort {
        /// The service.
        service: PodKey,
        /// The node that is entered.
        node: NodeName,
        /// The port on the node.
        port: u16,
    },
}

/// All cases, for a bed that has these addresses.
pub fn load(addresses: &Addresses) -> Result<Vec<Case>, CaseError> {
    let mut cases = Vec::new();
    for (file, text) in FILES {
        load_file(file, text, addresses, &mut cases)?;
    }
    Ok(cases)
}

fn load_file(
    file: &'static str,
    text: &str,
    addresses: &Addresses,
    cases: &mut Vec<Case>,
) -> Result<(), CaseError> {
    addresses.check()?;
    let documents: Vec<CaseDocument> =
        serde_saphyr::from_multiple(text).map_err(|source| CaseError::Yaml {
            file,
            case: case_at(text, &source),
            source: Box::new(source),
        })?;
    for document in documents {
        let name = document.case.clone();
        let known = cases.iter().any(|case| case.name == name);
        let built = if known {
            Err(Problem::Repeated)
        } else {
            build::case(file, cases.len(), document, addresses)
        };
        cases.push(built.map_err(|source| CaseError::Case {
            file,
            case: name,
            source,
        })?);
    }
    Ok(())
}

/// The case that a fault lies in: the last one that begins above it.
fn case_at(text: &str, fault: &serde_saphyr::Error) -> String {
    let line = fault
        .location()
        .and_then(|location| usize::try_from(location.line()).ok())
        .unwrap_or(usize::MAX);
    let above = text
        .lines()
        .take(line)
        .filter_map(|line| line.strip_prefix("case: "));
    above.last().unwrap_or("(the first)").to_owned()
}

/// The table for people: each case with its rows and the number of its probes.
pub fn table(cases: &[Case]) -> String {
    let mut table = Table::new();
    table.set_header(["case", "rows", "probes"]);
    for case in cases {
        let rows: Vec<String> = case.rows.iter().map(u8::to_string).collect();
        table.add_row([
            case.name.clone(),
            rows.join(" "),
            case.probes().count().to_string(),
        ]);
    }
    table.to_string()
}

impl Case {
    /// All probes, in all steps.
    pub fn probes(&self) -> impl Iterator<Item = &CaseProbe> {
        self.steps.iter().flat_map(|step| &step.probes)
    }
}

impl fmt::Display for CaseProbe {
    /// The line, and which packet of it: `shop/a -> shop/b 80/TCP, ICMP deny: ICMPv6`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.family == Family::V4 { 4 } else { 6 };
        write!(f, "{} ({} over IPv{family})", self.line, self.transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let error = load_file("test.yaml", text, &Addresses::documentation(), &mut Vec::new()).unwrap_err();
        format!("{:#}", anyhow::Error::from(error))
    }

    #[test]
    fn every_file_of_the_table_is_listed() {
        let mut listed: Vec<&str> = FILES.iter().map(|(file, _)| *file).collect();
        listed.sort_unstable();
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/cases")).unwrap();
        let mut found: Vec<String> = folder
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort_unstable();
        assert_eq!(found, listed);
    }

    #[test]
    fn the_whole_table_loads() {
        let cases = load(&Addresses::documentation())
            .map_err(anyhow::Error::from)
            .unwrap();
        assert!(cases.len() >= 80, "{} cases", cases.len());
        println!("{}", table(&cases));
    }

    #[test]
    fn an_unknown_field_is_refused_with_the_name_of_the_case() {
        let message = problem("case: first\nrow: [1]\nwhy: x\nprobez: []\n");
        assert!(
            message.contains("test.yaml: case first") && message.contains("probez"),
            "{message}"
        );
    }

    #[test]
    fn a_misspelt_field_of_a_policy_is_refused() {
        let message = problem(concat!(
            "case: slip\nrow: [1]\nwhy: x\nnamespaces: {shop: {}}\npods: {shop/web: {node: a}}\n",
            "policies: [{name: x, namespace: shop, spec: {podSelector: {}, ingress: [{form: []}]}}]\n",
            "probes: [client1 -> shop/web 80/TCP deny]\n"
        ));
        assert!(
            message.contains("case slip") && message.contains("spec.ingress[0].form"),
            "{message}"
        );
    }

    #[test]
    fn a_policy_that_is_broken_without_saying_so_is_refused() {
        let message = problem(concat!(
            "case: slip\nrow: [1]\nwhy: x\nnamespaces: {shop: {}}\npods: {shop/web: {node: a}}\n",
            "policies: [{name: x, namespace: shop, spec: {podSelector: {}, ingress: [{ports: [{protocol: HTTP}]}]}}]\n",
            "probes: [client1 -> shop/web 80/TCP deny]\n"
        ));
        assert!(message.contains("marked broken: false"), "{message}");
    }

    #[test]
    fn more_pods_than_a_node_has_slots_are_refused() {
        let message = problem(concat!(
            "case: crowd\nrow: [1]\nwhy: x\nnamespaces: {s: {}}\n",
            "pods: {s/1: {node: a}, s/2: {node: a}, s/3: {node: a}, s/4: {node: a}, s/5: {node: a}}\n",
            "probes: [client1 -> s/1 80/TCP allow]\n"
        ));
        assert!(message.contains("pod s/5 finds no free slot"), "{message}");
    }

    fn only(text: &str) -> Case {
        let mut cases = Vec::new();
        load_file("test.yaml", text, &Addresses::documentation(), &mut cases)
            .map_err(anyhow::Error::from)
            .unwrap();
        cases.remove(0)
    }

    #[test]
    fn a_pod_that_is_reborn_is_heard_of_before_the_old_one_is_deleted() {
        let case = only(concat!(
            "case: again\nrow: [11]\nwhy: x\nnamespaces: {s: {}}\npods: {s/p: {node: a}}\n",
            "probes: [client1 -> s/p 80/TCP allow]\n",
            "then: [{pods: {s/p: {node: a, reborn: true}}, probes: [client1 -> s/p 80/TCP allow]}]\n"
        ));
        let [Event::PodApplied(new), Event::PodDeleted(old)] = &case.steps[1].events[..] else {
            panic!("{:?}", case.steps[1].events)
        };
        assert_ne!(&new.uid, old);
        assert_eq!(case.steps[1].state.pods().keys().collect::<Vec<_>>(), [&new.uid]);
    }

    #[test]
    fn a_slot_is_occupied_by_the_live_pod_that_was_created_last() {
        let case = only(concat!(
            "case: shared\nrow: [11]\nwhy: x\nnamespaces: {s: {}}\npods:\n",
            "  s/done: {node: a, phase: Succeeded, created: 9}\n",
            "  s/old: {node: a, address-of: s/done, created: 1}\n",
            "  s/new: {node: a, address-of: s/done, created: 2}\n",
            "probes: [client1 -> s/new 80/TCP allow]\n"
        ));
        let occupants: Vec<String> = case.steps[0]
            .occupants
            .values()
            .map(|it| it.key.to_string())
            .collect();
        assert_eq!(occupants, ["s/new"]);
    }

    #[test]
    fn a_node_port_shows_the_client_or_the_node_that_was_entered() {
        let case = only(concat!(
            "case: port\nrow: [14]\nwhy: x\nnamespaces: {s: {}}\npods: {s/p: {node: a}}\n",
            "services: {s/p: {80/TCP: {target: 8080, endpoints: [s/p], nodePort: 30080}}}\n",
            "probes:\n",
            "  - client1 -> service s/p at node:a 80/TCP /4 allow\n",
            "  - client1 -> service s/p at node:b 80/TCP /4 allow\n",
        ));
        let addresses = Addresses::documentation();
        let (client, node) = (
            addresses.client[0].of(Family::V4),
            addresses.nodes["b"].address.of(Family::V4),
        );
        let packets: Vec<Packet> = case.probes().flat_map(|probe| probe.packets.clone()).collect();
        assert_eq!([packets[0].source, packets[1].source], [client, node]);
        assert!(
            packets
                .iter()
                .all(|packet| packet.transport == Transport::Port(Protocol::Tcp, 8080))
        );
    }
}
