//! The cluster at the API server: all objects of a workload, and pods that go and come.

use std::collections::HashSet;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1 as api;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ClusterResourceScope, NamespaceResourceScope};
use kube::{Client, Resource};
use palisade_controller::decode;
use palisade_crds::{AddressGroup, NodeRuleSet, PodSlice, PolicySlice, crds};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::Pod;
use palisade_tests::cluster::wait_for;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::bench::controller::NAMESPACE;
use crate::stub::objects;

/// Requests at a time while the cluster is made.
const AT_A_TIME: usize = 32;

/// The longest that an API server takes to begin.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between the pods that are replaced one after the other: a prime, so that each has its turn before one has another.
const STRIDE: usize = 7_919;

/// What stands between the name of a pod that was replaced and the number of the change.
pub(super) const BORN: &str = "-born-";

/// When each change was asked for, by its number: when the pod that comes was to get its address.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Arc<RwLock<Vec<Instant>>>);

impl Changes {
    /// How long ago a pod of this name came; `None` if it was there from the start.
    pub(super) fn age(&self, name: &str, now: Instant) -> Option<(u32, Duration)> {
        let (_, number) = name.rsplit_once(BORN)?;
        let number: u32 = number.parse().ok()?;
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let asked = all.get(usize::try_from(number).ok()?)?;
        Some((number, now.saturating_duration_since(*asked)))
    }

    fn next(&self) -> usize {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.push(Instant::now());
        all.len() - 1
    }

    /// It is only asked for now.
    fn ask(&self, number: usize) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = all.get_mut(number) {
            *asked = Instant::now();
        }
    }
}

/// The changes that somebody has heard of.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Those before this one are none of his.
    first: u32,
    numbers: HashSet<u32>,
}

impl Heard {
    /// Of somebody who begins now.
    pub(super) fn from_now(changes: &Changes) -> Self {
        let all = changes.0.read().unwrap_or_else(PoisonError::into_inner);
        Self {
            first: u32::try_from(all.len()).unwrap_or(u32::MAX),
            numbers: HashSet::new(),
        }
    }

    /// Whether this one is heard of for the first time.
    pub(super) fn is_new(&mut self, number: u32) -> bool {
        number >= self.first && self.numbers.insert(number)
    }
}

/// The cluster, as it should be; the API server has the same.
pub(super) struct World {
    client: Client,
    /// What there is.
    pub(super) state: ClusterState,
    pods: Vec<Pod>,
    at: usize,
    /// Its changes.
    pub(super) changes: Changes,
}

impl World {
    /// Waits for the API server and makes everything.
    pub(super) async fn create(client: Client, events: Vec<Event>) -> Result<Self> {
        wait_for("the API server is ready", PATIENCE, async || {
            let request = http::Request::get("/readyz").body(Vec::new()).ok()?;
            client.request_text(request).await.ok()
        })
        .await?;
        install(&client).await?;
        let (mut state, mut pods) = (ClusterState::default(), Vec::new());
        for event in events {
            match event {
                Event::PodApplied(pod) => pods.push(pod),
                event => {
                    create(&client, &event).await?;
                    state.apply(event);
                }
            }
        }
        let made = stream::iter(pods.into_iter().map(|pod| born(client.clone(), pod, || {})));
        let pods: Vec<Pod> = made.buffered(AT_A_TIME).try_collect().await?;
        for pod in &pods {
            state.apply(Event::PodApplied(pod.clone()));
        }
        Ok(Self {
            client,
            state,
            pods,
            at: 0,
            changes: Changes::default(),
        })
    }

    /// So many changes a second, for so long: a pod goes, and one like it comes to its place. Ends when all have been carried out.
    pub(super) async fn churn(&mut self, rate: u32, seconds: u32) -> Result<()> {
        let began = Instant::now();
        let mut running = JoinSet::new();
        for nth in 1..=rate * seconds / 2 {
            let pods = self.pods.len();
            self.at = (self.at + STRIDE) % pods;
            let old = self.pods.get(self.at).context("no pods")?.clone();
            running.spawn(replace(self.client.clone(), self.at, old, self.changes.clone()));
            tokio::time::sleep_until((began + Duration::from_secs(2) * nth / rate).into()).await;
        }
        while let Some(done) = running.join_next().await {
            let (at, new) = done.context("a change has panicked")??;
            let old = self.pods.get_mut(at).context("no such pod")?;
            self.state.apply(Event::PodDeleted(old.uid.clone()));
            self.state.apply(Event::PodApplied(new.clone()));
            *old = new;
        }
        Ok(())
    }
}

