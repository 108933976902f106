//! `palisade-enforcer run`.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use palisade_crds::{RuleSet, files};
use palisade_policy::model::NodeName;

use super::Exit;
use crate::facts::{FactsSettings, FactsWatch, SearchScope};
use crate::nft::json;
use crate::nft::model::{Interface, InterfacePattern};
use crate::run::{Options, desired, run as enforce};
use crate::source;

/// Where an enforcer of a cluster answers.
const HEALTH: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9471);

/// Where a node's rules and the facts of its pods are.
#[derive(Debug, Args)]
pub(super) struct Inputs {
    /// The node whose rule set is enforced
    #[arg(long, env = "NODE_NAME", value_parser = |name: &str| Ok::<_, String>(NodeName::from(name)))]
    pub(super) node: NodeName,
    /// The directory that `palisade compile` writes; without it, the rules come from the API server
    #[arg(long, value_name = "DIR")]
    pub(super) rules: Option<PathBuf>,
    /// The directory where libcni keeps the results of ADD calls
    #[arg(long, value_name = "DIR", default_value = "/var/lib/cni/results")]
    pub(super) cni_results: PathBuf,
}

/// Enforce a node's rules, and keep the kernel at them until told to end
///
/// What was enforced stays when it ends. `PALISADE_LOG` in the environment sets what is logged (`debug`).
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    #[command(flatten)]
    inputs: Inputs,
    /// Interfaces that belong to pods, closed until the pod is known: a name, or how names begin (`cali*`)
    #[arg(long = "pod-interface", value_name = "PATTERN", value_parser = InterfacePattern::parse)]
    pod_interfaces: Vec<InterfacePattern>,
    /// A veth that is a bridge port and leads to other nodes, not to a pod
    #[arg(long = "uplink", value_name = "INTERFACE", value_parser = |name: &str| Interface::new(name))]
    uplinks: Vec<Interface>,
    /// How pods without a CNI result are looked for by the addresses that the API has for them
    #[arg(long, value_enum, default_value_t = Scope::Any)]
    search: Scope,
    /// The directory where the runtime keeps the pods' network namespaces (`/run/netns`), to look into as well
    #[arg(long, value_name = "DIR")]
    pod_namespaces: Option<PathBuf>,
    /// A file that always says in JSON what is enforced
    #[arg(long, value_name = "FILE")]
    status: Option<PathBuf>,
    /// Where to answer for liveness, readiness and metrics [default with the API server: 0.0.0.0:9471]
    #[arg(long, value_name = "ADDRESS")]
    health: Option<SocketAddr>,
    /// End as soon as the rules that are there now are enforced, or cannot be
    #[arg(long)]
    once: bool,
    /// Print the ruleset as nft JSON and touch nothing
    #[arg(long, conflicts_with_all = ["once", "status"])]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scope {
    /// Not at all: they stay closed
    None,
    /// By what the node alone decides: host routes, network namespaces
    Routes,
    /// By what bridges have learned from packets as well
    Any,
}

impl From<Scope> for SearchScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::None => Self::None,
            Scope::Routes => Self::Routes,
            Scope::Any => Self::Any,
        }
    }
}

impl Arguments {
    fn options(self) -> (Options, bool) {
        let Self {
            inputs:
                Inputs {
                    node,
                    rules,
                    cni_results,
                },
            pod_interfaces,
            uplinks,
            search,
            pod_namespaces,
            status,
            health,
            once,
            dry_run,
        } = self;
        let health = health.or_else(|| (rules.is_none() && !once).then_some(HEALTH));
        let facts = FactsSettings {
            cni_results,
            pod_interfaces,
            uplinks: BTreeSet::from_iter(uplinks),
            search: search.into(),
            pod_namespaces,
        };
        (
            Options {
                node,
                rules,
                health,
                facts,
                status,
                once,
            },
            dry_run,
        )
    }
}

pub(super) async fn run(arguments: Arguments, output: &mut dyn Write) -> Result<Exit> {
    let (options, dry_run) = arguments.options();
    if dry_run {
        print(options, output).await?;
    } else {
        enforce(options).await?;
    }
    Ok(Exit::Success)
}

/// The rule set as it is now.
pub(super) async fn read(directory: Option<&Path>, node: &NodeName) -> Result<RuleSet> {
    match directory {
        Some(directory) => Ok(files::read(directory, node)?),
        None => Ok(source::fetch(source::client().await?, node).await?),
    }
}

async fn print(options: Options, output: &mut dyn Write) -> Result<()> {
    let rules = read(options.rules.as_deref(), &options.node).await?;
    let settings = options.plan();
    let observed = FactsWatch::new(options.facts)?.observe().await?;
    let plan = desired(&rules, &observed, &settings)?;
    let document = json::render(&plan.ruleset).context("rendering the ruleset")?;
    serde_json::to_writer_pretty(&mut *output, &document)?;
    writeln!(output)?;
    Ok(())
}
