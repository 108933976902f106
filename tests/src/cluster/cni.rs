//! What a node's container runtime is told of the pods' network.

use std::fs;

use anyhow::{Context, Result};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::machine::Machine;
use super::plan::Cni;

const DIRECTORY: &str = "/etc/cni/net.d";
const FILE: &str = "10-pods.conflist";

/// Writes a node's configuration; containerd takes it up by itself.
pub(crate) fn configure(machine: &Machine, cni: Cni, networks: &[IpNet], mtu: u32) -> Result<()> {
    let directory = machine.path(DIRECTORY)?;
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let document = format!("{:#}\n", network_list(cni, networks, mtu));
    // Renamed into place: a file that is half written would be taken for a broken network.
    let new = directory.join(format!("{FILE}.new"));
    fs::write(&new, document).with_context(|| format!("writing {}", new.display()))?;
    fs::rename(&new, directory.join(FILE)).context("putting the network in place")
}

fn network_list(cni: Cni, networks: &[IpNet], mtu: u32) -> Value {
    let ranges: Vec<Value> = networks
        .iter()
        .map(|network| json!([{"subnet": network.to_string()}]))
        .collect();
    let routes: Vec<Value> = networks
        .iter()
        .map(|network| json!({"dst": if network.addr().is_ipv4() { "0.0.0.0/0" } else { "::/0" }}))
        .collect();
    let ipam = json!({"type": "host-local", "ranges": ranges, "routes": routes});
    let interface = match cni {
        Cni::Ptp => json!({"type": "ptp", "ipMasq": false, "mtu": mtu, "ipam": ipam}),
        Cni::Bridge | Cni::Flannel => json!({
            "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
            "mtu": mtu, "ipam": ipam,
        }),
    };
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [interface, {"type": "portmap", "capabilities": {"portMappings": true}}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_a_range_and_a_default_route() {
        let networks = [
            "10.244.1.0/24".parse().unwrap(),
            "fd00:244:0:1::/64".parse().unwrap(),
        ];
        let list = network_list(Cni::Bridge, &networks, 1500);
        let ipam = &list["plugins"][0]["ipam"];
        assert_eq!(
            ipam["ranges"],
            json!([[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:244:0:1::/64"}]])
        );
        assert_eq!(ipam["routes"], json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]));
    }

    #[test]
    fn routed_pods_have_no_bridge() {
        let list = network_list(Cni::Ptp, &["10.244.1.0/24".parse().unwrap()], 1500);
        assert_eq!(list["plugins"][0]["type"], "ptp");
        assert!(list["plugins"][0].get("bridge").is_none());
    }
}
