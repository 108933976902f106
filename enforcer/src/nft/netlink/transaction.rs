//! A change as one batch of messages, committed whole or not at all.

use nlink::netlink::nftables::{
    BaseChain, Chain as KernelChain, Family, FilterHook, NFT_MSG_NEWSET, NFTA_SET_FLAGS, NFTA_SET_ID,
    NFTA_SET_KEY_LEN, NFTA_SET_KEY_TYPE, NFTA_SET_NAME, NFTA_SET_TABLE, NFTA_SET_USERDATA, ObjectType,
    Policy, Priority, RawMessage, Rule as KernelRule, Set as KernelSet, SetKeyType, Transaction,
};
use nlink::netlink::{Connection, ErrorDetail, MessageBuilder, Nftables, message};

use super::element::{Elements, Layout};
use super::{family, rule, shortened};
use crate::nft::diff::Operation;
use crate::nft::kernel::{CommitError, Generation, ObjectKind, Stray};
use crate::nft::model::{Chain, Comment, Hook, KeyType, Name, TableKey};

/// Sends the operations as one transaction that the kernel takes only at `expected`.
pub(super) async fn commit(
    connection: &Connection<Nftables>,
    operations: &[Operation<'_>],
    expected: Generation,
) -> Result<Generation, CommitError> {
    let mut transaction = connection.transaction().expect_generation(expected.0);
    for operation in operations {
        transaction =
            append(transaction, operation).map_err(|message| CommitError::Unsendable { message })?;
    }
    match transaction.commit(connection).await {
        // Asking for the generation now could tell of somebody else's commit as if it were this one's.
        Ok(()) => Ok(expected.next()),
        Err(error) => Err(refusal(&error, expected)),
    }
}

fn append(transaction: Transaction, operation: &Operation<'_>) -> Result<Transaction, String> {
    const TABLE: &str = TableKey::NAME;
    Ok(match operation {
        Operation::CreateTable { table, comment } => {
            let comment = comment.map(Comment::as_str);
            transaction.add_table_with_comment(TABLE, family(*table), 0, comment)
        }
        Operation::DeleteTable { table } => transaction.del_table(TABLE, family(*table)),
        Operation::FlushChain { table, chain } => {
            transaction.flush_chain(TABLE, chain.as_str(), family(*table))
        }
        Operation::FlushStray { table, chain } => transaction.flush_chain(TABLE, chain, family(*table)),
        Operation::DeleteStray { table, stray } => delete_stray(transaction, family(*table), stray),
        Operation::DeleteChain { table, chain } => {
            transaction.del_chain(TABLE, chain.as_str(), family(*table))
        }
        Operation::CreateChain { table, name, chain } => {
            transaction.add_chain(new_chain(family(*table), name, chain)?)
        }
        Operation::AddRules { table, chain, rules } => {
            let mut transaction = transaction;
            for rule in *rules {
                let mut message = KernelRule::new(TABLE, chain.as_str())
                    .family(family(*table))
                    .expressions(rule::encode(*table, rule)?);
                if let Some(comment) = &rule.comment {
                    message = message.comment(comment.as_str());
                }
                transaction = transaction.add_rule(message);
            }
            transaction
        }
        Operation::DeleteSet { table, name } => transaction.del_set(TABLE, name.as_str(), family(*table)),
        Operation::CreateSet { table, name, set } if set.key == [KeyType::InterfaceName] => {
            transaction.raw(new_interface_set(family(*table), name, set.comment.as_ref()))
        }
        Operation::CreateSet { table, name, set } => {
            let mut message = new_set(family(*table), name, &set.key);
            if set.interval {
                message = message.interval();
            }
            transaction.add_set(commented(message, set.comment.as_ref()))
        }
        Operation::CreateMap { table, name, map } => {
            let message = new_set(family(*table), name, &map.key).vmap();
            transaction.add_set(commented(message, map.comment.as_ref()))
        }
        Operation::AddElements {
            table,
            name,
            set,
            elements,
        } => {
            let mut messages = Elements::adding(family(*table), name);
            for element in elements {
                messages.element(Layout::of(set), element);
            }
            all(transaction, messages)
        }
        Operation::RemoveElements {
            table,
            name,
            set,
            elements,
        } => {
            let mut messages = Elements::deleting(family(*table), name);
            for element in elements {
                messages.element(Layout::of(set), element);
            }
            all(transaction, messages)
        }
        Operation::AddEntries { table, name, entries } => {
            let mut messages = Elements::adding(family(*table), name);
            for (key, entry) in entries {
                messages.entry(key, entry);
            }
            all(transaction, messages)
        }
        Operation::RemoveEntries { table, name, keys } => {
            let mut messages = Elements::deleting(family(*table), name);
            for key in keys {
                messages.element(Layout::Hash, key);
            }
            all(transaction, messages)
        }
    })
}

fn delete_stray(transaction: Transaction, family: Family, stray: &Stray) -> Transaction {
    match stray {
        Stray::Chain(name) => transaction.del_chain(TableKey::NAME, name, family),
        Stray::Set(name) => transaction.del_set(TableKey::NAME, name, family),
        Stray::Object { kind, name } => {
            let kind = match kind {
                ObjectKind::Counter => ObjectType::Counter,
                ObjectKind::Quota => ObjectType::Quota,
                ObjectKind::CtHelper => ObjectType::CtHelper,
                ObjectKind::Limit => ObjectType::Limit,
                ObjectKind::Secmark => ObjectType::Secmark,
            };
            transaction.del_object(TableKey::NAME, name, kind, family)
        }
        Stray::Flowtable(name) => transaction.del_flowtable(family, TableKey::NAME, name),
    }
}

fn all(transaction: Transaction, elements: Elements<'_>) -> Transaction {
    elements.finish().into_iter().fold(transaction, Transaction::raw)
}

fn new_chain(family: Family, name: &Name, chain: &Chain) -> Result<KernelChain, String> {
    let mut message = KernelChain::new(TableKey::NAME, name.as_str())
        .map_err(|error| error.to_string())?
        .family(family);
    if let Some(hook) = &chain.hook {
        let filter = match hook {
            Hook::Forward { .. } => FilterHook::Forward,
            Hook::Ingress { device, .. } => FilterHook::ingress(device.as_str()),
            Hook::Prerouting { .. } => FilterHook::Prerouting,
            Hook::Postrouting { .. } => FilterHook::Postrouting,
        };
        let base = BaseChain::filter(filter, Priority::Custom(hook.priority())).policy(Policy::Accept);
        message = message.base(base);
    }
    Ok(match &chain.comment {
        Some(comment) => message.comment(comment.as_str()),
        None => message,
    })
}

fn new_set(family: Family, name: &Name, key: &[KeyType]) -> KernelSet {
    let part = |kind: &KeyType| match kind {
        KeyType::Ipv4Address => SetKeyType::Ipv4Addr,
        KeyType::Ipv6Address => SetKeyType::Ipv6Addr,
        KeyType::Protocol => SetKeyType::InetProto,
        KeyType::Port => SetKeyType::InetService,
        // The library has no name for it.
        KeyType::InterfaceName => SetKeyType::Other {
            type_id: kind.number(),
            len: 16,
        },
    };
    let key = match key {
        [only] => part(only),
        parts => SetKeyType::Concat(parts.iter().map(part).collect()),
    };
    KernelSet::new(TableKey::NAME, name.as_str())
        .family(family)
        .key_type(key)
}

/// A hash set of interface names. The library cannot note the byte order of its keys, without which `nft` reads the names
/// backwards and lists them as empty (`NFTNL_UDATA_SET_KEYBYTEORDER` of libnftnl; in a concatenation `nft` does not ask).
fn new_interface_set(family: Family, name: &Name, comment: Option<&Comment>) -> RawMessage {
    const KEY_BYTE_ORDER: u8 = 0;
    const HOST_ENDIAN: u32 = 1;
    const COMMENT: u8 = 7;
    let mut userdata = vec![KEY_BYTE_ORDER, 4];
    userdata.extend(HOST_ENDIAN.to_ne_bytes());
    if let Some(comment) = comment {
        let text = comment.as_str().as_bytes();
        // A comment has 127 bytes at most, and its end is marked by a zero.
        userdata.extend([COMMENT, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)]);
        userdata.extend(text.iter().chain(&[0]));
    }
    let mut attributes = MessageBuilder::new(0, 0);
    let header = attributes.len();
    attributes.append_attr_str(NFTA_SET_TABLE, TableKey::NAME);
    attributes.append_attr_str(NFTA_SET_NAME, name.as_str());
    attributes.append_attr_u32_be(NFTA_SET_FLAGS, 0);
    attributes.append_attr_u32_be(NFTA_SET_KEY_TYPE, KeyType::InterfaceName.number());
    attributes.append_attr_u32_be(NFTA_SET_KEY_LEN, 16);
    // Nothing refers to the set by this number; the kernel wants one.
    attributes.append_attr_u32_be(NFTA_SET_ID, u32::MAX);
    attributes.append_attr(NFTA_SET_USERDATA, &userdata);
    let attributes = attributes.as_bytes().get(header..).unwrap_or_default().to_vec();
    RawMessage::new(NFT_MSG_NEWSET, family)
        .flags(message::NLM_F_CREATE | message::NLM_F_EXCL)
        .attrs(attributes)
}

