//! From what `nft -j` prints to tables that can be walked.
//!
//! This reads what the kernel has, whoever put it there. It shares nothing with the program that wrote the rules but the
//! format, which is libnftables' (`libnftables-json(5)`). A statement, an expression or a type that it does not know makes its
//! rule or set [`NotUnderstood`]; it guesses nothing.

mod object;
mod rule;
mod value;

use std::collections::BTreeSet;
use std::sync::Arc;

use thiserror::Error;

use super::ruleset::{
    Base, Chain, Element, Family, Hook, NotUnderstood, Policy, Rule, Ruleset, Set, Table, Verdict,
};

pub(crate) use object::{Listing, Object};

/// The name of the tables that are read.
pub(crate) const TABLE: &str = "palisade";

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
                    chain: chain.name.clone(),
                    what,
                })?;
                let name = chain.name;
                table.chains.push(Chain {
                    name,
                    base,
                    rules: Vec::new(),
                });
            }
        } else if let Some(set) = object.set {
            if let Some((_, table)) = own(&mut ruleset, &set.family, &set.table) {
                table.sets.insert(set.name.clone(), named_set(&set, None));
            }
        } else if let Some(map) = object.map {
            if let Some((_, table)) = own(&mut ruleset, &map.set.family, &map.set.table) {
                let name = map.set.name.clone();
                table.sets.insert(name, named_set(&map.set, Some(&map.data)));
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
            let what = format!("a rule of chain {}, which is not listed", rule.chain);
            return Err(Unreadable::Incomplete { family, what });
        };
        chain.rules.push(Rule {
            handle: rule.handle,
            comment: rule.comment,
            body: rule::body(&rule.expr),
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

fn named_set(set: &object::Set, data: Option<&str>) -> Result<Arc<Set>, NotUnderstood> {
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
    Ok(Arc::new(Set { key, elements }))
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

/// That what rules refer to is there, and that no chain leads back to itself.
fn complete(family: Family, table: &Table) -> Result<(), Unreadable> {
    let mut done = BTreeSet::new();
    for chain in &table.chains {
        follow(family, table, &chain.name, &mut BTreeSet::new(), &mut done)?;
    }
    Ok(())
}

fn follow<'t>(
    family: Family,
    table: &'t Table,
    name: &'t str,
    way: &mut BTreeSet<&'t str>,
    done: &mut BTreeSet<&'t str>,
) -> Result<(), Unreadable> {
    if done.contains(name) {
        return Ok(());
    }
    if !way.insert(name) {
        return Err(Unreadable::Circle {
            family,
            chain: name.to_owned(),
        });
    }
    let chain = table.chain(name).and_then(|place| table.chains.get(place));
    let chain = chain.ok_or_else(|| Unreadable::Incomplete {
        family,
        what: format!("chain {name} is not listed"),
    })?;
    for body in chain.rules.iter().filter_map(|rule| rule.body.as_ref().ok()) {
        for verdict in table.verdicts(body) {
            if let Verdict::Jump(next) | Verdict::Goto(next) = verdict {
                follow(family, table, next, way, done)?;
            }
        }
    }
    way.remove(name);
    done.insert(name);
    Ok(())
}
