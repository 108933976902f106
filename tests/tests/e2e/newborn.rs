//! The first moments of a pod.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use palisade_policy::model::{Protocol, Transport};
use palisade_tests::live::{Vigil, ask, until};
use palisade_tests::probe::{Flow, Host};
use serde_json::json;

use super::PORT;
use super::scene::{PATIENCE, Played, alone, idle};

const MILLISECOND: Duration = Duration::from_millis(1);

/// How many pods are born.
const PODS: usize = 4;

/// Enough to know that a pod lives.
const SOME: u64 = 100;

#[test]
fn nothing_that_is_denied_reaches_a_pod_or_leaves_it_from_before_it_exists() -> Played {
    alone(async |scene| {
        let space = scene.namespace("newborn", &[]).await?;
        let front = json!({"podSelector": {"matchLabels": {"role": "front"}}});
        let spec = json!({
            "podSelector": {"matchLabels": {"role": "web"}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [front]}],
        });
        scene.policy(&space, "front-only", spec).await?;
        let [front, other] = scene
            .pods(&space, [("front", 1, "front"), ("other", 1, "other")])
            .await?;
        let open = address(&other.host)?;
        let mut judged = 0;
        for number in 0..PODS {
            let [last] = scene
                .pods(&space, [(format!("last-{number}").as_str(), 0, "last")])
                .await?;
            let denied = Vigil::keep(scene.city, &other.host, &last, PORT)?;
            let allowed = Vigil::keep(scene.city, &front.host, &last, PORT)?;
            let name = format!("web-{number}");
            let mut manifest = idle(&[("role", "web")]);
            scene.place(&mut manifest, &name, 0)?;
            let pod: Pod = scene.objects().apply(&space, manifest).await?;
            // Met as soon as its namespace is there, long before it is said to run.
            let pod = scene.attend(&pod).await?;
            let born = Instant::now();
            ensure!(pod.name == name, "{} was born, not {name}", pod.name);
            let out = ask(&pod.host, open, Transport::Port(Protocol::Udp, PORT));
            let out = scene.city.prober().stream(&out, MILLISECOND, Flow::Fresh)?;
            until(PATIENCE, "answers to allowed requests", async || {
                Ok((allowed.answered() > SOME).then_some(()))
            })
            .await?;
            let (denied, allowed, out) = tokio::task::block_in_place(|| {
                anyhow::Ok((denied.end(&pod)?, allowed.end(&pod)?, out.stop()?))
            })?;
            ensure!(out.sent > 0 && out.answered == 0, "out of {name}: {out:?}");
            let (Some(denied), Some(allowed)) = (denied, allowed) else {
                let addresses = pod.host.addresses();
                println!("{name} has an address that nobody watched: {addresses:?}");
                continue;
            };
            judged += 1;
            let first = allowed.first_answered.context("no answer")?;
            println!(
                "{name}: {} denied requests to it and {} from it, {} answered; the first allowed one passed {:?} after \
                 somebody listened",
                denied.sent,
                out.sent,
                denied.answered + out.answered,
                first.saturating_duration_since(born),
            );
            ensure!(denied.sent > 0 && denied.answered == 0, "{name}: {denied:?}");
        }
        ensure!(judged > 0, "no pod had an address that was watched");
        Ok(())
    })
}

fn address(host: &Host) -> Result<std::net::IpAddr> {
    let address = host.addresses().first().copied();
    address.context("a pod without an address")
}
