//! `make bench-latency`: from the API to the packet, on the cluster that runs. See [`palisade_tests::latency`].

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use kube::Client;
use palisade_tests::cluster::{Cluster, Layout};
use palisade_tests::latency::{Bench, table};
use palisade_tests::live::City;

/// Where the pods listen.
const PORT: u16 = 8080;

/// Measures how long a policy takes from the API to the packet.
#[derive(Debug, Parser)]
struct Options {
    /// Beside how many policies, one round for each number, ascending
    #[arg(long, value_delimiter = ',', default_value = "2,100,1000")]
    policies: Vec<usize>,
    /// How often each figure is taken
    #[arg(long, default_value_t = 30)]
    repeats: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If even this cannot be written, the exit code is all that is left to say.
            let _ = writeln!(stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: Options) -> Result<()> {
    let cluster = Cluster::attach(Layout::of_checkout())?;
    let client = Client::try_default().await.context("reaching the API server")?;
    let city = City::open(&cluster, client, [PORT]).await?;
    let mut bench = Bench::start(&city, PORT).await?;
    let mut rounds = Vec::new();
    for policies in options.policies {
        let round = bench.round(policies, options.repeats).await?;
        writeln!(stderr(), "{policies} policies: {} requests sent", round.sent)?;
        rounds.push(round);
    }
    bench.stop().await?;
    stdout().write_all(table(&rounds).as_bytes())?;
    Ok(())
}
