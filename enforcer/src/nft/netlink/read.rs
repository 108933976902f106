//! Reading our tables back.
//!
//! Tables, chains, rules, sets and elements are listed one after the other; the generation before and after says
//! whether they belong together.

use std::collections::{BTreeMap, BTreeSet};

use nlink::netlink::nftables::{
    ChainInfo, ChainType, Family, ObjectInfo, ObjectType, Policy, RuleInfo, SetFlags, SetInfo,
};
use nlink::netlink::nftables::{ChainKind, Hook as KernelHook};
use nlink::netlink::{Connection, Nftables};

use super::element::{self, Layout};
use super::{ATTEMPTS, apart, dump, family, not_read, rule};
use crate::nft::kernel::{Count, Counters, Foreign, Generation, Loaded, ObjectKind, ReadError, Stray};
use crate::nft::model::{Chain, Comment, Hook, Interface, KeyType, Name, Set, Table, TableKey, VerdictMap};

/// `NFT_DATA_VERDICT`: the type of what a verdict map holds.
const VERDICT_DATA: u32 = 0xffff_ff00;

/// The bits that hold one part of a key's type (`TYPE_BITS` of nftables).
const TYPE_BITS: u32 = 6;

pub(super) async fn generation(connection: &Connection<Nftables>) -> Result<Generation, ReadError> {
    let generation = connection.generation().await;
    generation
        .map(Generation)
        .map_err(|error| not_read("the generation", error))
}

/// Our tables that exist.
pub(super) async fn table_keys(connection: &Connection<Nftables>) -> Result<Vec<TableKey>, ReadError> {
    Ok(tables(connection)
        .await?
        .into_iter()
        .map(|(key, ..)| key)
        .collect())
}

/// Our tables that exist, with flags and comment.
async fn tables(
    connection: &Connection<Nftables>,
) -> Result<Vec<(TableKey, u32, Option<String>)>, ReadError> {
    let found = connection
        .list_tables()
        .await
        .map_err(|error| not_read("the list of tables", error))?;
    let ours = found
        .into_iter()
        .filter(|table| table.name == TableKey::NAME)
        .filter_map(|table| {
            let key = TableKey::ALL
                .into_iter()
                .find(|key| family(*key) == table.family)?;
            Some((key, table.flags, table.comment))
        });
    Ok(ours.collect())
}

/// Who lists rules: for each piece of such a listing the kernel walks all rules of the table, so that twenty thousand take it nearly
/// as long as two thousand sets with all their elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// Whoever lists the rest.
    InTurn,
    /// A thread of its own, in the network namespace of the calling one.
    Apart,
}

/// Everything in our tables, at one generation.
pub(super) async fn ruleset(connection: &Connection<Nftables>, rules: Rules) -> Result<Loaded, ReadError> {
    for _ in 0..ATTEMPTS {
        let before = generation(connection).await?;
        let outcome = ruleset_once(connection, rules, before).await;
        // A listing of something that was just deleted fails; what counts is whether anything changed.
        if generation(connection).await? == before
            && let Some(loaded) = outcome?
        {
            return Ok(loaded);
        }
    }
    Err(ReadError::Unstable { attempts: ATTEMPTS })
}

async fn ruleset_once(
    connection: &Connection<Nftables>,
    rules: Rules,
    generation: Generation,
) -> Result<Option<Loaded>, ReadError> {
    let mut loaded = Loaded {
        generation,
        ..Loaded::default()
    };
    for (key, flags, comment) in tables(connection).await? {
        let mut reading = Reading {
            key,
            table: Table::default(),
            foreign: Foreign::default(),
        };
        if flags != 0 {
            reading
                .foreign
                .rest
                .push(format!("flags {flags:#x} on the table"));
        }
        reading.table.comment = reading.comment(comment.as_deref(), "the table");
        if !reading.everything(connection, rules).await? {
            return Ok(None);
        }
        let Reading { table, foreign, .. } = reading;
        loaded.ruleset.tables.insert(key, table);
        if foreign != Foreign::default() {
            loaded.foreign.insert(key, foreign);
        }
    }
    Ok(Some(loaded))
}

struct Reading {
    key: TableKey,
    table: Table,
    foreign: Foreign,
}

