//! One figure after the other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use palisade_policy::model::{Protocol, Transport, Verdict};
use serde_json::{Value, json};

use super::births::Births;
use super::metrics::{Stage, Stages};
use crate::cluster::PAUSE;
use crate::live::{City, PodEnd, ask};
use crate::probe::{Flow, Probe, Stream, StreamReport};

/// Where the pods are.
pub(super) const NAMESPACE: &str = "bench-latency";
/// Where a pod is that no policy selects.
const OPEN: &str = "bench-latency-open";
/// The policy that comes and goes.
const TOGGLE: &str = "let-the-client-in";
pub(super) const INTERVAL: Duration = Duration::from_millis(1);
/// No change takes longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// So many pods are born in a round at the most.
const BORN: usize = 5;
/// A stream that has been silent for so long has ended.
const SILENCE: Duration = Duration::from_millis(500);

/// Two pods on two nodes, and a policy between them; and a pod that everybody may ask.
pub struct Bench<'a> {
    pub(super) city: &'a City,
    pub(super) client: PodEnd,
    pub(super) server: PodEnd,
    pub(super) open: PodEnd,
    pub(super) port: u16,
    /// Policies beside those that matter.
    beside: usize,
}

/// What was measured beside a number of policies.
#[derive(Clone, Debug)]
pub struct Round {
    /// All policies that select the pods.
    pub policies: usize,
    /// From the call that allows to the first request that is answered.
    pub allow: Figures,
    /// From the call that denies to the last request that is answered.
    pub deny: Figures,
    /// What was seen of new pods.
    pub births: Births,
    /// What the stages took meanwhile.
    pub stages: Vec<Stage>,
    /// Requests sent.
    pub sent: u64,
}

/// Repeated measurements of one thing, shortest first.
#[derive(Clone, Debug, Default)]
pub struct Figures(Vec<Duration>);

impl Figures {
    pub(super) fn add(&mut self, figure: Duration) {
        let position = self.0.partition_point(|known| *known < figure);
        self.0.insert(position, figure);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The figure that `part` of 100 of all are not above; zero if there is none.
    pub fn percentile(&self, part: usize) -> Duration {
        let position = (self.0.len() * part).div_ceil(100).saturating_sub(1);
        self.0.get(position).copied().unwrap_or_default()
    }
}

impl<'a> Bench<'a> {
    /// Starts the pods, closed by default; they listen on `port`, on which the city listens.
    pub async fn start(city: &'a City, port: u16) -> Result<Self> {
        let objects = city.objects();
        for namespace in [NAMESPACE, OPEN] {
            objects.namespace(namespace, &[]).await?;
            objects
                .await_object::<ServiceAccount>(namespace, "default", PATIENCE, |_| true)
                .await?;
        }
        let [first, second] = city.nodes() else {
            bail!("the bench takes a cluster of two nodes")
        };
        let deny = json!({ "metadata": { "name": "default-deny" },
            "spec": { "podSelector": {}, "policyTypes": ["Ingress"] } });
        objects.apply::<NetworkPolicy>(NAMESPACE, deny).await?;
        let client = city
            .start(NAMESPACE, pod("client", "client", first.name()))
            .await?;
        let server = city
            .start(NAMESPACE, pod("server", "server", second.name()))
            .await?;
        let open = city.start(OPEN, pod("open", "open", first.name())).await?;
        let bench = Self {
            city,
            client,
            server,
            open,
            port,
            beside: 0,
        };
        bench.settle(Verdict::Deny).await?;
        Ok(bench)
    }

    /// Measures beside as many other policies, so that with the two that matter there are `policies`.
    pub async fn round(&mut self, policies: usize, repeats: usize) -> Result<Round> {
        self.add_others(policies.saturating_sub(2)).await?;
        self.settle(Verdict::Deny).await?;
        let before = Stages::read(self.city.objects().client()).await?;
        let (mut allow, mut deny) = (Figures::default(), Figures::default());
        let mut sent = 0;
        for _ in 0..repeats {
            let stream = self.stream()?;
            self.city
                .objects()
                .apply::<NetworkPolicy>(NAMESPACE, toggle())
                .await?;
            let called = Instant::now();
            until("the first answer", || stream.answered() > 0).await?;
            let report = stop(stream).await?;
            let first = report.first_answered.context("no answer")?;
            allow.add(first.saturating_duration_since(called));
            sent += report.sent;
            self.settle(Verdict::Allow).await?;

            let stream = self.stream()?;
            until("an answer before it is denied", || stream.answered() > 0).await?;
            let objects = self.city.objects();
            objects.delete::<NetworkPolicy>(NAMESPACE, TOGGLE, None).await?;
            let called = Instant::now();
            silence(&stream).await?;
            let report = stop(stream).await?;
            let last = report.last_answered.context("no answer")?;
            deny.add(last.saturating_duration_since(called));
            sent += report.sent;
            self.settle(Verdict::Deny).await?;
        }
        let stages = Stages::read(self.city.objects().client()).await?.since(&before);
        let births = Births::watch(self, repeats.min(BORN)).await?;
        Ok(Round {
            policies,
            allow,
            deny,
            births,
            stages,
            sent,
        })
    }

