//! `palisade-enforcer tables`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use palisade_policy::model::NodeName;

use super::Exit;
use crate::facts::{FactsSettings, FactsWatch};
use crate::nft::model::Interface;
use crate::nft::{Kernel, Nlink};
use crate::tables::Tables;

/// Print the node's tables and where its pods are, as the kernel and the CNI have them
///
/// One JSON document, for `palisade policy-audit verify --tables`. Reads and changes nothing; needs the right to
/// administer the network.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// The node's name
    #[arg(long, env = "NODE_NAME", value_parser = |name: &str| Ok::<_, String>(NodeName::from(name)))]
    node: NodeName,
    /// The directory where libcni keeps the results of ADD calls
    #[arg(long, value_name = "DIR", default_value = "/var/lib/cni/results")]
    cni_results: PathBuf,
    /// A veth that is a bridge port and leads to other nodes, not to a pod
    #[arg(long = "uplink", value_name = "INTERFACE", value_parser = |name: &str| Interface::new(name))]
    uplinks: Vec<Interface>,
}

pub(super) async fn run(arguments: Arguments, output: &mut dyn Write) -> Result<Exit> {
    let Arguments {
        node,
        cni_results,
        uplinks,
    } = arguments;
    let facts = FactsSettings {
        cni_results,
        uplinks: uplinks.into_iter().collect(),
        ..FactsSettings::default()
    };
    let observed = FactsWatch::new(facts)?.observe().await?;
    let loaded = Nlink::open()?.read().await?;
    let document = Tables::new(&node, &loaded, &observed).context("rendering the tables")?;
    serde_json::to_writer(&mut *output, &document)?;
    writeln!(output)?;
    Ok(Exit::Success)
}
