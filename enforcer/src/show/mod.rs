//! `palisade-enforcer show`: what the kernel does with a pod's packets, in words.
//!
//! What is shown was read from the kernel; the rule files add whose addresses and which policies these are. Where the
//! two differ, as while a change is on its way, the kernel is what counts.

mod names;
mod words;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::IpAddr;

use palisade_crds::RuleSet;
use palisade_policy::model::{Direction, PodKey};
use palisade_policy::rules::LocalPod;

use crate::facts::Observed;
use crate::nft::model::{
    Comment, Element, Hook, Interface, KeyType, MapEntry, Match, Name, Rule, Table, TableKey, Value, Verdict,
};
use crate::nft::{Count, Counters, Loaded};
use names::Names;

/// What is shown, and how much of it.
pub struct Show<'a> {
    rules: &'a RuleSet,
    loaded: &'a Loaded,
    counters: &'a Counters,
    observed: &'a Observed,
    names: Names<'a>,
    /// Elements of a set that are listed; of the rest only the number is told.
    elements: usize,
    empty: Table,
}

/// Where the kernel sends a pod's packets of one direction.
struct Dispatch<'a> {
    interface: String,
    address: IpAddr,
    verdict: &'a Verdict,
}

impl<'a> Show<'a> {
    /// Puts together what was read.
    pub fn new(
        rules: &'a RuleSet,
        observed: &'a Observed,
        loaded: &'a Loaded,
        counters: &'a Counters,
        elements: usize,
    ) -> Self {
        Self {
            rules,
            loaded,
            counters,
            observed,
            names: Names::of(rules),
            elements,
            empty: Table::default(),
        }
    }

    fn table(&self, key: TableKey) -> &Table {
        self.loaded.ruleset.tables.get(&key).unwrap_or(&self.empty)
    }

    /// Whether anybody knows the pod.
    pub fn knows(&self, pod: &PodKey) -> bool {
        self.rules.rules.pods.values().any(|local| local.key == *pod)
            || [Direction::Ingress, Direction::Egress]
                .into_iter()
                .any(|direction| !self.dispatches(pod, direction).is_empty())
    }

    /// One line for each pod.
    pub fn overview(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(
            to,
            "node {}: {} pods; rules of revision {}; kernel ruleset at generation {}",
            self.rules.rules.node,
            self.rules.rules.pods.len(),
            self.rules.revision,
            self.loaded.generation
        )?;
        if self.loaded.ruleset.tables.is_empty() {
            writeln!(to, "nothing is loaded: everything is open")?;
        }
        for pod in self.rules.rules.pods.values() {
            let [ingress, egress] = [Direction::Ingress, Direction::Egress].map(|direction| {
                let isolated = self
                    .dispatches(&pod.key, direction)
                    .iter()
                    .any(|found| is_isolated(found.verdict));
                if isolated {
                    format!("isolated for {direction}")
                } else {
                    format!("open for {direction}")
                }
            });
            match self.attachment(&pod.key) {
                Some(attachment) => writeln!(to, "  {}: {attachment}; {ingress}, {egress}", pod.key)?,
                None => writeln!(to, "  {}: closed: {}", pod.key, self.absence(&pod.key))?,
            }
        }
        Ok(())
    }

    /// Everything that concerns all pods.
    pub fn node(&self, to: &mut dyn Write) -> io::Result<()> {
        for key in TableKey::ALL {
            let chains = self.table(key).chains.iter().filter(|(name, chain)| match key {
                TableKey::Inet => chain.hook.is_some() || name.as_str() == "to_pods",
                TableKey::Netdev => chain.hook.is_none(),
                TableKey::Bridge => true,
            });
            for (name, _) in chains {
                self.chain(key, name, "", to)?;
            }
        }
        Ok(())
    }

