//! No gap: streams at a packet each millisecond see no loss and no leak, whatever is changed, repaired or restarted.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use palisade_policy::model::Protocol;
use palisade_policy::testing::builders::{any_port, block, pods, pods_in, policy, port, ports, rule};
use palisade_tests::bed::Topology;
use palisade_tests::probe::{Flow, Stream, StreamReport};
use serde_json::Value;

use super::ends::End;
use super::town::{Town, shop_policies};
use super::{PATIENCE, alone};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Packets of each stream before and after what happens.
const SOME: u64 = 50;

/// Streams that nothing may touch.
struct Streams {
    /// Each with who asks whom.
    allowed: Vec<(String, Stream)>,
    denied: Vec<(String, Stream)>,
    /// Where no enforcer is: what is lost here is the machine's doing.
    control: Stream,
}

impl Streams {
    fn start(town: &Town) -> Self {
        let stream = |from: &str, to: &str, family, flow| {
            let probe = town.end(from).greets(&town.end(to), family);
            let stream = town.stage.prober().stream(&probe, MILLISECOND, flow).unwrap();
            (format!("{probe} {flow:?}"), stream)
        };
        Self {
            allowed: vec![
                stream("shop/front", "shop/web", 0, Flow::Fresh),
                stream("shop/front", "shop/far-web", 1, Flow::Fresh),
                stream("shop/far-front", "shop/web", 1, Flow::Fixed),
                stream("bank/outsider", "bank/far-bystander", 0, Flow::Fixed),
            ],
            denied: vec![
                stream("bank/outsider", "shop/web", 0, Flow::Fresh),
                stream("bank/far-outsider", "shop/web", 1, Flow::Fixed),
                stream("shop/front", "bank/bystander", 1, Flow::Fixed),
            ],
            control: stream("client1", "client1", 0, Flow::Fresh).1,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Stream> {
        let named = self.allowed.iter().chain(&self.denied);
        named.map(|(_, stream)| stream).chain([&self.control])
    }

    /// Waits until every stream has sent some more packets.
    async fn go_on(&self) {
        let enough: Vec<u64> = self.all().map(|stream| stream.sent() + SOME).collect();
        let deadline = Instant::now() + PATIENCE;
        while self
            .all()
            .zip(&enough)
            .any(|(stream, enough)| stream.sent() < *enough)
        {
            assert!(Instant::now() < deadline, "the streams do not get on");
            tokio::time::sleep(MILLISECOND).await;
        }
    }

    async fn stop(self) -> Reports {
        let Self {
            allowed,
            denied,
            control,
        } = self;
        let stop = |(name, stream): (String, Stream)| (name, stream.stop().unwrap());
        let stopped = tokio::task::spawn_blocking(move || Reports {
            allowed: allowed.into_iter().map(stop).collect(),
            denied: denied.into_iter().map(stop).collect(),
            control: control.stop().unwrap(),
        });
        stopped.await.unwrap()
    }
}

struct Reports {
    allowed: Vec<(String, StreamReport)>,
    denied: Vec<(String, StreamReport)>,
    control: StreamReport,
}

impl Reports {
    fn judge(&self, through: &str) {
        let sent: u64 = self
            .allowed
            .iter()
            .chain(&self.denied)
            .map(|(_, report)| report.sent)
            .sum();
        let worst = self
            .allowed
            .iter()
            .map(|(_, report)| report.longest_gap)
            .max()
            .unwrap();
        println!(
            "  {through}: {sent} packets; longest gap {worst:?}, of the control {:?}",
            self.control.longest_gap
        );
        for (name, report) in &self.denied {
            assert_eq!(report.answered, 0, "{name} leaked through {through}: {report:?}");
        }
        for (name, report) in &self.allowed {
            let control = &self.control;
            assert_eq!(
                report.lost(),
                0,
                "{name} lost packets through {through}: {report:?}; control: {control:?}"
            );
        }
    }
}

/// Streams through something, and judges them.
async fn stream_through(town: &mut Town, what: &str, happens: impl AsyncFnOnce(&mut Town)) {
    let streams = Streams::start(town);
    streams.go_on().await;
    happens(town).await;
    streams.go_on().await;
    streams.stop().await.judge(what);
}

/// One of many changes that keep the verdicts of the streams.
fn change(town: &mut Town, number: usize) {
    let name = |kind: &str, number: usize| format!("shop/{kind}-{number}");
    let [web, front] = <[_; 2]>::try_from(shop_policies()).unwrap();
    match number % 9 {
        0 => town.apply(
            policy(&name("guests", number))
                .selecting(&[("role", "web")])
                .allowing_from([rule([pods_in(&[], &[("role", "guest")])])]),
        ),
        1 => town.relabel("bank/bystander", "guest"),
        2 => town.apply(web.allowing_from([
            rule([block("203.0.113.0/24", &["203.0.113.7/32"])]).on_ports([port(Protocol::Tcp, 443)]),
            rule([pods_in(&[], &[("role", "guest")])]).on_ports([ports(Protocol::Udp, 5000, 6000)]),
        ])),
        3 => town.apply(
            policy(&name("out", number))
                .selecting(&[("role", "front")])
                .allowing_to([rule([pods(&[("role", "nobody")])]).on_ports([any_port(Protocol::Udp)])]),
        ),
        4 => town.withdraw(&name("guests", number - 4)),
        5 => town.apply(front.allowing_to([rule([block("2001:db8:1::/48", &[])])])),
        6 => town.relabel("bank/bystander", "bystander"),
        7 => town.withdraw(&name("out", number - 4)),
        _ => shop_policies().into_iter().for_each(|policy| town.apply(policy)),
    }
}

async fn no_packet_is_lost_and_none_leaks(topology: Topology) {
    let _machine = alone().await;
    let mut town = Town::shop(topology).await;
    println!("{topology}");
    stream_through(&mut town, "50 changes", async |town| {
        for number in 0..50 {
            change(town, number);
            town.enact().await;
        }
    })
    .await;
    stream_through(&mut town, "SIGKILL and restart", async |town| {
        town.kill().await;
        town.restart();
        town.enact().await;
    })
    .await;
    stream_through(&mut town, "SIGTERM and restart", async |town| {
        town.terminate().await;
        town.restart();
        town.enact().await;
    })
    .await;
    stream_through(
        &mut town,
        "SIGKILL, changes while down, and restart",
        async |town| {
            town.kill().await;
            for number in 50..57 {
                change(town, number);
            }
            town.relabel("bank/bystander", "guest");
            town.publish();
            town.restart();
            town.enact().await;
        },
    )
    .await;
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_routed_packet_is_lost_and_none_leaks_through_changes_and_restarts() {
    no_packet_is_lost_and_none_leaks(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bridged_packet_is_lost_and_none_leaks_through_changes_and_restarts() {
    no_packet_is_lost_and_none_leaks(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_packet_on_a_segment_is_lost_and_none_leaks_through_changes_and_restarts() {
    no_packet_is_lost_and_none_leaks(Topology::Segment).await;
}

/// Something in each of our tables that is no rule, chain or set of ours.
const FOREIGN: &str = "add counter inet palisade intruder; add counter netdev palisade intruder";

/// Enough of them that a gap of 50 µs in each is seen.
const REPAIRS: u64 = 40;

async fn no_packet_is_lost_and_none_leaks_through_repairs(topology: Topology) {
    let _machine = alone().await;
    let mut town = Town::shop(topology).await;
    println!("{topology}");
    stream_through(&mut town, &format!("{REPAIRS} repairs"), async |town| {
        for count in 1..=REPAIRS {
            town.node(0).nft(FOREIGN).await.unwrap();
            let repaired =
                |status: &Value| status["edits"]["count"] == count && status["applied"]["count"] == count + 1;
            town.until(0, "of a repair", repaired).await;
        }
    })
    .await;
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_routed_packet_is_lost_and_none_leaks_through_repairs() {
    no_packet_is_lost_and_none_leaks_through_repairs(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bridged_packet_is_lost_and_none_leaks_through_repairs() {
    no_packet_is_lost_and_none_leaks_through_repairs(Topology::Bridge).await;
}

/// The port that floods go to; the prober does not listen there.
const FLOODED: u16 = 4_000;

/// Packets as fast as they go, from a thread of its own, and how many of them arrive.
struct Flood {
    over: Arc<AtomicBool>,
    sender: JoinHandle<u64>,
    receiver: UdpSocket,
}

impl Flood {
    fn start(from: &End, to: &End) -> Self {
        let sender = from.udp_socket(0, 0);
        let receiver = to.udp_socket(0, FLOODED);
        receiver.set_nonblocking(true).unwrap();
        sender.connect((to.addresses[0], FLOODED)).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let end = over.clone();
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while !end.load(Ordering::Relaxed) {
                drop(sender.send(b"flood"));
                sent += 1;
            }
            sent
        });
        Self {
            over,
            sender,
            receiver,
        }
    }

    /// How many packets were sent, and how many arrived: no more than a socket's buffer holds, which is enough.
    fn stop(self) -> (u64, usize) {
        self.over.store(true, Ordering::Relaxed);
        let sent = self.sender.join().unwrap();
        let arrived = std::iter::from_fn(|| self.receiver.recv(&mut [0; 16]).ok()).count();
        (sent, arrived)
    }
}

/// A packet that is on its way through the rules just when they change must not fall between the old and the new
/// ones. A packet a millisecond meets that moment once in a thousand changes; a flood meets it every few dozen.
#[tokio::test(flavor = "multi_thread")]
async fn a_denied_flood_finds_no_way_between_old_rules_and_new_ones() {
    let _machine = alone().await;
    let mut town = Town::shop(Topology::Routed).await;
    let flood = Flood::start(&town.end("bank/outsider"), &town.end("shop/web"));
    for number in 0..100 {
        // The pods get another profile, and their old one back.
        if number % 2 == 0 {
            town.apply(policy("shop/more").allowing_from([rule([pods(&[("role", "nobody")])])]));
        } else {
            town.withdraw("shop/more");
        }
        town.enact().await;
    }
    let (sent, arrived) = flood.stop();
    println!("a denied flood: {sent} packets through 100 changes of profile, {arrived} arrived");
    assert_eq!(arrived, 0);
    town.stop().await;
}
