//! A network namespace without a name, and what is set up in it.
//!
//! A namespace lives as long as something holds it. Here that is a file descriptor of this process and nothing
//! else: no entry in a directory, no process of its own. However the process ends, the kernel takes the namespace
//! down with all links, routes and tables in it.

use std::fmt;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};
use ipnet::IpNet;
use nlink::netlink::link::LinkConfig;
use nlink::netlink::namespace::Netns;
use nlink::netlink::neigh::Neighbor;
use nlink::netlink::types::route::RouteScope;
use nlink::netlink::{Connection, Route};
use nlink::{Ipv4Address, Ipv4Route, Ipv6Address, Ipv6Route};
use rustix::thread::UnshareFlags;

/// Addresses are usable at once and nothing but the bed configures anything: no duplicate address detection, no
/// router solicitations, no redirects, no filter on source addresses (that one is what the enforcer is tested for).
const QUIET: &[(&str, &str)] = &[
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    ("net.ipv4.conf.default.send_redirects", "0"),
    ("net.ipv6.conf.all.disable_ipv6", "0"),
    ("net.ipv6.conf.default.disable_ipv6", "0"),
    ("net.ipv6.conf.all.accept_dad", "0"),
    ("net.ipv6.conf.default.accept_dad", "0"),
    ("net.ipv6.conf.default.dad_transmits", "0"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.router_solicitations", "0"),
    ("net.ipv6.conf.all.accept_redirects", "0"),
    ("net.ipv6.conf.default.accept_redirects", "0"),
];

/// A node forwards, and leaves bridged packets alone until an enforcer asks for them. Connection tracking forgets
/// quickly what is not established: hundreds of cases reuse the same addresses within seconds. Protocols without
/// ports are not remembered at all: with nothing but two addresses to tell flows apart, a probe from A to B
/// would make the next case's probe from B to A a reply.
const FORWARDING: &[(&str, &str)] = &[
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv6.conf.all.forwarding", "1"),
    ("net.ipv6.conf.default.forwarding", "1"),
    ("net.bridge.bridge-nf-call-iptables", "0"),
    ("net.bridge.bridge-nf-call-ip6tables", "0"),
    ("net.bridge.bridge-nf-call-arptables", "0"),
    ("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", "10"),
    ("net.netfilter.nf_conntrack_tcp_timeout_time_wait", "5"),
    ("net.netfilter.nf_conntrack_tcp_timeout_fin_wait", "5"),
    ("net.netfilter.nf_conntrack_tcp_timeout_close_wait", "5"),
    ("net.netfilter.nf_conntrack_tcp_timeout_last_ack", "5"),
    ("net.netfilter.nf_conntrack_tcp_timeout_close", "2"),
    ("net.netfilter.nf_conntrack_udp_timeout", "10"),
    ("net.netfilter.nf_conntrack_icmp_timeout", "5"),
    ("net.netfilter.nf_conntrack_icmpv6_timeout", "5"),
    ("net.netfilter.nf_conntrack_generic_timeout", "0"),
];

/// Before the metric of routes that come with addresses of IPv6 (256).
const PREFERRED: u32 = 100;

/// What a namespace is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A host at the end of a wire: a pod, or the external clients.
    Host,
    /// A node, which forwards between its wires.
    Node,
    /// The fabric, a switch.
    Switch,
}

/// A namespace of the bed with a connection that configures it.
pub(crate) struct Space {
    netns: Arc<Netns>,
    connection: Connection<Route>,
}

impl Space {
    /// A new namespace with the settings of its role and `lo` up.
    pub(crate) async fn new(role: Role) -> Result<Self> {
        let netns = Arc::new(anonymous().context("making a network namespace")?);
        let settings: &[&[(&str, &str)]] = match role {
            Role::Host | Role::Switch => &[QUIET],
            Role::Node => &[QUIET, FORWARDING],
        };
        for settings in settings {
            netns
                .sysctl()
                .set_many(settings)
                .context("setting the sysctls of a namespace")?;
        }
        let connection = Connection::<Route>::new_in(&*netns).context("connecting to a namespace")?;
        let space = Self { netns, connection };
        space.up("lo").await?;
        Ok(space)
    }

    /// The namespace.
    pub(crate) fn netns(&self) -> &Arc<Netns> {
        &self.netns
    }

    /// The connection that configures it, for what has no method here.
    pub(crate) fn connection(&self) -> &Connection<Route> {
        &self.connection
    }

