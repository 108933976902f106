//! flanneld on every node: VXLAN, told of the other nodes by the API server.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::cni;
use super::layout::Layout;
use super::machine::{Machine, Program};
use super::network::UPLINK;
use super::plan::{Cni, Families, NodeNumber, Plan};
use super::run::wait_for;

/// The name of the component.
pub const FLANNELD: &str = "flanneld";

const PATIENCE: Duration = Duration::from_secs(30);
/// What flanneld writes for the plugin that wires pods.
const SUBNET: &str = "/run/flannel/subnet.env";

/// What flanneld may do, as its own manifest gives it.
pub(crate) fn permissions() -> [Value; 2] {
    [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "flannel"},
            "rules": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
                {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "flannel"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "flannel"},
            "subjects": [{"kind": "User", "name": "flannel", "apiGroup": "rbac.authorization.k8s.io"}],
        }),
    ]
}

/// Starts flanneld, waits for the subnet that it got, and has the node's pods wired to a bridge on it.
pub(crate) async fn start(plan: &Plan, layout: &Layout, machine: &Machine, node: NodeNumber) -> Result<()> {
    let file = machine.state().join("flannel.json");
    fs::write(&file, format!("{:#}\n", configuration(plan)))
        .context("writing the configuration of flanneld")?;
    let program = Program::new([
        layout.program("flanneld"),
        "--kube-subnet-mgr".to_owned(),
        "--ip-masq".to_owned(),
        format!(
            "--kubeconfig-file={}",
            layout.client_configuration("flannel").display()
        ),
        format!("--net-config-path={}", file.display()),
        format!("--iface={UPLINK}"),
    ])
    .with("NODE_NAME", &node.name());
    let flanneld = machine.component(FLANNELD);
    flanneld.define(&program).await?;
    let what = format!("flanneld of {} has a subnet", machine.name());
    let path = machine.path(SUBNET)?;
    let text = wait_for(&what, PATIENCE, async || {
        let text = fs::read_to_string(&path).ok();
        // It crashes where the API server is too slow for it; as a pod it would be started again too.
        if text.is_none() && !flanneld.is_running() {
            flanneld.start().await.ok()?;
        }
        text
    })
    .await?;
    let subnet = Subnet::read(&text).with_context(|| format!("reading {SUBNET}: {text}"))?;
    cni::configure(machine, Cni::Flannel, &subnet.networks, subnet.mtu)
}

fn configuration(plan: &Plan) -> Value {
    let networks = plan.cluster_networks();
    let of = |four: bool| {
        networks
            .iter()
            .find(|network| network.addr().is_ipv4() == four)
            .map(ToString::to_string)
    };
    let given = [
        ("EnableNFTables", Some(true.into())),
        ("EnableIPv6", Some((plan.families == Families::Dual).into())),
        ("Network", of(true).map(Value::from)),
        ("IPv6Network", of(false).map(Value::from)),
        ("Backend", Some(json!({"Type": "vxlan"}))),
    ];
    // What there is not is absent: flanneld takes null for an address that it cannot read.
    let given = given
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(given.collect())
}

/// What flanneld says of its node.
#[derive(Debug, PartialEq, Eq)]
struct Subnet {
    networks: Vec<IpNet>,
    mtu: u32,
}

impl Subnet {
    fn read(text: &str) -> Result<Self> {
        let values: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let networks = ["FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"]
            .iter()
            .filter_map(|key| values.get(key))
            // The address is the gateway's; the range is its network.
            .map(|value| Ok(value.parse::<IpNet>()?.trunc()))
            .collect::<Result<_>>()?;
        let mtu = values.get("FLANNEL_MTU").context("no FLANNEL_MTU")?.parse()?;
        Ok(Self { networks, mtu })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subnet_of_both_families_is_read() {
        let text = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n\
                    FLANNEL_IPV6_NETWORK=fd00:244::/48\nFLANNEL_IPV6_SUBNET=fd00:244:0:1::1/64\n\
                    FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
        let subnet = Subnet::read(text).unwrap();
        assert_eq!(
            subnet.networks,
            [
                "10.244.1.0/24".parse().unwrap(),
                "fd00:244:0:1::/64".parse().unwrap()
            ]
        );
        assert_eq!(subnet.mtu, 1450);
        assert!(Subnet::read("FLANNEL_SUBNET=10.244.1.1/24\n").is_err());
    }
}
