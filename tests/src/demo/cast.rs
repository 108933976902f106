//! Who is on the stage: the pods of the manifests in slots of the bed, and the clients outside.
//!
//! In a cluster the scheduler gives a pod its node, the network its addresses and the API server its UID. Here this is
//! done from the bed, so that the manifests can stay what people write.

use std::net::IpAddr;

use anyhow::{Context, Result};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::model::{Packet, Pod, PodUid, Transport};

use super::story::PING;
use crate::bed::Slot;
use crate::cases::Family;
use crate::probe::{Endpoint, Host};
use crate::stage::Stage;

/// `ICMPv6` by its number.
const PING6: Transport = Transport::Other(58);

/// One who sends and is sent to.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// What the story calls it.
    pub(super) name: String,
    /// Its addresses: IPv4, then IPv6.
    pub(super) addresses: [IpAddr; 2],
    host: Host,
    /// Its slot and itself, if it is a pod.
    pub(super) pod: Option<(Slot, Pod)>,
}

impl Member {
    /// Its address of a family.
    pub(super) fn address(&self, family: Family) -> IpAddr {
        let [v4, v6] = self.addresses;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }

    /// What its answers are signed with.
    pub(super) fn signature(&self) -> &str {
        self.host.name()
    }

    /// It as the source of probes of a family.
    pub(super) fn endpoint(&self, family: Family) -> Endpoint {
        self.host
            .endpoint()
            .from_one_of(&self.addresses, self.address(family))
    }
}

/// Everybody, and what is known about them.
#[derive(Debug)]
pub(super) struct Cast {
    /// The pods in the order of the manifests, then the clients.
    pub(super) members: Vec<Member>,
    /// The objects as the oracle and the compiler see them.
    pub(super) state: ClusterState,
}

impl Cast {
    /// Seats the pods of `events`, alternating between the nodes.
    pub(super) fn seat(stage: &mut Stage, events: Vec<Event>) -> Result<Self> {
        let mut members = Vec::new();
        let mut known = ClusterState::from_events(nodes(stage));
        for event in events {
            let Event::PodApplied(pod) = event else {
                known.apply(event);
                continue;
            };
            let (node, slot) = slot(stage, members.len())?;
            let pod = Pod {
                uid: PodUid::from(format!("00000000-0000-4000-8000-{:012}", members.len() + 1)),
                node: Some(node.as_str().into()),
                addresses: slot.addresses().to_vec(),
                ..pod
            };
            known.apply(Event::PodApplied(pod.clone()));
            members.push(Member {
                name: pod.key.name.to_string(),
                addresses: slot.addresses(),
                host: slot.host(),
                pod: Some((slot, pod)),
            });
        }
        let seated = members.iter().filter_map(|member| member.pod.clone());
        stage.occupy(seated.map(|(slot, pod)| (slot, pod.key, pod.uid)))?;
        members.extend(stage.bed().clients().iter().map(|client| Member {
            name: client.host().name().to_owned(),
            addresses: client.addresses(),
            host: client.host(),
            pod: None,
        }));
        Ok(Self {
            members,
            state: known,
        })
    }

    /// Who has this name.
    pub(super) fn member(&self, name: &str) -> Result<&Member> {
        let found = self.members.iter().find(|member| member.name == name);
        found.with_context(|| format!("nobody in the manifests is called {name}"))
    }
}

/// The packet from one to the other, ICMP being that of the family.
pub(super) fn packet(from: &Member, to: &Member, transport: Transport, family: Family) -> Packet {
    let transport = match (transport, family) {
        (PING, Family::V6) => PING6,
        (transport, _) => transport,
    };
    Packet {
        source: from.address(family),
        destination: to.address(family),
        transport,
    }
}

/// The nodes of the bed as a cluster would describe them.
fn nodes(stage: &Stage) -> Vec<Event> {
    let nodes = stage.bed().nodes().iter();
    let nodes = nodes.map(|node| Event::NodeApplied(node.described()));
    nodes.collect()
}

/// The slot for the `number`-th pod, and the name of its node.
fn slot(stage: &Stage, number: usize) -> Result<(String, Slot)> {
    let nodes = stage.bed().nodes();
    let node = number.checked_rem(nodes.len()).and_then(|node| nodes.get(node));
    let node = node.context("the bed has no node")?;
    let slot = node.slots().get(number / nodes.len());
    let slot = slot.with_context(|| format!("{} has no slot left", node.name()))?;
    Ok((node.name().to_owned(), slot.clone()))
}