fn commented(set: KernelSet, comment: Option<&Comment>) -> KernelSet {
    match comment {
        Some(comment) => set.comment(comment.as_str()),
        None => set,
    }
}

/// What a failed commit means: nothing was done, or nobody knows.
fn refusal(error: &nlink::Error, expected: Generation) -> CommitError {
    if error.is_restart() {
        return CommitError::Stale { expected };
    }
    let message = shortened(&error.to_string());
    match error.detail() {
        ErrorDetail::NftBatch { failures, .. } => {
            let first = failures.first();
            CommitError::Refused {
                operation: first.map_or_else(|| "commit".into(), |failure| failure.operation.clone()),
                object: first
                    .and_then(|failure| failure.object.as_ref())
                    .map_or_else(String::new, ToString::to_string),
                errno: first.map_or(0, |failure| failure.errno),
                message,
            }
        }
        _ if error.is_no_buffer_space() || error.is_timeout() => CommitError::OutcomeUnknown { message },
        ErrorDetail::Kernel { errno, .. } => CommitError::Refused {
            operation: "commit".into(),
            object: String::new(),
            errno: *errno,
            message,
        },
        _ if error.is_message_too_long() || error.is_permission_denied() => {
            CommitError::Unsendable { message }
        }
        ErrorDetail::InvalidMessage(_) | ErrorDetail::Backpressure { .. } => {
            CommitError::Unsendable { message }
        }
        _ => CommitError::OutcomeUnknown { message },
    }
}