    /// Removes everything.
    pub async fn stop(self) -> Result<()> {
        for pod in [&self.client, &self.server, &self.open] {
            self.city.leave(pod).await;
        }
        let objects = self.city.objects();
        for namespace in [NAMESPACE, OPEN] {
            objects
                .delete_namespace(namespace, Duration::from_mins(2))
                .await?;
        }
        Ok(())
    }

    pub(super) fn probe(&self, from: &PodEnd, to: &PodEnd) -> Result<Probe> {
        let to = to.host.addresses().first().context("a pod without an address")?;
        let transport = Transport::Port(Protocol::Udp, self.port);
        Ok(ask(&from.host, *to, transport))
    }

    fn stream(&self) -> Result<Stream> {
        let probe = self.probe(&self.client, &self.server)?;
        self.city.prober().stream(&probe, INTERVAL, Flow::Fresh)
    }

    /// Waits until the client may ask the server, or may not, and holds the oracle to that.
    async fn settle(&self, verdict: Verdict) -> Result<()> {
        let probes = [self.probe(&self.client, &self.server)?];
        let expected = self.city.expected(&probes).await?;
        ensure!(
            expected == [verdict],
            "the oracle expects {expected:?}, not {verdict}"
        );
        self.city.converge(&probes, "between two figures").await.map(drop)
    }

    /// Policies that select both pods and let others in than the client.
    async fn add_others(&mut self, wanted: usize) -> Result<()> {
        while self.beside < wanted {
            let number = self.beside;
            let policy = json!({
                "metadata": { "name": format!("other-{number}") },
                "spec": {
                    "podSelector": {},
                    "ingress": [{
                        "from": [{ "podSelector": { "matchLabels": { "group": format!("g{number}") } } }],
                        "ports": [{ "port": 1024 + number, "protocol": "TCP" }],
                    }],
                },
            });
            self.city
                .objects()
                .apply::<NetworkPolicy>(NAMESPACE, policy)
                .await?;
            self.beside += 1;
        }
        Ok(())
    }
}

pub(super) fn pod(name: &str, app: &str, node: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "app": app } },
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "pause", "image": PAUSE, "imagePullPolicy": "Never" }],
        },
    })
}

fn toggle() -> Value {
    json!({
        "metadata": { "name": TOGGLE },
        "spec": {
            "podSelector": { "matchLabels": { "app": "server" } },
            "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "app": "client" } } }] }],
        },
    })
}

pub(super) async fn until(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        ensure!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for {what}"
        );
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(())
}

/// Waits until nothing has been answered for a while.
async fn silence(stream: &Stream) -> Result<()> {
    let begin = Instant::now();
    let (mut known, mut since) = (stream.answered(), Instant::now());
    while since.elapsed() < SILENCE {
        ensure!(
            begin.elapsed() < PATIENCE,
            "after {PATIENCE:?} the client is still answered"
        );
        tokio::time::sleep(INTERVAL).await;
        if stream.answered() != known {
            (known, since) = (stream.answered(), Instant::now());
        }
    }
    Ok(())
}

async fn stop(stream: Stream) -> Result<StreamReport> {
    tokio::task::spawn_blocking(move || stream.stop()).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_figures_that_were_measured() {
        let mut figures = Figures::default();
        assert_eq!(figures.percentile(50), Duration::ZERO);
        for millis in [9, 1, 5, 3, 7] {
            figures.add(Duration::from_millis(millis));
        }
        let millis = |part| figures.percentile(part).as_millis();
        assert_eq!([0, 50, 80, 99, 100].map(millis), [1, 5, 7, 9, 9]);
        assert_eq!(figures.count(), 5);
    }
}
