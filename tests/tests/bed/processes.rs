//! Processes of a bed: where they run and when they end.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use palisade_tests::bed::{Bed, BedSpec, Topology};
use rustix::process::{Pid, Signal, kill_process};

use super::{MILLISECOND, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn stopping_leaves_no_process_and_no_directory() {
    let bed = Bed::start(BedSpec {
        topology: Topology::Routed,
        nodes: 2,
        slots_per_node: 1,
    })
    .await
    .unwrap();
    let directory = bed.directory().to_owned();
    let namespaces: Vec<_> = bed.nodes().iter().map(|node| node.netns().clone()).collect();
    let others = |namespaces: &[std::sync::Arc<nlink::netlink::namespace::Netns>]| -> Vec<u32> {
        let pids = namespaces.iter().flat_map(|netns| netns.pids().unwrap());
        pids.filter(|pid| *pid != std::process::id()).collect()
    };
    assert_eq!(others(&namespaces).len(), 2, "one BIRD a node");
    bed.stop().await.unwrap();
    assert_eq!(others(&namespaces), Vec::<u32>::new());
    assert!(!directory.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_run_where_they_are_started_and_end_when_they_are_dropped() {
    let bed = Bed::start(BedSpec {
        topology: Topology::Bridge,
        nodes: 1,
        slots_per_node: 1,
    })
    .await
    .unwrap();
    let node = &bed.nodes()[0];
    let slot = &node.slots()[0];
    let mut addresses = Command::new("ip");
    addresses.args(["-o", "address"]);
    let mut inside = node.spawn_in(slot, addresses).unwrap();
    inside.wrote(&slot.v6().to_string(), PATIENCE).await.unwrap();
    assert!(inside.ended(PATIENCE).await.unwrap().success());

    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    let mut sleeper = node.spawn(sleep).unwrap();
    sleeper.signal(Signal::TERM).unwrap();
    assert_eq!(
        sleeper.ended(PATIENCE).await.unwrap().signal(),
        Some(Signal::TERM.as_raw())
    );

    let mut sleep = Command::new("sleep");
    sleep.arg("600");
    let sleeper = node.spawn(sleep).unwrap();
    let process = PathBuf::from(format!("/proc/{}", sleeper.id()));
    assert!(process.exists());
    drop(sleeper);
    assert!(!process.exists());
    bed.stop().await.unwrap();
}

/// Set in a process of these tests that is there to be killed.
const VICTIM: &str = "PALISADE_BED_VICTIM";

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_is_killed_takes_its_processes_along() {
    if std::env::var_os(VICTIM).is_some() {
        let bed = Bed::start(BedSpec {
            topology: Topology::Routed,
            nodes: 2,
            slots_per_node: 1,
        })
        .await
        .unwrap();
        let pids = bed.nodes().iter().flat_map(|node| node.netns().pids().unwrap());
        let pids: Vec<String> = pids
            .filter(|pid| *pid != std::process::id())
            .map(|pid| pid.to_string())
            .collect();
        println!("\nprocesses {}", pids.join(" "));
        return std::future::pending().await;
    }
    for signal in [Signal::KILL, Signal::INT] {
        let directory = tempfile::tempdir().unwrap();
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([
                "processes::a_test_that_is_killed_takes_its_processes_along",
                "--exact",
                "--nocapture",
            ])
            .env(VICTIM, "1")
            .env("TMPDIR", directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let line = lines
            .map(Result::unwrap)
            .find(|line| line.starts_with("processes "))
            .unwrap();
        let pids: Vec<&str> = line.split(' ').skip(1).collect();
        assert_eq!(pids.len(), 2, "one BIRD a node: {line}");
        assert!(pids.iter().all(|pid| is_bird(pid)), "{line}");

        kill_process(
            Pid::from_raw(i32::try_from(victim.id()).unwrap()).unwrap(),
            signal,
        )
        .unwrap();
        victim.wait().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while pids.iter().any(|pid| is_bird(pid)) {
            assert!(Instant::now() < deadline, "BIRD outlives {signal:?}");
            tokio::time::sleep(MILLISECOND).await;
        }
    }
}

/// Whether a process is a BIRD that runs: a dead one has no command line any more.
fn is_bird(pid: &str) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"bird"))
}
