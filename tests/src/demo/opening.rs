//! What a newcomer reads first: who is there, where, and what the marks mean.

use std::time::Instant;

use anyhow::Result;

use super::cast::{Cast, Member};
use super::screen::{DROPPED, Ink, PASSES, Screen};
use super::story::WEB;
use crate::bed::{Bed, NodeBed, Topology};

/// Introduces everybody. `server` is what the backend runs.
pub(super) fn show(bed: &Bed, cast: &Cast, server: &str, began: Instant, screen: &mut Screen) -> Result<()> {
    let network = match bed.topology() {
        Topology::Routed => "routed: a route to each pod, BGP between the nodes",
        Topology::Bridge => "bridged: a bridge on each node, routes between them",
        Topology::Segment => "one segment: a bridge on each node, joined by VXLAN",
    };
    let introduction = format!(
        "Two nodes, four pods and two clients outside, each a network namespace of its own. The network is {network}. On \
         each node runs an enforcer; it reads files, and drops packets in the node's kernel. All of it was started in \
         {:.1} s.",
        began.elapsed().as_secs_f64(),
    );
    screen.text(None, &introduction, 0)?;
    screen.gap()?;
    for node in bed.nodes() {
        let members = cast.members.iter().filter(|member| runs_on(member, node));
        group(node.name(), members, server, screen)?;
    }
    let clients = cast.members.iter().filter(|member| member.pod.is_none());
    group("outside", clients, server, screen)?;
    screen.gap()?;
    let legend = format!("{PASSES} passes   {DROPPED} is dropped   the first mark is IPv4, the second IPv6");
    screen.marks(&legend)?;
    Ok(())
}

fn runs_on(member: &Member, node: &NodeBed) -> bool {
    let slot = member.pod.as_ref().map(|(slot, _)| slot);
    slot.is_some_and(|slot| slot.node() == node.position())
}

/// Those who are in one place, a line each; the first line names it.
fn group<'m>(
    place: &str,
    members: impl Iterator<Item = &'m Member>,
    server: &str,
    screen: &mut Screen,
) -> Result<()> {
    for (member, place) in members.zip([place].into_iter().chain(std::iter::repeat(""))) {
        let place = screen.ink(Ink::Faint, &format!("{place:<10}"));
        let kind = member.pod.as_ref().map_or_else(
            || "client".to_owned(),
            |(_, pod)| format!("pod of {}", pod.key.namespace),
        );
        let [v4, v6] = member.addresses.map(|address| address.to_string());
        let server = if member.name == WEB { server } else { "" };
        screen.line(&format!(
            "{place}{:<11}{kind:<17}{v4:<17}{v6:<20}{server}",
            member.name
        ))?;
    }
    Ok(())
}
