//! From what `nft -j` prints to tables that can be walked.
//!
//! This reads what the kernel has, whoever put it there. It shares nothing with the program that wrote the rules but the
//! format, which is libnftables' (`libnftables-json(5)`). A statement, an expression or a type that it does not know makes its
//! rule or set [`NotUnderstood`]; it guesses nothing.

mod object;
mod rule;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use super::ruleset::{
    Base, Chain, Element, Family, Hook, NotUnderstood, Policy, Rule, Ruleset, Set, Table, Verdict,
};

use crate::style::visible;

pub(crate) use object::{Listing, Object};

/// The name of the tables that are read.
pub(crate) const TABLE: &str = "palisade";

/// How many chains can lead from one to the next in a kernel.
const DEPTH: usize = 16;

/// Why tables could not be read at all.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// A base chain at a place, or of a form, that is not known.
    #[error("chain {chain} of table {family} {TABLE}: {what}")]
    Chain {
        /// The table's family.
        family: Family,
        /// The chain.
        chain: String,
        /// What is not known.
        what: String,
    },
    /// A rule or a chain of something that was not listed.
    #[error("table {family} {TABLE}: {what}")]
    Incomplete {
        /// The table's family.
        family: Family,
        /// What is missing.
        what: String,
    },
    /// A set that was listed while its hash table grew. The kernel then tells some elements twice and leaves others out, and no
    /// generation tells of it (1,312 of 50,000 on Linux 6.18).
    #[error(
        "table {family} {TABLE}: set {set} lists an element twice, and so leaves others out: it grew meanwhile; list it again"
    )]
    Torn {
        /// The table's family.
        family: Family,
        /// The set.
        set: String,
    },
    /// Two chains, or two sets, of one name.
    #[error("table {family} {TABLE}: {name} is listed twice")]
    Twice {
        /// The table's family.
        family: Family,
        /// Their name.
        name: String,
    },
    /// More chains in a row than a kernel would take (`NFT_JUMP_STACK_SIZE`).
    #[error(
        "table {family} {TABLE}: from chain {chain} on more than {DEPTH} chains lead from one to the next"
    )]
    Deep {
        /// The table's family.
        family: Family,
        /// The chain.
        chain: String,
    },
    /// Chains that lead back to themselves, which no kernel has.
    #[error("table {family} {TABLE}: chain {chain} leads back to itself")]
    Circle {
        /// The table's family.
        family: Family,
        /// One of the chains.
        chain: String,
    },
}

/// Reads the tables of a listing that are named `palisade`.
pub(crate) fn read(listing: Listing) -> Result<Ruleset, Unreadable> {
    let mut ruleset = Ruleset::default();
    let mut rules = Vec::new();
    for object in listing.objects {
        if let Some(table) = object.table {
            match Family::parse(&table.family).filter(|_| table.name == TABLE) {
                Some(family) => {
                    ruleset.tables.entry(family).or_default().has_flags = table.flags.is_some();
                }
                None => ruleset.others += 1,
            }
        } else if let Some(chain) = object.chain {
            if let Some((family, table)) = own(&mut ruleset, &chain.family, &chain.table) {
                let base = base(&chain).map_err(|what| Unreadable::Chain {
                    family,
                    chain: visible(&chain.name).into_owned(),
                    what: visible(&what).into_owned(),
                })?;
                let name = visible(&chain.name).into_owned();
                let is_new = table.add(Chain {
                    name: chain.name,
                    base,
                    rules: Vec::new(),
                });
                if !is_new {
                    return Err(Unreadable::Twice { family, name });
                }
            }
        } else if let Some(set) = object.set.or(object.map) {
            if let Some((family, table)) = own(&mut ruleset, &set.family, &set.table) {
                let read = named_set(&set);
                let name = visible(&set.name).into_owned();
                if table.sets.insert(set.name, read).is_some() {
                    return Err(Unreadable::Twice { family, name });
                }
            }
        } else if let Some(rule) = object.rule {
            rules.push(rule);
        }
    }
    for rule in rules {
        let Some((family, table)) = own(&mut ruleset, &rule.family, &rule.table) else {
            continue;
        };
        let place = table.chain(&rule.chain);
        let Some(chain) = place.and_then(|place| table.chains.get_mut(place)) else {
            let what = format!("a rule of chain {}, which is not listed", visible(&rule.chain));
            return Err(Unreadable::Incomplete { family, what });
        };
        chain.rules.push(Rule {
            handle: rule.handle,
            comment: rule.comment,
            body: rule::body(family, &rule.expr),
        });
    }
    for (family, table) in &ruleset.tables {
        complete(*family, table)?;
    }
    Ok(ruleset)
}

fn own<'r>(ruleset: &'r mut Ruleset, family: &str, name: &str) -> Option<(Family, &'r mut Table)> {
    let family = Family::parse(family).filter(|_| name == TABLE)?;
    Some((family, ruleset.tables.entry(family).or_default()))
}

