//! Objects of the API server: applied, awaited, read back for the oracle.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt};
use palisade_controller::decode;
use palisade_policy::cluster::{ClusterState, Event};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Who applies.
const MANAGER: &str = "palisade-tests";

/// How often the API server is asked again while something is awaited.
const LOOK: Duration = Duration::from_millis(50);

/// The objects of a cluster.
#[derive(Clone)]
pub struct Objects {
    client: Client,
}

/// What is asked of a kind that lives in a namespace.
pub trait Namespaced:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl<K> Namespaced for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

impl Objects {
    /// Those that `client` reaches.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes a namespace, or gives it these labels and no others of ours.
    pub async fn namespace(&self, name: &str, labels: &[(&str, &str)]) -> Result<()> {
        let labels: std::collections::BTreeMap<_, _> = labels.iter().copied().collect();
        let document = serde_json::json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels },
        });
        let api = Api::<core::Namespace>::all(self.client.clone());
        let applied = api.patch(name, &params(), &Patch::Apply(document)).await;
        applied.with_context(|| format!("applying namespace {name}"))?;
        Ok(())
    }

    /// Deletes a namespace with all that is in it, and waits until it is gone.
    pub async fn delete_namespace(&self, name: &str, patience: Duration) -> Result<()> {
        let api = Api::<core::Namespace>::all(self.client.clone());
        api.delete(name, &DeleteParams::default()).await?;
        let gone = async || Ok(api.get_opt(name).await?.is_none().then_some(()));
        until(patience, &format!("the end of namespace {name}"), gone).await
    }

    /// Applies an object, given as its manifest. Its kind must be `K`.
    pub async fn apply<K: Namespaced>(&self, namespace: &str, manifest: Value) -> Result<K> {
        let name = manifest
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .context("a manifest without a name")?
            .to_owned();
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        let mut manifest = manifest;
        if let Some(fields) = manifest.as_object_mut() {
            fields.insert("apiVersion".into(), K::api_version(&()).into());
            fields.insert("kind".into(), K::kind(&()).into());
        }
        let applied = api.patch(&name, &params(), &Patch::Apply(manifest)).await;
        applied.with_context(|| format!("applying {} {namespace}/{name}", K::kind(&())))
    }

    /// Deletes an object, with `grace` seconds for what it runs. That it is gone already is fine.
    pub async fn delete<K: Namespaced>(&self, namespace: &str, name: &str, grace: Option<u32>) -> Result<()> {
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        let parameters = DeleteParams {
            grace_period_seconds: grace,
            ..DeleteParams::default()
        };
        match api.delete(name, &parameters).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error).with_context(|| format!("deleting {} {namespace}/{name}", K::kind(&()))),
            Ok(_) => Ok(()),
        }
    }

    /// Waits until an object is there and something holds of it.
    pub async fn await_object<K: Namespaced>(
        &self,
        namespace: &str,
        name: &str,
        patience: Duration,
        holds: impl Fn(&K) -> bool,
    ) -> Result<K> {
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        let what = format!("{} {namespace}/{name}", K::kind(&()));
        until(patience, &what, async || {
            Ok(api.get_opt(name).await?.filter(&holds))
        })
        .await
    }

    /// Waits until an object is gone.
    pub async fn await_absence<K: Namespaced>(
        &self,
        namespace: &str,
        name: &str,
        patience: Duration,
    ) -> Result<()> {
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        let what = format!("the end of {} {namespace}/{name}", K::kind(&()));
        until(patience, &what, async || {
            Ok(api.get_opt(name).await?.is_none().then_some(()))
        })
        .await
    }

    /// The objects of a namespace with these labels.
    pub async fn list<K: Namespaced>(&self, namespace: &str, selector: &str) -> Result<Vec<K>> {
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        Ok(api.list(&ListParams::default().labels(selector)).await?.items)
    }

    /// All objects of a kind, of all namespaces.
    async fn all<K>(&self) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api = Api::<K>::all(self.client.clone());
        let listed = api.list(&ListParams::default()).await;
        Ok(listed.with_context(|| format!("listing {}", K::kind(&())))?.items)
    }

    /// Everything that a policy can depend on, as it is now.
    pub async fn state(&self) -> Result<ClusterState> {
        let namespaces = self.all::<core::Namespace>();
        let nodes = self.all::<core::Node>();
        let (pods, policies) = (self.all::<core::Pod>(), self.all::<NetworkPolicy>());
        let (namespaces, nodes, pods, policies) = tokio::try_join!(namespaces, nodes, pods, policies)?;
        let mut state = ClusterState::default();
        for object in &namespaces {
            state.apply(Event::NamespaceApplied(decode::namespace(object).strict()?));
        }
        for object in &nodes {
            state.apply(Event::NodeApplied(decode::node(object).strict()?));
        }
        for object in &pods {
            state.apply(Event::PodApplied(decode::pod(object).strict()?));
        }
        for object in &policies {
            let name = object.name_any();
            let policy = decode::strict(decode::policy(object));
            state.apply(Event::PolicyApplied(policy.with_context(|| name)?));
        }
        Ok(state)
    }
}

fn params() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

/// Asks until there is an answer.
pub async fn until<T>(patience: Duration, what: &str, ask: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited {patience:?} in vain for {what}");
        }
        tokio::time::sleep(LOOK).await;
    }
}
