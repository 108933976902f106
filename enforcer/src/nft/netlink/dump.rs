//! Listing what the kernel holds, message by message.
//!
//! Elements are listed here rather than through the library, which lists all sets again for each set: at 2,000 sets
//! that is minutes against milliseconds.

use std::time::Duration;

use nlink::netlink::message::{NLM_F_DUMP, NLM_F_REQUEST};
use nlink::netlink::nftables::{
    Family, NFGENMSG_HDRLEN, NFT_MSG_GETSETELEM, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_TABLE, NfGenMsg,
    nft_msg_type,
};
use nlink::netlink::{Connection, MessageBuilder, MessageIter, Nftables};

use super::element::{Listed, listed};
use super::not_read;
use crate::nft::kernel::ReadError;
use crate::nft::model::TableKey;

/// How long the kernel may take for the next piece of a listing; it answers from memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// The elements of one of our sets or maps. `None` if the listing was cut by a change.
pub(super) async fn elements(
    connection: &Connection<Nftables>,
    family: Family,
    set: &str,
) -> Result<Option<Vec<Listed>>, ReadError> {
    let failed =
        |message: &dyn std::fmt::Display| not_read(format!("the elements of {family} {set}"), message);
    let socket = connection.socket();
    let mut request = MessageBuilder::new(nft_msg_type(NFT_MSG_GETSETELEM), NLM_F_REQUEST | NLM_F_DUMP);
    request.append(&NfGenMsg::new(family));
    request.append_attr_str(NFTA_SET_ELEM_LIST_TABLE, TableKey::NAME);
    request.append_attr_str(NFTA_SET_ELEM_LIST_SET, set);
    let sequence = socket.next_seq();
    request.set_seq(sequence);
    request.set_pid(socket.pid());
    socket
        .send(&request.finish())
        .await
        .map_err(|error| failed(&error))?;

    let mut found = Vec::new();
    let mut whole = true;
    loop {
        let datagram = tokio::time::timeout(PATIENCE, socket.recv_unicast()).await;
        let datagram = datagram
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))?;
        for message in MessageIter::new(&datagram) {
            let (header, payload) = message.map_err(|error| failed(&error))?;
            if header.nlmsg_seq != sequence {
                continue;
            }
            whole &= !header.is_dump_interrupted();
            if header.is_done() || header.is_error() {
                return match status(payload) {
                    0 => Ok(whole.then_some(found)),
                    errno => Err(failed(&std::io::Error::from_raw_os_error(errno))),
                };
            }
            found.extend(listed(payload.get(NFGENMSG_HDRLEN..).unwrap_or_default()));
        }
    }
}

/// The error number that ends a listing, positive; 0 if it ended well.
fn status(payload: &[u8]) -> i32 {
    payload
        .first_chunk()
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes).saturating_neg())
}
