//! New pods: whether anything denied passes, and how soon what is allowed does.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::json;

use super::round::{Bench, Figures, INTERVAL, NAMESPACE, PATIENCE, pod, until};
use crate::live::Vigil;
use crate::probe::Flow;

/// The pods that are born, which are isolated in both directions; only the client may ask them.
const NEWBORN: &str = "newborn";

/// Answers that show that a pod lives.
const SOME: u64 = 50;

/// What was seen of new pods.
#[derive(Clone, Debug, Default)]
pub struct Births {
    /// How many pods had an address that was watched.
    pub pods: usize,
    /// Denied requests to them, from before they existed: sent, and answered.
    pub to: (u64, u64),
    /// Denied requests from them, from their first moment on: sent, and answered.
    pub from: (u64, u64),
    /// From the moment at which somebody listens on the pod to the first allowed request that is answered.
    pub first: Figures,
}

impl Births {
    /// Watches `count` pods being born.
    pub(super) async fn watch(bench: &Bench<'_>, count: usize) -> Result<Self> {
        let peer = json!([{ "podSelector": { "matchLabels": { "app": "client" } } }]);
        let policy = json!({
            "metadata": { "name": NEWBORN },
            "spec": {
                "podSelector": { "matchLabels": { "app": NEWBORN } },
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{ "from": peer }],
            },
        });
        let objects = bench.city.objects();
        objects.apply::<NetworkPolicy>(NAMESPACE, policy).await?;
        let mut births = Self::default();
        for number in 0..count {
            births.watch_one(bench, number).await?;
        }
        objects.delete::<NetworkPolicy>(NAMESPACE, NEWBORN, None).await?;
        ensure!(
            count == 0 || births.pods > 0,
            "no pod had an address that was watched"
        );
        Ok(births)
    }

    async fn watch_one(&mut self, bench: &Bench<'_>, number: usize) -> Result<()> {
        let Bench {
            city, client, server, ..
        } = bench;
        let last = pod(&format!("last-{number}"), "last", &server.node);
        let last = city.start(NAMESPACE, last).await?;
        let denied = Vigil::keep(city, &server.host, &last, bench.port)?;
        let allowed = Vigil::keep(city, &client.host, &last, bench.port)?;
        let manifest = pod(&format!("{NEWBORN}-{number}"), NEWBORN, &server.node);
        let born = city.objects().apply::<Pod>(NAMESPACE, manifest).await?;
        let born = city.attend(&born).await?;
        let since = Instant::now();
        let out = bench.probe(&born, &bench.open)?;
        let out = city.prober().stream(&out, INTERVAL, Flow::Fresh)?;
        until("answers of a new pod", || allowed.answered() > SOME).await?;
        let end = || anyhow::Ok((denied.end(&born)?, allowed.end(&born)?, out.stop()?));
        let (denied, allowed, out) = tokio::task::block_in_place(end)?;
        self.from = (self.from.0 + out.sent, self.from.1 + out.answered);
        ensure!(out.answered == 0, "a new pod got out: {out:?}");
        if let (Some(denied), Some(allowed)) = (denied, allowed) {
            self.pods += 1;
            self.to = (self.to.0 + denied.sent, self.to.1 + denied.answered);
            ensure!(denied.answered == 0, "a new pod was reached: {denied:?}");
            let first = allowed.first_answered.context("no answer")?;
            self.first.add(first.saturating_duration_since(since));
        }
        for pod in [&born, &last] {
            city.leave(pod).await;
            city.objects()
                .delete::<Pod>(NAMESPACE, &pod.name, Some(0))
                .await?;
            city.objects()
                .await_absence::<Pod>(NAMESPACE, &pod.name, PATIENCE)
                .await?;
        }
        Ok(())
    }

    /// The figures in words.
    pub(super) fn describe(&self) -> String {
        let Self {
            pods,
            to,
            from,
            first,
        } = self;
        let millis = |duration: Duration| format!("{:.1}", duration.as_secs_f64() * 1000.0);
        format!(
            "{pods} new pods: {} of {} denied requests to them answered, {} of {} from them; the first allowed one after p50 {} \
             ms, max {} ms",
            to.1,
            to.0,
            from.1,
            from.0,
            millis(first.percentile(50)),
            millis(first.percentile(100)),
        )
    }
}
