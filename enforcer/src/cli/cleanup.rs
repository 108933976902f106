//! `palisade-enforcer cleanup`.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;
use crate::nft::{Kernel, Nlink};

/// Remove Palisade's tables from the kernel, and nothing else
///
/// A running enforcer puts them back: end it first.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// Wait for a signal to end afterwards, for a container that must not end
    #[arg(long)]
    hold: bool,
}

pub(super) async fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    // Before anything is said: whoever reads the answer may ask for the end at once.
    let end = arguments.hold.then(Signals::receive).transpose()?;
    let removed = Nlink::open()?.delete_tables().await?;
    if removed.is_empty() {
        writeln!(io::stderr(), "there is no table of Palisade's")?;
    }
    for table in removed {
        writeln!(output, "removed table {table}")?;
    }
    if let Some(end) = end {
        output.flush()?;
        end.await_one().await;
    }
    Ok(Exit::Success)
}

/// The signals that ask a program to end.
struct Signals {
    terminated: Signal,
    interrupted: Signal,
}

impl Signals {
    fn receive() -> Result<Self> {
        let receive = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            terminated: receive(SignalKind::terminate())?,
            interrupted: receive(SignalKind::interrupt())?,
        })
    }

    async fn await_one(mut self) {
        tokio::select! {
            _ = self.terminated.recv() => {}
            _ = self.interrupted.recv() => {}
        }
    }
}
