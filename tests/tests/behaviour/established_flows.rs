//! Established flows: those that a change denies stop, the others never notice.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use palisade_policy::cluster::Event;
use palisade_policy::model::{Protocol, Transport};
use palisade_policy::testing::builders::policy;
use palisade_tests::bed::{ExternalTraffic, Service, Topology};
use palisade_tests::probe::{Flow, Manner, Probe, Stream, StreamReport, Talk};

use serde_json::Value;

use super::ends::End;
use super::town::{Town, shop_policies};
use super::{PATIENCE, PORT, alone, beside_others};

const MILLISECOND: Duration = Duration::from_millis(1);

/// What a flow has to say before and after a change.
const SOME: u64 = 50;

/// How long a flow has to be silent to count as stopped. What the tests are for, not a promise: a busy machine may
/// take its time to deliver.
const SILENCE: Duration = Duration::from_millis(300);

/// A machine on which an untouched stream halts for so long may drop its datagrams anywhere.
const BUSY: Duration = Duration::from_millis(50);

/// Datagrams that have found no room in anybody's sockets.
fn overflown(town: &Town) -> u64 {
    let count = |line: &str| -> Option<u64> { line.split_whitespace().nth(5)?.parse().ok() };
    let overflown6 =
        |line: &str| -> Option<u64> { line.strip_prefix("Udp6RcvbufErrors")?.trim().parse().ok() };
    let everybody = town.everybody();
    let all = everybody.iter().map(|name| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
        let end = town.end(name);
        let [v4, v6] = end.host.netns().run(|| [read("snmp"), read("snmp6")]).unwrap();
        let v4 = v4
            .lines()
            .filter(|line| line.starts_with("Udp: "))
            .filter_map(count)
            .sum::<u64>();
        v4 + v6.lines().filter_map(overflown6).sum::<u64>()
    });
    all.sum()
}

/// Flows of every kind between two ends.
struct Flows {
    streams: Vec<(String, Stream)>,
    talks: Vec<Talk>,
    /// Where no enforcer is: what is lost here is the machine's doing.
    control: Option<Stream>,
    /// Datagrams that found no room in a socket before.
    overflown: u64,
}

/// The first port that talks listen on; each has one of its own.
const TALKS: u16 = 7_000;

/// Connects from one end to another, which listens at `port`, and begins.
fn talk(client: &End, server: &End, to: SocketAddr, port: u16, name: &str, manner: Manner) -> Talk {
    let at = SocketAddr::new(server.addresses[usize::from(to.is_ipv6())], port);
    let name = format!("{name} {manner:?}");
    Talk::start(name, &client.endpoint(to.ip()), to, &server.host, at, manner).unwrap()
}

impl Flows {
    fn none() -> Self {
        Self {
            streams: Vec::new(),
            talks: Vec::new(),
            control: None,
            overflown: 0,
        }
    }

    fn between(town: &Town, port: &mut u16, ends: &[(&str, &str, usize)]) -> Self {
        let mut flows = Self::none();
        for &(from, to, family) in ends {
            flows.add(town, port, from, to, family);
        }
        flows
    }

    /// The same flows, and one beside them that meets no enforcer.
    fn controlled(mut self, town: &Town) -> Self {
        let client = town.end("client1");
        let probe = client.greets(&client, 0);
        let stream = town
            .stage
            .prober()
            .stream(&probe, MILLISECOND, Flow::Fixed)
            .unwrap();
        self.control = Some(stream);
        self.overflown = overflown(town);
        self
    }

    fn add(&mut self, town: &Town, port: &mut u16, from: &str, to: &str, family: usize) {
        let (client, server) = (town.end(from), town.end(to));
        let probe = client.greets(&server, family);
        self.stream(town, &probe);
        for manner in [Manner::Ask, Manner::Listen] {
            *port += 1;
            let address = SocketAddr::new(server.addresses[family], *port);
            let name = format!("{from} → {to} TCP");
            self.talks
                .push(talk(&client, &server, address, *port, &name, manner));
        }
    }

    fn stream(&mut self, town: &Town, probe: &Probe) {
        let stream = town
            .stage
            .prober()
            .stream(probe, MILLISECOND, Flow::Fixed)
            .unwrap();
        self.streams.push((probe.to_string(), stream));
    }

