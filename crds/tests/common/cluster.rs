//! What is published of a cluster, and what is in a directory of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use palisade_crds::files;
use palisade_policy::cluster::{ClusterState, Event};
use palisade_policy::compile::{Published, compile};
use palisade_policy::model::Protocol;
use palisade_policy::testing::builders::{namespace, node, pod, pods, policy, port, rule};

/// `web-0` on `node-1` under `policies` policies, and on `node-2` `members` pods that these allow.
pub(crate) fn cluster(members: usize, policies: usize) -> Published {
    let web = pod("shop/web-0")
        .on("node-1")
        .at("10.0.0.5")
        .labelled(&[("app", "web")])
        .declaring("http", Protocol::Tcp, 8080);
    let frontends = (0..members).map(|number| {
        let frontend = pod(&format!("shop/frontend-{number}")).labelled(&[("role", "frontend")]);
        let address = format!("10.1.{}.{}", number / 256, number % 256);
        Event::PodApplied(frontend.on("node-2").at(&address))
    });
    let policies = (0..policies).map(|number| {
        let rule = rule([pods(&[("role", "frontend")])]).on_ports([port(Protocol::Tcp, 8080)]);
        let policy = policy(&format!("shop/policy-{number}"));
        Event::PolicyApplied(policy.selecting(&[("app", "web")]).allowing_from([rule]))
    });
    let objects = [
        Event::NamespaceApplied(namespace("shop", &[])),
        Event::NodeApplied(node("node-1", &[])),
        Event::NodeApplied(node("node-2", &[])),
        Event::PodApplied(web),
    ];
    compile(&ClusterState::from_events(
        objects.into_iter().chain(frontends).chain(policies),
    ))
}

/// The files of all documents, with the time of their last change.
pub(crate) fn files_in(directory: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let folders = [files::GROUPS, files::POLICIES, files::RULE_SETS];
    let entries = folders
        .into_iter()
        .flat_map(|folder| fs::read_dir(directory.join(folder)).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| {
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            let text = fs::read(&path).unwrap();
            (path, (modified, text))
        })
        .collect()
}

/// The files of all documents, from the directory.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let files = files_in(directory).into_keys();
    files
        .map(|path| path.strip_prefix(directory).unwrap().display().to_string())
        .collect()
}
