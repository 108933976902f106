//! What a snapshot keeps of an object.
//!
//! What is listed here is kept and nothing else: what a future version of Kubernetes adds, and what people put into
//! annotations, arguments and environments, is left out without being known.

use palisade_audit::inventory::WorkloadKind;
use serde_json::Value;

use super::kind::Kind;

/// Which parts of a value are kept.
enum Kept {
    /// All of it.
    Whole,
    /// These fields.
    Fields(&'static [(&'static str, Kept)]),
    /// Of each entry, this.
    Each(&'static Kept),
}

use Kept::{Each, Fields, Whole};

const NAME: (&str, Kept) = (
    "metadata",
    Fields(&[
        ("name", Whole),
        ("namespace", Whole),
        ("uid", Whole),
        ("labels", Whole),
        ("creationTimestamp", Whole),
        (
            "ownerReferences",
            Each(&Fields(&[
                ("apiVersion", Whole),
                ("kind", Whole),
                ("name", Whole),
                ("uid", Whole),
                ("controller", Whole),
            ])),
        ),
    ]),
);

const CONTAINERS: Kept = Each(&Fields(&[
    ("name", Whole),
    (
        "ports",
        Each(&Fields(&[
            ("name", Whole),
            ("containerPort", Whole),
            ("protocol", Whole),
        ])),
    ),
]));

const POD_SPEC: (&str, Kept) = (
    "spec",
    Fields(&[
        ("nodeName", Whole),
        ("hostNetwork", Whole),
        ("containers", CONTAINERS),
        ("initContainers", CONTAINERS),
    ]),
);

const TEMPLATE: (&str, Kept) = (
    "template",
    Fields(&[("metadata", Fields(&[("labels", Whole)])), POD_SPEC]),
);

const POD: Kept = Fields(&[
    NAME,
    POD_SPEC,
    (
        "status",
        Fields(&[
            ("phase", Whole),
            ("podIP", Whole),
            ("podIPs", Each(&Fields(&[("ip", Whole)]))),
        ]),
    ),
]);

const NODE: Kept = Fields(&[
    NAME,
    ("spec", Fields(&[("podCIDR", Whole), ("podCIDRs", Whole)])),
    (
        "status",
        Fields(&[("addresses", Each(&Fields(&[("type", Whole), ("address", Whole)])))]),
    ),
]);

const NAMESPACE: Kept = Fields(&[NAME]);

const SERVICE: Kept = Fields(&[
    NAME,
    (
        "spec",
        Fields(&[
            ("type", Whole),
            ("clusterIP", Whole),
            ("clusterIPs", Whole),
            ("selector", Whole),
            ("externalIPs", Whole),
            ("externalTrafficPolicy", Whole),
            (
                "ports",
                Each(&Fields(&[
                    ("name", Whole),
                    ("protocol", Whole),
                    ("port", Whole),
                    ("targetPort", Whole),
                    ("nodePort", Whole),
                ])),
            ),
        ]),
    ),
    (
        "status",
        Fields(&[(
            "loadBalancer",
            Fields(&[("ingress", Each(&Fields(&[("ip", Whole), ("ipMode", Whole)])))]),
        )]),
    ),
]);

const ENDPOINT_SLICE: Kept = Fields(&[
    NAME,
    ("addressType", Whole),
    ("endpoints", Each(&Fields(&[("addresses", Whole)]))),
    (
        "ports",
        Each(&Fields(&[("name", Whole), ("protocol", Whole), ("port", Whole)])),
    ),
]);

/// A workload; a selector is what the API requires besides the template.
const WORKLOAD: Kept = Fields(&[
    NAME,
    (
        "spec",
        Fields(&[
            ("replicas", Whole),
            ("parallelism", Whole),
            ("selector", Whole),
            TEMPLATE,
        ]),
    ),
]);

const CRON_JOB: Kept = Fields(&[
    NAME,
    (
        "spec",
        Fields(&[
            ("schedule", Whole),
            (
                "jobTemplate",
                Fields(&[("spec", Fields(&[("parallelism", Whole), TEMPLATE]))]),
            ),
        ]),
    ),
]);

/// What Palisade publishes is made from the rest, and has no secrets.
const PUBLISHED: Kept = Fields(&[
    (
        "metadata",
        Fields(&[("name", Whole), ("uid", Whole), ("labels", Whole)]),
    ),
    ("spec", Whole),
    ("status", Whole),
]);

/// The document, slimmed, as JSON in one line. Reading it gives the object that reading `document` gives, defects included.
pub(super) fn slimmed(kind: Kind, mut document: Value) -> String {
    if kind == Kind::NetworkPolicy {
        // What is wrong in a policy counts too, so that it stays wrong; only what every object has is slimmed.
        if let Some(fields) = document.as_object_mut() {
            fields.remove("status");
        }
        if let Some(metadata) = document.get_mut("metadata") {
            prune(metadata, &NAME.1);
        }
    } else if let Some(fields) = document.as_object_mut() {
        let called = ["apiVersion", "kind"].map(|name| fields.remove_entry(name));
        prune(&mut document, kept(kind));
        if let Some(fields) = document.as_object_mut() {
            fields.extend(called.into_iter().flatten());
        }
    }
    document.to_string()
}

fn kept(kind: Kind) -> &'static Kept {
    match kind {
        Kind::Namespace => &NAMESPACE,
        Kind::Node => &NODE,
        Kind::Pod => &POD,
        Kind::NetworkPolicy => &Whole,
        Kind::Service => &SERVICE,
        Kind::EndpointSlice => &ENDPOINT_SLICE,
        Kind::Workload(WorkloadKind::CronJob) => &CRON_JOB,
        Kind::Workload(
            WorkloadKind::Deployment
            | WorkloadKind::StatefulSet
            | WorkloadKind::DaemonSet
            | WorkloadKind::ReplicaSet
            | WorkloadKind::Job,
        ) => &WORKLOAD,
        Kind::NodeRuleSet | Kind::PodSlice | Kind::PolicySlice | Kind::AddressGroup => &PUBLISHED,
    }
}

/// Takes out of a value what is not kept of it.
fn prune(value: &mut Value, kept: &Kept) {
    match (value, kept) {
        (_, Whole) => {}
        (Value::Object(fields), Fields(known)) => {
            let known = |name: &str| {
                known
                    .iter()
                    .find(|(field, _)| *field == name)
                    .map(|(_, kept)| kept)
            };
            fields.retain(|name, value| known(name).is_some() && !value.is_null());
            for (name, value) in fields {
                if let Some(kept) = known(name) {
                    prune(value, kept);
                }
            }
        }
        (Value::Array(entries), Each(kept)) => entries.iter_mut().for_each(|entry| prune(entry, kept)),
        // Of another type than it should be: there is nothing in it that is known to be harmless.
        (value, Fields(_) | Each(_)) => *value = Value::Null,
    }
}