impl Reading {
    /// Reads one table. Returns whether nothing changed underneath.
    async fn everything(
        &mut self,
        connection: &Connection<Nftables>,
        rules: Rules,
    ) -> Result<bool, ReadError> {
        let (key, family) = (self.key, family(self.key));
        let failed = |error: nlink::Error| not_read(format!("table {key}"), error);
        for chain in connection
            .list_chains_in(TableKey::NAME, family)
            .await
            .map_err(failed)?
        {
            self.chain(&chain);
        }
        let apart = (rules == Rules::Apart).then(|| {
            apart(nlink::Error::from, async move || {
                let connection = Connection::<Nftables>::new()?;
                connection.list_rules(TableKey::NAME, family).await
            })
        });
        for set in connection
            .list_sets_in(TableKey::NAME, family)
            .await
            .map_err(failed)?
        {
            if !self.set(connection, family, &set).await? {
                return Ok(false);
            }
        }
        let rules = match apart {
            Some(listing) => listing
                .await
                .map_err(|error| not_read(format!("rules of table {key}"), error))?,
            None => connection.list_rules(TableKey::NAME, family).await,
        };
        for rule in rules.map_err(failed)? {
            self.rule(&rule);
        }
        for object in connection
            .list_objects_in(TableKey::NAME, family)
            .await
            .map_err(failed)?
        {
            match kind(&object) {
                Some(kind) => {
                    let name = object.name;
                    self.foreign.strays.insert(Stray::Object { kind, name });
                }
                None => self.foreign.rest.push(format!("object {}", object.name)),
            }
        }
        for flowtable in connection
            .list_flowtables_in(TableKey::NAME, family)
            .await
            .map_err(failed)?
        {
            self.foreign.strays.insert(Stray::Flowtable(flowtable.name));
        }
        Ok(true)
    }

    fn chain(&mut self, found: &ChainInfo) {
        let hook = match hook(found) {
            Ok(hook) => hook.filter(|hook| hook.table() == self.key),
            Err(()) => None,
        };
        let name = Name::new(&found.name)
            .ok()
            .filter(|_| hook.is_some() || found.hook.is_none());
        let Some(name) = name else {
            self.foreign.strays.insert(Stray::Chain(found.name.clone()));
            return;
        };
        let comment = self.comment(found.comment.as_deref(), &found.name);
        self.table.chains.insert(
            name,
            Chain {
                hook,
                comment,
                rules: Vec::new(),
            },
        );
    }

    fn rule(&mut self, found: &RuleInfo) {
        // The rules of a chain that is foreign go with it.
        let Some((name, chain)) = Name::new(&found.chain)
            .ok()
            .and_then(|name| Some((name.clone(), self.table.chains.get_mut(&name)?)))
        else {
            return;
        };
        let comment = found.comment_text.as_deref().map(Comment::fit);
        let same_comment = comment.as_ref().map(Comment::as_str) == found.comment_text.as_deref();
        match rule::decode(self.key, &found.expressions(), comment).filter(|_| same_comment) {
            Some(rule) => chain.rules.push(rule),
            None => {
                self.foreign.chains.insert(name);
            }
        }
    }

    /// Reads a set or a map. Returns whether nothing changed underneath.
    ///
    /// A set that has just been filled grows its hash table meanwhile, and no generation tells of it. Each message of a listing
    /// begins at the front and leaves out as many elements as were told before, in an order that is another one by then: for
    /// each element that is missing another one is there twice (1,312 of 50,000 on Linux 6.18).
    async fn set(
        &mut self,
        connection: &Connection<Nftables>,
        family: Family,
        found: &SetInfo,
    ) -> Result<bool, ReadError> {
        if found.flags.contains(SetFlags::ANONYMOUS) {
            // It is part of a rule that is foreign, and goes with it.
            return Ok(true);
        }
        let stray = || Stray::Set(found.name.clone());
        let (Some(name), Some(key), true) = (Name::new(&found.name).ok(), key_types(found), is_plain(found))
        else {
            self.foreign.strays.insert(stray());
            return Ok(true);
        };
        let Some(listed) = dump::elements(connection, family, name.as_str()).await? else {
            return Ok(false);
        };
        let count = listed.len();
        let comment = self.comment(found.comment.as_deref(), &found.name);
        if found.data_type.is_some() {
            let entries: Option<BTreeMap<_, _>> =
                listed.into_iter().map(element::Listed::into_entry).collect();
            match entries {
                Some(elements) if elements.len() < count => return Ok(false),
                Some(elements) => {
                    self.table.maps.insert(
                        name,
                        VerdictMap {
                            key,
                            elements,
                            comment,
                        },
                    );
                }
                None => {
                    self.foreign.strays.insert(stray());
                }
            }
            return Ok(true);
        }
        let interval = found.flags.contains(SetFlags::INTERVAL);
        let mut set = Set {
            key,
            interval,
            elements: BTreeSet::new(),
            comment,
        };
        match element::into_elements(Layout::of(&set), listed) {
            Some(elements) => {
                let count = elements.len();
                set.elements = elements.into_iter().collect();
                if set.elements.len() < count {
                    return Ok(false);
                }
                self.table.sets.insert(name, set.into());
            }
            None => {
                self.foreign.strays.insert(stray());
            }
        }
        Ok(true)
    }

