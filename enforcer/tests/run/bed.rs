//! A node without pods' own namespaces: a network namespace, a directory of rules, one of CNI results, and the enforcer.

use std::fs::{self, File};
use std::io::Write;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nlink::Ipv4Address;
use nlink::netlink::link::{BridgeLink, VethLink};
use nlink::netlink::namespace::Netns;
use nlink::netlink::{Connection, Route};
use palisade_crds::files;
use palisade_enforcer::nft::{Kernel, Loaded, Nlink};
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::compile;
use palisade_policy::model::{Node, Pod, Policy};
use palisade_policy::testing::builders::{namespace, node, pod, pods, policy, rule};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::UnshareFlags;
use serde_json::{Value, json};
use tempfile::TempDir;

/// No wait takes longer.
const DEADLINE: Duration = Duration::from_secs(20);

/// The node's name.
pub(crate) const NODE: &str = "a";

pub(crate) struct Bed {
    netns: Netns,
    route: Connection<Route>,
    directory: TempDir,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let maker = std::thread::spawn(|| {
            unshare_network();
            File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
        });
        let fd = maker.join().unwrap().expect("the new namespace");
        let netns = Netns::from_fd(fd).unwrap();
        let route = Connection::<Route>::new_in(&netns).unwrap();
        let bed = Self {
            netns,
            route,
            directory: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(bed.results()).unwrap();
        bed
    }

    pub(crate) fn rules(&self) -> PathBuf {
        self.directory.path().join("rules")
    }

    fn results(&self) -> PathBuf {
        self.directory.path().join("results")
    }

    fn status_file(&self) -> PathBuf {
        self.directory.path().join("status.json")
    }

    pub(crate) fn kernel(&self) -> Nlink {
        Nlink::open_in(&self.netns).unwrap()
    }

    pub(crate) async fn loaded(&self) -> Loaded {
        self.kernel().read().await.unwrap()
    }

    /// A veth with both ends here: enough for what is not about packets.
    pub(crate) async fn veth(&self, name: &str) {
        self.route
            .add_link(VethLink::new(name, format!("{name}p")))
            .await
            .unwrap();
    }

    pub(crate) async fn bridge(&self, name: &str, ports: &[&str]) {
        self.route.add_link(BridgeLink::new(name)).await.unwrap();
        for port in ports {
            self.route.set_link_master(*port, name).await.unwrap();
        }
    }

    pub(crate) async fn remove_link(&self, name: &str) {
        self.route.del_link(name).await.unwrap();
    }

    /// Sends something from an address that is no pod's by the pods' end of a veth.
    pub(crate) async fn forge(&self, interface: &str) {
        let inside = format!("{interface}p");
        self.route
            .add_address(Ipv4Address::new(inside.as_str(), [10, 9, 9, 9].into(), 24))
            .await
            .unwrap();
        self.route.set_link_up(interface).await.unwrap();
        self.route.set_link_up(inside.as_str()).await.unwrap();
        let send = || UdpSocket::bind("10.9.9.9:0").and_then(|socket| socket.send_to(b"?", "10.9.9.1:9"));
        self.netns.run(send).unwrap().unwrap();
    }

    /// What the CNI leaves behind when it has attached a pod.
    pub(crate) fn attach(&self, uid: &str, interface: &str, address: &str) {
        let result = json!({
            "kind": "cniCacheV1", "containerId": interface, "ifName": "eth0", "networkName": "pods",
            "cniArgs": [["K8S_POD_UID", uid]],
            "result": {
                "cniVersion": "1.0.0",
                "interfaces": [{ "name": interface }, { "name": "eth0", "sandbox": "/proc/1/ns/net" }],
                "ips": [{ "interface": 1, "address": address }],
            },
        });
        fs::write(
            self.results().join(format!("pods-{interface}-eth0")),
            result.to_string(),
        )
        .unwrap();
    }

    pub(crate) fn detach(&self, interface: &str) {
        fs::remove_file(self.results().join(format!("pods-{interface}-eth0"))).unwrap();
    }

    /// Two pods here and one elsewhere, under a policy that lets the one elsewhere in.
    pub(crate) fn shop() -> Vec<Event> {
        let mut here: Node = node(NODE, &["192.0.2.1"]);
        here.pod_networks = vec!["10.1.0.0/24".parse().unwrap()];
        vec![
            Event::NodeApplied(here),
            Event::NamespaceApplied(namespace("shop", &[])),
            Event::PodApplied(backend()),
            Event::PodApplied(pod("shop/other").at("10.1.0.8")),
            Event::PodApplied(frontend("10.2.0.9")),
            Event::PolicyApplied(allow_frontend()),
        ]
    }

    pub(crate) fn publish(&self, events: Vec<Event>) {
        let published = compile(&ClusterState::from_events(events));
        files::write(&self.rules(), &published).unwrap();
    }

