//! A pod among many, and another one like it: what a second replica is told.

use palisade_audit::explain::Overall;
use palisade_audit::inventory::{Workload, WorkloadKey, WorkloadKind};
use palisade_policy::cluster::Event;
use palisade_policy::testing::builders::{block, pod, policy, rule};

use super::shop::{guarded, inventory, stands_for};
use super::{answer, explained};

#[test]
fn replicas_of_a_template_are_told_what_one_says_to_another() {
    let own = pod("shop/etcd").labelled(&[("app", "etcd")]).at("10.0.3.1");
    let all = policy("shop/all").allowing_from([]);
    let mut shop = inventory([Event::PodApplied(own)], &guarded([all]));
    stands_for(&mut shop, "shop/etcd", 3);
    insta::assert_snapshot!(explained(&shop, "etcd", "deployment/etcd:2380"), @r"
        denied: Deployment shop/etcd → Deployment shop/etcd, 2380/TCP

          10.0.3.1 → 10.0.3.2 2380/TCP: denied
            egress of shop/etcd: allowed, no policy isolates it
            ingress of shop/etcd: denied, isolated by shop/all (shop.yaml:1)
              no rule of these allows anything
              would pass: shop/all with one more rule in spec.ingress: from podSelector app=etcd, port 2380/TCP

        note: one pod stands for the 3 of Deployment shop/etcd
        note: a pod always reaches itself, whatever is said of others
        note: 10.0.3.2 is nobody's: it stands for another pod like shop/etcd
        ");
}

#[test]
fn one_pod_of_many_ends_does_not_decide_by_reaching_itself() {
    let all = policy("shop/all")
        .selecting(&[("app", "client")])
        .allowing_from([])
        .allowing_to([]);
    let shop = guarded([all]);
    for (from, to) in [
        ("any", "app=client"),
        ("app=client", "app=client"),
        ("10.0.1.0/24", "shop/app=client"),
    ] {
        assert_eq!(answer(&shop, from, to).verdict, Overall::Denied, "{from} → {to}");
    }
    // Named as one pod, it is asked about as that.
    for to in ["client", "10.0.1.1"] {
        assert_eq!(answer(&shop, "client", to).verdict, Overall::Allowed, "{to}");
    }
}

#[test]
fn another_pod_has_an_address_that_no_policy_tells_apart() {
    // The next address upwards is in an except, and the one below is another pod's.
    let web = policy("shop/web")
        .selecting(&[("app", "client")])
        .allowing_from([rule([block("10.0.1.0/24", &["10.0.1.2/32"])])]);
    let below = pod("shop/below").at("10.0.1.0");
    let shop = inventory([Event::PodApplied(below)], &guarded([web]));
    let answer = answer(&shop, "app=client", "app=client:80");
    let witness = &answer.cases[0].witnesses[0];
    assert_eq!(witness.packet.destination.to_string(), "10.0.1.3");
    assert_eq!(answer.verdict, Overall::Allowed);
}

#[test]
fn two_that_are_called_alike_are_two() {
    let mut job = pod("shop/client").labelled(&[("app", "job")]).at("10.0.3.1");
    job.uid = "job".into();
    let all = policy("shop/all").allowing_from([]).allowing_to([]);
    let mut shop = inventory([Event::PodApplied(job)], &guarded([all]));
    let workload = Workload {
        key: WorkloadKey {
            kind: WorkloadKind::Job,
            namespace: "shop".into(),
            name: "client".into(),
        },
        replicas: Some(1),
        pods: ["job".into()].into(),
        representative: true,
    };
    shop.workloads.insert(workload.key.clone(), workload);
    let answer = answer(&shop, "job/client", "pod/client");
    assert_eq!(answer.verdict, Overall::Denied);
    assert!(answer.cases.iter().all(|case| case.witnesses[0].twin.is_none()));
}
