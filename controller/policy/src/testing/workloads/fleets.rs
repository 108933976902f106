//! Clusters of many nodes.

use super::super::builders::{any_port, block, named_port, pod, pods, pods_in, policy, port, ports, rule};
use super::{Cluster, Dice, Placement, talks_to_itself};
use crate::cluster::Event;
use crate::model::{Peer, PolicyPort, Protocol};

/// Pods of one namespace of [`any_to_any`].
const CROWD: u32 = 1_000;

/// W6: namespaces of 1,000 pods of forty apps. Each app has a policy of five rules, of which each names an app of some namespace
/// and a port.
pub fn any_to_any(namespaces: u32) -> Vec<Event> {
    let mut cluster = Cluster::on(Placement::Spread(namespaces * CROWD / 200));
    let mut dice = Dice(6);
    for number in 0..namespaces {
        let name = format!("ns-{number}");
        cluster.namespace(&name, &[("name", &name)]);
        for nth in 0..CROWD {
            let app = format!("app-{}", nth % 40);
            cluster.pod(pod(&format!("{name}/{app}-{nth}")).labelled(&[("app", &app), ("tier", "some")]));
        }
        for app in 0..40 {
            let app = format!("app-{app}");
            let rules = (0..5).map(|nth| {
                let peer = format!("app-{}", dice.below(40));
                let from = format!("ns-{}", dice.below(namespaces as usize));
                rule([pods_in(&[("name", &from)], &[("app", &peer)])])
                    .on_ports([port(Protocol::Tcp, 8000 + nth)])
            });
            let open = policy(&format!("{name}/{app}")).selecting(&[("app", &app)]);
            cluster.policy(open.allowing_from(rules.collect::<Vec<_>>()));
        }
    }
    cluster.objects
}

/// W7: namespaces of 300 pods with sixty label sets and 300 policies: a third names pods, a third pods and ports, a third blocks.
pub fn nodes_of_everything(namespaces: u32) -> Vec<Event> {
    let mut cluster = Cluster::on(Placement::Spread(namespaces * 10));
    let mut dice = Dice(7);
    for number in 0..namespaces {
        let name = format!("ns-{number}");
        cluster.namespace(&name, &[("name", &name)]);
        for nth in 0..300 {
            let app = format!("app-{}", nth % 60);
            let of = format!("{}-{}", name, nth % 60);
            cluster.pod(pod(&format!("{name}/{app}-{nth}")).labelled(&[("app", &app), ("identity", &of)]));
        }
        for nth in 0..300 {
            let mut some_app = || format!("app-{}", dice.below(60));
            let (subject, peer) = (some_app(), some_app());
            let open = policy(&format!("{name}/policy-{nth}")).selecting(&[("app", &subject)]);
            let tcp = |number| port(Protocol::Tcp, number);
            let from = match nth % 3 {
                0 => rule([pods(&[("app", &peer)])]),
                1 => rule([pods(&[("app", &peer)])]).on_ports([tcp(80), tcp(443)]),
                _ => {
                    let [second, third] = [dice.below(64), dice.below(256)];
                    rule([block(&format!("100.{}.{third}.0/24", 64 + second), &[])]).on_ports([tcp(443)])
                }
            };
            cluster.policy(open.allowing_from([from]));
        }
    }
    cluster.objects
}

/// Namespaces of a zone of [`wide_groups`]: some 10,000 pods.
const ZONE: u32 = 33;

/// W8: namespaces of 300 pods of twenty apps and twenty policies, over ten times as many nodes. One policy of each
/// namespace names all 10,000 pods of a zone; there are blocks with excepts, port ranges and named ports, and each tenth pod has an IPv6 address too.
pub fn wide_groups(namespaces: u32) -> Vec<Event> {
    let mut cluster = Cluster::on(Placement::Spread(namespaces * 10));
    let mut dice = Dice(8);
    for number in 0..namespaces {
        let name = format!("ns-{number}");
        let zone = format!("zone-{}", number / ZONE);
        cluster.namespace(&name, &[("name", &name), ("zone", &zone)]);
        for nth in 0..300 {
            let app = format!("app-{}", nth % 20);
            let hash = format!("{:08x}", 17 * (nth % 20) + number);
            let labels = [
                ("app", app.as_str()),
                ("pod-template-hash", &hash),
                ("tier", "some"),
            ];
            let new =
                pod(&format!("{name}/{app}-{nth}"))
                    .labelled(&labels)
                    .declaring("http", Protocol::Tcp, 8080);
            if nth % 10 == 0 {
                cluster.pod_of_both_families(new);
            } else {
                cluster.pod(new);
            }
        }
        for nth in 0..20 {
            let subject = format!("app-{nth}");
            let peer = format!("app-{}", dice.below(20));
            let neighbour = format!("ns-{}", dice.below(namespaces as usize));
            let open = policy(&format!("{name}/policy-{nth}")).selecting(&[("app", &subject)]);
            let http: [PolicyPort; 1] = [named_port(Protocol::Tcp, "http")];
            let high = ports(Protocol::Tcp, 30_000, 32_767);
            cluster.policy(match nth % 5 {
                0 if nth == 0 => {
                    open.allowing_from([rule([pods_in(&[("zone", &zone)], &[])]).on_ports(http)])
                }
                1 => open.allowing_to([rule([outside()]).on_ports([port(Protocol::Tcp, 443), high])]),
                2 => open.allowing_from([
                    rule([pods_in(&[("name", &neighbour)], &[("app", &peer)])]).on_ports(http)
                ]),
                3 => open.allowing_to([rule([pods(&[("app", &peer)])]).on_ports([any_port(Protocol::Udp)])]),
                _ => open
                    .allowing_from([rule([pods(&[("app", &peer)])])])
                    .allowing_to([rule([pods(&[("app", &peer)])]).on_ports(http)]),
            });
        }
    }
    cluster.objects
}

/// Everything that is no pod.
fn outside() -> Peer {
    block("0.0.0.0/0", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"])
}

/// Namespaces of one pod that talks to nobody but itself.
pub fn customers(namespaces: u32) -> Vec<Event> {
    let mut cluster = Cluster::default();
    for number in 0..namespaces {
        let name = format!("customer-{number}");
        cluster.namespace(&name, &[]);
        cluster.pod(pod(&format!("{name}/only")).labelled(&[("app", "only")]));
        cluster.policy(talks_to_itself(&name, "only"));
    }
    cluster.objects
}
