//! The first moments of a pod.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use palisade_policy::model::{Protocol, Transport};
use palisade_tests::live::{PodEnd, ask, until};
use palisade_tests::probe::{Flow, Host, Stream, StreamReport};
use serde_json::json;

use super::PORT;
use super::scene::{PATIENCE, Played, Scene, alone, idle};

const MILLISECOND: Duration = Duration::from_millis(1);

/// How many pods are born.
const PODS: usize = 4;

/// Where host-local puts the next pod of a node: after the last. The addresses that a vigil watches.
const AHEAD: u8 = 6;

fn after(last: &PodEnd, step: u8) -> Result<std::net::Ipv4Addr> {
    let last = last.host.addresses().iter().find_map(|address| match address {
        std::net::IpAddr::V4(address) => Some(*address),
        std::net::IpAddr::V6(_) => None,
    });
    let [a, b, c, d] = last.context("a pod without an IPv4 address")?.octets();
    Ok([
        a,
        b,
        c,
        d.checked_add(step).context("the last address of a node")?,
    ]
    .into())
}

/// Requests each millisecond to addresses that no pod has yet.
fn watch(scene: &Scene, from: &Host, last: &PodEnd) -> Result<Vec<(std::net::Ipv4Addr, Stream)>> {
    let watch = |step| {
        let address = after(last, step)?;
        let probe = ask(from, address.into(), Transport::Port(Protocol::Udp, PORT));
        Ok((
            address,
            scene.city.prober().stream(&probe, MILLISECOND, Flow::Fresh)?,
        ))
    };
    (1..=AHEAD).map(watch).collect()
}

fn report(streams: Vec<(std::net::Ipv4Addr, Stream)>, of: &PodEnd) -> Result<Option<StreamReport>> {
    let mut found = None;
    for (address, stream) in streams {
        let report = stream.stop()?;
        if of.host.addresses().contains(&address.into()) {
            found = Some(report);
        }
    }
    Ok(found)
}

#[test]
fn nothing_that_is_denied_reaches_a_pod_from_before_it_exists() -> Played {
    alone(async |scene| {
        let space = scene.namespace("newborn", &[]).await?;
        let front = json!({"podSelector": {"matchLabels": {"role": "front"}}});
        let spec = json!({"podSelector": {"matchLabels": {"role": "web"}}, "ingress": [{"from": [front]}]});
        scene.policy(&space, "front-only", spec).await?;
        let [front, other] = scene
            .pods(&space, [("front", 1, "front"), ("other", 1, "other")])
            .await?;
        let mut judged = 0;
        for number in 0..PODS {
            let [last] = scene
                .pods(&space, [(format!("last-{number}").as_str(), 0, "last")])
                .await?;
            let denied = watch(scene, &other.host, &last)?;
            let allowed = watch(scene, &front.host, &last)?;
            let name = format!("web-{number}");
            let mut manifest = idle(&[("role", "web")]);
            scene.place(&mut manifest, &name, 0)?;
            // Met as soon as its namespace is there, long before it is said to run.
            let (pod, born) = birth(scene, &space, &name, manifest).await?;
            until(PATIENCE, "answers to allowed requests", async || {
                Ok(allowed
                    .iter()
                    .any(|(_, stream)| stream.answered() > 100)
                    .then_some(()))
            })
            .await?;
            let (denied, allowed) =
                tokio::task::block_in_place(|| anyhow::Ok((report(denied, &pod)?, report(allowed, &pod)?)))?;
            let (Some(denied), Some(allowed)) = (denied, allowed) else {
                println!(
                    "{name} has an address that nobody watched: {:?}",
                    pod.host.addresses()
                );
                continue;
            };
            judged += 1;
            let first = allowed.first_answered.context("no answer")?;
            println!(
                "{name}: {} denied requests, {} answered; the first allowed one passed {:?} after somebody listened",
                denied.sent,
                denied.answered,
                first.saturating_duration_since(born),
            );
            ensure!(denied.sent > 0 && denied.answered == 0, "{name}: {denied:?}");
        }
        ensure!(judged > 0, "no pod had an address that was watched");
        Ok(())
    })
}

/// Starts a pod and lets it listen as soon as it can; says since when it does.
async fn birth(
    scene: &Scene,
    space: &str,
    name: &str,
    manifest: serde_json::Value,
) -> Result<(PodEnd, Instant)> {
    let pod: Pod = scene.objects().apply(space, manifest).await?;
    let pod = scene.attend(&pod).await?;
    let born = Instant::now();
    ensure!(pod.name == name, "{} was born, not {name}", pod.name);
    Ok((pod, born))
}
