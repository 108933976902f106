//! `palisade controller`.

use std::env;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;

use clap::Args;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::{Exit, Streams, failed};
use crate::run::{self, RunError};

/// Compile the policies of the cluster and publish each node's rules, until told to end
///
/// `PALISADE_LOG` in the environment sets what is logged (`debug`).
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Options {
    /// Where to answer for /livez, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9470")]
    health: SocketAddr,
    /// The namespace of the Lease by which one replica of several leads; by default `POD_NAMESPACE`, or palisade-system
    #[arg(long, value_name = "NAMESPACE")]
    lease_namespace: Option<String>,
    /// The name of this replica among the others; by default `POD_NAME`, or the host's name
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
}

/// Why the controller could not run.
#[derive(Debug, Error)]
enum ControllerError {
    #[error("PALISADE_LOG makes no sense")]
    Log(#[source] ParseError),
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    #[error("there is no identity: give --identity")]
    Identity,
    #[error(transparent)]
    Run(#[from] RunError),
}

pub(super) fn run(options: Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    match start(options) {
        Ok(()) => Ok(Exit::Success),
        Err(error) => failed(&error, streams),
    }
}

fn start(options: Options) -> Result<(), ControllerError> {
    let Options {
        health,
        lease_namespace,
        identity,
    } = options;
    log_to_stderr().map_err(ControllerError::Log)?;
    let options = run::Options {
        health,
        lease_namespace: lease_namespace
            .or_else(|| set("POD_NAMESPACE"))
            .unwrap_or_else(|| "palisade-system".to_owned()),
        identity: identity
            .or_else(|| set("POD_NAME"))
            .or_else(host_name)
            .ok_or(ControllerError::Identity)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(ControllerError::Runtime)?;
    Ok(runtime.block_on(run::run(options))?)
}

/// A variable of the environment, unless it is empty.
fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn log_to_stderr() -> Result<(), ParseError> {
    let filter = match set("PALISADE_LOG") {
        Some(wanted) => EnvFilter::try_new(wanted)?,
        // The client tells of each failed call what we tell too.
        None => EnvFilter::new("warn,kube_client=off,palisade_controller=info"),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    Ok(())
}