    /// A comment as it was found; one that cannot be ours is noted.
    fn comment(&mut self, found: Option<&str>, of: &str) -> Option<Comment> {
        let comment = Comment::fit(found?);
        if Some(comment.as_str()) != found {
            self.foreign.rest.push(format!("the comment of {of}"));
        }
        Some(comment)
    }
}

/// The hook of a chain, `None` for a chain without; an error for a base chain that is none of ours.
fn hook(found: &ChainInfo) -> Result<Option<Hook>, ()> {
    let base = match found.kind() {
        Some(ChainKind::Regular) => return Ok(None),
        Some(ChainKind::Base(base)) => base,
        _ => return Err(()),
    };
    if base.chain_type() != ChainType::Filter || !matches!(base.default_policy(), None | Some(Policy::Accept))
    {
        return Err(());
    }
    let priority = base.priority().to_i32();
    let hook = match (base.hook(), base.devices()) {
        (KernelHook::Forward, []) => Hook::Forward { priority },
        (KernelHook::Prerouting, []) => Hook::Prerouting { priority },
        (KernelHook::Postrouting, []) => Hook::Postrouting { priority },
        (KernelHook::Ingress, [device]) => Hook::Ingress {
            device: Interface::new(device).map_err(|_| ())?,
            priority,
        },
        _ => return Err(()),
    };
    Ok(Some(hook))
}

/// The types of a key's parts, if all are known and as wide as the key.
fn key_types(found: &SetInfo) -> Option<Vec<KeyType>> {
    let mut rest = found.key_type;
    let mut key = Vec::new();
    while rest != 0 {
        let number = rest & ((1 << TYPE_BITS) - 1);
        key.push(KeyType::ALL.into_iter().find(|kind| kind.number() == number)?);
        rest >>= TYPE_BITS;
    }
    key.reverse();
    (usize::try_from(found.key_len) == Ok(KeyType::key_width(&key))).then_some(key)
}

/// Whether a set is a hash, an interval set or a verdict map without anything else.
fn is_plain(found: &SetInfo) -> bool {
    let allowed = match found.data_type {
        None => SetFlags::INTERVAL | SetFlags::CONCAT,
        Some(VERDICT_DATA) => SetFlags::MAP | SetFlags::CONCAT,
        Some(_) => return false,
    };
    allowed.contains(found.flags)
        && found.object_type.is_none()
        && found.timeout.is_none()
        && found.gc_interval.is_none()
        && found.size.is_none()
        && found.statements.is_empty()
        && found.policy == nlink::netlink::nftables::SetPolicy::Performance
}

/// What the rules of our chains counted.
pub(super) async fn counters(connection: &Connection<Nftables>) -> Result<Counters, ReadError> {
    let mut counters = Counters::new();
    for key in table_keys(connection).await? {
        let failed = |error: nlink::Error| not_read(format!("the counters of {key}"), error);
        let chains: &mut BTreeMap<_, Vec<_>> = counters.entry(key).or_default();
        for chain in connection
            .list_chains_in(TableKey::NAME, family(key))
            .await
            .map_err(failed)?
        {
            chains.entry(chain.name).or_default();
        }
        for rule in connection
            .list_rules(TableKey::NAME, family(key))
            .await
            .map_err(failed)?
        {
            let count = rule.counter().map(|(packets, bytes)| Count { packets, bytes });
            chains.entry(rule.chain).or_default().push(count);
        }
    }
    Ok(counters)
}

fn kind(object: &ObjectInfo) -> Option<ObjectKind> {
    match object.object_type()? {
        ObjectType::Counter => Some(ObjectKind::Counter),
        ObjectType::Quota => Some(ObjectKind::Quota),
        ObjectType::CtHelper => Some(ObjectKind::CtHelper),
        ObjectType::Limit => Some(ObjectKind::Limit),
        ObjectType::Secmark => Some(ObjectKind::Secmark),
        _ => None,
    }
}
