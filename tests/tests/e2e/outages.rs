//! What dies or is away while packets go on: nothing that is denied passes, nothing that is allowed is lost, and
//! afterwards the cluster is what the API says, without anybody's help.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use palisade_policy::model::{Protocol, Transport};
use palisade_tests::cluster::{API_SERVER, CONTROL, ETCD, wait_for};
use palisade_tests::live::{PodEnd, ask};
use palisade_tests::probe::{Flow, Probe, Stream};
use serde_json::json;

use super::PORT;
use super::scene::{PATIENCE, Played, Scene, alone, everybody};

const INTERVAL: Duration = Duration::from_millis(5);

/// How long the control plane stays away. Longer than the enforcers wait before they say that it is.
const AWAY: Duration = Duration::from_mins(1);

/// How long a node stays cut off.
const CUT_OFF: Duration = Duration::from_secs(20);

/// What the two programs are called in the process list of a node, which has 15 characters for a name.
const CONTROLLER: &str = "palisade";
const ENFORCER: &str = "palisade-enforc";

/// A command on a node takes no longer.
const COMMAND: Duration = Duration::from_secs(20);

/// A web server and who asks it, on each of two nodes.
struct Town {
    namespace: String,
    pods: [PodEnd; 6],
}

/// Requests under way.
struct Watch {
    allowed: Vec<Stream>,
    denied: Vec<Stream>,
}

impl Town {
    async fn start(scene: &Scene) -> Result<Self> {
        let namespace = scene.namespace("outage", &[]).await?;
        let pods = [
            ("web", 0, "web"),
            ("front", 0, "front"),
            ("other", 0, "other"),
            ("far-web", 1, "web"),
            ("far-front", 1, "front"),
            ("far-other", 1, "other"),
        ];
        let pods = scene.pods(&namespace, pods).await?;
        let town = Self { namespace, pods };
        town.allow(scene, "front").await?;
        town.converge(scene, "at first").await?;
        Ok(town)
    }

    /// Lets only pods of one role ask the web servers.
    async fn allow(&self, scene: &Scene, role: &str) -> Result<()> {
        let spec = json!({
            "podSelector": {"matchLabels": {"role": "web"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"role": role}}}]}],
        });
        scene.policy(&self.namespace, "web", spec).await
    }

    async fn converge(&self, scene: &Scene, when: &str) -> Result<()> {
        let hosts: Vec<_> = self.pods.iter().map(|pod| &pod.host).collect();
        scene.converge_mixed(&everybody(&hosts), when).await
    }

    fn probe(&self, from: &str, to: &str) -> Result<Probe> {
        let pod = |name: &str| {
            let found = self.pods.iter().find(|pod| pod.name == name);
            found.with_context(|| format!("no pod {name}"))
        };
        let address = pod(to)?.host.addresses().first().copied();
        let address = address.context("a pod without an address")?;
        Ok(ask(
            &pod(from)?.host,
            address,
            Transport::Port(Protocol::Udp, PORT),
        ))
    }

    /// Starts requests from those who may ask and from those who may not, each from a port of its own.
    fn watch(&self, scene: &Scene, pairs: &[(&str, &str)]) -> Result<Watch> {
        let stream = |from: &str, to: &str| {
            let probe = self.probe(from, to)?;
            scene.city.prober().stream(&probe, INTERVAL, Flow::Fresh)
        };
        let mut watch = Watch {
            allowed: Vec::new(),
            denied: Vec::new(),
        };
        for (from, to) in pairs {
            watch.allowed.push(stream(from, to)?);
            watch.denied.push(stream(&from.replace("front", "other"), to)?);
        }
        Ok(watch)
    }
}

/// Within the nodes and between them.
const EVERYWHERE: [(&str, &str); 4] = [
    ("front", "web"),
    ("far-front", "web"),
    ("far-front", "far-web"),
    ("front", "far-web"),
];

impl Watch {
    /// Ends the requests, and holds what became of them to what they were.
    async fn end(self, when: &str) -> Result<()> {
        let reports = |streams: Vec<Stream>| {
            tokio::task::spawn_blocking(move || {
                streams.into_iter().map(Stream::stop).collect::<Result<Vec<_>>>()
            })
        };
        let (allowed, denied) = (reports(self.allowed).await??, reports(self.denied).await??);
        let sum = |reports: &[palisade_tests::probe::StreamReport]| {
            reports.iter().fold((0, 0), |(sent, answered), report| {
                (sent + report.sent, answered + report.answered)
            })
        };
        let ((may, passed), (may_not, leaked)) = (sum(&allowed), sum(&denied));
        println!("{when}: {passed} of {may} allowed requests answered, {leaked} of {may_not} denied ones");
        ensure!(may > 0 && may_not > 0, "{when}: nothing was sent");
        ensure!(
            leaked == 0,
            "{when}: {leaked} denied requests were answered: {denied:?}"
        );
        ensure!(
            passed == may,
            "{when}: {} allowed requests were lost: {allowed:?}",
            may - passed
        );
        Ok(())
    }
}

