//! Services as kube-proxy programs them, in a table of their own on every node.
//!
//! Follows kube-proxy's nftables mode: a call to a service picks the chain of an endpoint at random, which replaces the
//! destination. What must come back through the node is marked and gets the node's address as its source on the way
//! out: a pod that reaches itself, and what came in by a node port (externalTrafficPolicy Cluster). That address is
//! always the one on the fabric, where kube-proxy would leave the choice to the route.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use palisade_policy::model::Protocol;

use super::node::NodeBed;

/// The table that holds the services. It is not the enforcer's to touch.
pub const TABLE: &str = "kube-proxy-like";

/// kube-proxy's mark for packets that get the node's address.
const MASQUERADE: &str = "0x4000";

/// A service with one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its addresses, one a family at most.
    pub addresses: Vec<IpAddr>,
    /// Its port.
    pub port: u16,
    /// Its port on every node's own addresses, if it has one.
    pub node_port: Option<u16>,
    /// Where calls to the node port may go.
    pub external: ExternalTraffic,
    /// Its protocol.
    pub protocol: Protocol,
    /// Pods and their ports, of both families.
    pub backends: Vec<SocketAddr>,
}

/// `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalTraffic {
    /// To any backend, from the address of the node that was entered.
    #[default]
    Cluster,
    /// To backends of the node that was entered, from the address of the client.
    Local,
}

/// The script that replaces the table of a node by one with these services, in one transaction.
pub(super) fn script(services: &[Service], node: &NodeBed) -> String {
    let mut chains = String::new();
    let mut dispatch = String::new();
    for (number, service) in services.iter().enumerate() {
        for family in Family::ALL {
            let backends: Vec<_> = service
                .backends
                .iter()
                .filter(|backend| family.has(backend.ip()))
                .collect();
            write_service(
                &mut chains,
                &mut dispatch,
                number,
                service,
                family,
                &backends,
                node,
            );
        }
    }
    let mut sources = String::new();
    for family in Family::ALL {
        if let Some(address) = node.addresses().iter().find(|address| family.has(**address)) {
            let Family { keyword, nfproto, .. } = family;
            line(
                &mut sources,
                format_args!("meta nfproto {nfproto} snat {keyword} to {address}"),
            );
        }
    }
    format!(
        "table inet {TABLE}\ndelete table inet {TABLE}\ntable inet {TABLE} {{\n{chains}\
         chain services {{\n{dispatch}}}\n\
         chain answer_here {{\nmeta mark set meta mark xor {MASQUERADE}\n{sources}}}\n\
         chain prerouting {{ type nat hook prerouting priority -100; jump services; }}\n\
         chain output {{ type nat hook output priority -100; jump services; }}\n\
         chain postrouting {{ type nat hook postrouting priority 100; \
         meta mark and {MASQUERADE} != 0 goto answer_here; }}\n}}\n"
    )
}

/// A family in the words of nft.
#[derive(Clone, Copy)]
struct Family {
    v4: bool,
    keyword: &'static str,
    nfproto: &'static str,
}

impl Family {
    const ALL: [Self; 2] = [
        Self {
            v4: true,
            keyword: "ip",
            nfproto: "ipv4",
        },
        Self {
            v4: false,
            keyword: "ip6",
            nfproto: "ipv6",
        },
    ];

    fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.v4
    }
}

/// The chains of a service in one family, and the rules that lead to them.
fn write_service(
    chains: &mut String,
    dispatch: &mut String,
    number: usize,
    service: &Service,
    family: Family,
    backends: &[&SocketAddr],
    node: &NodeBed,
) {
    let Family { keyword, nfproto, .. } = family;
    let protocol = service.protocol.as_str().to_ascii_lowercase();
    let name = format!("service{number}_{keyword}");
    for (position, backend) in backends.iter().enumerate() {
        let own = backend.ip();
        line(chains, format_args!("chain {name}_{position} {{"));
        line(
            chains,
            format_args!("{keyword} saddr {own} meta mark set meta mark or {MASQUERADE}"),
        );
        line(
            chains,
            format_args!("meta l4proto {protocol} dnat {keyword} to {backend}"),
        );
        line(chains, format_args!("}}"));
    }
    let all: Vec<usize> = (0..backends.len()).collect();
    let everywhere = choice(&name, &all);
    for address in service.addresses.iter().filter(|address| family.has(**address)) {
        let port = service.port;
        line(
            dispatch,
            format_args!("{keyword} daddr {address} {protocol} dport {port} {everywhere}"),
        );
    }
    let Some(port) = service.node_port else { return };
    let called = format!("meta nfproto {nfproto} fib daddr type local {protocol} dport {port}");
    match service.external {
        ExternalTraffic::Cluster => {
            line(
                dispatch,
                format_args!("{called} meta mark set meta mark or {MASQUERADE} {everywhere}"),
            );
        }
        ExternalTraffic::Local => {
            let here = |backend: &SocketAddr| {
                node.slots()
                    .iter()
                    .any(|slot| slot.addresses().contains(&backend.ip()))
            };
            let local: Vec<usize> = (0..)
                .zip(backends)
                .filter(|(_, it)| here(it))
                .map(|(at, _)| at)
                .collect();
            line(dispatch, format_args!("{called} {}", choice(&name, &local)));
        }
    }
}

/// The statement that picks one of a service's backends; without any the packet ends, as with kube-proxy.
fn choice(name: &str, positions: &[usize]) -> String {
    if positions.is_empty() {
        return "drop".to_owned();
    }
    let choices: Vec<_> = positions
        .iter()
        .enumerate()
        .map(|(turn, position)| format!("{turn} : goto {name}_{position}"))
        .collect();
    format!(
        "numgen random mod {} vmap {{ {} }}",
        positions.len(),
        choices.join(", ")
    )
}

/// The script that removes the table.
pub(super) fn removal() -> String {
    format!("table inet {TABLE}\ndelete table inet {TABLE}\n")
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}
