//! etcd, the API server, the controller manager and the scheduler.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};

use super::certificates::Certificates;
use super::layout::Layout;
use super::machine::{Machine, Program};
use super::plan::{PORT, Plan, bare, listed, server};
use super::run::wait_for;

/// Names of the components.
pub const ETCD: &str = "etcd";
/// See [`ETCD`].
pub const API_SERVER: &str = "kube-apiserver";
/// See [`ETCD`].
pub const CONTROLLER_MANAGER: &str = "kube-controller-manager";
/// See [`ETCD`].
pub const SCHEDULER: &str = "kube-scheduler";

const READY_PATIENCE: Duration = Duration::from_mins(1);
const ETCD_CLIENTS: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";

/// Makes the certificates and client configurations of the control plane and of kube-proxy.
pub(crate) async fn certify(plan: &Plan, layout: &Layout) -> Result<Certificates> {
    let certificates = Certificates::create(layout.certificates()).await?;
    let mut addresses = bare(&plan.control_addresses());
    addresses.push(IpAddr::from([127, 0, 0, 1]));
    // The service of the API server has the first address of each service network.
    addresses.extend(
        plan.service_networks()
            .iter()
            .filter_map(|network| network.hosts().nth(usize::from(network.addr().is_ipv6()))),
    );
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
    ];
    certificates
        .issue("apiserver", "/CN=kube-apiserver", &addresses, &names)
        .await?;
    for (name, subject) in [
        ("admin", "/O=system:masters/CN=admin"),
        ("controller-manager", "/CN=system:kube-controller-manager"),
        ("scheduler", "/CN=system:kube-scheduler"),
        ("proxy", "/CN=system:kube-proxy"),
        ("kubelet-client", "/O=system:masters/CN=apiserver-kubelet-client"),
        ("flannel", "/CN=flannel"),
    ] {
        certificates.issue(name, subject, &[], &[]).await?;
        certificates.client_configuration(&layout.client_configuration(name), &server(), name)?;
    }
    Ok(certificates)
}

/// Starts etcd and the API server.
pub(crate) async fn serve(
    plan: &Plan,
    layout: &Layout,
    control: &Machine,
    keys: &Certificates,
) -> Result<()> {
    let etcd = Program::new(etcd(layout, "/var/lib/etcd"));
    control.component(ETCD).define(&etcd).await?;
    let address = bare(&plan.control_addresses());
    let address = address.first().context("the control plane has no address")?;
    let mut words = api_server(layout, keys, *address, &listed(plan.service_networks()));
    words.extend([
        format!(
            "--kubelet-client-certificate={}",
            keys.certificate("kubelet-client")
        ),
        format!("--kubelet-client-key={}", keys.key("kubelet-client")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
    ]);
    let server = Program::new(words);
    control.component(API_SERVER).define(&server).await
}

/// etcd and its arguments.
pub(crate) fn etcd(layout: &Layout, data: &str) -> Vec<String> {
    vec![
        layout.program(ETCD),
        format!("--data-dir={data}"),
        format!("--listen-client-urls={ETCD_CLIENTS}"),
        format!("--advertise-client-urls={ETCD_CLIENTS}"),
        format!("--listen-peer-urls={ETCD_PEERS}"),
        // A cluster for tests may lose what it stored when the machine loses power.
        "--unsafe-no-fsync".to_owned(),
    ]
}

/// The API server and its arguments, without those for kubelets.
pub(crate) fn api_server(
    layout: &Layout,
    keys: &Certificates,
    address: IpAddr,
    services: &str,
) -> Vec<String> {
    vec![
        layout.program("kube-apiserver"),
        format!("--etcd-servers={ETCD_CLIENTS}"),
        format!("--secure-port={PORT}"),
        format!("--advertise-address={address}"),
        format!("--tls-cert-file={}", keys.certificate("apiserver")),
        format!("--tls-private-key-file={}", keys.key("apiserver")),
        format!("--client-ca-file={}", keys.authority()),
        format!("--service-account-key-file={}", keys.service_account_public_key()),
        format!("--service-account-signing-key-file={}", keys.key("sa")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-cluster-ip-range={services}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
    ]
}

/// Waits until the API server answers.
pub(crate) async fn wait_until_ready(layout: &Layout, control: &Machine) -> Result<()> {
    let kubectl = layout.program("kubectl");
    let configuration = layout.client_configuration("admin").display().to_string();
    let words = [&kubectl, "--kubeconfig", &configuration, "get", "--raw=/readyz"];
    wait_for("the API server is ready", READY_PATIENCE, async || {
        let ended = control.run(&words, "", READY_PATIENCE).await.ok()?;
        ended.status.success().then_some(())
    })
    .await
}

/// Starts what works on the API server's objects.
pub(crate) async fn govern(layout: &Layout, control: &Machine, keys: &Certificates) -> Result<()> {
    let configuration = |name| format!("--kubeconfig={}", layout.client_configuration(name).display());
    let manager = Program::new([
        layout.program("kube-controller-manager"),
        configuration("controller-manager"),
        format!("--service-account-private-key-file={}", keys.key("sa")),
        format!("--root-ca-file={}", keys.authority()),
        "--use-service-account-credentials=true".to_owned(),
        "--leader-elect=false".to_owned(),
        // Nodes are made with their pod networks, so that each keeps the one that its CNI was told.
        "--controllers=*,-node-ipam-controller,-cloud-node-lifecycle-controller".to_owned(),
    ]);
    control.component(CONTROLLER_MANAGER).define(&manager).await?;
    let scheduler = Program::new([
        layout.program("kube-scheduler"),
        configuration("scheduler"),
        "--leader-elect=false".to_owned(),
    ]);
    control.component(SCHEDULER).define(&scheduler).await
}
