//! Established flows: those that a change denies stop, the others never notice.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use palisade_tests::bed::Topology;
use palisade_tests::probe::{Flow, Stream};

use serde_json::Value;

use super::talk::{Manner, Talk};
use super::town::{Town, shop_policies};
use super::{PATIENCE, alone};

const MILLISECOND: Duration = Duration::from_millis(1);

/// What a flow has to say before and after a change.
const SOME: u64 = 50;

/// How long a flow has to be silent to count as stopped. What the tests are for, not a promise: a busy machine may
/// take its time to deliver.
const SILENCE: Duration = Duration::from_millis(300);

/// Flows of every kind between two ends.
struct Flows {
    streams: Vec<(String, Stream)>,
    talks: Vec<Talk>,
}

/// The first port that talks listen on; each has one of its own.
const TALKS: u16 = 7_000;

impl Flows {
    fn none() -> Self {
        Self {
            streams: Vec::new(),
            talks: Vec::new(),
        }
    }

    fn between(town: &Town, port: &mut u16, ends: &[(&str, &str, usize)]) -> Self {
        let mut flows = Self::none();
        for &(from, to, family) in ends {
            flows.add(town, port, from, to, family);
        }
        flows
    }

    fn add(&mut self, town: &Town, port: &mut u16, from: &str, to: &str, family: usize) {
        let (client, server) = (town.end(from), town.end(to));
        let probe = client.greets(&server, family);
        let stream = town.stage.prober().stream(&probe, MILLISECOND, Flow::Fixed).unwrap();
        self.streams.push((format!("{from} → {to} UDP"), stream));
        for manner in [Manner::Ask, Manner::Listen] {
            *port += 1;
            let address = SocketAddr::new(server.addresses[family], *port);
            let name = format!("{from} → {to} TCP");
            self.talks.push(Talk::start(&client, &server, address, *port, &name, manner));
        }
    }

    fn progress(&self) -> Vec<u64> {
        let streams = self.streams.iter().map(|(_, stream)| stream.answered());
        streams.chain(self.talks.iter().map(Talk::words)).collect()
    }

    fn names(&self) -> Vec<&str> {
        let streams = self.streams.iter().map(|(name, _)| name.as_str());
        streams.chain(self.talks.iter().map(|talk| talk.name.as_str())).collect()
    }

    /// Waits until every flow has got on.
    async fn go_on(&self, when: &str) {
        let enough: Vec<u64> = self.progress().iter().map(|count| count + SOME).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let progress = self.progress();
            let stuck: Vec<_> = self
                .names()
                .into_iter()
                .zip(progress.iter().zip(&enough))
                .filter(|(_, (now, enough))| now < enough)
                .map(|(name, _)| name)
                .collect();
            if stuck.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{when}: stuck are {stuck:?}");
            tokio::time::sleep(MILLISECOND).await;
        }
    }

    /// Waits until no flow has got on for a while.
    async fn fall_silent(&self, when: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut progress = self.progress();
        let mut since = Instant::now();
        while since.elapsed() < SILENCE {
            let now = self.progress();
            if now != progress {
                let going: Vec<_> = self
                    .names()
                    .into_iter()
                    .zip(now.iter().zip(&progress))
                    .filter(|(_, (now, before))| now != before)
                    .map(|(name, _)| name)
                    .collect();
                assert!(Instant::now() < deadline, "{when}: still going are {going:?}");
                progress = now;
                since = Instant::now();
            }
            tokio::time::sleep(MILLISECOND).await;
        }
    }

    /// Ends the flows, none of which may have lost anything.
    fn end_whole(self, when: &str) {
        for (name, stream) in self.streams {
            let report = stream.stop().unwrap();
            assert_eq!(report.lost(), 0, "{when}: {name}: {report:?}");
        }
        for talk in self.talks {
            let report = talk.stop();
            assert_eq!(report.broken, None, "{when}: {report:?}");
            println!("  kept {}: longest silence {:?}", report.name, report.longest_silence);
        }
    }

    /// Ends the flows and prints how long after a moment each was last heard of.
    fn end_stopped(self, since: Instant) {
        for (name, stream) in self.streams {
            let last = stream.stop().unwrap().last_answered.unwrap();
            println!("  stopped {name}: {:?}", last.saturating_duration_since(since));
        }
        for talk in self.talks {
            let report = talk.stop();
            println!("  stopped {}: {:?}", report.name, report.last.saturating_duration_since(since));
        }
    }
}

async fn flows_stop_when_they_are_denied(topology: Topology) {
    let _machine = alone().await;
    let mut town = Town::start(topology, 2, 4).await;
    town.settle_shop();
    town.enact().await;
    println!("{topology}");
    let mut port = TALKS;
    let kept = Flows::between(
        &town,
        &mut port,
        &[
            ("shop/front", "shop/web", 0),
            ("shop/far-front", "shop/web", 1),
            ("shop/front", "shop/far-web", 1),
            ("bank/outsider", "bank/bystander", 0),
            ("node1", "shop/web", 0),
        ],
    );
    let denied = Flows::between(
        &town,
        &mut port,
        &[
            ("bank/outsider", "shop/web", 1),
            ("bank/far-outsider", "shop/web", 0),
            ("client1", "shop/web", 0),
            ("client1", "shop/web", 1),
            ("shop/front", "bank/bystander", 0),
            ("shop/front", "bank/far-bystander", 1),
        ],
    );
    kept.go_on("before").await;
    denied.go_on("before").await;
    for policy in shop_policies() {
        town.apply(policy);
    }
    let begin = Instant::now();
    let enacted = town.enact().await;
    let swept = |status: &Value| status["flows"]["sweeps"].as_u64() > Some(1);
    for node in 0..2 {
        println!("  {:#}", town.until(node, "of a sweep", swept).await["flows"]);
    }
    denied.fall_silent("denied").await;
    kept.go_on("under policies").await;
    println!("  enacted in {enacted:?}");
    denied.end_stopped(begin);
    for policy in shop_policies() {
        town.withdraw(&policy.key.to_string());
    }
    town.enact().await;
    kept.go_on("without policies").await;
    kept.end_whole("allowed all along");
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_stop_when_they_are_denied_where_pods_are_routed() {
    flows_stop_when_they_are_denied(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_stop_when_they_are_denied_where_pods_are_bridged() {
    flows_stop_when_they_are_denied(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_stop_when_they_are_denied_on_one_segment() {
    flows_stop_when_they_are_denied(Topology::Segment).await;
}
