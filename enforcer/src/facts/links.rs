//! The node's links, as the kernel lists them.
//!
//! An event says only that something changed; the list is then asked for again. So nothing depends on the order of
//! events, and a lost one costs nothing but another listing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use nlink::netlink::message::{MessageIter, NLM_F_ACK, NLM_F_REQUEST, NlMsgError, NlMsgType};
use nlink::netlink::messages::{AddressMessage, LinkMessage};
use nlink::netlink::types::link::{IfInfoMsg, IflaAttr, IflaInfo};
use nlink::netlink::{AttrIter, Connection, MessageBuilder, Route, RtnetlinkGroup};
use thiserror::Error;
use tokio::time::timeout;

use crate::nft::model::Interface;

/// Whether bridged packets are shown to the inet tables (`IFLA_BR_NF_CALL_*` of `linux/if_link.h`).
const NF_CALL: [u16; 2] = [IFLA_BR_NF_CALL_IPTABLES, IFLA_BR_NF_CALL_IP6TABLES];
const IFLA_BR_NF_CALL_IPTABLES: u16 = 36;
const IFLA_BR_NF_CALL_IP6TABLES: u16 = 37;

/// An answer of the kernel that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the links are not known, or not set as they should be.
#[derive(Debug, Error)]
#[error("{attempt}: {message}")]
pub struct LinkError {
    attempt: String,
    message: String,
}

impl LinkError {
    pub(super) fn new(attempt: impl Into<String>, error: impl std::fmt::Display) -> Self {
        Self {
            attempt: attempt.into(),
            message: error.to_string(),
        }
    }
}

/// A link of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its number, which no other link of this network namespace will have.
    pub(crate) index: u32,
    pub(crate) kind: Kind,
    /// The link that it is a port of, by its number.
    pub(crate) master: Option<u32>,
    /// Its own addresses.
    pub(crate) addresses: BTreeSet<IpAddr>,
}

/// What a link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Veth,
    Bridge {
        /// Whether bridged packets, of both families, are shown to the inet tables.
        filtered: bool,
    },
    /// Anything else: the kernel's word for it, where it has one.
    Other(Option<String>),
}

/// All links by name, those left out whose names no rule could hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links(pub(crate) BTreeMap<Interface, Link>);

impl Links {
    pub(crate) fn get(&self, name: &Interface) -> Option<&Link> {
        self.0.get(name)
    }

    pub(crate) fn by_index(&self, index: u32) -> Option<(&Interface, &Link)> {
        self.0.iter().find(|(_, link)| link.index == index)
    }

    /// The ports of a bridge.
    pub(crate) fn ports(&self, bridge: u32) -> impl Iterator<Item = (&Interface, &Link)> {
        self.0.iter().filter(move |(_, link)| link.master == Some(bridge))
    }

    fn of(messages: &[LinkMessage], addresses: &[AddressMessage]) -> Self {
        let links = messages.iter().filter_map(|message| {
            let name = Interface::new(message.name()?).ok()?;
            let kind = match message.kind() {
                Some("veth") => Kind::Veth,
                Some("bridge") => Kind::Bridge {
                    filtered: is_filtered(message),
                },
                other => Kind::Other(other.map(str::to_owned)),
            };
            Some((
                name,
                Link {
                    index: message.ifindex(),
                    kind,
                    master: message.master(),
                    addresses: addresses
                        .iter()
                        .filter(|address| address.ifindex() == message.ifindex())
                        .filter_map(|address| address.primary_address().copied())
                        .collect(),
                },
            ))
        });
        Self(links.collect())
    }
}

fn is_filtered(bridge: &LinkMessage) -> bool {
    let data = bridge
        .link_info()
        .and_then(|info| info.data())
        .unwrap_or_default();
    NF_CALL.iter().all(|wanted| {
        let set = AttrIter::new(data).find(|(kind, _)| kind == wanted);
        set.is_some_and(|(_, value)| value.first() == Some(&1))
    })
}

/// What tells of changes: one connection that listens, one that asks.
pub(super) struct LinkWatch {
    events: Connection<Route>,
    requests: Connection<Route>,
}

