//! Flat cost: the first packet meets the same rules under one policy or a thousand, and a pod that joins a group is an
//! element in each set that holds the group.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use palisade_policy::cluster::Event;
use palisade_policy::model::{Pod, Protocol};
use palisade_policy::testing::builders::{labels, pod, pods, pods_in, policy, port, rule};
use palisade_tests::bed::Topology;
use rustix::thread::{CpuSet, sched_setaffinity};

use super::alone;
use super::ends::End;
use super::town::Town;

/// The port that the measurement asks at.
const ECHO: u16 = 4_000;

/// New flows that are measured.
const FLOWS: u16 = 2_000;

/// A packet that was lost is sent no second time: the flow is left out.
const LOST: Duration = Duration::from_millis(500);

fn socket(end: &End, port: u16) -> UdpSocket {
    let socket = end.udp_socket(0, port);
    socket.set_read_timeout(Some(LOST)).unwrap();
    socket
}

/// Keeps the calling thread on the first core: what is measured is the way of a packet, not that of a wake-up.
fn stay_on_one_core() {
    let mut core = CpuSet::new();
    core.set(0);
    sched_setaffinity(None, &core).unwrap();
}

/// Sends back what comes, on a thread of its own.
struct Echo {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start(end: &End) -> Self {
        let (socket, over) = (socket(end, ECHO), Arc::new(AtomicBool::new(false)));
        let ended = over.clone();
        let thread = std::thread::spawn(move || {
            stay_on_one_core();
            let mut buffer = [0; 64];
            while !ended.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    socket.send_to(&buffer[..length], from).unwrap();
                }
            }
        });
        Self {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// The median round trip of the first packet of a flow.
async fn first_packet(town: &Town, first_port: u16) -> Duration {
    let (from, to) = (town.end("shop/front"), town.end("shop/web"));
    let measured = std::thread::spawn(move || {
        stay_on_one_core();
        let to = (to.addresses[0], ECHO);
        let mut times = Vec::new();
        for port in first_port..first_port + FLOWS {
            let socket = socket(&from, port);
            socket.connect(to).unwrap();
            let begin = Instant::now();
            socket.send(b"first").unwrap();
            if socket.recv(&mut [0; 64]).is_ok() {
                times.push(begin.elapsed());
            }
        }
        times.sort_unstable();
        assert!(
            times.len() > usize::from(FLOWS) / 2,
            "{} of {FLOWS} flows answered",
            times.len()
        );
        times[times.len() / 2]
    });
    tokio::task::spawn_blocking(move || measured.join().unwrap())
        .await
        .unwrap()
}

/// A pod that is not in the bed: an address in a group.
fn elsewhere(number: usize, role: &str) -> Pod {
    let mut pod = pod(&format!("shop/elsewhere-{number}")).on("elsewhere");
    let (high, low) = (number / 250, number % 250 + 1);
    pod.addresses = vec![
        format!("10.245.{high}.{low}").parse().unwrap(),
        format!("fd00:245::{high}:{low}").parse().unwrap(),
    ];
    pod.labels = labels(&[("role", role)]);
    pod
}

/// How many rules each chain of a table has, the longest first.
async fn shape(town: &Town, family: &str) -> Vec<usize> {
    let listing = town.nft(0, &["-j", "list", "table", family, "palisade"]).await;
    let listing: serde_json::Value = serde_json::from_str(&listing).unwrap();
    let objects = listing["nftables"].as_array().unwrap();
    let names = |kind: &str, field: &str| -> Vec<String> {
        let found = objects.iter().filter_map(|object| object[kind][field].as_str());
        found.map(str::to_owned).collect()
    };
    let rules = names("rule", "chain");
    let count = |chain: &String| rules.iter().filter(|rule| *rule == chain).count();
    let mut shape: Vec<usize> = names("chain", "name").iter().map(count).collect();
    shape.sort_unstable_by(|one, other| other.cmp(one));
    shape
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_packet_meets_the_same_rules_under_one_policy_and_under_a_thousand() {
    let _machine = alone().await;
    let mut town = Town::start(Topology::Routed, 2, 4).await;
    town.settle_shop();
    let echo = Echo::start(&town.end("shop/web"));
    let nothing = first_packet(&town, 10_000).await;
    println!("first packet of a flow, p50 of {FLOWS}: {nothing:?} without rules and connection tracking");
    let mut shapes = Vec::new();
    let mut policies = 0;
    for (turn, count) in [0, 1, 10, 100, 1_000].into_iter().enumerate() {
        // The last policy is the one that lets the packet in.
        if policies > 0 {
            town.relabel("shop/front", "front");
        }
        for number in policies..count {
            town.state
                .apply(Event::PodApplied(elsewhere(number, &format!("peer-{number}"))));
            let allowed = rule([pods(&[("role", &format!("peer-{number}"))])]);
            let key = format!("shop/policy-{number:04}");
            let allowed = allowed.on_ports([port(Protocol::Udp, ECHO)]);
            town.apply(
                policy(&key)
                    .selecting(&[("role", "web")])
                    .allowing_from([allowed]),
            );
        }
        policies = count;
        if count > 0 {
            town.relabel("shop/front", &format!("peer-{}", count - 1));
        }
        let took = town.enact().await;
        let shape = [shape(&town, "inet").await, shape(&town, "netdev").await];
        let median = first_packet(&town, 12_000 + 2_000 * u16::try_from(turn).unwrap()).await;
        println!("  {count} policies: {median:?}; rules by chain {shape:?}; in every kernel after {took:?}");
        if count > 0 {
            shapes.push(shape);
        }
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
    drop(echo);
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_joins_a_group_is_one_element_in_each_set_that_holds_it() {
    let _machine = alone().await;
    let mut town = Town::start(Topology::Routed, 2, 4).await;
    town.settle_shop();
    // Three profiles, 40 policies each; every tenth policy of each refers to the group.
    for (role, key) in ["alpha", "beta", "gamma"]
        .into_iter()
        .zip(["shop/web", "shop/front", "bank/outsider"])
    {
        town.relabel(key, role);
        let namespace = key.split('/').next().unwrap();
        for number in 0..40 {
            let peers = if number % 10 == 0 {
                pods_in(&[], &[("role", "member")])
            } else {
                pods(&[("role", &format!("peer-{number}"))])
            };
            let key = format!("{namespace}/{role}-{number}");
            town.apply(
                policy(&key)
                    .selecting(&[("role", role)])
                    .allowing_from([rule([peers])]),
            );
        }
    }
    // A small group is in a set of each profile, a large one in a set of its own; each in both families.
    for (members, elements) in [(500, 6), (1_500, 2)] {
        come_and_go(&mut town, members, elements).await;
    }
    town.stop().await;
}

/// A pod joins a group of this size and leaves it, a few times.
async fn come_and_go(town: &mut Town, members: usize, elements: u64) {
    for number in 0..members {
        town.state.apply(Event::PodApplied(elsewhere(number, "member")));
    }
    town.enact().await;
    let (mut commit, mut total) = (Vec::new(), Vec::new());
    for turn in 0..20 {
        let joins = turn % 2 == 0;
        let newcomer = elsewhere(members, "member");
        town.state.apply(if joins {
            Event::PodApplied(newcomer)
        } else {
            Event::PodDeleted(newcomer.uid)
        });
        town.enact().await;
        let applied = town.status(0)["applied"].clone();
        let counts = applied["last"].as_object().unwrap();
        let touched: Vec<(&str, u64)> = counts
            .iter()
            .map(|(what, count)| (what.as_str(), count.as_u64().unwrap()))
            .filter(|(_, count)| *count != 0)
            .collect();
        let expected = if joins {
            "elements_added"
        } else {
            "elements_removed"
        };
        assert_eq!(touched, [(expected, elements)], "{applied:#}");
        commit.push(applied["microseconds"]["commit"].as_u64().unwrap());
        total.push(applied["microseconds"]["total"].as_u64().unwrap());
    }
    for (what, mut times) in [
        ("comparison and commit", commit),
        ("from the file to the kernel", total),
    ] {
        times.sort_unstable();
        println!(
            "{elements} elements for a pod in a group of {members}, 120 policies: {what}, p50 {} µs, max {} µs",
            times[10], times[19]
        );
    }
}
