mod start;

use std::collections::VecDeque;
use std::sync::Mutex;

use palisade_crds::files;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::compile;
use palisade_policy::testing::builders::{namespace, node, pod, pods, policy, rule};

use super::super::desired::desired;
use super::kernel::ATTEMPTS;
use super::*;
use crate::nft::model::{Interface, TableKey};
use crate::nft::{Change, CommitError, Counters, Loaded, Operation, ReadError};
use crate::plan::Place;

/// Transactions that bring the first rules: one that prepares, one that turns to them.
const FIRST: usize = 2;

/// A kernel that answers as it is told, and then as it should.
#[derive(Default)]
struct Fake(Mutex<State>);

#[derive(Default)]
struct State {
    loaded: Loaded,
    /// What it will have after the next commit.
    next: Loaded,
    answers: VecDeque<Answer>,
    reads: usize,
    /// For each commit whether it deletes a table.
    commits: Vec<bool>,
}

enum Answer {
    Refused,
    Stale,
    /// Done, but it does not say so.
    Silence,
}

impl Kernel for &Fake {
    async fn read(&self) -> Result<Loaded, ReadError> {
        let mut state = self.0.lock().unwrap();
        state.reads += 1;
        Ok(state.loaded.clone())
    }

    async fn commit(&self, change: &Change<'_>, expected: Generation) -> Result<Generation, CommitError> {
        let mut state = self.0.lock().unwrap();
        if change.is_empty() {
            return Ok(expected);
        }
        if expected != state.loaded.generation {
            return Err(CommitError::Stale { expected });
        }
        let deletes = |operation: &Operation<'_>| matches!(operation, Operation::DeleteTable { .. });
        state.commits.push(change.operations().iter().any(deletes));
        match state.answers.pop_front() {
            Some(Answer::Refused) => {
                let (operation, object, message) = Default::default();
                return Err(CommitError::Refused {
                    operation,
                    object,
                    errno: 1,
                    message,
                });
            }
            Some(Answer::Stale) => return Err(CommitError::Stale { expected }),
            answer => {
                let generation = state.loaded.generation.next();
                state.loaded = Loaded {
                    generation,
                    ..state.next.clone()
                };
                if matches!(answer, Some(Answer::Silence)) {
                    return Err(CommitError::OutcomeUnknown {
                        message: String::new(),
                    });
                }
            }
        }
        Ok(state.loaded.generation)
    }

    async fn counters(&self) -> Result<Counters, ReadError> {
        Ok(Counters::default())
    }

    async fn delete_tables(&self) -> Result<Vec<TableKey>, CommitError> {
        Ok(Vec::new())
    }
}

impl Fake {
    fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self(Mutex::new(State {
            answers: answers.into_iter().collect(),
            ..State::default()
        }))
    }

    fn reads(&self) -> usize {
        self.0.lock().unwrap().reads
    }

    fn commits(&self) -> Vec<bool> {
        self.0.lock().unwrap().commits.clone()
    }

    /// Says what the next commit will make of it.
    fn expect(&self, rules: &RuleSet, observed: &Observed) {
        let plan = desired(rules, observed, &Settings::default()).unwrap();
        self.0.lock().unwrap().next.ruleset = plan.ruleset;
    }
}

/// A pod under a policy that lets pods with these addresses in.
fn rules(revision: u64, frontends: &[&str]) -> RuleSet {
    let backend = pod("shop/backend")
        .labelled(&[("role", "backend")])
        .at("10.1.0.7");
    let allow = policy("shop/allow")
        .selecting(&[("role", "backend")])
        .allowing_from([rule([pods(&[("role", "frontend")])])]);
    let mut events = vec![
        Event::NodeApplied(node("a", &["192.0.2.1"])),
        Event::NamespaceApplied(namespace("shop", &[])),
        Event::PodApplied(backend),
        Event::PolicyApplied(allow),
    ];
    for address in frontends {
        let frontend = pod(&format!("shop/frontend-{address}"))
            .on("b")
            .labelled(&[("role", "frontend")]);
        events.push(Event::PodApplied(frontend.at(address)));
    }
    let published = compile(&ClusterState::from_events(events));
    let directory = tempfile::tempdir().unwrap();
    files::write(directory.path(), &published).unwrap();
    let mut rules = files::read(directory.path(), &"a".into()).unwrap();
    rules.revision = revision;
    rules
}

