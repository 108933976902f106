//! Rules from a directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use palisade_crds::RuleSet;
use palisade_crds::files::{self, GROUPS, PODS, POLICIES, RULE_SETS, ReadError};
use palisade_policy::model::NodeName;
use tokio::time::timeout;

use super::{Delivery, SourceError};
use crate::watch::{Changed, Watch};

/// The first change after a while is delivered at once. Changes that follow closely are collected until there is none
/// for [`SETTLED`], at most for as long as this.
const BUSY: Duration = Duration::from_millis(50);

/// Whoever writes several files is done when nothing has changed for this long.
const SETTLED: Duration = Duration::from_millis(3);

/// A rule set that is not complete gets this long to become so, counted from the last change, before that is said.
const PATIENCE: Duration = Duration::from_millis(20);

/// Follows the rule set of one node in a directory.
pub struct Files {
    directory: PathBuf,
    node: NodeName,
    watch: Watch,
    /// What was delivered last, and when.
    delivered: Option<(Said, Instant)>,
}

/// A delivery without its rules.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// Rules with this content.
    Whole(String),
    /// There are none, because of this.
    Incomplete(String),
}

impl Files {
    /// Follows `directory`, which need not exist yet, from now on. Needs a tokio runtime.
    pub fn new(directory: PathBuf, node: NodeName) -> Result<Self, SourceError> {
        let folders = [GROUPS, POLICIES, PODS, RULE_SETS].map(|folder| directory.join(folder));
        let watch = Watch::new([directory.clone()].into_iter().chain(folders).collect())?;
        Ok(Self {
            directory,
            node,
            watch,
            delivered: None,
        })
    }

    pub(super) async fn next(&mut self) -> Result<Delivery, SourceError> {
        loop {
            let mut received = Instant::now();
            if let Some((_, delivered)) = self.delivered {
                self.changed().await?;
                received = Instant::now();
                if delivered.elapsed() < BUSY {
                    self.settle(received).await?;
                }
            }
            let rules = self.read_whole().await?;
            let said = Said::of(&rules);
            let news = self.delivered.as_ref().is_none_or(|(before, _)| *before != said);
            if news {
                self.delivered = Some((said, Instant::now()));
                return Ok(Delivery {
                    received,
                    published: None,
                    document: None,
                    rules: rules.map_err(Into::into),
                });
            }
        }
    }

    /// Waits until a document may have changed. What else is in the directory, such as a file that will be renamed to a
    /// document, is of no interest.
    async fn changed(&mut self) -> Result<(), SourceError> {
        let is_document = |name: &OsString| {
            Path::new(name)
                .extension()
                .is_some_and(|extension| extension == "json")
        };
        loop {
            match self.watch.changed().await? {
                Changed::Entries(names) if !names.iter().any(is_document) => {}
                Changed::Entries(_) | Changed::Anything => return Ok(()),
            }
        }
    }

    async fn settle(&mut self, since: Instant) -> Result<(), SourceError> {
        while since.elapsed() < BUSY {
            match timeout(SETTLED, self.changed()).await {
                Ok(changed) => changed?,
                Err(_quiet) => break,
            }
        }
        Ok(())
    }

    async fn read_whole(&mut self) -> Result<Result<RuleSet, ReadError>, SourceError> {
        loop {
            let rules = self.read().await?;
            if rules.is_ok() {
                return Ok(rules);
            }
            match timeout(PATIENCE, self.changed()).await {
                Ok(changed) => changed?,
                Err(_quiet) => return Ok(rules),
            }
        }
    }

    async fn read(&self) -> Result<Result<RuleSet, ReadError>, SourceError> {
        let (directory, node) = (self.directory.clone(), self.node.clone());
        Ok(tokio::task::spawn_blocking(move || files::read(&directory, &node)).await?)
    }
}

