//! The wires between machines: a bridge in the control plane's network namespace and a veth from there to each node.
//! The network namespace that everything is started from stays as it is.

use anyhow::Result;

use super::machine::Machine;
use super::plan::{BridgeFilter, Cni, NodeNumber, Plan, bare};
use super::run::GLANCE;

/// Names of a node's link to the fabric, and of the fabric.
pub(crate) const UPLINK: &str = "eth0";
const FABRIC: &str = "fabric";

/// Wires the control plane to the nodes.
pub(crate) async fn connect(plan: &Plan, control: &Machine, nodes: &[(NodeNumber, Machine)]) -> Result<()> {
    // The fabric is a wire: what crosses it is not the control plane's to filter.
    sysctl(control, &settings(BridgeFilter::Palisade)).await?;
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("link add {FABRIC} type bridge"),
        format!("link set {FABRIC} up"),
    ];
    for address in plan.control_addresses() {
        lines.push(format!("address add {address} dev {FABRIC}"));
    }
    for (node, machine) in nodes {
        let (wire, pid) = (node.wire(), machine.pid()?);
        lines.push(format!(
            "link add {wire} type veth peer name {UPLINK} netns {pid}"
        ));
        lines.push(format!("link set {wire} master {FABRIC} up"));
    }
    control.ip(&lines).await?;
    for (node, machine) in nodes {
        sysctl(machine, &settings(plan.bridge_filter)).await?;
        let mut lines = vec!["link set lo up".to_owned(), format!("link set {UPLINK} up")];
        for address in plan.node_addresses(*node) {
            lines.push(format!("address add {address} dev {UPLINK}"));
        }
        for gateway in bare(&plan.control_addresses()) {
            lines.push(format!("route add default via {gateway}"));
        }
        lines.extend(routes(plan, Some(*node)));
        machine.ip(&lines).await?;
    }
    control.ip(&routes(plan, None)).await
}

/// Cuts a node off from all other machines, or joins it again.
pub(crate) async fn set_wire(control: &Machine, node: NodeNumber, up: bool) -> Result<()> {
    let state = if up { "up" } else { "down" };
    control.ip(&[format!("link set {} {state}", node.wire())]).await
}

/// Routes to the pods of all nodes but `own`. Flannel brings its own, but the control plane has no flanneld.
fn routes(plan: &Plan, own: Option<NodeNumber>) -> Vec<String> {
    if plan.cni == Cni::Flannel {
        return Vec::new();
    }
    let mut lines = Vec::new();
    for node in plan.nodes().filter(|node| Some(*node) != own) {
        let gateways = bare(&plan.node_addresses(node));
        for (network, gateway) in plan.pod_networks(node).iter().zip(gateways) {
            lines.push(format!("route add {network} via {gateway}"));
        }
    }
    lines
}

/// A machine forwards, and its addresses are usable at once.
fn settings(bridge_filter: BridgeFilter) -> Vec<String> {
    let call = match bridge_filter {
        BridgeFilter::Node => 1,
        BridgeFilter::Palisade => 0,
    };
    let mut words: Vec<String> = [
        "net.ipv4.ip_forward=1",
        "net.ipv6.conf.all.disable_ipv6=0",
        "net.ipv6.conf.all.forwarding=1",
        "net.ipv6.conf.default.forwarding=1",
        "net.ipv6.conf.all.accept_dad=0",
        "net.ipv6.conf.default.accept_dad=0",
    ]
    .map(str::to_owned)
    .into();
    words.push(format!("net.bridge.bridge-nf-call-iptables={call}"));
    words.push(format!("net.bridge.bridge-nf-call-ip6tables={call}"));
    words
}

async fn sysctl(machine: &Machine, settings: &[String]) -> Result<()> {
    let mut words = vec!["sysctl", "-q", "-w"];
    words.extend(settings.iter().map(String::as_str));
    machine.succeed(&words, "", GLANCE * 100).await.map(drop)
}
