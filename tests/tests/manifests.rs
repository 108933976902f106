//! What `config/install.yaml` asks a cluster for: nothing unknown, nothing more than is needed, and of this version.
//!
//! That the file is what kustomize renders is checked by `make check-manifests`, which needs Go.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot look must fail"
)]

use std::iter;
use std::path::Path;

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Namespace, PodSpec, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use palisade_audit::style::Style;
use palisade_controller::cli::{Exit, Streams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const NAMESPACE: &str = "palisade-system";

/// The documents of a file under `config/`.
fn documents(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap()
}

/// The one object of that kind and name in the file.
fn object<T: DeserializeOwned>(file: &str, kind: &str, name: &str) -> T {
    let mut found: Vec<Value> = documents(file)
        .into_iter()
        .filter(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .collect();
    assert_eq!(found.len(), 1, "{kind} {name} in {file}");
    serde_json::from_value(found.remove(0)).unwrap()
}

/// What the API's type keeps of an object, which is all of it unless a field is misspelt.
fn kept<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<T>(object.clone()).unwrap()).unwrap()
}

/// The pods of both programs, and those of the removal, with the file that says so.
fn pods() -> [(&'static str, PodSpec); 3] {
    let controller: Deployment = object("install.yaml", "Deployment", "palisade-controller");
    let enforcer: DaemonSet = object("install.yaml", "DaemonSet", "palisade-enforcer");
    let cleanup: DaemonSet = object("uninstall.yaml", "DaemonSet", "palisade-enforcer");
    [
        ("controller", controller.spec.unwrap().template.spec.unwrap()),
        ("enforcer", enforcer.spec.unwrap().template.spec.unwrap()),
        ("cleanup", cleanup.spec.unwrap().template.spec.unwrap()),
    ]
}

fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

#[test]
fn the_installation_is_these_objects_and_no_field_is_unknown() {
    let mut names = Vec::new();
    for file in ["install.yaml", "uninstall.yaml"] {
        for object in documents(file) {
            let kind = object["kind"].as_str().unwrap();
            let kept = match kind {
                "ClusterRole" => kept::<ClusterRole>(&object),
                "ClusterRoleBinding" => kept::<ClusterRoleBinding>(&object),
                // Compared with its type below.
                "CustomResourceDefinition" => object.clone(),
                "DaemonSet" => kept::<DaemonSet>(&object),
                "Deployment" => kept::<Deployment>(&object),
                "Namespace" => kept::<Namespace>(&object),
                "PodDisruptionBudget" => kept::<PodDisruptionBudget>(&object),
                "Role" => kept::<Role>(&object),
                "RoleBinding" => kept::<RoleBinding>(&object),
                "ServiceAccount" => kept::<ServiceAccount>(&object),
                "ValidatingAdmissionPolicy" => kept::<ValidatingAdmissionPolicy>(&object),
                "ValidatingAdmissionPolicyBinding" => kept::<ValidatingAdmissionPolicyBinding>(&object),
                other => panic!("{file} holds a {other}"),
            };
            assert_eq!(kept, object, "{file}: the API would not take all of this");
            let metadata = &object["metadata"];
            let of_a_namespace = metadata.get("namespace").is_some();
            assert!(
                !of_a_namespace || metadata["namespace"] == NAMESPACE,
                "{metadata}"
            );
            names.push(format!("{kind} {}", metadata["name"].as_str().unwrap()));
        }
    }
    assert_eq!(
        names,
        [
            "Namespace palisade-system",
            "CustomResourceDefinition addressgroups.palisade.dev",
            "CustomResourceDefinition noderulesets.palisade.dev",
            "CustomResourceDefinition podslices.palisade.dev",
            "CustomResourceDefinition policyslices.palisade.dev",
            "ServiceAccount palisade-controller",
            "ServiceAccount palisade-enforcer",
            "Role palisade-controller",
            "ClusterRole palisade-controller",
            "ClusterRole palisade-enforcer",
            "RoleBinding palisade-controller",
            "ClusterRoleBinding palisade-controller",
            "ClusterRoleBinding palisade-enforcer",
            "Deployment palisade-controller",
            "PodDisruptionBudget palisade-controller",
            "ValidatingAdmissionPolicy palisade-own-status",
            "ValidatingAdmissionPolicyBinding palisade-own-status",
            "DaemonSet palisade-enforcer",
            "DaemonSet palisade-enforcer",
        ]
    );
}

#[test]
fn the_definitions_are_those_of_the_types() {
    for definition in palisade_crds::crds() {
        let name = definition.metadata.name.clone().unwrap();
        let installed: CustomResourceDefinition = object("install.yaml", "CustomResourceDefinition", &name);
        let (installed, definition) = (value(&installed), value(&definition));
        assert!(
            installed["spec"] == definition["spec"],
            "{name} is out of date: make manifests"
        );
    }
}

#[test]
fn the_roles_allow_what_is_used_and_nothing_else() {
    let read = ["get", "list", "watch"];
    let controller: ClusterRole = object("install.yaml", "ClusterRole", "palisade-controller");
    assert_eq!(
        value(&controller.rules),
        json!([
            { "apiGroups": [""], "resources": ["pods", "namespaces", "nodes"], "verbs": read },
            { "apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": read },
            {
                "apiGroups": ["palisade.dev"],
                "resources": ["noderulesets", "podslices", "policyslices", "addressgroups"],
                "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
            },
            { "apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"] },
        ])
    );
    let lease: Role = object("install.yaml", "Role", "palisade-controller");
    assert_eq!(
        value(&lease.rules),
        json!([
            { "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"] },
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "resourceNames": ["palisade-controller"],
                "verbs": ["get", "update"],
            },
        ])
    );
    let enforcer: ClusterRole = object("install.yaml", "ClusterRole", "palisade-enforcer");
    assert_eq!(
        value(&enforcer.rules),
        json!([
            { "apiGroups": ["palisade.dev"], "resources": ["noderulesets", "podslices", "policyslices", "addressgroups"], "verbs": read },
            { "apiGroups": ["palisade.dev"], "resources": ["noderulesets/status"], "verbs": ["patch"] },
        ])
    );
}