fn observed() -> Observed {
    let place = Place {
        interface: Interface::new("v1").unwrap(),
        index: 7,
        bridge: None,
        addresses: ["10.1.0.7".parse().unwrap()].into(),
    };
    let mut observed = Observed::default();
    observed.places.insert("shop/backend".into(), place);
    observed
}

fn new_rules(rules: &RuleSet) -> Input {
    let received = Instant::now();
    Input::Rules(
        Delivery {
            received,
            published: None,
            document: None,
            rules: Ok(rules.clone()),
        },
        received,
    )
}

fn new_facts() -> Input {
    let now = Instant::now();
    Input::Observed {
        observed: observed(),
        received: now,
        decoded: now,
    }
}

fn informed<'a>(kernel: &'a Fake, rules: &RuleSet) -> Node<&'a Fake> {
    kernel.expect(rules, &observed());
    let mut node = Node::new(kernel, Settings::default(), Status::new("a".into())).0;
    node.take(new_rules(rules));
    node.take(new_facts());
    node
}

fn reasons<K: Kernel>(node: &Node<K>) -> Vec<&str> {
    node.status()
        .degraded
        .iter()
        .map(|condition| condition.reason)
        .collect()
}

#[tokio::test]
async fn nothing_is_touched_before_there_are_rules_and_facts() {
    let kernel = Fake::default();
    let mut node = Node::new(&kernel, Settings::default(), Status::new("a".into())).0;
    node.flush().await.unwrap();
    node.take(new_facts());
    node.flush().await.unwrap();
    assert_eq!(
        (kernel.reads(), kernel.commits().len(), node.status().ready),
        (0, 0, false)
    );
    let mut node = Node::new(&kernel, Settings::default(), Status::new("a".into())).0;
    node.take(new_rules(&rules(1, &[])));
    node.flush().await.unwrap();
    assert_eq!(
        (kernel.reads(), kernel.commits().len(), node.status().ready),
        (0, 0, false)
    );
}

#[tokio::test]
async fn the_kernel_is_read_once_and_then_known() {
    let (first, second) = (rules(1, &["10.2.0.1"]), rules(2, &["10.2.0.1", "10.2.0.2"]));
    let kernel = Fake::default();
    let mut node = informed(&kernel, &first);
    node.flush().await.unwrap();
    kernel.expect(&second, &observed());
    node.take(new_rules(&second));
    node.flush().await.unwrap();
    assert_eq!((kernel.reads(), kernel.commits()), (1, vec![false; FIRST + 1]));
    assert_eq!(
        (
            node.status().ready,
            node.status().revision,
            node.status().applied.count
        ),
        (true, Some(2), 2)
    );
    assert_eq!(
        node.status().applied.last,
        Counts {
            elements_added: 1,
            ..Counts::default()
        }
    );
    node.take(new_rules(&second));
    node.flush().await.unwrap();
    assert_eq!((kernel.reads(), kernel.commits().len()), (1, FIRST + 1));
}

#[tokio::test]
async fn a_refusal_leads_to_reading_back_then_to_a_rebuild_then_to_the_end() {
    let kernel = Fake::default();
    let (first, second) = (rules(1, &[]), rules(2, &["10.2.0.1"]));
    let mut node = informed(&kernel, &first);
    node.flush().await.unwrap();
    let refusals = [Answer::Refused, Answer::Refused, Answer::Refused];
    kernel.0.lock().unwrap().answers = refusals.into();
    node.take(new_rules(&second));
    for reads in [1, 2] {
        node.flush().await.unwrap();
        assert_eq!(
            (kernel.reads(), node.status().ready, reasons(&node)),
            (reads, false, vec!["Refused"])
        );
        assert_eq!(node.status().revision, Some(1), "what the kernel has");
        assert!(node.retry().is_some() && !node.is_settled());
    }
    node.flush().await.expect_err("there is nothing left to try");
    assert_eq!(kernel.commits(), [false, false, false, false, true]);
    assert!(!node.status().ready);
}

#[tokio::test]
async fn a_refusal_that_passes_leaves_nothing_behind() {
    let kernel = Fake::answering([Answer::Refused, Answer::Refused]);
    let mut node = informed(&kernel, &rules(1, &[]));
    for _ in 0..3 {
        node.flush().await.unwrap();
    }
    assert_eq!(
        (node.status().ready, reasons(&node).len(), node.retry()),
        (true, 0, None)
    );
    assert_eq!(node.remedy, Remedy::Change);
}