impl Said {
    fn of(rules: &Result<RuleSet, ReadError>) -> Self {
        match rules {
            Ok(rules) => Self::Whole(rules.content.clone()),
            Err(error) => Self::Incomplete(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use palisade_policy::cluster::{ClusterState, Event};
    use palisade_policy::compile::compile;
    use palisade_policy::testing::builders::{namespace, node, pod, pods, policy, rule};

    use super::*;

    /// Writes the rules of node `a`, with a pod elsewhere at each of `addresses`.
    fn publish(directory: &Path, addresses: &[&str]) {
        publish_under(directory, "shop/all", addresses);
    }

    fn publish_under(directory: &Path, name: &str, addresses: &[&str]) {
        let mut events = vec![
            Event::NodeApplied(node("a", &[])),
            Event::NamespaceApplied(namespace("shop", &[])),
            Event::PodApplied(pod("shop/web").at("10.1.0.7")),
            Event::PolicyApplied(policy(name).allowing_from([rule([pods(&[])])])),
        ];
        for address in addresses {
            events.push(Event::PodApplied(
                pod(&format!("shop/{address}")).on("b").at(address),
            ));
        }
        let published = compile(&ClusterState::from_events(events));
        files::write(directory, &published).unwrap();
    }

    async fn next(files: &mut Files) -> Result<usize, &'static str> {
        let delivery = timeout(Duration::from_secs(10), files.next()).await;
        let rules = delivery.expect("a delivery within the deadline").unwrap().rules;
        let members = |rules: RuleSet| rules.slices.values().map(|slice| slice.members.len()).sum();
        rules.map(members).map_err(|error| error.reason())
    }

    #[tokio::test]
    async fn each_change_is_delivered_once_and_what_says_the_same_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let rules = directory.path().join("rules");
        let mut files = Files::new(rules.clone(), "a".into()).unwrap();
        assert_eq!(next(&mut files).await, Err("NoRuleSet"));
        publish(&rules, &["10.2.0.1"]);
        assert_eq!(next(&mut files).await, Ok(2));
        fs::write(rules.join("noderulesets/unrelated.json"), "{").unwrap();
        fs::write(rules.join("addressgroups/note.txt"), "").unwrap();
        publish(&rules, &["10.2.0.1", "10.2.0.2"]);
        assert_eq!(next(&mut files).await, Ok(3));
        fs::remove_dir_all(rules.join("addressgroups")).unwrap();
        assert_eq!(next(&mut files).await, Err("MissingSlice"));
        publish(&rules, &["10.2.0.1", "10.2.0.2"]);
        assert_eq!(next(&mut files).await, Ok(3));
        publish_under(&rules, "shop/other", &["10.2.0.1", "10.2.0.2"]);
        assert_eq!(next(&mut files).await, Ok(3), "only a policy has changed");
        fs::remove_file(rules.join("policyslices/shop-s.json")).unwrap();
        assert_eq!(next(&mut files).await, Err("MissingSlice"));
    }

    #[tokio::test]
    async fn a_change_of_a_slice_of_pods_alone_is_delivered() {
        let directory = tempfile::tempdir().unwrap();
        let rules = directory.path().join("rules");
        let publish = |count: usize| {
            let pods = (0..count).map(|number| pod(&format!("shop/{number}-{}", "x".repeat(60))));
            let events = pods.map(|pod| Event::PodApplied(pod.on("a")));
            let published = compile(&ClusterState::from_events(events));
            files::write(&rules, &published).unwrap()
        };
        publish(200);
        let mut files = Files::new(rules.clone(), "a".into()).unwrap();
        for count in [200, 199] {
            let written = publish(count).written;
            assert_eq!(written, 200 - count, "the slice and nothing else");
            let delivery = timeout(Duration::from_secs(10), files.next()).await;
            let found = delivery.expect("a delivery within the deadline").unwrap().rules;
            assert_eq!(found.unwrap().rules.pods.len(), count);
        }
    }
}