#[test]
fn each_role_is_bound_to_its_own_service_account_alone() {
    for (kind, role, name) in [
        ("ClusterRoleBinding", "ClusterRole", "palisade-controller"),
        ("ClusterRoleBinding", "ClusterRole", "palisade-enforcer"),
        ("RoleBinding", "Role", "palisade-controller"),
    ] {
        let binding: Value = object("install.yaml", kind, name);
        assert_eq!(
            binding["roleRef"],
            json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name })
        );
        assert_eq!(
            binding["subjects"],
            json!([{ "kind": "ServiceAccount", "name": name, "namespace": NAMESPACE }])
        );
    }
}

#[test]
fn no_container_may_do_more_than_its_work() {
    let profile = json!({ "type": "RuntimeDefault" });
    let root = json!({ "runAsUser": 0, "runAsGroup": 0, "seccompProfile": profile });
    for (name, pod) in pods() {
        let (user, capabilities) = match name {
            "controller" => (
                json!({ "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": profile }),
                json!({ "drop": ["ALL"] }),
            ),
            _ => (root.clone(), json!({ "drop": ["ALL"], "add": ["NET_ADMIN"] })),
        };
        assert_eq!(value(&pod.security_context), user, "{name}");
        for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
            let expected = json!({
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": capabilities,
            });
            assert_eq!(value(&container.security_context), expected, "{name}");
        }
        let volumes = if name == "enforcer" {
            json!([{ "name": "cni", "hostPath": { "path": "/var/lib/cni", "type": "DirectoryOrCreate" } }])
        } else {
            Value::Null
        };
        assert_eq!(value(&pod.volumes), volumes, "{name}");
        let mounts = pod.containers[0].volume_mounts.iter().flatten();
        assert!(
            mounts.into_iter().all(|mount| mount.read_only == Some(true)),
            "{name}"
        );
        assert_eq!((pod.host_pid, pod.host_ipc), (None, None), "{name}");
    }
}

#[test]
fn a_token_is_mounted_only_where_it_is_used() {
    for name in ["palisade-controller", "palisade-enforcer"] {
        let account: ServiceAccount = object("install.yaml", "ServiceAccount", name);
        assert_eq!(account.automount_service_account_token, Some(false), "{name}");
    }
    let mounted = pods().map(|(name, pod)| (name, pod.automount_service_account_token));
    let expected = [
        ("controller", Some(true)),
        ("enforcer", Some(true)),
        ("cleanup", Some(false)),
    ];
    assert_eq!(mounted, expected);
}

