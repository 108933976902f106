//! Conntrack as the kernel keeps it: what is listed, and that a deletion hits what it names and nothing else.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use nlink::netlink::namespace::Netns;
use nlink::netlink::netfilter::{ConntrackBuilder, ConntrackStatus, ConntrackTuple, IpProtocol};
use nlink::netlink::{Connection, Netfilter};
use palisade_enforcer::flows::{Conntrack, Identity, Judge, Netlink, Tuple, find};
use palisade_enforcer::nft::model::{Chain, Hook, Rule, Ruleset, TableKey, Verdict};
use palisade_enforcer::plan::Facts;

use super::namespace::Namespace;
use super::sample::name;

/// An entry that opens with this and is answered without translation.
fn entry(proto: IpProtocol, original: ConntrackTuple) -> ConntrackBuilder {
    let builder = match original.src_ip {
        Some(IpAddr::V4(_)) => ConntrackBuilder::new_v4(proto),
        _ => ConntrackBuilder::new_v6(proto),
    };
    builder
        .orig(original)
        .status(ConntrackStatus::CONFIRMED | ConntrackStatus::SEEN_REPLY)
        .timeout(Duration::from_mins(10))
}

async fn add(netns: &Netns, entries: Vec<ConntrackBuilder>) {
    let connection = Connection::<Netfilter>::new_in(netns).expect("a socket");
    for entry in entries {
        connection.add_conntrack(entry).await.expect("an entry");
    }
}

fn v4(source: [u8; 4], destination: [u8; 4]) -> ConntrackTuple {
    ConntrackTuple::v4(source.into(), destination.into())
}

fn v6(source: &str, destination: &str) -> ConntrackTuple {
    let [source, destination] = [source, destination].map(|address| address.parse().expect("an address"));
    ConntrackTuple::v6(source, destination)
}

async fn listed(conntrack: &mut Netlink) -> Vec<(Tuple, bool, Identity)> {
    let mut found = Vec::new();
    let unreadable = conntrack
        .list(|entry| found.push((entry.original, entry.zoned, entry.identity())))
        .await
        .expect("a listing");
    assert_eq!(unreadable, 0);
    found
}

#[tokio::test]
async fn a_deletion_hits_the_entry_that_it_names_and_no_other() {
    let namespace = Namespace::new();
    let (one, two) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let web = || v4(one, two).ports(40_000, 80);
    let entries = vec![
        entry(IpProtocol::Tcp, web()),
        entry(IpProtocol::Udp, web()),
        // The same once more where nobody may touch it.
        entry(IpProtocol::Udp, web()).zone(7),
        entry(IpProtocol::Other(132), web()),
        entry(IpProtocol::Icmp, v4(one, two).icmp(8, 0, 5)),
        entry(IpProtocol::Udp, v6("fd00::1", "fd00::2").ports(40_000, 53)),
    ];
    let number = entries.len();
    add(namespace.netns(), entries).await;
    let mut conntrack = Netlink::open_in(namespace.netns()).expect("a socket");
    let all = listed(&mut conntrack).await;
    assert_eq!(all.len(), number);
    assert_eq!(all.iter().filter(|(_, zoned, _)| *zoned).count(), 1);
    let mut left: BTreeSet<String> = all.iter().map(|entry| format!("{entry:?}")).collect();
    for gone in &all {
        if gone.1 {
            continue;
        }
        let identity = std::slice::from_ref(&gone.2);
        assert_eq!(conntrack.delete(identity).await.expect("deleted"), 1);
        assert_eq!(conntrack.delete(identity).await.expect("gone"), 0);
        left.remove(&format!("{gone:?}"));
        let now: BTreeSet<String> = listed(&mut conntrack)
            .await
            .iter()
            .map(|entry| format!("{entry:?}"))
            .collect();
        assert_eq!(now, left);
    }
    assert_eq!(left.len(), 1, "the one in the zone");
}

/// How many flows the sweep is timed with.
const MANY: u16 = 10_000;

#[tokio::test]
async fn ten_thousand_flows_are_judged_and_half_of_them_ended() {
    let namespace = Namespace::new();
    let entries = (0..MANY).map(|number| {
        // Of two destinations one is in the node's pod network.
        let destination = [10, number.to_be_bytes()[1] % 2, 0, 2];
        entry(
            IpProtocol::Udp,
            v4([192, 0, 2, 9], destination).ports(10_000 + number, 80),
        )
    });
    add(namespace.netns(), entries.collect()).await;
    let mut ruleset = Ruleset::default();
    let closed = Chain {
        hook: Some(Hook::Forward { priority: 0 }),
        comment: None,
        rules: vec![Rule::new([], Verdict::Drop)],
    };
    let table = ruleset.tables.entry(TableKey::Inet).or_default();
    table.chains.insert(name("closed"), closed);
    let networks = vec![ipnet::Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 24).into()];
    let judge = Judge::new(
        &ruleset,
        &Facts::default(),
        networks,
        BTreeSet::new(),
        BTreeSet::new(),
    );
    let judge = judge.expect("a judge");
    let mut conntrack = Netlink::open_in(namespace.netns()).expect("a socket");
    let begin = Instant::now();
    let found = find(&mut conntrack, &judge).await.expect("a sweep");
    let judged = begin.elapsed();
    let lost: Vec<Identity> = found.lost.iter().map(|lost| lost.identity.clone()).collect();
    let deleted = conntrack.delete(&lost).await.expect("deleted");
    println!(
        "{} flows: judged in {judged:?}, {deleted} ended in {:?}",
        found.tally.seen,
        begin.elapsed().saturating_sub(judged)
    );
    assert_eq!(
        (found.tally.seen, found.tally.denied, deleted),
        (MANY.into(), u64::from(MANY / 2), u64::from(MANY / 2))
    );
    assert_eq!(listed(&mut conntrack).await.len(), usize::from(MANY / 2));
}
