//! A node: containerd, kubelet and kube-proxy, configured as on a host of their own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::certificates::Certificates;
use super::layout::Layout;
use super::machine::{Machine, Program};
use super::plan::{NodeNumber, Plan, bare, listed, server};
use super::run::wait_for;

/// Names of the components.
pub const CONTAINERD: &str = "containerd";
/// See [`CONTAINERD`].
pub const KUBELET: &str = "kubelet";
/// See [`CONTAINERD`].
pub const KUBE_PROXY: &str = "kube-proxy";

const CONTAINERD_PATIENCE: Duration = Duration::from_secs(20);
const IMPORT_PATIENCE: Duration = Duration::from_mins(2);
const SOCKET: &str = "/run/containerd/containerd.sock";

/// The image that holds a pod's namespaces.
pub const PAUSE: &str = "registry.k8s.io/pause:3.10.2";

/// Starts containerd and waits until it answers.
pub(crate) async fn start_containerd(machine: &Machine) -> Result<()> {
    let configuration = machine.state().join("containerd.toml");
    fs::write(&configuration, containerd_configuration())
        .context("writing the configuration of containerd")?;
    let program = Program::new(["containerd", "--config", &configuration.display().to_string()]);
    machine.component(CONTAINERD).define(&program).await?;
    let socket = machine.path(SOCKET)?;
    let what = format!("containerd of {} listens", machine.name());
    wait_for(&what, CONTAINERD_PATIENCE, async || socket.exists().then_some(())).await
}

/// Gives the node an image from an archive.
pub(crate) async fn import(machine: &Machine, archive: &Path) -> Result<()> {
    let archive = archive.display().to_string();
    let words = ["ctr", "--namespace=k8s.io", "images", "import", &archive];
    machine.succeed(&words, "", IMPORT_PATIENCE).await.map(drop)
}

/// The Node object, as it is before its kubelet has told anything.
pub(crate) fn object(plan: &Plan, node: NodeNumber) -> Value {
    let networks: Vec<String> = plan.pod_networks(node).iter().map(ToString::to_string).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name()},
        "spec": {"podCIDR": networks.first(), "podCIDRs": networks},
    })
}

/// Starts kubelet and kube-proxy.
pub(crate) async fn join(
    plan: &Plan,
    layout: &Layout,
    machine: &Machine,
    node: NodeNumber,
    keys: &Certificates,
) -> Result<()> {
    let name = node.name();
    let addresses = bare(&plan.node_addresses(node));
    let subject = format!("/O=system:nodes/CN=system:node:{name}");
    keys.issue(&name, &subject, &addresses, &[&name]).await?;
    let own = layout.client_configuration(&name);
    keys.client_configuration(&own, &server(), &name)?;

    let configuration = write(machine, "kubelet.json", &kubelet_configuration(keys, &name))?;
    let kubelet = Program::new([
        layout.program("kubelet"),
        format!("--config={configuration}"),
        format!("--kubeconfig={}", own.display()),
        format!("--hostname-override={name}"),
        format!("--node-ip={}", listed(&addresses)),
        "--v=2".to_owned(),
    ]);
    machine.component(KUBELET).define(&kubelet).await?;

    let configuration = write(machine, "proxy.json", &proxy_configuration(plan, layout, &name))?;
    let proxy = Program::new([layout.program("kube-proxy"), format!("--config={configuration}")]);
    machine.component(KUBE_PROXY).define(&proxy).await
}

fn write(machine: &Machine, file: &str, document: &Value) -> Result<String> {
    let path = machine.state().join(file);
    fs::write(&path, format!("{document:#}\n")).with_context(|| format!("writing {}", path.display()))?;
    Ok(path.display().to_string())
}

fn containerd_configuration() -> String {
    format!(
        r#"version = 2
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"#
    )
}

fn kubelet_configuration(keys: &Certificates, name: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": keys.authority()},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": keys.certificate(name),
        "tlsPrivateKeyFile": keys.key(name),
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "resolvConf": "/etc/resolv.conf",
        "maxPods": 250,
        // A disk that the machine shares with everything else must not evict pods, nor lose images that no registry has.
        "evictionHard": {
            "memory.available": "100Mi", "nodefs.available": "0%", "imagefs.available": "0%", "nodefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "registerNode": true,
    })
}

fn proxy_configuration(plan: &Plan, layout: &Layout, name: &str) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": layout.client_configuration("proxy")},
        "mode": "nftables",
        "clusterCIDR": listed(plan.cluster_networks()),
        "hostnameOverride": name,
        // The table of connections is the kernel's, not the namespace's.
        "conntrack": {"maxPerCore": 0},
    })
}
