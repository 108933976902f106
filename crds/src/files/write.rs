//! Brings a directory to what was compiled, touching only the files that change.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use palisade_policy::compile::Published;
use palisade_policy::model::NamespaceName;
use palisade_policy::rules::{NodeId, slices};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{GROUPS, PODS, POLICIES, RULE_SETS, pods_path, policies_path, rule_set_path, slice_path};
use crate::{AddressGroup, NodeRuleSet, PodSlice, PolicySlice};

/// What a call of [`write()`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Files that are new or were replaced.
    pub written: usize,
    /// Files that said the same already.
    pub unchanged: usize,
    /// Files that nothing calls for any more.
    pub deleted: usize,
}

/// Why a directory could not be brought to what was compiled.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The node's name cannot name a file, nor an object.
    #[error("{node:?} cannot be the name of a node: it should be a lowercase DNS name")]
    NodeName {
        /// The refused name.
        node: String,
    },
    /// The namespace's name cannot name a file, nor an object.
    #[error("{namespace:?} cannot be the name of a namespace: it should be a lowercase DNS label")]
    NamespaceName {
        /// The refused name.
        namespace: String,
    },
    /// The document could not be put into JSON.
    #[error("cannot encode {}", path.display())]
    Encode {
        /// The file that it was for.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("cannot {attempt} {}", path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes `directory` hold everything that is published, and no more.
///
/// A document that is there already stays untouched, as does its modification time; one that changes gets the next
/// revision. Names are checked before anything is written.
pub fn write(directory: &Path, published: &Published) -> Result<Written, WriteError> {
    if let Some(node) = published.nodes.keys().find(|node| !is_dns_name(node.as_str())) {
        return Err(WriteError::NodeName {
            node: node.to_string(),
        });
    }
    let refused = |name: &&NamespaceName| !is_dns_label(name.as_str());
    if let Some(namespace) = published.policies.keys().find(refused) {
        return Err(WriteError::NamespaceName {
            namespace: namespace.to_string(),
        });
    }
    let mut writer = Writer::default();
    for folder in [GROUPS, POLICIES, PODS, RULE_SETS] {
        create(&directory.join(folder))?;
    }
    for (id, group) in &published.groups {
        // A slice that is split comes before its halves in the order of names.
        for slice in slices(id, group).values().rev() {
            let path = slice_path(directory, id, slice.id);
            let document = |revision| AddressGroup::publish(slice, &group.spec.scope, revision);
            writer.put(path, |old: &AddressGroup| old.spec.revision, document)?;
        }
    }
    for slice in published
        .policies
        .values()
        .flat_map(|slices| slices.values().rev())
    {
        let path = policies_path(directory, &slice.namespace, slice.id);
        let document = |revision| PolicySlice::publish(slice, revision);
        writer.put(path, |old: &PolicySlice| old.spec.revision, document)?;
    }
    for residents in published.nodes.values() {
        let (head, slices) = residents.cut();
        let node = NodeId::of(&residents.node);
        for slice in slices.values().rev() {
            let path = pods_path(directory, &node, slice.id);
            let document = |revision| PodSlice::publish(slice, revision);
            writer.put(path, |old: &PodSlice| old.spec.revision, document)?;
        }
        let path = rule_set_path(directory, &residents.node);
        let document = |revision| NodeRuleSet::publish(&head, revision);
        writer.put(path, |old: &NodeRuleSet| old.spec.revision, document)?;
    }
    for folder in [RULE_SETS, PODS, POLICIES, GROUPS] {
        writer.done.deleted += delete_others(&directory.join(folder), &writer.current)?;
    }
    Ok(writer.done)
}

#[derive(Default)]
struct Writer {
    done: Written,
    /// The files that are to stay.
    current: BTreeSet<PathBuf>,
}

impl Writer {
    /// Writes a document under the revision after that of the old one, unless that says the same.
    fn put<D: Serialize + DeserializeOwned + PartialEq>(
        &mut self,
        path: PathBuf,
        revision: impl Fn(&D) -> u64,
        document: impl Fn(u64) -> D,
    ) -> Result<(), WriteError> {
        let old = existing::<D>(&path);
        let before = old.as_ref().map_or(0, revision);
        let same = old.is_some_and(|old| old == document(before));
        let replaced = replace_unless(same, &path, &document(before.saturating_add(1)))?;
        self.done.count(replaced);
        self.current.insert(path);
        Ok(())
    }
}

impl Written {
    fn count(&mut self, replaced: bool) {
        if replaced {
            self.written += 1;
        } else {
            self.unchanged += 1;
        }
    }
}

/// A lowercase DNS subdomain (RFC 1123), which is what the API server takes for the name of a node.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        label.bytes().all(|byte| alphanumeric(byte) || byte == b'-')
            && label.bytes().next().is_some_and(alphanumeric)
            && label.bytes().last().is_some_and(alphanumeric)
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// A lowercase DNS label (RFC 1123), which is what the API server takes for the name of a namespace.
fn is_dns_label(name: &str) -> bool {
    name.len() <= 63 && !name.contains('.') && is_dns_name(name)
}

/// The document that is there, if there is one that can be read; any other is replaced.
fn existing<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Puts the document in the file's place at once, so that a reader sees the old one or the new one whole.
fn replace_unless(same: bool, path: &Path, document: &impl Serialize) -> Result<bool, WriteError> {
    if same {
        return Ok(false);
    }
    let mut text = serde_json::to_vec_pretty(document).map_err(|source| WriteError::Encode {
        path: path.to_owned(),
        source,
    })?;
    text.push(b'\n');
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, text).map_err(failed("write", &temporary))?;
    fs::rename(&temporary, path).map_err(failed("replace", path))?;
    Ok(true)
}

fn create(folder: &Path) -> Result<(), WriteError> {
    fs::create_dir_all(folder).map_err(failed("create", folder))
}

/// Deletes the documents of a folder that are not `current`, and what an interrupted write left.
fn delete_others(folder: &Path, current: &BTreeSet<PathBuf>) -> Result<usize, WriteError> {
    let mut stale = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let path = entry.map_err(failed("list", folder))?.path();
        let ours = path
            .extension()
            .is_some_and(|extension| extension == "json" || extension == "tmp");
        if ours && !current.contains(&path) {
            stale.push(path);
        }
    }
    stale.sort();
    for path in &stale {
        fs::remove_file(path).map_err(failed("delete", path))?;
    }
    Ok(stale.len())
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError::Io {
        attempt,
        path,
        source,
    }
}
