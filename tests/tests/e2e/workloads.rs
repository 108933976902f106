//! Pods that come and go by themselves: scaled, rolled, replaced under their names, finished, moved.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use palisade_policy::model::{Protocol, Transport, Verdict};
use palisade_tests::live::{PodEnd, ask, until};
use palisade_tests::probe::{Flow, Host, Probe};
use serde_json::{Value, json};

use super::PORT;
use super::scene::{PATIENCE, Played, Scene, beside_others, everybody, idle, set, template};

/// Between two requests to a new pod.
const INTERVAL: Duration = Duration::from_millis(2);

/// Requests to each new pod from each side.
const REQUESTS: u64 = 200;

/// A protocol without ports (RFC 3692: for experiments).
const EXPERIMENT: Transport = Transport::Other(253);

/// What lets only `role: front` talk to the web.
fn front_only() -> Value {
    json!({
        "podSelector": {"matchLabels": {"role": "web"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "front"}}}]}],
    })
}

fn deployment(replicas: u32, generation: &str) -> Result<Value> {
    let mut template = idle(&[("role", "web")]);
    set(
        &mut template,
        "/metadata/annotations",
        json!({"generation": generation}),
    )?;
    Ok(json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"role": "web"}}, "template": template,
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        },
    }))
}

/// The replicas that have been met, and who asks them.
struct Replicas<'a> {
    scene: &'a Scene,
    space: &'a str,
    front: &'a Host,
    other: &'a Host,
    known: BTreeMap<String, PodEnd>,
}

impl Replicas<'_> {
    /// Meets replicas as they come and go until there are exactly `count`, all of this generation.
    async fn settle(&mut self, count: usize, generation: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let pods = self.scene.objects().list::<Pod>(self.space, "role=web").await?;
            let live: Vec<&Pod> = pods.iter().filter(|pod| is_live(pod)).collect();
            let uids: Vec<String> = live.iter().filter_map(|pod| pod.uid()).collect();
            let gone: Vec<String> = self
                .known
                .keys()
                .filter(|uid| !uids.contains(uid))
                .cloned()
                .collect();
            for uid in gone {
                if let Some(pod) = self.known.remove(&uid) {
                    self.scene.leave(&pod).await;
                }
            }
            if let Some(new) = live
                .iter()
                .find(|pod| pod.uid().is_some_and(|uid| !self.known.contains_key(&uid)))
            {
                let end = self.scene.meet(self.space, &new.name_any()).await?;
                self.ask(&end).await?;
                self.known.insert(end.uid.clone(), end);
            } else if live.len() == count
                && live.iter().all(|pod| {
                    pod.annotations()
                        .get("generation")
                        .is_some_and(|of| of == generation)
                })
            {
                return self.compare(&format!("{count} of generation {generation}")).await;
            }
            ensure!(
                tokio::time::Instant::now() < deadline,
                "{} replicas after {PATIENCE:?}, not {count}",
                live.len()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks a new replica from both sides: nothing that is denied is ever answered.
    async fn ask(&self, pod: &PodEnd) -> Result<()> {
        let address = pod
            .host
            .addresses()
            .first()
            .copied()
            .context("a pod without an address")?;
        let udp = Transport::Port(Protocol::Udp, PORT);
        let prober = self.scene.city.prober();
        let denied = prober.stream(&ask(self.other, address, udp), INTERVAL, Flow::Fresh)?;
        let allowed = prober.stream(&ask(self.front, address, udp), INTERVAL, Flow::Fresh)?;
        until(PATIENCE, "requests", async || {
            Ok(
                (denied.sent() >= REQUESTS && allowed.sent() >= REQUESTS && allowed.answered() > 0)
                    .then_some(()),
            )
        })
        .await?;
        let (denied, allowed) =
            tokio::task::block_in_place(|| anyhow::Ok((denied.stop()?, allowed.stop()?)))?;
        println!(
            "{}: {} of {} allowed requests unanswered",
            pod.name,
            allowed.lost(),
            allowed.sent
        );
        ensure!(
            denied.answered == 0,
            "{}: {} denied requests answered",
            pod.name,
            denied.answered
        );
        Ok(())
    }

    async fn compare(&self, when: &str) -> Result<()> {
        let mut hosts: Vec<&Host> = self.known.values().map(|pod| &pod.host).collect();
        hosts.extend([self.front, self.other]);
        self.scene.converge_mixed(&everybody(&hosts), when).await
    }
}

fn is_live(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && phase == Some("Running")
}

#[test]
fn replicas_are_what_policies_say_from_their_first_moment_as_a_deployment_scales_and_rolls() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("deployment", &[]).await?;
        scene.policy(&space, "front-only", front_only()).await?;
        let [front, other] = scene
            .pods(&space, [("front", 0, "front"), ("other", 1, "other")])
            .await?;
        let mut replicas = Replicas {
            scene,
            space: &space,
            front: &front.host,
            other: &other.host,
            known: BTreeMap::new(),
        };
        for (count, generation) in [(2, "one"), (6, "one"), (3, "one"), (3, "two"), (1, "two")] {
            scene
                .objects()
                .apply::<Deployment>(&space, deployment(u32::try_from(count)?, generation)?)
                .await?;
            replicas.settle(count, generation).await?;
        }
        Ok(())
    })
}

