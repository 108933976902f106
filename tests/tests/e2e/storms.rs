//! Many policies at once.

use futures::future::try_join_all;
use palisade_tests::probe::Host;
use serde_json::{Value, json};

use super::scene::{Played, beside_others, everybody};
use super::{OTHER_PORT, PORT};

/// How many policies there are.
const POLICIES: usize = 100;

const ROLES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// The policy with this number: who may be asked by whom on which port, differing from number to number.
fn policy(number: usize) -> Value {
    let role = |step: usize| {
        ROLES
            .get((number / step + step) % ROLES.len())
            .copied()
            .unwrap_or_default()
    };
    let port = if number.is_multiple_of(3) {
        PORT
    } else {
        OTHER_PORT
    };
    let protocol = if number.is_multiple_of(2) { "TCP" } else { "UDP" };
    let peers = json!([{"podSelector": {"matchLabels": {"role": role(5)}}}]);
    let ports = json!([{"port": port, "protocol": protocol}]);
    let subject = json!({"matchLabels": {"role": role(1)}});
    if number.is_multiple_of(5) {
        json!({"podSelector": subject, "policyTypes": ["Egress"], "egress": [{"to": peers, "ports": ports}]})
    } else {
        json!({"podSelector": subject, "policyTypes": ["Ingress"], "ingress": [{"from": peers, "ports": ports}]})
    }
}

#[test]
fn after_a_storm_of_policies_everything_is_what_it_should_be() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("storm", &[]).await?;
        let pods = scene
            .pods(
                &space,
                [
                    ("a", 0, "a"),
                    ("b", 1, "b"),
                    ("c", 0, "c"),
                    ("d", 1, "d"),
                    ("e", 0, "e"),
                    ("f", 1, "f"),
                ],
            )
            .await?;
        let hosts: Vec<&Host> = pods.iter().map(|pod| &pod.host).collect();
        let probes = everybody(&hosts);
        let name = |number: usize| format!("storm-{number}");
        for round in 0..3 {
            let apply = async |number| {
                scene
                    .policy(&space, &name(number), policy(number + round * 7))
                    .await
            };
            try_join_all((0..POLICIES).map(apply)).await?;
            // Some go while others are still on their way to the nodes.
            let gone = (0..POLICIES).filter(|number| number % 4 != round);
            try_join_all(gone.map(async |number| scene.withdraw(&space, &name(number)).await)).await?;
            scene.converge_mixed(&probes, &format!("storm {round}")).await?;
        }
        try_join_all((0..POLICIES).map(async |number| scene.withdraw(&space, &name(number)).await)).await?;
        let denied = scene.converge(&probes, "after all storms").await?;
        anyhow::ensure!(denied == 0, "{denied} denied without a policy");
        Ok(())
    })
}
