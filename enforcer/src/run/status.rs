//! What the enforcer says about itself: one JSON document, replaced as a whole whenever it changes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use palisade_policy::model::{NodeName, PodKey};
use serde::{Serialize, Serializer};

use crate::nft::model::Ruleset;
use crate::nft::{Counts, Generation};
use crate::source::Document;

/// The state of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The node.
    #[serde(serialize_with = "text")]
    pub node: NodeName,
    /// Whether the kernel enforces a complete rule set, and everything of the last one.
    pub ready: bool,
    /// The revision of the rules that the kernel enforces.
    pub revision: Option<u64>,
    /// The hash of the rule set.
    pub hash: Option<String>,
    /// One hash over the policies of the node's namespaces.
    pub policies: Option<String>,
    /// One hash over the rules and all slices that they refer to: it tells whether a change has reached the kernel.
    pub content: Option<String>,
    /// Microseconds from the publication of that revision until the kernel had it, where both were seen.
    pub lag: Option<u64>,
    /// The object that the rules come from.
    #[serde(skip)]
    pub document: Option<Document>,
    /// How many pods are enforced.
    pub pods: usize,
    /// How many of them were found by their addresses, no CNI result telling where they are.
    pub searched: usize,
    /// Pods that the rules name and the node does not know yet: closed until it does.
    #[serde(serialize_with = "texts")]
    pub unplaced: Vec<PodKey>,
    /// What is wrong.
    pub degraded: Vec<Condition>,
    /// What of it keeps the newest rules from being enforced.
    #[serde(skip)]
    pub hindrance: Option<Condition>,
    /// What is known.
    #[serde(skip)]
    pub informed: Informed,
    /// How much the kernel holds.
    pub sizes: Sizes,
    /// What this process has written to the kernel.
    pub applied: Applied,
    /// The generation of the kernel's ruleset when it was last read or written.
    #[serde(serialize_with = "number")]
    pub generation: Option<Generation>,
    /// What others did to our tables.
    pub edits: Edits,
    /// CNI results that are of no use here.
    pub ignored_results: IgnoredResults,
    /// What became of established flows.
    pub flows: Flows,
}

/// What the node was told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Informed {
    /// A complete rule set.
    pub rules: bool,
    /// Where its pods are.
    pub facts: bool,
}

/// How much there is in the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Rules of all chains.
    pub rules: usize,
    /// Sets and verdict maps.
    pub sets: usize,
    /// What is in them.
    pub elements: usize,
}

impl Sizes {
    pub(super) fn of(ruleset: &Ruleset) -> Self {
        let mut sizes = Self::default();
        for table in ruleset.tables.values() {
            sizes.rules += table
                .chains
                .values()
                .map(|chain| chain.rules.len())
                .sum::<usize>();
            sizes.sets += table.sets.len() + table.maps.len();
            sizes.elements += table.sets.values().map(|set| set.elements.len()).sum::<usize>();
            sizes.elements += table.maps.values().map(|map| map.elements.len()).sum::<usize>();
        }
        sizes
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// A stable word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// The transactions of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// How many there were since it started.
    pub count: u64,
    /// What the last one changed.
    #[serde(with = "CountsForm")]
    pub last: Counts,
    /// How long that took.
    pub microseconds: Timing,
}

/// The stages of one change, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// From the first sign of it to having read all of it.
    pub decode: u64,
    /// Planning.
    pub plan: u64,
    /// Comparing with what is loaded, and the transaction.
    pub commit: u64,
    /// From the first sign to the kernel.
    pub total: u64,
    /// From the publication to the kernel, by the clocks of two machines.
    pub published: Option<u64>,
}

/// What others did to our tables, and was undone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Edits {
    /// How often.
    pub count: u64,
    /// The last one.
    pub last: Option<LastEdit>,
}

/// Who edited our tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastEdit {
    /// The process, as the first pid namespace counts it.
    pub pid: Option<u32>,
    /// Its name.
    pub process: Option<String>,
}

/// CNI results that are of no use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IgnoredResults {
    /// Those whose interface is not here.
    pub elsewhere: usize,
    /// Those that cannot be read or decoded.
    pub unusable: usize,
}

