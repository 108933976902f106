//! Network namespaces without a name, and the `nft` command in them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use nlink::netlink::namespace::Netns;
use palisade_enforcer::nft::json::normalise;
use palisade_enforcer::nft::model::Ruleset;
use palisade_enforcer::nft::{Generation, Kernel, Loaded, Nlink, repair};
use serde_json::Value;

/// A network namespace that lives as long as this value.
pub(crate) struct Namespace(Netns);

impl Namespace {
    pub(crate) fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests make network namespaces and need root"
        );
        // The command answers from within its new namespace, and ends with its input, whatever becomes of the test.
        let mut holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux runs");
        let mut input = holder.stdin.take().expect("a pipe");
        input.write_all(b"there?\n").expect("unshare reads");
        let mut answer = String::new();
        BufReader::new(holder.stdout.take().expect("a pipe"))
            .read_line(&mut answer)
            .expect("cat answers");
        assert_eq!(answer, "there?\n", "unshare --net failed");
        let namespace = Netns::from_pid(holder.id()).expect("the namespace of a child");
        drop(input);
        holder.wait().expect("cat ends with its input");
        Self(namespace)
    }

    pub(crate) fn netns(&self) -> &Netns {
        &self.0
    }

    pub(crate) fn kernel(&self) -> Nlink {
        Nlink::open_in(&self.0).expect("a netlink socket")
    }

    /// Runs `nft` with a script or document on its input.
    pub(crate) fn nft_with(&self, arguments: &[&str], input: &str) -> Output {
        let run = || {
            let mut nft = Command::new("nft")
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("nft runs");
            nft.stdin
                .take()
                .expect("a pipe")
                .write_all(input.as_bytes())
                .expect("nft reads");
            nft.wait_with_output().expect("nft ends")
        };
        self.0.run(run).expect("a thread in the namespace")
    }

    /// Runs an `nft` script that must succeed.
    pub(crate) fn nft(&self, script: &str) {
        let output = self.nft_with(&["-f", "-"], script);
        assert!(
            output.status.success(),
            "nft refused {script}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// What `nft` lists of everything, word for word.
    pub(crate) fn list(&self, arguments: &[&str]) -> String {
        let output = self.nft_with(arguments, "");
        assert!(
            output.status.success(),
            "nft {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("nft writes UTF-8")
    }

    /// What `nft` lists of everything as JSON, in normal order.
    pub(crate) fn listing(&self) -> Value {
        normalise(serde_json::from_str(&self.list(&["-j", "list", "ruleset"])).expect("nft writes JSON"))
    }
}

/// Brings a kernel to a ruleset, from wherever it is.
pub(crate) async fn load(kernel: &Nlink, ruleset: &Ruleset) -> Generation {
    ruleset.check().expect("a consistent ruleset");
    let loaded = kernel.read().await.expect("the kernel is read");
    kernel
        .commit(&repair(&loaded, ruleset), loaded.generation)
        .await
        .expect("the ruleset is loaded")
}

pub(crate) async fn read(kernel: &Nlink) -> Loaded {
    kernel.read().await.expect("the kernel is read")
}

/// Compares two normal listings object by object, so that a failure shows the one that differs.
pub(crate) fn assert_eq_listing(found: &Value, expected: &Value, context: &str) {
    let objects = |value: &Value| value["nftables"].as_array().expect("objects").clone();
    for (found, expected) in objects(found).iter().zip(objects(expected).iter()) {
        assert!(
            found == expected,
            "{context}\n   found {found}\nexpected {expected}"
        );
    }
    assert_eq!(objects(found).len(), objects(expected).len(), "{context}");
}