    /// Adds a link.
    pub(crate) async fn link(&self, link: impl LinkConfig) -> Result<()> {
        let name = link.name().to_owned();
        self.connection
            .add_link(link)
            .await
            .with_context(|| format!("adding link {name}"))
    }

    /// Sets a link up.
    pub(crate) async fn up(&self, device: &str) -> Result<()> {
        self.connection
            .set_link_up(device)
            .await
            .with_context(|| format!("setting {device} up"))
    }

    /// Adds an address with its prefix length to a device, and with it the route to its network.
    pub(crate) async fn address(&self, device: &str, address: IpNet) -> Result<()> {
        let added = match address {
            IpNet::V4(net) => {
                self.connection
                    .add_address(Ipv4Address::new(device, net.addr(), net.prefix_len()))
                    .await
            }
            IpNet::V6(net) => {
                let address = Ipv6Address::new(device, net.addr(), net.prefix_len()).nodad();
                self.connection.add_address(address).await
            }
        };
        added.with_context(|| format!("adding {address} to {device}"))
    }

    /// Adds a route over a device: to neighbours on its link, or by way of a gateway on it. Replaces one to the
    /// same destination: an address that moves to a new pod is the new pod's at once.
    pub(crate) async fn route(&self, to: IpNet, device: &str, gateway: Option<IpAddr>) -> Result<()> {
        let added = match to {
            IpNet::V4(net) => {
                let route = Ipv4Route::from_addr(net.network(), net.prefix_len()).dev(device);
                let route = match gateway {
                    Some(IpAddr::V4(gateway)) => route.gateway(gateway),
                    _ => route.scope(RouteScope::Link),
                };
                self.connection.replace_route(route).await
            }
            IpNet::V6(net) => {
                let route = Ipv6Route::from_addr(net.network(), net.prefix_len()).dev(device);
                let route = match gateway {
                    Some(IpAddr::V6(gateway)) => route.gateway(gateway),
                    _ => route,
                };
                self.connection.replace_route(route).await
            }
        };
        added.with_context(|| format!("adding a route to {to} over {device}"))
    }

    /// Makes connections to a network of a device start from `source`, whatever addresses the device has.
    pub(crate) async fn speak_as(&self, source: IpAddr, network: IpNet, device: &str) -> Result<()> {
        let replaced = match (source, network) {
            (IpAddr::V4(source), IpNet::V4(net)) => {
                let route = Ipv4Route::from_addr(net.network(), net.prefix_len()).dev(device);
                self.connection
                    .replace_route(route.scope(RouteScope::Link).prefsrc(source))
                    .await
            }
            (IpAddr::V6(source), IpNet::V6(net)) => {
                let route = Ipv6Route::from_addr(net.network(), net.prefix_len())
                    .dev(device)
                    .metric(PREFERRED);
                self.connection.replace_route(route.prefsrc(source)).await
            }
            _ => bail!("{source} and {network} are of two families"),
        };
        replaced.with_context(|| format!("speaking to {network} as {source}"))
    }

    /// Tells a device the hardware address of a neighbour, for good.
    pub(crate) async fn neighbour(&self, device: &str, address: IpAddr, mac: [u8; 6]) -> Result<()> {
        let entry = Neighbor::new(device, address).lladdr(mac).permanent();
        let added = self.connection.replace_neighbor(entry).await;
        added.with_context(|| format!("adding neighbour {address} to {device}"))
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space")
            .field("netns", &self.netns.id())
            .finish_non_exhaustive()
    }
}

/// A network namespace held by one file descriptor.
fn anonymous() -> Result<Netns> {
    let maker = thread::Builder::new()
        .name("netns-maker".into())
        .spawn(|| -> Result<OwnedFd> {
            unshare_network().context("unsharing the network namespace (is this root?)")?;
            let file = File::open("/proc/thread-self/ns/net").context("opening the new namespace")?;
            Ok(OwnedFd::from(file))
        })?;
    let fd = maker
        .join()
        .map_err(|_| anyhow!("the thread that makes a namespace panicked"))??;
    Ok(Netns::from_fd(fd)?)
}

/// Moves the calling thread, which must be a scratch one, to a network namespace of its own.
#[expect(
    deprecated,
    reason = "the replacement is unsafe because of file descriptor tables; those stay shared here"
)]
fn unshare_network() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWNET)
}
