//! `palisade-enforcer cleanup`.

use std::io::{self, Write};

use anyhow::Result;
use clap::Args;

use super::Exit;
use crate::nft::{Kernel, Nlink};

/// Remove Palisade's tables from the kernel, and nothing else
///
/// A running enforcer puts them back: end it first.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {}

pub(super) async fn run(output: &mut dyn Write) -> Result<Exit> {
    let removed = Nlink::open()?.delete_tables().await?;
    if removed.is_empty() {
        writeln!(io::stderr(), "there is no table of Palisade's")?;
    }
    for table in removed {
        writeln!(output, "removed table {table}")?;
    }
    Ok(Exit::Success)
}