/// Established flows that were judged again because rules had tightened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flows {
    /// Whether there are some that the rules of now have not judged yet.
    pub pending: bool,
    /// How often since this process started.
    pub sweeps: u64,
    /// Flows of this node's pods that were judged, over all sweeps.
    pub judged: u64,
    /// Flows that were ended, over all sweeps.
    pub deleted: u64,
    /// Flows that the last sweep left alone because they could not be read, or are in a zone.
    pub left_alone: u64,
    /// How long the last sweep took.
    pub last_microseconds: u64,
}

impl Status {
    /// Nothing known, nothing done.
    pub(crate) fn new(node: NodeName) -> Self {
        Self {
            node,
            ready: false,
            revision: None,
            hash: None,
            policies: None,
            content: None,
            lag: None,
            document: None,
            pods: 0,
            searched: 0,
            unplaced: Vec::new(),
            degraded: Vec::new(),
            hindrance: None,
            informed: Informed::default(),
            sizes: Sizes::default(),
            applied: Applied::default(),
            generation: None,
            edits: Edits::default(),
            ignored_results: IgnoredResults::default(),
            flows: Flows::default(),
        }
    }
}

#[derive(Serialize)]
#[serde(remote = "Counts")]
struct CountsForm {
    tables_created: usize,
    tables_deleted: usize,
    chains_created: usize,
    chains_deleted: usize,
    chains_flushed: usize,
    rules_added: usize,
    sets_created: usize,
    sets_deleted: usize,
    elements_added: usize,
    elements_removed: usize,
    entries_added: usize,
    entries_removed: usize,
    strays_deleted: usize,
}

fn text<S: Serializer>(value: &impl ToString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_string())
}

fn texts<S: Serializer>(values: &[impl ToString], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn number<S: Serializer>(generation: &Option<Generation>, serializer: S) -> Result<S::Ok, S::Error> {
    generation.map(|generation| generation.0).serialize(serializer)
}

/// Whole microseconds, as far as they can be counted.
pub(super) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Puts the status into a file, so that a reader sees one state whole.
pub(crate) fn write(path: &Path, status: &Status) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut text = serde_json::to_vec_pretty(status)?;
    text.push(b'\n');
    fs::File::create(&temporary)?.write_all(&text)?;
    fs::rename(&temporary, path)
}

/// What is wrong, by its origin: each origin speaks for itself, and takes back what it said.
#[derive(Debug, Default)]
pub(super) struct Conditions(BTreeMap<Origin, Condition>);

/// Where something can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    Kernel,
    Plan,
    Bridges,
    Rules,
    Pods,
    CniResults,
    Flows,
}

impl Origin {
    /// Whether the node enforces less than it should.
    fn is_fatal_to_readiness(self) -> bool {
        match self {
            Self::Kernel | Self::Plan | Self::Bridges => true,
            // The last complete rules stay in force; a pod that is not known stays closed; new connections meet the
            // rules whatever becomes of the old ones.
            Self::Rules | Self::Pods | Self::CniResults | Self::Flows => false,
        }
    }
}

impl Conditions {
    /// Sets or takes back what one origin says. Returns whether that is news.
    pub(super) fn set(&mut self, origin: Origin, condition: Option<&Condition>) -> bool {
        let before = match condition {
            Some(condition) => self.0.insert(origin, condition.clone()),
            None => self.0.remove(&origin),
        };
        before.as_ref() != condition
    }

    pub(super) fn has(&self, origin: Origin) -> bool {
        self.0.contains_key(&origin)
    }

    pub(super) fn allow_readiness(&self) -> bool {
        !self.0.keys().any(|origin| origin.is_fatal_to_readiness())
    }

    /// What keeps the newest rules from being enforced.
    pub(super) fn hindrance(&self) -> Option<&Condition> {
        let hinders = |origin: &Origin| origin.is_fatal_to_readiness() || *origin == Origin::Rules;
        let mut all = self.0.iter();
        all.find(|(origin, _)| hinders(origin))
            .map(|(_, condition)| condition)
    }

    pub(super) fn list(&self) -> Vec<Condition> {
        self.0.values().cloned().collect()
    }
}