/// What `make manifests` installs, as far as an API server alone has to do with it.
async fn install(client: &Client) -> Result<()> {
    for definition in crds() {
        post(&Api::<CustomResourceDefinition>::all(client.clone()), &definition).await?;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/enforcer/rbac.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).with_context(|| format!("reading {}", path.display()))?;
    for document in documents {
        match document.get("kind").and_then(Value::as_str) {
            Some("ClusterRole") => {
                post(&Api::<ClusterRole>::all(client.clone()), &read(document)?).await?;
            }
            Some("ClusterRoleBinding") => {
                post(&Api::<ClusterRoleBinding>::all(client.clone()), &read(document)?).await?;
            }
            // Who it is, it says by certificate.
            Some("ServiceAccount") => {}
            other => anyhow::bail!("{} has a {other:?}", path.display()),
        }
    }
    let own = json!({ "metadata": { "name": NAMESPACE } });
    post(&Api::<api::Namespace>::all(client.clone()), &read(own)?).await?;
    served::<NodeRuleSet>(client).await?;
    served::<PodSlice>(client).await?;
    served::<PolicySlice>(client).await?;
    served::<AddressGroup>(client).await
}

async fn served<K>(client: &Client) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api = Api::<K>::all(client.clone());
    let what = format!("{} are served", K::plural(&()));
    wait_for(&what, PATIENCE, async || {
        api.list(&ListParams::default().limit(1)).await.ok()
    })
    .await?;
    Ok(())
}

/// Makes an object that is no pod.
async fn create(client: &Client, event: &Event) -> Result<()> {
    match event {
        Event::NamespaceApplied(namespace) => {
            let object = read(objects::of_namespace(namespace))?;
            post(&Api::<api::Namespace>::all(client.clone()), &object).await?;
            // Without it there are no pods.
            let account = json!({ "metadata": { "name": "default" } });
            let accounts: Api<api::ServiceAccount> = of(client, namespace.name.as_str());
            post(&accounts, &read(account)?).await
        }
        Event::NodeApplied(node) => {
            let object = read(objects::of_node(node))?;
            post(&Api::<api::Node>::all(client.clone()), &object).await
        }
        Event::PolicyApplied(policy) => {
            let policies: Api<NetworkPolicy> = of(client, policy.key.namespace.as_str());
            post(&policies, &read(objects::of_policy(policy))?).await
        }
        other => anyhow::bail!("a workload has {other:?}"),
    }
}

/// Makes a pod and gives it its address, as a kubelet would, after `asks`; gives it as the API has it then.
async fn born(client: Client, pod: Pod, asks: impl FnOnce()) -> Result<Pod> {
    let pods: Api<api::Pod> = of(&client, pod.key.namespace.as_str());
    let document = objects::of_pod(&pod);
    let ips = document
        .pointer("/status/podIPs")
        .context("a pod without a status")?;
    let ip = ips.pointer("/0/ip").context("a pod without an address")?;
    let phase = document.pointer("/status/phase");
    let status = json!({ "phase": phase, "podIP": ip, "podIPs": ips });
    post(&pods, &read(document.clone())?).await?;
    let patch = Patch::Merge(json!({ "status": status }));
    asks();
    let stored = pods
        .patch_status(&pod.key.name, &PatchParams::default(), &patch)
        .await
        .with_context(|| format!("giving {} its address", pod.key))?;
    decoded(&stored)
}

async fn replace(client: Client, at: usize, old: Pod, changes: Changes) -> Result<(usize, Pod)> {
    let pods: Api<api::Pod> = of(&client, old.key.namespace.as_str());
    let number = changes.next();
    let now = DeleteParams::default().grace_period(0);
    pods.delete(&old.key.name, &now)
        .await
        .with_context(|| format!("deleting {}", old.key))?;
    let name = old
        .key
        .name
        .rsplit_once(BORN)
        .map_or(&*old.key.name, |(name, _)| name);
    let mut new = old.clone();
    new.key.name = format!("{name}{BORN}{number}").into();
    Ok((at, born(client, new, || changes.ask(number)).await?))
}

fn decoded(object: &api::Pod) -> Result<Pod> {
    let decoded = decode::pod(object);
    ensure!(
        decoded.defects.is_empty(),
        "a pod came back with {:?}",
        decoded.defects
    );
    Ok(decoded.object)
}

fn of<K>(client: &Client, namespace: &str) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Api::namespaced(client.clone(), namespace)
}

async fn post<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Serialize,
{
    let name = object.meta().name.clone().unwrap_or_default();
    let made = api.create(&PostParams::default(), object).await;
    made.map(drop)
        .with_context(|| format!("making {} {name}", K::kind(&())))
}

fn read<K: DeserializeOwned>(document: Value) -> Result<K> {
    serde_json::from_value(document).context("an object is not what the API knows")
}
