//! What a cluster of people looks like.

use super::super::builders::{
    any_port, block, everybody, named_port, pod, pods, pods_in, policy, port, ports, rule,
};
use super::{Cluster, Dice};
use crate::cluster::Event;
use crate::model::{NamespaceScope, Operator, Peer, PodPeer, Policy, Protocol, Requirement, Rule, Selector};

/// What people run: a hundred pods of ten apps in each namespace, in both families, and ten policies of the sorts that people
/// write: deny by default, DNS, front ends that an ingress controller reaches, databases, metrics by port name, the internet
/// without the cluster, offices, teams across namespaces, port ranges, and selectors with every operator.
pub fn mixed(namespaces: usize) -> Vec<Event> {
    const APPS: [&str; 10] = [
        "front", "cart", "db", "cache", "queue", "worker", "search", "mail", "auth", "admin",
    ];
    let mut cluster = Cluster::default();
    let mut dice = Dice(1);
    for (name, app) in [
        ("kube-system", "dns"),
        ("ingress", "proxy"),
        ("monitoring", "scraper"),
    ] {
        cluster.namespace(name, &[("role", name)]);
        for nth in 0..10 {
            let labelled = pod(&format!("{name}/{app}-{nth}")).labelled(&[("app", app)]);
            cluster.pod_of_both_families(labelled.declaring("dns", Protocol::Udp, 53));
        }
    }
    for number in 0..namespaces {
        let name = format!("team-{number}");
        let team = format!("group-{}", number % 20);
        let stage = dice.pick(&["production", "staging", "test"]);
        cluster.namespace(&name, &[("team", &team), ("stage", stage)]);
        for app in APPS {
            let http = dice.pick(&[80, 8080, 8443]);
            for nth in 0..10 {
                let hash = format!("{:08x}", dice.next() >> 32);
                let pod = pod(&format!("{name}/{app}-{nth}"))
                    .labelled(&[("app", app), ("pod-template-hash", &hash), ("stage", stage)])
                    .declaring("http", Protocol::Tcp, http)
                    .declaring("metrics", Protocol::Tcp, 9090);
                cluster.pod_of_both_families(pod);
            }
        }
        for (nth, policy) in policies_of(&name, &team, &APPS, &mut dice)
            .into_iter()
            .enumerate()
        {
            let mut policy = policy;
            policy.key.name = format!("{:02}-{}", nth, policy.key.name).into();
            cluster.policy(policy);
        }
    }
    cluster.objects
}

/// The ten policies of a namespace of [`mixed()`].
fn policies_of(name: &str, team: &str, apps: &[&str], dice: &mut Dice) -> Vec<Policy> {
    let key = |policy: &str| format!("{name}/{policy}");
    let mut some_app = || [("app", dice.pick(apps))];
    let (client, server, worker) = (some_app(), some_app(), some_app());
    let tcp = |number| port(Protocol::Tcp, number);
    let office = format!("203.0.113.{}/28", dice.below(16) * 16);
    let partner = format!("2001:db8:{:x}::/48", dice.below(16));
    let high = 30_000 + u16::try_from(dice.below(2_000)).unwrap_or_default();
    let old = Requirement {
        key: "stage".into(),
        operator: Operator::NotIn(["test".into()].into()),
    };
    let hashed = Requirement {
        key: "pod-template-hash".into(),
        operator: Operator::Exists,
    };
    let released = Peer::Pods(PodPeer {
        namespaces: NamespaceScope::Matching([old].into_iter().collect()),
        pods: [hashed].into_iter().collect::<Selector>(),
    });
    vec![
        policy(&key("deny")).allowing_from([]).allowing_to([]),
        policy(&key("dns")).allowing_to([rule([pods_in(&[("role", "kube-system")], &[("app", "dns")])])
            .on_ports([named_port(Protocol::Udp, "dns"), port(Protocol::Tcp, 53)])]),
        policy(&key("front"))
            .selecting(&[("app", "front")])
            .allowing_from([
                rule([pods_in(&[("role", "ingress")], &[])]).on_ports([named_port(Protocol::Tcp, "http")])
            ]),
        policy(&key("db"))
            .selecting(&[("app", "db")])
            .allowing_from([rule([pods(&client), pods(&server)]).on_ports([tcp(5432)])]),
        policy(&key("metrics"))
            .allowing_from([rule([pods_in(&[("role", "monitoring")], &[])])
                .on_ports([named_port(Protocol::Tcp, "metrics")])]),
        policy(&key("internet")).selecting(&worker).allowing_to([rule([
            block("0.0.0.0/0", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]),
            block("2000::/3", &[]),
        ])
        .on_ports([tcp(443), any_port(Protocol::Sctp)])]),
        policy(&key("office")).selecting(&server).allowing_from([rule([
            block(&office, &[]),
            block(&partner, &[]),
        ])
        .on_ports([tcp(443)])]),
        policy(&key("team"))
            .selecting(&client)
            .allowing_from([rule([pods_in(&[("team", team)], &[("app", "front")])]).on_ports([tcp(8080)])])
            .allowing_to([rule([pods_in(&[("team", team)], &[]), pods(&server)])]),
        policy(&key("range")).selecting(&worker).allowing_from([
            rule([pods(&client)]).on_ports([ports(Protocol::Tcp, high, high + 500)]),
            rule([released]).on_ports([port(Protocol::Udp, 4_789)]),
        ]),
        policy(&key("open"))
            .selecting(&[("app", "admin")])
            .allowing_to([open_to(dice)]),
    ]
}

/// Once in a while somebody allows everything.
fn open_to(dice: &mut Dice) -> Rule {
    match dice.below(4) {
        0 => everybody(),
        _ => everybody().on_ports([port(Protocol::Tcp, 443)]),
    }
}
