//! Routes between nodes by BGP: one BIRD for each node, full mesh, both families.
//!
//! As Calico does it, a node announces the range of its pods, not each pod, and rejects what is in its range but
//! has no pod.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::node::NodeBed;
use super::plan;

/// The AS number of all nodes, from the private range (RFC 6996).
const SYSTEM: u32 = 64_512;
/// How long the nodes may take to learn each other's ranges.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a wait for routes looks again.
const GLANCE: Duration = Duration::from_millis(10);

/// Starts a BIRD in each node and waits until every node has the routes to all others.
pub(super) async fn run(nodes: &mut [NodeBed], directory: &Path) -> Result<()> {
    let count = plan::checked(nodes.len())?;
    let mut controls = Vec::new();
    for node in nodes.iter_mut() {
        let [config, control] =
            ["conf", "ctl"].map(|kind| directory.join(format!("{}-bird.{kind}", node.name())));
        let number = plan::checked(node.position())?;
        fs::write(&config, configuration(number, count)?).context("writing BIRD's configuration")?;
        let mut command = Command::new("bird");
        command.arg("-f").arg("-c").arg(&config).arg("-s").arg(&control);
        let child = node
            .spawn(command)
            .context("starting BIRD (Debian package bird2)")?;
        node.keep(child);
        controls.push(control);
    }
    let deadline = Instant::now() + PATIENCE;
    for node in &*nodes {
        let number = plan::checked(node.position())?;
        for other in (0..count).filter(|other| *other != number) {
            for range in plan::pod_range(other) {
                while !has_route(node, range).await? {
                    if Instant::now() > deadline {
                        bail!(
                            "{} did not learn {range} from BGP within {PATIENCE:?}",
                            node.name()
                        );
                    }
                    wake(&controls).await;
                    tokio::time::sleep(GLANCE).await;
                }
            }
        }
    }
    Ok(())
}

/// BIRD 2.0 may leave an update unsent until something wakes it, for three seconds if need be. Calling at its control
/// socket does. One that does not listen there yet is awake.
async fn wake(controls: &[PathBuf]) {
    for control in controls {
        drop(UnixStream::connect(control).await);
    }
}

async fn has_route(node: &NodeBed, range: IpNet) -> Result<bool> {
    let routes = node
        .space()
        .connection()
        .get_routes()
        .await
        .context("reading a node's routes")?;
    Ok(routes
        .iter()
        .any(|route| route.destination() == Some(&range.network()) && route.dst_len() == range.prefix_len()))
}

fn configuration(node: u8, count: u8) -> Result<String> {
    let [own4, own6] = plan::node_addresses(node);
    let [range4, range6] = plan::pod_range(node);
    let mut text = format!(
        "router id {own4};\n\
         log stderr all;\n\
         protocol device {{ }}\n\
         protocol static own4 {{ ipv4; route {range4} blackhole; }}\n\
         protocol static own6 {{ ipv6; route {range6} blackhole; }}\n\
         protocol kernel kernel4 {{ ipv4 {{ import none; export all; }}; }}\n\
         protocol kernel kernel6 {{ ipv6 {{ import none; export all; }}; }}\n\
         template bgp peer {{\n  \
           local as {SYSTEM};\n  \
           direct;\n  \
           connect delay time 1;\n  \
           connect retry time 1;\n  \
           error wait time 1, 1;\n\
         }}\n"
    );
    for other in (0..count).filter(|other| *other != node) {
        let [peer4, peer6] = plan::node_addresses(other);
        // One side calls and the other waits: two calls that cross each other cost seconds.
        let passive = if node < other { "on" } else { "off" };
        for (family, own, peer) in [(4, own4, peer4), (6, own6, peer6)] {
            writeln!(
                text,
                "protocol bgp peer{family}_{other} from peer {{\n  \
                   local {own};\n  \
                   neighbor {peer} as {SYSTEM};\n  \
                   passive {passive};\n  \
                   ipv{family} {{ import all; export where source = RTS_STATIC; }};\n\
                 }}"
            )?;
        }
    }
    Ok(text)
}