    /// Calls a service by each protocol; behind it is one pod, at the port that the talk gets.
    fn call(&mut self, town: &Town, from: &str, server: &str, to: IpAddr, [udp, tcp]: [u16; 2], target: u16) {
        let client = town.end(from);
        let transport = Transport::Port(Protocol::Udp, udp);
        let probe = Probe {
            from: client.endpoint(to),
            to,
            transport,
        };
        self.stream(town, &probe);
        let name = format!("{from} → {server} by {to}, TCP");
        let address = SocketAddr::new(to, tcp);
        self.talks.push(talk(
            &client,
            &town.end(server),
            address,
            target,
            &name,
            Manner::Listen,
        ));
    }

    fn progress(&self) -> Vec<u64> {
        let streams = self.streams.iter().map(|(_, stream)| stream.answered());
        streams.chain(self.talks.iter().map(Talk::words)).collect()
    }

    fn names(&self) -> Vec<&str> {
        let streams = self.streams.iter().map(|(name, _)| name.as_str());
        streams.chain(self.talks.iter().map(Talk::name)).collect()
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
    fn end_whole(self, town: &Town, when: &str) {
        tokio::task::block_in_place(|| self.assert_whole(town, when));
    }

    fn assert_whole(self, town: &Town, when: &str) {
        let control = self.control.map(|stream| stream.stop().unwrap());
        let is_late = |report: StreamReport| report.lost() > 0 || report.longest_gap > BUSY;
        let lost_by_the_machine = overflown(town) > self.overflown || control.is_some_and(is_late);
        if lost_by_the_machine {
            println!("  the machine is too busy for single datagrams to tell anything: they are not judged");
        }
        for (name, stream) in self.streams {
            let report = stream.stop().unwrap();
            println!(
                "  kept {name}: {} lost, longest gap {:?}",
                report.lost(),
                report.longest_gap
            );
            assert!(
                report.lost() == 0 || lost_by_the_machine,
                "{when}: {name}: {report:?}"
            );
        }
        for talk in self.talks {
            let report = talk.stop().unwrap();
            assert_eq!(report.broken, None, "{when}: {report:?}");
            println!(
                "  kept {}: longest silence {:?}",
                report.name, report.longest_silence
            );
        }
    }

    /// Ends the flows and prints how long after a moment each was last heard of.
    fn end_stopped(self, since: Instant) {
        tokio::task::block_in_place(|| self.print_ends(since));
    }

    fn print_ends(self, since: Instant) {
        for (name, stream) in self.streams {
            let last = stream.stop().unwrap().last_answered.unwrap();
            println!("  stopped {name}: {:?}", last.saturating_duration_since(since));
        }
        for talk in self.talks {
            let report = talk.stop().unwrap();
            println!(
                "  stopped {}: {:?}",
                report.name,
                report.last.unwrap().saturating_duration_since(since)
            );
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
    )
    .controlled(&town);
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
    kept.end_whole(&town, "allowed all along");
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

/// The addresses of the service of `shop/web`.
fn service_addresses() -> [IpAddr; 2] {
    ["10.96.0.10", "fd00:96::10"].map(|address| address.parse().unwrap())
}

const NODE_PORT: u16 = 30_080;

/// Puts a service before a pod: UDP at its usual port, TCP at one of its own for each caller.
async fn serve(town: &mut Town, server: &End, callers: u16, node_port: u16) {
    let service = |protocol, port, node_port, target| Service {
        addresses: service_addresses().to_vec(),
        port,
        node_port: Some(node_port),
        external: ExternalTraffic::Cluster,
        protocol,
        backends: server
            .addresses
            .map(|address| SocketAddr::new(address, target))
            .to_vec(),
    };
    let bed = town.stage.bed_mut();
    bed.service(service(Protocol::Udp, 8_000, node_port, PORT))
        .await
        .unwrap();
    for caller in 1..=callers {
        let target = TALKS + caller;
        bed.service(service(Protocol::Tcp, 8_000 + caller, node_port + caller, target))
            .await
            .unwrap();
    }
}

/// Through a service the address that was called is not the one that rules speak of, and where the node stands in for
/// the caller, neither is the one that answers go to.
async fn service_flows_stop_or_never_notice(topology: Topology) {
    let _machine = alone().await;
    let mut town = Town::start(topology, 2, 4).await;
    town.settle_shop();
    town.enact().await;
    println!("{topology}");
    for node in town.stage.bed().nodes() {
        node.filter_bridged(true).unwrap();
    }
    let web = town.end("shop/web");
    serve(&mut town, &web, 8, NODE_PORT).await;
    let [v4, v6] = service_addresses();
    let mut kept = Flows::none().controlled(&town);
    let mut denied = Flows::none();
    let mut caller = 0;
    let mut next = |node_port: bool| {
        caller += 1;
        let base = if node_port { NODE_PORT } else { 8_000 };
        ([base, base + caller], TALKS + caller)
    };
    for (stays, from, to) in [
        (true, "shop/front", v4),
        (true, "shop/far-front", v6),
        // A pod that calls itself, for which the node stands in.
        (true, "shop/web", v4),
        (false, "bank/outsider", v4),
        (false, "bank/far-outsider", v6),
    ] {
        let (ports, target) = next(false);
        let flows = if stays { &mut kept } else { &mut denied };
        flows.call(&town, from, "shop/web", to, ports, target);
    }
    // By a node's own port, for which that node stands in: with the pod's node nobody can tell it from outside.
    let far = town.end("node2").addresses[0];
    let (ports, target) = next(true);
    denied.call(&town, "client1", "shop/web", far, ports, target);
    kept.go_on("before").await;
    denied.go_on("before").await;
    for policy in shop_policies() {
        town.apply(policy);
    }
    let begin = Instant::now();
    town.enact().await;
    denied.fall_silent("denied").await;
    kept.go_on("under policies").await;
    denied.end_stopped(begin);
    for policy in shop_policies() {
        town.withdraw(&policy.key.to_string());
    }
    town.enact().await;
    kept.go_on("without policies").await;
    kept.end_whole(&town, "allowed all along");
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn service_flows_stop_or_never_notice_where_pods_are_routed() {
    service_flows_stop_or_never_notice(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn service_flows_stop_or_never_notice_where_pods_are_bridged() {
    service_flows_stop_or_never_notice(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn service_flows_stop_or_never_notice_on_one_segment() {
    service_flows_stop_or_never_notice(Topology::Segment).await;
}

/// Rules that tighten while no enforcer is there reach the flows when it comes back, and a flow that it ended before
/// does not come back with it.
async fn flows_stop_that_were_denied_while_nobody_was_there(topology: Topology) {
    let _machine = alone().await;
    let mut town = Town::start(topology, 2, 4).await;
    town.settle_shop();
    town.enact().await;
    println!("{topology}");
    let mut port = TALKS;
    let kept = Flows::between(
        &town,
        &mut port,
        &[("shop/front", "shop/web", 0), ("node1", "shop/web", 1)],
    )
    .controlled(&town);
    let first = Flows::between(&town, &mut port, &[("bank/outsider", "shop/web", 0)]);
    let second = Flows::between(&town, &mut port, &[("shop/front", "bank/bystander", 1)]);
    for flows in [&kept, &first, &second] {
        flows.go_on("before").await;
    }
    let [web, front] = <[_; 2]>::try_from(shop_policies()).unwrap();
    town.apply(web);
    town.enact().await;
    first.fall_silent("denied by a running enforcer").await;
    second.go_on("not denied yet").await;
    town.kill().await;
    town.apply(front);
    town.publish();
    second.go_on("nobody is there").await;
    let begin = Instant::now();
    town.restart();
    town.enact().await;
    second.fall_silent("denied while nobody was there").await;
    first.fall_silent("denied long ago").await;
    kept.go_on("after a restart").await;
    second.end_stopped(begin);
    tokio::task::block_in_place(|| drop(first));
    kept.end_whole(&town, "allowed all along");
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_stop_that_were_denied_while_nobody_was_there_where_pods_are_routed() {
    flows_stop_that_were_denied_while_nobody_was_there(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_stop_that_were_denied_while_nobody_was_there_where_pods_are_bridged() {
    flows_stop_that_were_denied_while_nobody_was_there(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_stop_that_were_denied_while_nobody_was_there_on_one_segment() {
    flows_stop_that_were_denied_while_nobody_was_there(Topology::Segment).await;
}

/// Nobody listens there.
const CLOSED: u16 = 4_001;

/// What tells a caller that nobody listens is no flow of its own. It belongs to the flow that it is about, and no policy
/// has to allow it.
async fn errors_of_an_allowed_flow_come_back(topology: Topology) {
    let _machine = beside_others().await;
    let mut town = Town::shop(topology).await;
    town.apply(
        policy("shop/silent")
            .selecting(&[("role", "front")])
            .allowing_from([]),
    );
    town.enact().await;
    for (from, to, comes_back) in [
        ("shop/front", "shop/web", true),
        ("shop/far-front", "shop/web", true),
        ("bank/outsider", "shop/web", false),
    ] {
        for family in 0..2 {
            let (client, server) = (town.end(from), town.end(to));
            let socket = client.udp_socket(family, 0);
            socket.connect((server.addresses[family], CLOSED)).unwrap();
            socket.set_read_timeout(Some(SILENCE)).unwrap();
            let deadline = Instant::now() + if comes_back { PATIENCE } else { SILENCE };
            let refused = loop {
                // Nobody listens: sending fails as well, once that is known.
                let error = socket
                    .send(b"?")
                    .and_then(|_| socket.recv(&mut [0; 8]))
                    .unwrap_err();
                let refused = error.kind() == ErrorKind::ConnectionRefused;
                if refused || Instant::now() > deadline {
                    break refused;
                }
            };
            assert_eq!(refused, comes_back, "{from} → {to}, family {family}");
        }
    }
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_an_allowed_flow_come_back_where_pods_are_routed() {
    errors_of_an_allowed_flow_come_back(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_an_allowed_flow_come_back_where_pods_are_bridged() {
    errors_of_an_allowed_flow_come_back(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_an_allowed_flow_come_back_on_one_segment() {
    errors_of_an_allowed_flow_come_back(Topology::Segment).await;
}

/// A caller that goes on sending from the same port to the same address does not reach the pod that has it now.
async fn a_new_pod_inherits_no_flow(topology: Topology) {
    let _machine = alone().await;
    let mut town = Town::start(topology, 2, 4).await;
    town.settle_shop();
    town.apply(
        policy("bank/closed")
            .selecting(&[("role", "closed")])
            .allowing_from([]),
    );
    let old = town.slot(0, 3);
    town.enact().await;
    println!("{topology}");
    let mut flow = Flows::none();
    for (from, family) in [("bank/far-outsider", 0), ("bank/outsider", 1), ("client1", 0)] {
        let probe = town.end(from).greets(&town.end("bank/bystander"), family);
        flow.stream(&town, &probe);
    }
    flow.go_on("to the old pod").await;
    let addresses = old.addresses();
    town.stage.prober().remove(&old.host()).await;
    town.stage.bed_mut().remove_slot(&old).await.unwrap();
    town.state.apply(Event::PodDeleted("bank/bystander".into()));
    town.forget("bank/bystander");
    town.enact().await;
    let new = town.stage.bed_mut().add_slot(0, Some(addresses)).await.unwrap();
    town.listen(&new);
    town.settle(&new, "bank/new", "closed");
    let begin = Instant::now();
    town.enact().await;
    flow.fall_silent("to the new pod").await;
    let before = flow.progress();
    // It is there, and reached by its own node.
    town.assert_all(
        &[town.end("node1").greets(&town.end("bank/new"), 0)],
        palisade_policy::model::Verdict::Allow,
        "the new pod",
    )
    .await;
    assert_eq!(flow.progress(), before);
    flow.end_stopped(begin);
    town.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_inherits_no_flow_where_pods_are_routed() {
    a_new_pod_inherits_no_flow(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_inherits_no_flow_where_pods_are_bridged() {
    a_new_pod_inherits_no_flow(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pod_inherits_no_flow_on_one_segment() {
    a_new_pod_inherits_no_flow(Topology::Segment).await;
}