/// Kills a program of Palisade on every node where it runs, and waits until others run in its place.
async fn kill(scene: &Scene, program: &str) -> Result<()> {
    for machine in scene.cluster.nodes()? {
        let find = ["pgrep", "-x", program];
        let before = machine.succeed(&find, "", COMMAND).await?;
        for process in before.split_whitespace() {
            machine.succeed(&["kill", "-KILL", process], "", COMMAND).await?;
        }
        let what = format!("another {program} on {}", machine.name());
        wait_for(&what, PATIENCE, async || {
            let now = machine.run(&find, "", COMMAND).await.ok()?;
            let now = now.stdout.trim().to_owned();
            (!now.is_empty() && now != before.trim()).then_some(())
        })
        .await?;
    }
    Ok(())
}

/// Waits until the API server answers again, and every node's kube-proxy leads to it.
///
/// An API server that ends takes itself out of its Service. When it is back, kube-proxy has to hear of that, for which it
/// takes its time (up to half a minute between attempts), and until then nobody on the node gets there by the Service.
async fn api_server(scene: &Scene) -> Result<()> {
    let ready = ["get", "--raw=/readyz"];
    wait_for("the API server", PATIENCE, async || {
        scene.cluster.kubectl(&ready, "", COMMAND).await.ok().map(drop)
    })
    .await?;
    let begin = Instant::now();
    let address = [
        "get",
        "service",
        "kubernetes",
        "--output=jsonpath={.spec.clusterIP}",
    ];
    let address = scene.cluster.kubectl(&address, "", COMMAND).await?;
    let connect = format!("exec 3<>/dev/tcp/{}/443", address.trim());
    for machine in scene.cluster.nodes()? {
        let what = format!("the Service of the API server on {}", machine.name());
        wait_for(&what, PATIENCE, async || {
            let connected = machine.succeed(&["bash", "-c", &connect], "", COMMAND).await;
            connected.ok().map(drop)
        })
        .await?;
    }
    println!("nodes got to the API server again after {:?}", begin.elapsed());
    Ok(())
}

#[test]
fn programs_that_are_killed_leave_no_gap() -> Played {
    alone(async |scene| {
        let town = Town::start(scene).await?;
        for program in [CONTROLLER, ENFORCER] {
            let watch = town.watch(scene, &EVERYWHERE)?;
            kill(scene, program).await?;
            watch
                .end(&format!("while {program} is killed on both nodes"))
                .await?;
            let begin = Instant::now();
            town.allow(scene, "other").await?;
            town.converge(scene, "and with another policy").await?;
            println!("the change took {:?}", begin.elapsed());
            town.allow(scene, "front").await?;
            town.converge(scene, "and back").await?;
        }
        Ok(())
    })
}

#[test]
fn an_api_server_that_is_away_leaves_no_gap_even_if_enforcers_start_meanwhile() -> Played {
    alone(async |scene| {
        let town = Town::start(scene).await?;
        let watch = town.watch(scene, &EVERYWHERE)?;
        let server = scene.cluster.component(CONTROL, API_SERVER)?;
        server.stop().await?;
        let begin = Instant::now();
        tokio::time::sleep_until((begin + AWAY / 2).into()).await;
        // Kubelets start them again without an API server.
        kill(scene, ENFORCER).await?;
        tokio::time::sleep_until((begin + AWAY).into()).await;
        server.start().await?;
        api_server(scene).await?;
        watch.end("while the API server is away").await?;
        town.allow(scene, "other").await?;
        town.converge(scene, "after it has come back").await
    })
}

#[test]
fn a_store_that_is_away_leaves_no_gap() -> Played {
    alone(async |scene| {
        let town = Town::start(scene).await?;
        let watch = town.watch(scene, &EVERYWHERE)?;
        let store = scene.cluster.component(CONTROL, ETCD)?;
        store.kill().await?;
        tokio::time::sleep(AWAY).await;
        store.start().await?;
        api_server(scene).await?;
        watch.end("while etcd is away").await?;
        town.allow(scene, "other").await?;
        town.converge(scene, "after it has come back").await
    })
}

#[test]
fn a_node_that_is_cut_off_goes_on_and_catches_up() -> Played {
    alone(async |scene| {
        let town = Town::start(scene).await?;
        let node = scene.cluster.plan().nodes().nth(1).context("a second node")?;
        let watch = town.watch(scene, &[("far-front", "far-web"), ("front", "web")])?;
        scene.cluster.cut_off(node).await?;
        tokio::time::sleep(CUT_OFF).await;
        watch.end("while a node is cut off").await?;
        // What it hears of only when it is back.
        let changed = town.allow(scene, "other").await;
        scene.cluster.reconnect(node).await?;
        changed?;
        let begin = Instant::now();
        town.converge(scene, "after it has been joined again").await?;
        println!("it had caught up after {:?}", begin.elapsed());
        Ok(())
    })
}
