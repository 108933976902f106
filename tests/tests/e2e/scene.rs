//! One cluster for all tests, and namespaces of its own for each.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io};

use anyhow::{Context, Result, anyhow, ensure};
use futures::FutureExt;
use futures::future::{join_all, try_join_all};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Client;
use palisade_policy::model::Verdict;
use palisade_tests::cluster::{Cluster, Cni, Layout, PAUSE};
use palisade_tests::live::{City, Objects, PodEnd, between};
use palisade_tests::probe::{Host, Probe};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, RwLock};

use super::{OTHER_PORT, PORT};

/// How long namespaces may take to go, and objects to become what a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// How a test ends.
pub(crate) type Played = Result<(), Failure>;

/// Why a test failed, as it is printed: without a backtrace, which says nothing of a cluster.
pub(crate) struct Failure(anyhow::Error);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

static RUNTIME: LazyLock<io::Result<Runtime>> = LazyLock::new(Runtime::new);
static STAGE: OnceCell<Stage> = OnceCell::const_new();
static TESTS: AtomicU32 = AtomicU32::new(0);

struct Stage {
    cluster: Cluster,
    city: City,
    /// Tests that disturb others take it for writing.
    peace: RwLock<()>,
}

async fn stage() -> Result<&'static Stage> {
    STAGE
        .get_or_try_init(async || {
            let cluster = Cluster::attach(Layout::of_checkout())?;
            let client = Client::try_default().await.context("reaching the API server")?;
            let city = City::open(&cluster, client, [PORT, OTHER_PORT]).await?;
            Ok(Stage {
                cluster,
                city,
                peace: RwLock::new(()),
            })
        })
        .await
}

/// Plays a test beside others.
pub(crate) fn beside_others(play: impl AsyncFnOnce(&Scene) -> Result<()>) -> Played {
    block_on(async {
        let stage = stage().await?;
        let _peace = stage.peace.read().await;
        Scene::play(stage, play).await
    })
}

/// Plays a test that disturbs others, or would be disturbed by them, while no other runs.
pub(crate) fn alone(play: impl AsyncFnOnce(&Scene) -> Result<()>) -> Played {
    block_on(async {
        let stage = stage().await?;
        let _peace = stage.peace.write().await;
        Scene::play(stage, play).await
    })
}

fn block_on(test: impl Future<Output = Result<()>>) -> Played {
    let played = match &*RUNTIME {
        Ok(runtime) => runtime.block_on(test),
        Err(error) => Err(anyhow!("no runtime: {error}")),
    };
    played.map_err(Failure)
}

/// What a test has of the cluster.
pub(crate) struct Scene {
    pub(crate) city: &'static City,
    pub(crate) cluster: &'static Cluster,
    number: u32,
    namespaces: Mutex<Vec<String>>,
    pods: Mutex<Vec<PodEnd>>,
}

impl Scene {
    async fn play(stage: &'static Stage, play: impl AsyncFnOnce(&Scene) -> Result<()>) -> Result<()> {
        let scene = Scene {
            city: &stage.city,
            cluster: &stage.cluster,
            number: TESTS.fetch_add(1, Ordering::Relaxed),
            namespaces: Mutex::default(),
            pods: Mutex::default(),
        };
        let begin = Instant::now();
        let played = AssertUnwindSafe(play(&scene)).catch_unwind().await;
        println!("played in {:?}", begin.elapsed());
        let cleared = scene.clear().await;
        match played {
            Err(panic) => resume_unwind(panic),
            Ok(played) => played.and(cleared),
        }
    }

    async fn clear(self) -> Result<()> {
        let pods = std::mem::take(&mut *lock(&self.pods));
        join_all(pods.iter().map(|pod| self.city.leave(pod))).await;
        let namespaces = std::mem::take(&mut *lock(&self.namespaces));
        let gone = namespaces
            .iter()
            .map(|name| self.objects().delete_namespace(name, PATIENCE));
        try_join_all(gone).await.map(drop)
    }

    pub(crate) fn objects(&self) -> &Objects {
        self.city.objects()
    }

    /// A client outside of the cluster, where pods are reached from there.
    pub(crate) fn outside(&self) -> Option<&Host> {
        (self.cluster.plan().cni != Cni::Flannel).then_some(self.city.outside())
    }

    /// The nodes of the cluster, by number from 0.
    pub(crate) fn node(&self, number: usize) -> Result<&Host> {
        let node = self.city.nodes().get(number);
        Ok(&node.with_context(|| format!("no node {number}"))?.host)
    }

    /// A new namespace, its name beginning with `name`.
    pub(crate) async fn namespace(&self, name: &str, labels: &[(&str, &str)]) -> Result<String> {
        let name = format!("{name}-{}-{}", std::process::id(), self.number);
        lock(&self.namespaces).push(name.clone());
        self.objects().namespace(&name, labels).await?;
        // Pods are refused before it is there.
        self.objects()
            .await_object::<ServiceAccount>(&name, "default", PATIENCE, |_| true)
            .await?;
        Ok(name)
    }

    /// Starts a pod that only has to be there, on the node with this number.
    pub(crate) async fn pod(
        &self,
        namespace: &str,
        name: &str,
        node: usize,
        labels: &[(&str, &str)],
    ) -> Result<PodEnd> {
        let mut template = idle(labels);
        self.place(&mut template, name, node)?;
        self.start(namespace, template).await
    }

