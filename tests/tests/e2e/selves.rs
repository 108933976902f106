//! Nodes and their pods: a node reaches its own, whatever the policies; pods on its network are the node.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use palisade_policy::model::Verdict;
use palisade_tests::cluster::AGNHOST;
use palisade_tests::live::between;
use serde_json::json;

use super::PORT;
use super::scene::{PATIENCE, Played, beside_others, everybody, idle, set, template};

/// Long enough for several rounds of a probe that is sent each second.
const ROUNDS: Duration = Duration::from_secs(6);

#[test]
fn nodes_and_pods_on_their_networks_are_no_peers_but_reach_their_own_pods() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("nodes", &[]).await?;
        let near = scene.pod(&space, "near", 0, &[("role", "server")]).await?;
        let far = scene.pod(&space, "far", 1, &[("role", "server")]).await?;
        let mut guest = idle(&[("role", "guest")]);
        scene.place(&mut guest, "guest", 0)?;
        set(&mut guest, "/spec/hostNetwork", true.into())?;
        let guest = scene.start(&space, guest).await?;
        ensure!(
            guest.host.addresses() == scene.node(0)?.addresses(),
            "the guest has an address of its own"
        );
        let mut hosts = vec![scene.node(0)?, scene.node(1)?, &near.host, &far.host];
        hosts.extend(scene.outside());
        let mut probes = everybody(&hosts);
        // What is no pod is not Palisade's.
        probes.retain(|probe| {
            let is_pod = |address| {
                [&near, &far]
                    .iter()
                    .any(|pod| pod.host.addresses().contains(address))
            };
            is_pod(&probe.to) || probe.from.host().addresses().iter().any(is_pod)
        });
        assert_eq!(scene.converge(&probes, "no policy").await?, 0);
        // A pod on its node's network is selected by nothing: neither as a peer nor as a subject.
        let spec = json!({
            "podSelector": {}, "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "guest"}}}]}],
            "egress": [{"to": [{"podSelector": {"matchLabels": {"role": "guest"}}}]}],
        });
        scene.policy(&space, "guests-only", spec).await?;
        scene.converge_mixed(&probes, "only guests").await?;
        let own = [
            between(&[scene.node(0)?], &[&near.host], PORT),
            between(&[scene.node(1)?], &[&far.host], PORT),
        ]
        .concat();
        let expected = vec![Verdict::Allow; own.len()];
        scene
            .city
            .check(&own, &expected, "nodes and their own pods")
            .await?;
        Ok(())
    })
}

#[test]
fn pods_stay_ready_under_default_deny_by_every_kind_of_probe() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("probed", &[]).await?;
        let spec = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
        scene.policy(&space, "default-deny", spec).await?;
        let handlers = [
            ("http", json!({"httpGet": {"path": "/hostname", "port": 7000}})),
            ("tcp", json!({"tcpSocket": {"port": 7000}})),
            ("exec", json!({"exec": {"command": ["/agnhost", "--help"]}})),
        ];
        for (number, (name, handler)) in handlers.iter().enumerate() {
            let mut probe = handler.clone();
            for (field, value) in [
                ("periodSeconds", 1),
                ("timeoutSeconds", 5),
                ("failureThreshold", 2),
            ] {
                set(&mut probe, &format!("/{field}"), value.into())?;
            }
            // A program that takes its time to start is not what is asked about.
            let mut start = probe.clone();
            set(&mut start, "/failureThreshold", 60.into())?;
            let container = json!({
                "name": "server", "image": AGNHOST, "args": ["netexec", "--http-port=7000", "--udp-port=-1"],
                "startupProbe": start, "readinessProbe": probe, "livenessProbe": probe,
            });
            let mut manifest = template(&[], &container);
            scene.place(&mut manifest, name, number % 2)?;
            scene.objects().apply::<Pod>(&space, manifest).await?;
        }
        for (name, _) in &handlers {
            scene
                .objects()
                .await_object::<Pod>(&space, name, PATIENCE, is_ready)
                .await?;
        }
        tokio::time::sleep(ROUNDS).await;
        for (name, _) in &handlers {
            let pod = scene
                .objects()
                .await_object::<Pod>(&space, name, PATIENCE, is_ready)
                .await?;
            let statuses = pod
                .status
                .and_then(|status| status.container_statuses)
                .unwrap_or_default();
            let restarts: i32 = statuses.iter().map(|status| status.restart_count).sum();
            ensure!(restarts == 0, "{name} was restarted {restarts} times");
        }
        let names = ["http", "tcp"];
        for name in names {
            let pod = scene.meet(&space, name).await?;
            let stranger = scene.node(usize::from(pod.node == scene.node(0)?.name()))?;
            let probes = between(&[stranger], &[&pod.host], PORT);
            ensure!(
                scene.converge(&probes, "the other node").await? == probes.len(),
                "the policy isolates nothing"
            );
        }
        Ok(())
    })
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| {
        all.iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}
