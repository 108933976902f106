//! etcd and an API server alone: an API without nodes, controllers or a scheduler.
//!
//! Both run in a network namespace of their own, listen on addresses of `lo` there, and die with the process that made them. Whoever
//! talks to them enters the namespace ([`Alone::netns`]) with a certificate that was [issued](Alone::certify).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use nlink::netlink::namespace::Netns;
use rustix::process::Signal;
use tempfile::TempDir;

use super::certificates::Certificates;
use super::control_plane::{api_server, etcd};
use super::layout::Layout;
use super::plan::{control4, server};
use super::run::GLANCE;
use crate::bed::{ManagedChild, Role, Space};

const SERVICES: &str = "10.96.0.0/16";

/// An API server that runs alone.
#[derive(Debug)]
pub struct Alone {
    netns: Arc<Netns>,
    keys: Certificates,
    // Ends in this order.
    server: ManagedChild,
    etcd: ManagedChild,
    directory: TempDir,
}

/// A client configuration with a certificate in it.
#[derive(Clone, Debug)]
pub struct Certified(PathBuf);

impl Certified {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Alone {
    /// Starts both, from the programs of a layout. It may take seconds before the API server answers.
    pub async fn start(layout: &Layout) -> Result<Self> {
        let directory = tempfile::tempdir().context("making a directory")?;
        let path = directory.path();
        let space = Space::new(Role::Host).await?;
        // An API server does not advertise 127.0.0.1.
        space.address("lo", control4().into()).await?;
        let netns = Arc::clone(space.netns());
        let address = control4().addr().into();
        let keys = Certificates::create(path.join("certificates")).await?;
        keys.issue("apiserver", "/CN=kube-apiserver", &[address], &["localhost"])
            .await?;
        let data = path.join("etcd").display().to_string();
        let etcd = start(&netns, &etcd(layout, &data), path)?;
        let words = api_server(layout, &keys, address, SERVICES);
        let server = start(&netns, &words, path)?;
        Ok(Self {
            netns,
            keys,
            server,
            etcd,
            directory,
        })
    }

    /// Where it is to be reached.
    pub fn netns(&self) -> &Arc<Netns> {
        &self.netns
    }

    /// A client configuration for a subject such as `/O=system:masters/CN=admin`.
    pub async fn certify(&self, name: &str, subject: &str) -> Result<Certified> {
        self.keys.issue(name, subject, &[], &[]).await?;
        let file = self.directory.path().join(format!("{name}.conf"));
        self.keys.client_configuration(&file, &server(), name)?;
        Ok(Certified(file))
    }

    /// The API server.
    pub fn server(&self) -> &ManagedChild {
        &self.server
    }

    /// etcd.
    pub fn etcd(&self) -> &ManagedChild {
        &self.etcd
    }

    /// Ends both.
    pub async fn stop(mut self) -> Result<()> {
        for child in [&mut self.server, &mut self.etcd] {
            child.signal(Signal::KILL)?;
            child.ended(GLANCE * 100).await?;
        }
        self.directory.close().context("removing what it stored")
    }
}

fn start(netns: &Netns, words: &[String], logs: &Path) -> Result<ManagedChild> {
    let (program, arguments) = words.split_first().context("nothing to start")?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(logs);
    ManagedChild::start(netns, command, logs)
}
