//! `palisade-enforcer show`.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args;
use palisade_policy::model::PodKey;

use super::Exit;
use super::run::{self, Inputs};
use crate::facts::{FactsSettings, FactsWatch};
use crate::nft::{Kernel, Nlink};
use crate::show::Show;

/// Say in words what the kernel does with a pod's packets
///
/// Without a pod: one line for each pod of the node.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// The pod
    #[arg(value_name = "NAMESPACE/NAME", value_parser = parse_pod)]
    pod: Option<PodKey>,
    /// All pods, and what concerns all of them
    #[arg(long, conflicts_with = "pod")]
    all: bool,
    /// How many elements of each set are listed
    #[arg(long, value_name = "N", default_value_t = 10)]
    elements: usize,
    #[command(flatten)]
    inputs: Inputs,
}

fn parse_pod(text: &str) -> Result<PodKey, String> {
    PodKey::parse(text).ok_or_else(|| "a pod is NAMESPACE/NAME".to_owned())
}

pub(super) async fn run(arguments: Arguments, output: &mut dyn Write) -> Result<Exit> {
    let Arguments {
        pod,
        all,
        elements,
        inputs,
    } = arguments;
    let rules = run::read(inputs.rules.as_deref(), &inputs.node).await?;
    let facts = FactsSettings {
        cni_results: inputs.cni_results,
        ..FactsSettings::default()
    };
    let observed = FactsWatch::new(facts)?.observe().await?;
    let kernel = Nlink::open()?;
    let (loaded, counters) = (kernel.read().await?, kernel.counters().await?);
    let show = Show::new(&rules, &observed, &loaded, &counters, elements);
    match pod {
        None if all => {
            show.overview(output)?;
            show.node(output)?;
            for pod in rules.rules.pods.values() {
                show.pod(&pod.key, output)?;
            }
        }
        None => show.overview(output)?,
        Some(pod) if show.knows(&pod) => show.pod(&pod, output)?,
        Some(pod) => {
            writeln!(
                io::stderr(),
                "error: pod {pod} is not known on node {}",
                inputs.node
            )?;
            return Ok(Exit::Usage);
        }
    }
    Ok(Exit::Success)
}
