//! What makes pods: Deployments and their like, and which of them a pod says it belongs to.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use palisade_audit::inventory::{WorkloadKey, WorkloadKind};
use palisade_audit::style::visible;
use palisade_policy::model::{Pod, PodKey, PodUid};

use super::Decoded;
use super::field::Field;
use super::object::{key_of, labels, named_ports};

const SPEC: Field<'static> = Field::Root("spec");
const POD_SPEC: Field<'static> = Field::Named(&Field::Named(&SPEC, "template"), "spec");
const JOB_SPEC: Field<'static> = Field::Named(&Field::Named(&SPEC, "jobTemplate"), "spec");
const POD_SPEC_OF_CRON_JOB: Field<'static> = Field::Named(&Field::Named(&JOB_SPEC, "template"), "spec");

/// What makes pods, with a pod as it would make them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its place.
    pub key: WorkloadKey,
    /// What made it, as a Deployment makes `ReplicaSet`s.
    pub owner: Option<WorkloadKey>,
    /// How many pods it wants; `None` where the cluster decides.
    pub replicas: Option<u32>,
    /// A pod of its template, called like the workload, without node and addresses. Its UID cannot be that of a real pod.
    pub pod: Pod,
}

/// A kind of object that makes pods.
pub trait MakesPods {
    /// The kind.
    const KIND: WorkloadKind;
    /// The object's metadata.
    fn metadata(&self) -> &ObjectMeta;
    /// The pods' template, if there is one.
    fn template(&self) -> Option<&PodTemplateSpec>;
    /// How many pods it wants, by the API's defaults.
    fn replicas(&self) -> Option<i32>;
}

/// A workload.
pub fn workload<W: MakesPods>(object: &W) -> Decoded<Template> {
    let mut defects = Vec::new();
    let (namespace, name) = key_of(object.metadata());
    let template = object.template();
    let spec = template.and_then(|template| template.spec.as_ref());
    let field = match W::KIND {
        WorkloadKind::CronJob => POD_SPEC_OF_CRON_JOB,
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet
        | WorkloadKind::Job => POD_SPEC,
    };
    let pod = Pod {
        uid: PodUid::from(format!("{}/{namespace}/{name}", W::KIND)),
        key: PodKey::new(namespace, name),
        labels: template
            .and_then(|template| template.metadata.as_ref())
            .map(labels)
            .unwrap_or_default(),
        node: None,
        addresses: Vec::new(),
        ports: spec
            .map(|spec| named_ports(spec, &field, &mut defects))
            .unwrap_or_default(),
        host_network: spec.and_then(|spec| spec.host_network).unwrap_or_default(),
        finished: false,
        created: 0,
    };
    let object = Template {
        key: WorkloadKey {
            kind: W::KIND,
            namespace: namespace.into(),
            name: name.into(),
        },
        owner: owner(object.metadata()),
        replicas: object
            .replicas()
            .map(|replicas| u32::try_from(replicas).unwrap_or(0)),
        pod,
    };
    Decoded { object, defects }
}

/// The workload that an object says made it: the owner that is its controller (`metadata.ownerReferences`). Of a pod of a
/// Deployment that is the `ReplicaSet` in between.
pub fn owner(metadata: &ObjectMeta) -> Option<WorkloadKey> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    let (group, _) = owner.api_version.split_once('/')?;
    let kind = workload_kind(group, &owner.kind)?;
    let (namespace, _) = key_of(metadata);
    Some(WorkloadKey {
        kind,
        namespace: namespace.into(),
        name: visible(&owner.name).into(),
    })
}

/// The kind of workload that is called so in this API group.
pub(crate) fn workload_kind(group: &str, name: &str) -> Option<WorkloadKind> {
    let kind = WorkloadKind::ALL.into_iter().find(|kind| kind.as_str() == name)?;
    let home = match kind {
        WorkloadKind::Deployment
        | WorkloadKind::StatefulSet
        | WorkloadKind::DaemonSet
        | WorkloadKind::ReplicaSet => "apps",
        WorkloadKind::Job | WorkloadKind::CronJob => "batch",
    };
    (home == group).then_some(kind)
}

macro_rules! makes_pods {
    ($($kind:ident $spec:ident: $template:expr, $replicas:expr;)*) => {$(
        impl MakesPods for $kind {
            const KIND: WorkloadKind = WorkloadKind::$kind;

            fn metadata(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn template(&self) -> Option<&PodTemplateSpec> {
                let $spec = self.spec.as_ref()?;
                $template
            }

            fn replicas(&self) -> Option<i32> {
                let $spec = self.spec.as_ref();
                $replicas
            }
        }
    )*};
}

// A node more or less is a pod more or less of a DaemonSet. The others want one pod where they say nothing.
makes_pods! {
    Deployment spec: Some(&spec.template), Some(spec.and_then(|spec| spec.replicas).unwrap_or(1));
    StatefulSet spec: Some(&spec.template), Some(spec.and_then(|spec| spec.replicas).unwrap_or(1));
    DaemonSet spec: Some(&spec.template), spec.and(None);
    ReplicaSet spec: spec.template.as_ref(), Some(spec.and_then(|spec| spec.replicas).unwrap_or(1));
    Job spec: Some(&spec.template), Some(at_once(spec));
    CronJob spec: spec.job_template.spec.as_ref().map(|job| &job.template),
        Some(at_once(spec.and_then(|spec| spec.job_template.spec.as_ref())));
}

/// How many pods of a Job run at once.
fn at_once(spec: Option<&JobSpec>) -> i32 {
    spec.and_then(|spec| spec.parallelism).unwrap_or(1)
}