#[tokio::test]
async fn a_stale_generation_is_read_and_planned_again_at_once() {
    let kernel = Fake::answering([Answer::Stale, Answer::Stale]);
    let mut node = informed(&kernel, &rules(1, &[]));
    node.flush().await.unwrap();
    assert_eq!(
        (node.status().ready, kernel.reads(), kernel.commits().len()),
        (true, 3, 2 + FIRST)
    );
}

#[tokio::test]
async fn others_who_never_stop_are_waited_out() {
    let kernel = Fake::answering(std::iter::repeat_with(|| Answer::Stale).take(ATTEMPTS));
    let mut node = informed(&kernel, &rules(1, &[]));
    node.flush().await.unwrap();
    assert_eq!((node.status().ready, reasons(&node)), (false, vec!["Stale"]));
    assert!(node.retry().is_some());
    node.flush().await.unwrap();
    assert!(node.status().ready);
}

#[tokio::test]
async fn a_commit_without_answer_is_read_back_and_not_repeated() {
    let kernel = Fake::answering([Answer::Silence]);
    let mut node = informed(&kernel, &rules(1, &[]));
    node.flush().await.unwrap();
    assert_eq!(
        (node.status().ready, kernel.reads(), kernel.commits().len()),
        (true, 2, 1)
    );
}

#[tokio::test]
async fn an_edit_is_read_back_unless_that_was_done_after_it() {
    let kernel = Fake::default();
    let mut node = informed(&kernel, &rules(1, &[]));
    node.flush().await.unwrap();
    let edit = |generation| {
        Input::Edit(Edit::Edited {
            generation,
            pid: Some(7),
            process: Some("nft".into()),
        })
    };
    let known = node.status().generation.unwrap();
    node.take(edit(known));
    node.flush().await.unwrap();
    assert_eq!((kernel.reads(), node.status().edits.count), (1, 1));
    kernel.0.lock().unwrap().loaded = Loaded {
        generation: known.next(),
        ..Loaded::default()
    };
    node.take(edit(known.next()));
    node.flush().await.unwrap();
    assert_eq!(
        (kernel.reads(), kernel.commits().len(), node.status().edits.count),
        (2, 2 * FIRST, 2)
    );
    node.take(Input::Edit(Edit::Missed));
    node.flush().await.unwrap();
    assert_eq!((kernel.reads(), kernel.commits().len()), (3, 2 * FIRST));
}

#[tokio::test]
async fn commits_of_others_that_leave_our_tables_alone_cost_no_reading() {
    let kernel = Fake::default();
    let mut node = informed(&kernel, &rules(1, &[]));
    node.flush().await.unwrap();
    let mut generation = node.status().generation.unwrap();
    for _ in 0..3 {
        generation = generation.next();
        kernel.0.lock().unwrap().loaded.generation = generation;
        node.take(Input::Edit(Edit::Elsewhere { generation }));
        node.flush().await.unwrap();
    }
    node.take(new_rules(&rules(2, &["10.2.0.1"])));
    node.flush().await.unwrap();
    assert_eq!((kernel.reads(), kernel.commits().len()), (1, FIRST + 1));
    // One that was not told of is found out by the next commit, and read back.
    kernel.0.lock().unwrap().loaded.generation = generation.next().next();
    node.take(Input::Edit(Edit::Elsewhere {
        generation: generation.next().next().next(),
    }));
    node.take(new_rules(&rules(3, &[])));
    node.flush().await.unwrap();
    assert!(kernel.reads() > 1);
}

#[tokio::test]
async fn rules_that_cannot_be_read_leave_the_last_ones_in_force() {
    let kernel = Fake::default();
    let mut node = informed(&kernel, &rules(1, &[]));
    node.flush().await.unwrap();
    let missing = files::ReadError::NoRuleSet { path: "rules".into() };
    let received = Instant::now();
    node.take(Input::Rules(
        Delivery {
            received,
            published: None,
            document: None,
            rules: Err(missing.into()),
        },
        received,
    ));
    node.flush().await.unwrap();
    assert_eq!(
        (node.status().ready, reasons(&node), kernel.commits().len()),
        (true, vec!["NoRuleSet"], FIRST)
    );
}

#[test]
fn generations_are_compared_as_numbers_that_wrap() {
    assert!(is_newer(Generation(2), Generation(1)));
    assert!(is_newer(Generation(1), Generation(u32::MAX)));
    assert!(!is_newer(Generation(1), Generation(1)));
    assert!(!is_newer(Generation(u32::MAX), Generation(1)));
}
