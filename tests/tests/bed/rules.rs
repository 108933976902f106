//! What rules on a node make of probes and streams.

use std::time::{Duration, Instant};

use palisade_policy::model::{Protocol, Transport, Verdict};
use palisade_tests::bed::{Slot, Topology};
use palisade_tests::probe::{Flow, Outcome, Probe, Stream};

use super::{MILLISECOND, PATIENCE, assert_verdict, start, transports, udp};

async fn a_rule_that_drops_is_seen(topology: Topology) {
    let (bed, prober) = start(topology, 2, 2).await;
    let slots: Vec<Slot> = bed.slots().cloned().collect();
    let target = &slots[0];
    let mut probes = Vec::new();
    let mut back = Vec::new();
    for to in target.addresses() {
        for source in &slots[1..] {
            for transport in transports(to) {
                probes.push(Probe {
                    from: source.host().endpoint(),
                    to,
                    transport,
                });
            }
            let to = source
                .addresses()
                .into_iter()
                .find(|address| address.is_ipv4() == to.is_ipv4())
                .unwrap();
            for transport in transports(to) {
                back.push(Probe {
                    from: target.host().endpoint(),
                    to,
                    transport,
                });
            }
        }
    }
    assert_verdict(&prober, &probes, Verdict::Allow).await;
    assert_verdict(&prober, &back, Verdict::Allow).await;

    let node = &bed.nodes()[0];
    node.filter_bridged(true).unwrap();
    let [v4, v6] = target.addresses();
    node.nft(&format!(
        "table inet ours {{ chain forward {{ type filter hook forward priority 0;
           ct state established,related accept
           icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
           ip daddr {v4} drop
           ip6 daddr {v6} drop
         }}
         }}"
    ))
    .await
    .unwrap();
    assert_verdict(&prober, &probes, Verdict::Deny).await;
    assert_verdict(&prober, &back, Verdict::Allow).await;
    assert_verdict(&prober, &probes, Verdict::Deny).await;

    node.nft("delete table inet ours").await.unwrap();
    assert_verdict(&prober, &probes, Verdict::Allow).await;
    bed.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_drops_is_seen_where_pods_are_routed() {
    a_rule_that_drops_is_seen(Topology::Routed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_drops_is_seen_where_pods_are_bridged() {
    a_rule_that_drops_is_seen(Topology::Bridge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_drops_is_seen_on_one_segment() {
    a_rule_that_drops_is_seen(Topology::Segment).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_rejects_or_loses_answers_is_told_from_one_that_lets_pass() {
    let (bed, prober) = start(Topology::Bridge, 2, 1).await;
    let slots: Vec<Slot> = bed.slots().cloned().collect();
    let probes: Vec<Probe> = slots[1]
        .addresses()
        .into_iter()
        .flat_map(|to| {
            transports(to).map(|transport| Probe {
                from: slots[0].host().endpoint(),
                to,
                transport,
            })
        })
        .collect();
    bed.nodes()[0]
        .nft("table inet ours { chain forward { type filter hook forward priority 0; iifname cni0 reject; }; }")
        .await
        .unwrap();
    assert_verdict(&prober, &probes, Verdict::Deny).await;

    bed.nodes()[0]
        .nft(
            "flush table inet ours
             table inet ours { chain forward { oifname cni0 meta l4proto { udp, icmp, icmpv6 } drop; }; }",
        )
        .await
        .unwrap();
    let unanswered: Vec<Probe> = probes
        .iter()
        .filter(|probe| {
            matches!(
                probe.transport,
                Transport::Port(Protocol::Udp, _) | Transport::Other(1 | 58)
            )
        })
        .cloned()
        .collect();
    let seen = prober
        .probe_all(&unanswered, Duration::from_millis(400))
        .await
        .unwrap();
    for (probe, seen) in unanswered.iter().zip(seen) {
        assert_eq!(
            seen.outcome,
            Outcome::Unanswered {
                who: slots[1].name().to_owned()
            },
            "{probe}"
        );
    }
    bed.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_sees_the_gap_that_a_rule_makes() {
    let (bed, prober) = start(Topology::Routed, 1, 2).await;
    let slots: Vec<Slot> = bed.slots().cloned().collect();
    let [to, _] = slots[1].addresses();
    let probe = udp(slots[0].host().endpoint(), to);
    let streams = [Flow::Fixed, Flow::Fresh].map(|flow| prober.stream(&probe, MILLISECOND, flow).unwrap());
    let progress = async |enough: &dyn Fn() -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !enough() {
            assert!(Instant::now() < deadline, "the streams do not get on");
            tokio::time::sleep(MILLISECOND).await;
        }
    };
    progress(&|| streams.iter().all(|stream| stream.answered() > 100)).await;
    let node = &bed.nodes()[0];
    node.nft("table inet ours { chain forward { type filter hook forward priority 0; drop; }; }")
        .await
        .unwrap();
    let sent: Vec<u64> = streams.iter().map(Stream::sent).collect();
    progress(&|| {
        streams
            .iter()
            .zip(&sent)
            .all(|(stream, sent)| stream.sent() > sent + 100)
    })
    .await;
    node.nft("delete table inet ours").await.unwrap();
    let answered: Vec<u64> = streams.iter().map(Stream::answered).collect();
    progress(&|| {
        streams
            .iter()
            .zip(&answered)
            .all(|(stream, before)| stream.answered() > before + 100)
    })
    .await;
    for stream in streams {
        let report = stream.stop().unwrap();
        assert!(report.lost() >= 100, "{report:?}");
        assert!(report.longest_gap >= 100 * MILLISECOND, "{report:?}");
        assert!(report.first_answered < report.last_answered);
    }
    assert!(prober.sent() > 600);
    bed.stop().await.unwrap();
}