impl LinkWatch {
    /// Listens from now on, in the network namespace of the calling thread.
    pub(super) fn open() -> Result<Self, LinkError> {
        let open =
            || Connection::<Route>::new().map_err(|error| LinkError::new("opening a netlink socket", error));
        let events = open()?;
        let groups = [
            RtnetlinkGroup::Link,
            RtnetlinkGroup::Ipv4Addr,
            RtnetlinkGroup::Ipv6Addr,
        ];
        let subscribed = events.subscribe(&groups);
        subscribed.map_err(|error| LinkError::new("subscribing to link events", error))?;
        Ok(Self {
            events,
            requests: open()?,
        })
    }

    /// Waits for a change. Dropping the wait loses nothing.
    pub(super) async fn changed(&self) -> Result<(), LinkError> {
        let mut received = self.events.socket().recv_msg().await.map(Some);
        loop {
            match received {
                Ok(None) => return Ok(()),
                Ok(Some(_)) => {}
                Err(error) if error.is_no_buffer_space() => {}
                Err(error) => return Err(LinkError::new("receiving link events", error)),
            }
            received = self.events.socket().try_recv_msg();
        }
    }

    /// The links as they are now.
    pub(super) async fn list(&self) -> Result<Links, LinkError> {
        let attempt = "listing the links";
        let listed = timeout(PATIENCE, async {
            nlink::Result::Ok((
                self.requests.get_links().await?,
                self.requests.get_addresses().await?,
            ))
        });
        let answer = listed.await.map_err(|late| LinkError::new(attempt, late))?;
        let (links, addresses) = answer.map_err(|error| LinkError::new(attempt, error))?;
        Ok(Links::of(&links, &addresses))
    }
}

/// Shows bridged packets of `bridge` to the inet tables.
///
/// This sets attributes of the bridge itself, which takes neither a writable `/proc` nor a privileged container. It
/// has no effect where the kernel's `br_netfilter` is missing.
pub(crate) async fn filter_bridge(name: &Interface, index: u32) -> Result<(), LinkError> {
    let attempt = format!("turning on packet filtering of bridge {name}");
    match timeout(PATIENCE, send_filter_bridge(index)).await {
        Err(late) => Err(LinkError::new(attempt, late)),
        Ok(Err(message)) => Err(LinkError::new(attempt, message)),
        Ok(Ok(())) => Ok(()),
    }
}

async fn send_filter_bridge(index: u32) -> Result<(), String> {
    let connection = Connection::<Route>::new().map_err(|error| error.to_string())?;
    let number = i32::try_from(index).map_err(|error| error.to_string())?;
    let mut message = MessageBuilder::new(NlMsgType::RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK);
    message.append(&IfInfoMsg::new().with_index(number));
    let info = message.nest_start(IflaAttr::Linkinfo as u16);
    message.append_attr_str(IflaInfo::Kind as u16, "bridge");
    let data = message.nest_start(IflaInfo::Data as u16);
    for attribute in NF_CALL {
        message.append_attr_u8(attribute, 1);
    }
    message.nest_end(data);
    message.nest_end(info);
    let (sequence, port) = (connection.socket().next_seq(), connection.socket().pid());
    message.set_seq(sequence);
    message.set_pid(port);
    connection
        .socket()
        .send(&message.finish())
        .await
        .map_err(|error| error.to_string())?;
    acknowledged(&connection, sequence).await?;
    let bridge = connection
        .get_link_by_index(index)
        .await
        .map_err(|error| error.to_string())?;
    if bridge.is_some_and(|bridge| is_filtered(&bridge)) {
        Ok(())
    } else {
        Err("it had no effect".to_owned())
    }
}

async fn acknowledged(connection: &Connection<Route>, sequence: u32) -> Result<(), String> {
    loop {
        let answer = connection
            .socket()
            .recv_unicast()
            .await
            .map_err(|error| error.to_string())?;
        for message in MessageIter::new(&answer) {
            let (header, payload) = message.map_err(|error| error.to_string())?;
            if header.nlmsg_seq != sequence || header.nlmsg_type != NlMsgType::ERROR {
                continue;
            }
            let outcome = NlMsgError::from_bytes(payload).map_err(|error| error.to_string())?;
            return match outcome.error {
                0 => Ok(()),
                errno => Err(std::io::Error::from_raw_os_error(-errno).to_string()),
            };
        }
    }
}

/// Whether this kernel shows bridged packets to anybody: without `br_netfilter` there is no such setting.
pub(crate) fn can_filter_bridges() -> bool {
    std::path::Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists()
}
