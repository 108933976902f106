//! The directory of CNI results: one file for each interface of each pod.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::SystemTime;
use std::{fs, io};

use palisade_policy::model::PodUid;
use tracing::warn;

use super::cni::{Attachment, Unusable};
use crate::watch::Changed;

/// What the directory says, kept up to date file by file.
#[derive(Debug)]
pub(super) struct Results {
    directory: PathBuf,
    entries: BTreeMap<OsString, Entry>,
}

#[derive(Debug)]
enum Entry {
    /// A pod, and when this was written.
    Pod(Attachment, SystemTime),
    /// Something that says nothing about a pod's own interface.
    Other,
    /// Something that should, and cannot be used; with the complaint.
    Unusable(String),
}

impl Results {
    /// Nothing known yet of `directory`.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            entries: BTreeMap::new(),
        }
    }

    /// Reads again what has changed.
    pub(super) fn update(&mut self, changed: &Changed) -> io::Result<()> {
        match changed {
            Changed::Entries(names) => names.iter().for_each(|name| self.read(name)),
            Changed::Anything => self.scan()?,
        }
        Ok(())
    }

    fn scan(&mut self) -> io::Result<()> {
        let names: BTreeSet<OsString> = match fs::read_dir(&self.directory) {
            Ok(entries) => entries
                .map(|entry| Ok(entry?.file_name()))
                .collect::<io::Result<_>>()?,
            Err(error) if is_missing(&error) => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        self.entries.retain(|name, _| names.contains(name));
        for name in &names {
            self.read(name);
        }
        Ok(())
    }

    fn read(&mut self, name: &OsStr) {
        match self.entry(name) {
            None => {
                self.entries.remove(name);
            }
            Some(entry) => {
                let before = self.entries.get(name);
                if let Entry::Unusable(complaint) = &entry
                    && !matches!(before, Some(Entry::Unusable(said)) if said == complaint)
                {
                    warn!(file = %self.directory.join(name).display(), complaint, "CNI result ignored");
                }
                self.entries.insert(name.to_owned(), entry);
            }
        }
    }

    /// What a file says; `None` if it is gone.
    fn entry(&self, name: &OsStr) -> Option<Entry> {
        let path = self.directory.join(name);
        let read = || {
            let modified = fs::metadata(&path)?.modified()?;
            Ok((fs::read(&path)?, modified))
        };
        let (text, modified) = match read() {
            Ok(read) => read,
            Err(error) if is_none(&error) => return None,
            Err(error) => return Some(Entry::Unusable(format!("it cannot be read: {error}"))),
        };
        Some(match Attachment::parse(&text) {
            Ok(Some(attachment)) => Entry::Pod(attachment, modified),
            Ok(None) => Entry::Other,
            Err(Unusable::Undecodable(error)) => Entry::Unusable(format!("it cannot be decoded: {error}")),
            Err(unusable) => Entry::Unusable(unusable.to_string()),
        })
    }

    /// The attachments, those that were written last at the end.
    pub(super) fn attachments(&self) -> Vec<&Attachment> {
        let mut attachments: Vec<_> = self
            .entries
            .iter()
            .filter_map(|(name, entry)| match entry {
                Entry::Pod(attachment, modified) => Some((modified, name, attachment)),
                Entry::Other | Entry::Unusable(_) => None,
            })
            .collect();
        attachments.sort_by_key(|(modified, name, _)| (*modified, *name));
        attachments
            .into_iter()
            .map(|(.., attachment)| attachment)
            .collect()
    }

    /// The pods that have a result, whether or not its interface is here.
    pub(super) fn pods(&self) -> BTreeSet<&PodUid> {
        let pods = self.entries.values().filter_map(|entry| match entry {
            Entry::Pod(attachment, _) => Some(&attachment.uid),
            Entry::Other | Entry::Unusable(_) => None,
        });
        pods.collect()
    }

    /// How many files cannot be used.
    pub(super) fn unusable(&self) -> usize {
        self.entries
            .values()
            .filter(|entry| matches!(entry, Entry::Unusable(_)))
            .count()
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Gone, or no file at all.
fn is_none(error: &io::Error) -> bool {
    is_missing(error) || error.kind() == io::ErrorKind::IsADirectory
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(uid: &str, interface: &str) -> String {
        serde_json::json!({
            "kind": "cniCacheV1", "ifName": "eth0", "cniArgs": [["K8S_POD_UID", uid]],
            "result": { "interfaces": [{ "name": interface }], "ips": [{ "address": "10.1.0.7/24" }] },
        })
        .to_string()
    }

    fn uids(results: &Results) -> Vec<&str> {
        results
            .attachments()
            .iter()
            .map(|attachment| attachment.uid.as_str())
            .collect()
    }

    #[test]
    fn files_are_read_again_one_by_one_and_all_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("folder")).unwrap();
        fs::write(path("a"), entry("u-a", "v1")).unwrap();
        fs::write(path("b"), "{").unwrap();
        let mut results = Results::new(directory.path().to_owned());
        results.update(&Changed::Anything).unwrap();
        assert_eq!((uids(&results), results.unusable()), (vec!["u-a"], 1));

        fs::write(path("b"), entry("u-b", "v2")).unwrap();
        fs::remove_file(path("a")).unwrap();
        results.update(&Changed::Entries(["b".into()].into())).unwrap();
        assert_eq!((uids(&results), results.unusable()), (vec!["u-a", "u-b"], 0));
        results.update(&Changed::Anything).unwrap();
        assert_eq!(uids(&results), ["u-b"]);
        drop(directory);
        results.update(&Changed::Anything).unwrap();
        assert_eq!(uids(&results), Vec::<&str>::new());
    }

    #[test]
    fn what_was_written_last_comes_last() {
        let directory = tempfile::tempdir().unwrap();
        for (name, uid, age) in [("a", "u-new", 0), ("b", "u-old", 60)] {
            let path = directory.path().join(name);
            fs::write(&path, entry(uid, "v1")).unwrap();
            let written = SystemTime::now() - std::time::Duration::from_secs(age);
            fs::File::options()
                .append(true)
                .open(&path)
                .unwrap()
                .set_modified(written)
                .unwrap();
        }
        let mut results = Results::new(directory.path().to_owned());
        results.update(&Changed::Anything).unwrap();
        assert_eq!(uids(&results), ["u-old", "u-new"]);
    }
}