#[test]
fn a_pod_that_comes_back_under_its_name_has_its_rights_and_not_more() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("stateful", &[]).await?;
        let [front, other] = scene
            .pods(&space, [("front", 0, "front"), ("other", 1, "other")])
            .await?;
        let spec = json!({
            "podSelector": {"matchLabels": {"statefulset.kubernetes.io/pod-name": "db-0"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": "front"}}}]}],
        });
        scene.policy(&space, "first-only", spec).await?;
        let set = json!({
            "metadata": {"name": "db"},
            "spec": {"serviceName": "db", "replicas": 2, "selector": {"matchLabels": {"role": "db"}}, "template": idle(&[("role", "db")])},
        });
        scene.objects().apply::<StatefulSet>(&space, set).await?;
        let (mut first, second) = (
            scene.meet(&space, "db-0").await?,
            scene.meet(&space, "db-1").await?,
        );
        for round in 0..3 {
            let hosts = [&first.host, &second.host, &front.host, &other.host];
            scene
                .converge_mixed(&everybody(&hosts), &format!("db-0 for the time {round}"))
                .await?;
            let uid = first.uid.clone();
            scene.leave(&first).await;
            scene.objects().delete::<Pod>(&space, "db-0", Some(0)).await?;
            scene
                .objects()
                .await_object::<Pod>(&space, "db-0", PATIENCE, |pod| {
                    pod.uid().is_some_and(|new| new != uid)
                })
                .await?;
            first = scene.meet(&space, "db-0").await?;
        }
        Ok(())
    })
}

#[test]
fn the_address_of_a_finished_job_is_nobodys() -> Played {
    beside_others(async |scene| {
        let Some(outside) = scene.outside() else {
            println!("skipped: nobody outside can take the address of a pod here");
            return Ok(());
        };
        let space = scene.namespace("job", &[]).await?;
        let [web] = scene.pods(&space, [("web", 0, "web")]).await?;
        scene.policy(&space, "front-only", front_only()).await?;
        let container = json!({"name": "work", "image": "busybox:1.35", "command": ["sh", "-c", "until [ -e /tmp/done ]; do sleep 0.2; done"]});
        let mut template = template(&[("role", "front")], &container);
        set(&mut template, "/spec/restartPolicy", "Never".into())?;
        set(&mut template, "/spec/nodeName", scene.node(1)?.name().into())?;
        let job = json!({"metadata": {"name": "work"}, "spec": {"template": template, "backoffLimit": 0}});
        scene.objects().apply::<Job>(&space, job).await?;
        let pods = until(PATIENCE, "the pod of the job", async || {
            let pods = scene.objects().list::<Pod>(&space, "job-name=work").await?;
            Ok(pods.first().map(ResourceExt::name_any))
        });
        let worker = scene.meet(&space, &pods.await?).await?;
        let address = worker
            .host
            .addresses()
            .first()
            .copied()
            .context("a pod without an address")?;
        let to = web
            .host
            .addresses()
            .first()
            .copied()
            .context("a pod without an address")?;
        // Somebody who has that address: the node of the web cannot know that it is not the pod.
        let heir = [Probe {
            from: outside.endpoint().from(address),
            to,
            transport: EXPERIMENT,
        }];
        scene
            .city
            .converge_to(&heir, &[Verdict::Allow], "the job runs")
            .await?;
        let finish = [
            "exec",
            "--namespace",
            &space,
            &worker.name,
            "--",
            "touch",
            "/tmp/done",
        ];
        scene.leave(&worker).await;
        scene.cluster.kubectl(&finish, "", PATIENCE).await?;
        scene
            .objects()
            .await_object::<Job>(&space, "work", PATIENCE, |job| {
                job.status
                    .as_ref()
                    .is_some_and(|status| status.succeeded == Some(1))
            })
            .await?;
        let took = scene
            .city
            .converge_to(&heir, &[Verdict::Deny], "the job is done")
            .await?;
        println!("the address of a finished pod: denied after {took:?}");
        Ok(())
    })
}

#[test]
fn a_pod_that_moves_to_another_node_takes_its_rights_along() -> Played {
    beside_others(async |scene| {
        let space = scene.namespace("moving", &[]).await?;
        scene.policy(&space, "front-only", front_only()).await?;
        let [front, far_front, other] = scene
            .pods(
                &space,
                [
                    ("front", 0, "front"),
                    ("far-front", 1, "front"),
                    ("other", 0, "other"),
                ],
            )
            .await?;
        for round in 0..4 {
            let [web] = scene.pods(&space, [("web", round % 2, "web")]).await?;
            let hosts = [&web.host, &front.host, &far_front.host, &other.host];
            scene
                .converge_mixed(&everybody(&hosts), &format!("on {}", web.node))
                .await?;
            scene.remove(&web).await?;
        }
        Ok(())
    })
}