    /// Everything that concerns one pod.
    pub fn pod(&self, pod: &PodKey, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to, "pod {pod}")?;
        match self.attachment(pod) {
            Some(attachment) => writeln!(to, "  attached: {attachment}")?,
            None => writeln!(to, "  attached: {}", self.absence(pod))?,
        }
        let locals: Vec<&LocalPod> = self
            .rules
            .rules
            .pods
            .values()
            .filter(|local| local.key == *pod)
            .collect();
        if locals.is_empty() {
            writeln!(to, "  the rule files do not name it any more")?;
        }
        for direction in [Direction::Ingress, Direction::Egress] {
            self.direction(pod, &locals, direction, to)?;
        }
        Ok(())
    }

    fn direction(
        &self,
        pod: &PodKey,
        locals: &[&LocalPod],
        direction: Direction,
        to: &mut dyn Write,
    ) -> io::Result<()> {
        let dispatches = self.dispatches(pod, direction);
        let chains: BTreeSet<&Name> = dispatches
            .iter()
            .filter_map(|found| chain_of(found.verdict))
            .collect();
        let dropped = dispatches.iter().any(|found| *found.verdict == Verdict::Drop);
        let state = match (dispatches.is_empty(), dropped, chains.is_empty()) {
            (true, ..) => "closed",
            (_, true, _) => "closed: its profile is missing",
            (.., true) => "open: no policy isolates it",
            (.., false) => "isolated",
        };
        writeln!(to, "  {direction}: {state}")?;
        for local in locals {
            let profile = local
                .profile(direction)
                .and_then(|id| self.rules.rules.profiles.get(id));
            for (policy, compiled) in profile.iter().flat_map(|profile| profile.policies()) {
                let defects = compiled.rules.defects.len();
                let note = if defects > 0 {
                    " (in part not understood: that part allows nothing)"
                } else {
                    ""
                };
                writeln!(to, "    policy {policy}{note}")?;
            }
        }
        chains
            .into_iter()
            .try_for_each(|chain| self.chain(TableKey::Inet, chain, "    ", to))
    }

    fn chain(&self, table: TableKey, name: &Name, indent: &str, to: &mut dyn Write) -> io::Result<()> {
        let Some(chain) = self.table(table).chains.get(name) else {
            return writeln!(to, "{indent}chain {name} is not there");
        };
        let comment = chain
            .comment
            .as_ref()
            .map(|comment| format!(": {comment}"))
            .unwrap_or_default();
        writeln!(to, "{indent}chain {name} of table {table}{comment}")?;
        let counts = self
            .counters
            .get(&table)
            .and_then(|chains| chains.get(name.as_str()));
        for (position, rule) in chain.rules.iter().enumerate() {
            let count = counts.and_then(|counts| counts.get(position)).copied().flatten();
            self.rule(table, name, (position + 1, rule), count, indent, to)?;
        }
        Ok(())
    }

    fn rule(
        &self,
        table: TableKey,
        chain: &Name,
        (number, rule): (usize, &Rule),
        count: Option<Count>,
        indent: &str,
        to: &mut dyn Write,
    ) -> io::Result<()> {
        // The sets of a chain have its name before their own.
        let conditions = words::conditions(rule).replace(&format!("set {chain}_"), "its set ");
        write!(
            to,
            "{indent}  {number}. {conditions}: {}",
            words::verdict(&rule.verdict)
        )?;
        if let Some(Count { packets, bytes }) = count {
            write!(to, " — {packets} packets, {bytes} bytes")?;
        }
        match &rule.comment {
            Some(comment) => writeln!(to, " ({comment})")?,
            None => writeln!(to)?,
        }
        for condition in &rule.matches {
            if let Match::InSet { set, .. } = condition {
                self.set(table, chain, set, indent, to)?;
            }
        }
        Ok(())
    }

    fn set(
        &self,
        table: TableKey,
        chain: &Name,
        name: &Name,
        indent: &str,
        to: &mut dyn Write,
    ) -> io::Result<()> {
        let Some(set) = self.table(table).sets.get(name) else {
            return writeln!(to, "{indent}       {name} is not there");
        };
        let total = set.elements.len();
        let comment = set
            .comment
            .as_ref()
            .map(|comment| format!(" ({comment})"))
            .unwrap_or_default();
        let own = name
            .as_str()
            .strip_prefix(chain.as_str())
            .and_then(|rest| rest.strip_prefix('_'));
        let elements = if total == 1 { "element" } else { "elements" };
        writeln!(
            to,
            "{indent}       {}: {total} {elements}{comment}",
            own.unwrap_or(name.as_str())
        )?;
        for element in set.elements.iter().take(self.elements) {
            writeln!(
                to,
                "{indent}         {}",
                words::element(element, &set.key, &self.names)
            )?;
        }
        if total > self.elements {
            writeln!(to, "{indent}         and {} more", total - self.elements)?;
        }
        Ok(())
    }

    /// Interface and addresses, as the kernel has them.
    fn attachment(&self, pod: &PodKey) -> Option<String> {
        let mut dispatches = self.dispatches(pod, Direction::Egress);
        dispatches.extend(self.dispatches(pod, Direction::Ingress));
        let interfaces: BTreeSet<&str> = dispatches.iter().map(|found| found.interface.as_str()).collect();
        let addresses: BTreeSet<IpAddr> = dispatches.iter().map(|found| found.address).collect();
        if interfaces.is_empty() {
            return None;
        }
        let interfaces: Vec<&str> = interfaces.into_iter().collect();
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let links: Vec<String> = self.links(pod).map(ToString::to_string).collect();
        let by = if links.is_empty() || links == interfaces {
            interfaces.join(", ")
        } else {
            format!("{}, a port of {}", links.join(", "), interfaces.join(", "))
        };
        Some(format!("{by}, with {}", addresses.join(", ")))
    }

    /// Why the kernel does not know a pod.
    fn absence(&self, pod: &PodKey) -> String {
        let uids = self
            .rules
            .rules
            .pods
            .iter()
            .filter(|(_, local)| local.key == *pod)
            .map(|(uid, _)| uid);
        for uid in uids {
            if let Some(problem) = self.observed.unsupported.get(uid) {
                return problem.clone();
            }
            if let Some(place) = self.observed.places.get(uid) {
                return format!("to {}, of which the kernel does not know yet", place.interface);
            }
        }
        "no CNI result says where".to_owned()
    }

    /// The node's ends of the pod's veths, by the chains that check its source addresses.
    fn links(&self, pod: &PodKey) -> impl Iterator<Item = &Interface> {
        let pod = pod.to_string();
        self.table(TableKey::Netdev)
            .chains
            .values()
            .filter_map(move |chain| {
                let Some(Hook::Ingress { device, .. }) = &chain.hook else {
                    return None;
                };
                let (_, named) = chain.comment.as_ref()?.as_str().split_once(" of ")?;
                let is_it = named == pod || named.strip_suffix('…').is_some_and(|cut| pod.starts_with(cut));
                is_it.then_some(device)
            })
    }

    /// The entries of the maps that send a pod's packets to its rules.
    fn dispatches(&self, pod: &PodKey, direction: Direction) -> Vec<Dispatch<'_>> {
        let label = Comment::fit(pod.to_string());
        let maps = ["4", "6"].map(|digit| format!("{direction}{digit}"));
        let maps = self
            .table(TableKey::Inet)
            .maps
            .iter()
            .filter(|(name, _)| maps.iter().any(|map| map == name.as_str()));
        let entries =
            maps.flat_map(|(_, map)| map.elements.iter().map(|(key, entry)| (key, &map.key, entry)));
        let entries = entries.filter(|(.., entry)| entry.comment.as_ref() == Some(&label));
        entries
            .filter_map(|(element, key, entry)| dispatch(element, key, entry))
            .collect()
    }
}

fn dispatch<'a>(element: &Element, key: &[KeyType], entry: &'a MapEntry) -> Option<Dispatch<'a>> {
    match element.parts(key).ok()?.as_slice() {
        [interface, address] => match (&interface.first, &address.first) {
            (Value::Interface(interface), Value::Address(address)) => Some(Dispatch {
                interface: interface.clone(),
                address: *address,
                verdict: &entry.verdict,
            }),
            _ => None,
        },
        _ => None,
    }
}

/// The chain of a profile; `None` where the packets of a pod go on unjudged.
fn chain_of(verdict: &Verdict) -> Option<&Name> {
    match verdict {
        Verdict::Goto(chain) | Verdict::Jump(chain) if chain.as_str() != "to_pods" => Some(chain),
        _ => None,
    }
}

fn is_isolated(verdict: &Verdict) -> bool {
    chain_of(verdict).is_some() || *verdict == Verdict::Drop
}