fn base(chain: &object::Chain) -> Result<Option<Base>, String> {
    let Some(hook) = &chain.hook else { return Ok(None) };
    let hook = match hook.as_str() {
        "ingress" => Hook::Ingress,
        "prerouting" => Hook::Prerouting,
        "forward" => Hook::Forward,
        "postrouting" => Hook::Postrouting,
        "input" => Hook::Input,
        "output" => Hook::Output,
        "egress" => Hook::Egress,
        other => return Err(format!("hook {other} is not known")),
    };
    if let Some(kind) = chain.kind.as_deref().filter(|kind| *kind != "filter") {
        return Err(format!("a chain of type {kind} does more than filter"));
    }
    let policy = match chain.policy.as_deref() {
        None | Some("accept") => Policy::Accept,
        Some("drop") => Policy::Drop,
        Some(other) => return Err(format!("policy {other} is not known")),
    };
    let priority = chain.prio.ok_or("its priority is missing")?;
    let devices = chain.dev.clone().map(object::Devices::names);
    Ok(Some(Base {
        hook,
        priority,
        policy,
        devices,
    }))
}

fn named_set(set: &object::Set) -> Result<Arc<Set>, NotUnderstood> {
    let data = set.data.as_deref();
    if let Some(field) = &set.unknown {
        return Err(NotUnderstood(format!("set {} has {field}", set.name)));
    }
    if let Some(other) = data.filter(|data| *data != "verdict") {
        return Err(NotUnderstood(format!(
            "map {} has values of type {other}",
            set.name
        )));
    }
    if let Some(flag) = set
        .flags
        .names()
        .into_iter()
        .find(|flag| !matches!(flag.as_str(), "interval" | "constant"))
    {
        return Err(NotUnderstood(format!("set {} has the flag {flag}", set.name)));
    }
    let named = |NotUnderstood(what)| NotUnderstood(format!("set {}: {what}", set.name));
    let key = value::kinds(&set.key).map_err(named)?;
    let mut elements = Vec::with_capacity(set.elem.len());
    for raw in &set.elem {
        elements.push(element(raw, &key, data.is_some()).map_err(named)?);
    }
    let set = Set::new(key, elements);
    Ok(Arc::new(if data.is_some() {
        set.unambiguous().map_err(named)?
    } else {
        set
    }))
}

fn element(raw: &value::Raw, key: &[super::ruleset::Kind], is_map: bool) -> Result<Element, NotUnderstood> {
    let (raw, verdict) = match raw {
        value::Raw::Entry(entry) if is_map => (&entry.0, Some(rule::verdict(&entry.1)?)),
        other if !is_map => (other, None),
        other => return Err(NotUnderstood(format!("{other} is no entry of a map"))),
    };
    let (raw, comment) = match raw {
        value::Raw::Element { value, comment } => (&**value, comment.clone()),
        other => (other, None),
    };
    if is_map && matches!(raw, value::Raw::Text(text) if &**text == "*") {
        return Err(NotUnderstood("an entry for whatever has none".to_owned()));
    }
    Ok(Element {
        parts: value::parts(raw, key)?,
        verdict,
        comment,
    })
}

/// That what rules refer to is there, that no chain leads back to itself, and that none leads further than a kernel would go.
fn complete(family: Family, table: &Table) -> Result<(), Unreadable> {
    let mut heights = BTreeMap::new();
    for place in 0..table.chains.len() {
        height(family, table, place, &mut Vec::new(), &mut heights)?;
    }
    Ok(())
}

/// How many chains lead on from one at most.
fn height(
    family: Family,
    table: &Table,
    place: usize,
    way: &mut Vec<usize>,
    heights: &mut BTreeMap<usize, usize>,
) -> Result<usize, Unreadable> {
    let name = |place: usize| {
        table
            .chains
            .get(place)
            .map_or_else(String::new, |chain| visible(&chain.name).into_owned())
    };
    let known = heights.get(&place).copied();
    if known.is_none() && way.contains(&place) {
        let chain = name(place);
        return Err(Unreadable::Circle { family, chain });
    }
    if way.len() + known.unwrap_or(0) > DEPTH {
        let chain = name(way.first().copied().unwrap_or(place));
        return Err(Unreadable::Deep { family, chain });
    }
    if let Some(known) = known {
        return Ok(known);
    }
    way.push(place);
    let mut highest = 0;
    let rules = table.chains.get(place).into_iter().flat_map(|chain| &chain.rules);
    for body in rules.filter_map(|rule| rule.body.as_ref().ok()) {
        for verdict in table.verdicts(body) {
            if let Verdict::Jump(next) | Verdict::Goto(next) = verdict {
                let next = table.chain(next).ok_or_else(|| Unreadable::Incomplete {
                    family,
                    what: format!("chain {} is not listed", visible(next)),
                })?;
                highest = highest.max(1 + height(family, table, next, way, heights)?);
            }
        }
    }
    way.pop();
    heights.insert(place, highest);
    Ok(highest)
}