#[test]
fn nothing_depends_on_the_pod_network() {
    for (name, pod) in pods() {
        assert_eq!(pod.host_network, Some(true), "{name}");
        assert_eq!(pod.dns_policy.as_deref(), Some("Default"), "{name}");
    }
}

#[test]
fn every_node_has_an_enforcer_whatever_its_taints() {
    let [_, enforcer, cleanup] = pods();
    for (name, pod) in [enforcer, cleanup] {
        assert_eq!(
            value(&pod.tolerations),
            json!([{ "operator": "Exists" }]),
            "{name}"
        );
        assert_eq!(
            pod.priority_class_name.as_deref(),
            Some("system-node-critical"),
            "{name}"
        );
        assert_eq!(
            value(&pod.node_selector),
            json!({ "kubernetes.io/os": "linux" }),
            "{name}"
        );
        assert_eq!(pod.affinity, None, "{name}");
    }
}

#[test]
fn the_images_are_those_of_this_version() {
    for (name, pod) in pods() {
        let image = if name == "controller" {
            "controller"
        } else {
            "enforcer"
        };
        for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
            let expected = format!("palisade.dev/{image}:{}", env!("CARGO_PKG_VERSION"));
            assert_eq!(container.image.as_ref(), Some(&expected));
            assert_eq!(container.image_pull_policy.as_deref(), Some("IfNotPresent"));
            assert_eq!(
                container.command, None,
                "{name}: the image says which program it is"
            );
        }
    }
}

#[test]
fn the_programs_know_the_arguments_that_they_are_given() {
    for (name, pod) in pods() {
        for container in pod.containers.iter().chain(pod.init_containers.iter().flatten()) {
            // What stands before `--help` has to be right for help to be given.
            let arguments = container.args.iter().flatten().map(String::as_str);
            let arguments = arguments.chain(["--help"]);
            let said = if name == "controller" {
                controller(arguments)
            } else {
                enforcer(arguments)
            };
            assert_eq!(said, None, "{name}");
        }
    }
}

/// What the controller's program has against the arguments.
fn controller<'a>(arguments: impl Iterator<Item = &'a str>) -> Option<String> {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut streams = Streams {
        input: &mut std::io::empty(),
        output: &mut output,
        errors: &mut errors,
        style: Style::PLAIN,
        watched: false,
    };
    let arguments = iter::once("palisade").chain(arguments).map(Into::into);
    let exit = palisade_controller::cli::run(arguments, &mut streams).unwrap();
    (exit == Exit::Failure).then(|| String::from_utf8(errors).unwrap())
}

/// What the enforcer's program has against the arguments.
fn enforcer<'a>(arguments: impl Iterator<Item = &'a str>) -> Option<String> {
    let arguments = iter::once("palisade-enforcer").chain(arguments);
    let answer = palisade_enforcer::cli::command()
        .try_get_matches_from(arguments)
        .unwrap_err();
    answer.use_stderr().then(|| answer.to_string())
}

#[test]
fn an_enforcer_is_held_to_its_own_node_without_exception() {
    let policy: ValidatingAdmissionPolicy =
        object("install.yaml", "ValidatingAdmissionPolicy", "palisade-own-status");
    let policy = policy.spec.unwrap();
    assert_eq!(policy.failure_policy.as_deref(), Some("Fail"));
    let account = format!("system:serviceaccount:{NAMESPACE}:palisade-enforcer");
    let conditions = policy.match_conditions.unwrap();
    assert_eq!(conditions.len(), 1);
    assert_eq!(
        conditions[0].expression,
        format!("request.userInfo.username == \"{account}\"")
    );
    let binding: ValidatingAdmissionPolicyBinding = object(
        "install.yaml",
        "ValidatingAdmissionPolicyBinding",
        "palisade-own-status",
    );
    assert_eq!(
        value(&binding.spec),
        json!({ "policyName": "palisade-own-status", "validationActions": ["Deny"] })
    );
}
