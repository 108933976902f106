//! What the kernel says about where addresses are, read by netlink.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use nlink::netlink::message::{MessageIter, NLM_F_DUMP, NLM_F_REQUEST, NlMsgError, NlMsgType};
use nlink::netlink::types::addr::IfAddrMsg;
use nlink::netlink::types::link::{IfInfoMsg, IflaAttr};
use nlink::netlink::types::route::RouteType;
use nlink::netlink::{AttrIter, Connection, MessageBuilder, Route};
use tokio::time::timeout;
use tracing::debug;

use super::links::LinkError;
use super::search::{Hints, SearchScope};

/// An answer of the kernel that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Attributes of an address (`linux/if_addr.h`).
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// Asks for the addresses of another network namespace, which takes `CAP_NET_ADMIN` there and no entering.
const IFA_TARGET_NETNSID: u16 = 10;

/// Reads the routes, neighbours and forwarding tables of the network namespace of the calling thread; and, where a
/// directory of pods' network namespaces is given, the addresses in these.
pub(super) async fn read(scope: SearchScope, namespaces: Option<&Path>) -> Result<Hints, LinkError> {
    let attempt = "looking for pods by their addresses";
    let read = timeout(PATIENCE, async {
        let connection = Connection::<Route>::new()?;
        let mut hints = Hints {
            routes: routes(&connection).await?,
            ..Hints::default()
        };
        if scope == SearchScope::Any {
            neighbours(&connection, &mut hints).await?;
        }
        if let Some(directory) = namespaces {
            hints.inside = inside(directory).await?;
        }
        nlink::Result::Ok(hints)
    });
    let read = read.await.map_err(|late| LinkError::new(attempt, late))?;
    read.map_err(|error| LinkError::new(attempt, error))
}

/// Where host routes lead to.
async fn routes(connection: &Connection<Route>) -> nlink::Result<BTreeMap<IpAddr, u32>> {
    let routes = connection.get_routes().await?;
    let hosts = routes
        .iter()
        .filter(|route| route.is_host() && route.route_type() == RouteType::Unicast);
    Ok(hosts
        .filter_map(|route| Some((*route.destination()?, route.oif()?)))
        .collect())
}

async fn neighbours(connection: &Connection<Route>, hints: &mut Hints) -> nlink::Result<()> {
    for neighbour in connection.get_neighbors().await? {
        let known = !neighbour.is_failed() && !neighbour.is_incomplete();
        if let (true, Some(address), Some(hardware)) = (known, neighbour.destination(), neighbour.lladdr()) {
            let at = (neighbour.ifindex(), hardware.to_vec());
            hints.neighbours.insert(*address, at);
        }
    }
    for link in connection.get_links().await? {
        if link.kind() != Some("bridge") {
            continue;
        }
        for entry in connection.get_fdb_by_index(link.ifindex()).await? {
            // Permanent entries are the ports' own hardware addresses.
            if !entry.is_permanent() && entry.ifindex() != link.ifindex() {
                let key = (link.ifindex(), entry.mac().to_vec());
                hints.ports.insert(key, entry.ifindex());
            }
        }
    }
    Ok(())
}

/// The addresses in the network namespaces of a directory, each with the veth of ours whose other end has it.
async fn inside(directory: &Path) -> nlink::Result<BTreeMap<IpAddr, u32>> {
    let mut found = BTreeMap::new();
    let connection = Connection::<Route>::new()?;
    connection.enable_strict_checking(true)?;
    let peers = peers(&connection).await?;
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let path = entry?.path();
        match of_namespace(&connection, &path).await {
            Ok((number, addresses)) => {
                let mut veths = peers.iter().filter(|(_, namespace)| **namespace == number);
                // A namespace with several of our veths does not say which address is whose.
                if let (Some((veth, _)), None) = (veths.next(), veths.next()) {
                    found.extend(addresses.into_iter().map(|address| (address, *veth)));
                }
            }
            // It may have gone meanwhile, or be no namespace at all.
            Err(error) => debug!(namespace = %path.display(), %error, "not looked into"),
        }
    }
    Ok(found)
}

/// Our links, and the number of the namespace of the other end of each.
async fn peers(connection: &Connection<Route>) -> nlink::Result<BTreeMap<u32, u32>> {
    let mut request = MessageBuilder::new(NlMsgType::RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP);
    request.append(&IfInfoMsg::new());
    let mut peers = BTreeMap::new();
    dump(connection, request, |payload| {
        let Some((header, attributes)) = payload.split_at_checked(size_of::<IfInfoMsg>()) else {
            return;
        };
        let namespace = number(attributes, IflaAttr::LinkNetnsid as u16);
        // The number is the second word of the header (`struct ifinfomsg`).
        if let (Some(index), Some(namespace)) = (word(header, 4), namespace) {
            peers.insert(index, namespace);
        }
    })
    .await?;
    Ok(peers)
}

/// A namespace's number, as ours counts them, and the addresses in it.
async fn of_namespace(connection: &Connection<Route>, path: &Path) -> nlink::Result<(u32, Vec<IpAddr>)> {
    let file = File::open(path)?;
    let namespace = connection.get_nsid(&file).await?;
    let mut request = MessageBuilder::new(NlMsgType::RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP);
    request.append(&IfAddrMsg::new());
    request.append_attr_u32(IFA_TARGET_NETNSID, namespace);
    let mut addresses = Vec::new();
    dump(connection, request, |payload| {
        let Some((_, attributes)) = payload.split_at_checked(IfAddrMsg::SIZE) else {
            return;
        };
        let local = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS));
        addresses.extend(local.and_then(address));
    })
    .await?;
    Ok((namespace, addresses))
}

/// Sends a dump request and hands over the payload of each message of the answer.
async fn dump(
    connection: &Connection<Route>,
    mut request: MessageBuilder,
    mut take: impl FnMut(&[u8]),
) -> nlink::Result<()> {
    let socket = connection.socket();
    let sequence = socket.next_seq();
    request.set_seq(sequence);
    request.set_pid(socket.pid());
    socket.send(&request.finish()).await?;
    loop {
        let answer = socket.recv_unicast().await?;
        for message in MessageIter::new(&answer) {
            let (header, payload) = message?;
            if header.nlmsg_seq != sequence {
                continue;
            }
            match header.nlmsg_type {
                NlMsgType::DONE => return Ok(()),
                NlMsgType::ERROR => {
                    let outcome = NlMsgError::from_bytes(payload)?;
                    return Err(io::Error::from_raw_os_error(-outcome.error).into());
                }
                _ => take(payload),
            }
        }
    }
}

fn attribute(attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    let found = AttrIter::new(attributes).find(|(kind, _)| *kind == wanted);
    found.map(|(_, value)| value)
}

fn number(attributes: &[u8], wanted: u16) -> Option<u32> {
    word(attribute(attributes, wanted)?, 0)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}
