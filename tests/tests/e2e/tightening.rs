//! Connections that are open when policies change: those that are denied now end, the others never notice.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_policy::model::{Protocol, Transport};
use palisade_tests::live::{PodEnd, ask, until};
use palisade_tests::probe::{Flow, Manner, Stream, Talk};
use serde_json::json;

use super::PORT;
use super::scene::{PATIENCE, Played, Scene, alone};
use super::services::{cluster_ip, serve};

const INTERVAL: Duration = Duration::from_millis(2);

/// What a flow has to say to count as going on.
const SOME: u64 = 50;

/// How long a flow has to be silent to count as ended: what this test takes for it, not a promise.
const SILENCE: Duration = Duration::from_millis(500);

/// The first port that connections are made to; each has one of its own.
const TALKS: u16 = 7_100;

/// Flows by each protocol.
#[derive(Default)]
struct Flows {
    streams: Vec<(String, Stream)>,
    talks: Vec<Talk>,
}

impl Flows {
    /// Opens flows from one pod to another: straight, or by the address of a service at the same ports.
    fn open(
        &mut self,
        scene: &Scene,
        from: &PodEnd,
        server: &PodEnd,
        service: Option<IpAddr>,
        port: u16,
    ) -> Result<()> {
        let own = server
            .host
            .addresses()
            .first()
            .copied()
            .context("a pod without an address")?;
        let to = service.unwrap_or(own);
        let name = format!("{} → {} by {to}", from.name, server.name);
        let probe = ask(&from.host, to, Transport::Port(Protocol::Udp, PORT));
        let stream = scene.city.prober().stream(&probe, INTERVAL, Flow::Fixed)?;
        self.streams.push((format!("{name} UDP"), stream));
        for (manner, port) in [(Manner::Ask, port), (Manner::Listen, port + 1)] {
            let (to, at) = (SocketAddr::new(to, port), SocketAddr::new(own, port));
            self.talks.push(Talk::start(
                format!("{name} TCP {manner:?}"),
                &from.host.endpoint(),
                to,
                &server.host,
                at,
                manner,
            )?);
        }
        Ok(())
    }

    fn progress(&self) -> Vec<(&str, u64)> {
        let streams = self
            .streams
            .iter()
            .map(|(name, stream)| (name.as_str(), stream.answered()));
        streams
            .chain(self.talks.iter().map(|talk| (talk.name(), talk.words())))
            .collect()
    }

    /// Waits until every flow has got on.
    async fn go_on(&self, when: &str) -> Result<()> {
        let before = self.progress();
        until(PATIENCE, &format!("flows to go on {when}"), async || {
            let now = self.progress();
            let all = before
                .iter()
                .zip(&now)
                .all(|((_, before), (_, now))| *now >= before + SOME);
            Ok(all.then_some(()))
        })
        .await
    }

    /// Waits until no flow has got on for a while.
    async fn fall_silent(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let before = self.progress();
            tokio::time::sleep(SILENCE).await;
            let now = self.progress();
            if now == before {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "denied flows go on: {before:?}, then {now:?}"
            );
        }
    }

    /// Ends flows that had to live.
    fn end_whole(self) -> Result<()> {
        for (name, stream) in self.streams {
            let report = stream.stop()?;
            println!(
                "kept {name}: {} of {} lost, longest gap {:?}",
                report.lost(),
                report.sent,
                report.longest_gap
            );
        }
        for talk in self.talks {
            let report = talk.stop()?;
            println!(
                "kept {}: longest silence {:?}",
                report.name, report.longest_silence
            );
            ensure!(
                report.broken.is_none(),
                "a connection that is allowed broke: {report:?}"
            );
        }
        Ok(())
    }

    /// Ends flows that had to end and prints when they were heard last.
    fn end_stopped(self, since: Instant) -> Result<()> {
        let print = |name: &str, last: Option<Instant>| {
            let last = last.map(|last| last.saturating_duration_since(since));
            println!(
                "stopped {name}: {:?} after the policy was applied",
                last.unwrap_or_default()
            );
        };
        for (name, stream) in self.streams {
            print(&name, stream.stop()?.last_answered);
        }
        for talk in self.talks {
            let report = talk.stop()?;
            print(&report.name, report.last);
        }
        Ok(())
    }
}

#[test]
fn open_connections_end_when_they_are_denied_and_others_live() -> Played {
    alone(async |scene| {
        let space = scene.namespace("tight", &[]).await?;
        let pods = [
            ("web", 0, "web"),
            ("front", 0, "front"),
            ("far-front", 1, "front"),
            ("other", 0, "other"),
            ("far-other", 1, "other"),
        ];
        let [web, front, far_front, other, far_other] = scene.pods(&space, pods).await?;
        let callers = [
            (&front, true),
            (&far_front, true),
            (&other, false),
            (&far_other, false),
        ];
        let mut ports = vec![json!({"name": "udp", "protocol": "UDP", "port": PORT})];
        for port in TALKS..TALKS + 16 {
            ports.push(json!({"name": format!("tcp-{port}"), "protocol": "TCP", "port": port}));
        }
        let service = cluster_ip(&serve(scene, &space, "web", json!({"ports": ports})).await?)?;
        let mut port = TALKS;
        let ready = ask(&front.host, service, Transport::Port(Protocol::Udp, PORT));
        scene
            .city
            .converge_to(&[ready], &[palisade_policy::model::Verdict::Allow], "the service")
            .await?;
        let (mut kept, mut denied) = (Flows::default(), Flows::default());
        for (from, stays) in callers {
            let flows = if stays { &mut kept } else { &mut denied };
            tokio::task::block_in_place(|| {
                flows.open(scene, from, &web, None, port)?;
                flows.open(scene, from, &web, Some(service), port + 2)
            })?;
            port += 4;
        }
        kept.go_on("before").await?;
        denied.go_on("before").await?;
        let begin = Instant::now();
        let peers = json!([{"podSelector": {"matchLabels": {"role": "front"}}}]);
        let spec = json!({"podSelector": {"matchLabels": {"role": "web"}}, "ingress": [{"from": peers}]});
        scene.policy(&space, "front-only", spec).await?;
        denied.fall_silent().await?;
        kept.go_on("under the policy").await?;
        tokio::task::block_in_place(|| denied.end_stopped(begin))?;
        scene.withdraw(&space, "front-only").await?;
        kept.go_on("without it").await?;
        tokio::task::block_in_place(|| kept.end_whole())
    })
}