    /// Everything that the shop's pods need.
    pub(crate) async fn attach_shop(&self) {
        for (uid, interface, address) in [
            ("shop/backend", "v1", "10.1.0.7/24"),
            ("shop/other", "v2", "10.1.0.8/24"),
        ] {
            self.veth(interface).await;
            self.attach(uid, interface, address);
        }
    }

    fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_palisade-enforcer"));
        command
            .args(arguments)
            .env("PALISADE_LOG", "palisade_enforcer=debug");
        command
    }

    fn inputs(&self) -> Vec<String> {
        let [rules, results] = [self.rules(), self.results()].map(|path| path.to_str().unwrap().to_owned());
        ["--node", NODE, "--rules", &rules, "--cni-results", &results]
            .map(str::to_owned)
            .into()
    }

    /// Runs a command of the enforcer to its end.
    pub(crate) fn run(&self, subcommand: &str, more: &[&str]) -> Output {
        let inputs = if subcommand == "cleanup" {
            Vec::new()
        } else {
            self.inputs()
        };
        let mut arguments = vec![subcommand];
        arguments.extend(inputs.iter().map(String::as_str));
        arguments.extend(more);
        let command = self.netns.command(Self::command(&arguments)).unwrap();
        command.pdeathsig(Signal::KILL.as_raw()).output().unwrap()
    }

    /// Starts the enforcer; it ends with the test.
    pub(crate) fn enforce(&self, more: &[&str]) -> Enforcer {
        let status = self.status_file();
        drop(fs::remove_file(&status));
        let inputs = self.inputs();
        let mut arguments = vec!["run", "--status", status.to_str().unwrap()];
        arguments.extend(inputs.iter().map(String::as_str));
        arguments.extend(more);
        self.start(&arguments)
    }

    /// Starts a command of the enforcer; it ends with the test.
    pub(crate) fn start(&self, arguments: &[&str]) -> Enforcer {
        let (file, log) = tempfile::NamedTempFile::new_in(self.directory.path())
            .unwrap()
            .keep()
            .unwrap();
        let mut command = Self::command(arguments);
        command.stdin(Stdio::null());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let child = self
            .netns
            .command(command)
            .unwrap()
            .pdeathsig(Signal::KILL.as_raw())
            .spawn()
            .unwrap();
        let status = self.status_file();
        Enforcer { child, log, status }
    }

    /// Runs an `nft` script that must succeed.
    pub(crate) fn nft(&self, script: &str) {
        let mut nft = self.nft_that_reads(&["-f", "-"]);
        nft.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = nft.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Starts `nft`, which ends with its input.
    pub(crate) fn nft_that_reads(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new("nft");
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        self.netns
            .command(command)
            .unwrap()
            .pdeathsig(Signal::KILL.as_raw())
            .spawn()
            .unwrap()
    }

    pub(crate) fn list(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("nft");
        command.args(arguments);
        let output = self.netns.command(command).unwrap().output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `ip -details` says of a link.
    pub(crate) fn link(&self, name: &str) -> Value {
        let mut command = Command::new("ip");
        command.args(["-details", "-json", "link", "show", name]);
        let output = self.netns.command(command).unwrap().output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[expect(
    deprecated,
    reason = "the replacement is unsafe because of file descriptor tables; those stay shared here"
)]
fn unshare_network() {
    rustix::thread::unshare(UnshareFlags::NEWNET).expect("a network namespace, which takes root");
}

pub(crate) fn backend() -> Pod {
    pod("shop/backend")
        .labelled(&[("role", "backend")])
        .at("10.1.0.7")
}

pub(crate) fn frontend(address: &str) -> Pod {
    pod("shop/frontend")
        .on("b")
        .labelled(&[("role", "frontend")])
        .at(address)
}

pub(crate) fn allow_frontend() -> Policy {
    policy("shop/allow-frontend")
        .selecting(&[("role", "backend")])
        .allowing_from([rule([pods(&[("role", "frontend")])])])
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A running enforcer, killed when dropped.
pub(crate) struct Enforcer {
    child: Child,
    log: PathBuf,
    status: PathBuf,
}

impl Enforcer {
    /// Waits until it has said something, to whichever output.
    pub(crate) async fn said(&mut self, words: &str) {
        until(words, || self.log().contains(words)).await;
    }

    /// Waits for a status of some sort.
    pub(crate) async fn status(&mut self, expected: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let text = fs::read(&self.status).unwrap_or_default();
            let status: Value = serde_json::from_slice(&text).unwrap_or_default();
            if is_it(&status) {
                return status;
            }
            let late = start.elapsed() > DEADLINE;
            assert!(!late, "no status {expected}, but {status:#}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn ready(&mut self) -> Value {
        self.status("ready", |status| status["ready"] == true).await
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.ended().await
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < DEADLINE, "it does not end\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Enforcer {
    fn drop(&mut self) {
        // Already ended, or about to: there is nothing else to do about it.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