    /// Gives a template a name and a node.
    pub(crate) fn place(&self, template: &mut Value, name: &str, node: usize) -> Result<()> {
        set(template, "/metadata/name", name.into())?;
        set(template, "/spec/nodeName", self.node(node)?.name().into())
    }

    /// Starts pods that only have to be there: name, node and label `role` of each. In that order.
    pub(crate) async fn pods<const N: usize>(
        &self,
        namespace: &str,
        pods: [(&str, usize, &str); N],
    ) -> Result<[PodEnd; N]> {
        let start = async |(name, node, role)| self.pod(namespace, name, node, &[("role", role)]).await;
        let started = try_join_all(pods.map(start)).await?;
        started.try_into().map_err(|_| anyhow!("a pod is missing"))
    }

    /// Starts a pod by its manifest.
    pub(crate) async fn start(&self, namespace: &str, manifest: Value) -> Result<PodEnd> {
        let pod = self.city.start(namespace, manifest).await?;
        lock(&self.pods).push(pod.clone());
        Ok(pod)
    }

    /// Meets a pod that somebody else has made.
    pub(crate) async fn meet(&self, namespace: &str, name: &str) -> Result<PodEnd> {
        let pod = self.city.meet(namespace, name).await?;
        lock(&self.pods).push(pod.clone());
        Ok(pod)
    }

    /// Meets a pod as soon as its network namespace is there, before it runs.
    pub(crate) async fn attend(&self, pod: &Pod) -> Result<PodEnd> {
        let pod = self.city.attend(pod).await?;
        lock(&self.pods).push(pod.clone());
        Ok(pod)
    }

    /// Lets go of a pod that is about to end.
    pub(crate) async fn leave(&self, pod: &PodEnd) {
        lock(&self.pods).retain(|known| known.uid != pod.uid);
        self.city.leave(pod).await;
    }

    /// Deletes a pod and waits until it is gone.
    pub(crate) async fn remove(&self, pod: &PodEnd) -> Result<()> {
        self.leave(pod).await;
        self.objects()
            .delete::<Pod>(&pod.namespace, &pod.name, Some(0))
            .await?;
        self.objects()
            .await_absence::<Pod>(&pod.namespace, &pod.name, PATIENCE)
            .await
    }

    /// Gives a pod these labels and no others of ours.
    pub(crate) async fn label(&self, pod: &PodEnd, labels: &[(&str, &str)]) -> Result<()> {
        let mut manifest = idle(labels);
        set(&mut manifest, "/metadata/name", pod.name.clone().into())?;
        set(&mut manifest, "/spec/nodeName", pod.node.clone().into())?;
        self.objects().apply::<Pod>(&pod.namespace, manifest).await?;
        Ok(())
    }

    /// Applies a policy.
    pub(crate) async fn policy(&self, namespace: &str, name: &str, spec: Value) -> Result<()> {
        let manifest = json!({"metadata": {"name": name}, "spec": spec});
        self.objects().apply::<NetworkPolicy>(namespace, manifest).await?;
        Ok(())
    }

    /// Deletes a policy.
    pub(crate) async fn withdraw(&self, namespace: &str, name: &str) -> Result<()> {
        self.objects()
            .delete::<NetworkPolicy>(namespace, name, None)
            .await
    }

    /// Waits until probes are what the oracle says and prints how long that took. Says how many of them are denied.
    pub(crate) async fn converge(&self, probes: &[Probe], when: &str) -> Result<usize> {
        let expected = self.city.expected(probes).await?;
        self.converge_to(probes, &expected, when).await
    }

    /// The same with an expectation for each.
    pub(crate) async fn converge_to(
        &self,
        probes: &[Probe],
        expected: &[Verdict],
        when: &str,
    ) -> Result<usize> {
        let took = self.city.converge_to(probes, expected, when).await?;
        let denied = expected
            .iter()
            .filter(|verdict| **verdict == Verdict::Deny)
            .count();
        println!("{when}: {denied} of {} denied, after {took:?}", probes.len());
        Ok(denied)
    }

    /// The same, where some have to be denied and some allowed, or the test shows nothing.
    pub(crate) async fn converge_mixed(&self, probes: &[Probe], when: &str) -> Result<()> {
        let denied = self.converge(probes, when).await?;
        ensure!(denied > 0 && denied < probes.len(), "{when}: {denied} denied");
        Ok(())
    }
}

/// Everybody asks everybody on both ports.
pub(crate) fn everybody(hosts: &[&Host]) -> Vec<Probe> {
    let mut probes = between(hosts, hosts, PORT);
    probes.extend(between(hosts, hosts, OTHER_PORT));
    probes
}

/// A template of a pod that only has to be there.
pub(crate) fn idle(labels: &[(&str, &str)]) -> Value {
    template(labels, &json!({"name": "idle", "image": PAUSE}))
}

/// A template of a pod with one container.
pub(crate) fn template(labels: &[(&str, &str)], container: &Value) -> Value {
    let labels: std::collections::BTreeMap<_, _> = labels.iter().copied().collect();
    json!({
        "metadata": {"labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "containers": [container],
        },
    })
}

/// Sets a field of an object that is there.
pub(crate) fn set(document: &mut Value, pointer: &str, value: Value) -> Result<()> {
    let (parent, field) = pointer.rsplit_once('/').context("a pointer without a field")?;
    let parent = document.pointer_mut(parent).and_then(Value::as_object_mut);
    parent
        .with_context(|| format!("no object around {pointer}"))?
        .insert(field.to_owned(), value);
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
