//! `make bench`: what Palisade costs, every figure beside its target.
//!
//! A bench has cases, and each case runs in a process of its own, so that what it takes of memory is its own. A case that finds
//! a verdict other than the oracle's fails: a fast wrong answer is void.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "figures are what it is for"
)]

mod bench;
mod compare;
mod figure;
mod guard;
mod machine;
mod plot;
mod report;
mod stub;
mod table;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use bench::Bench;
use figure::Figure;
use guard::Scenario;
use report::Report;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What Palisade costs.
#[derive(Debug, Parser)]
#[command(name = "palisade-bench")]
enum Program {
    /// Run benches and print their figures beside the targets.
    Run {
        /// Benches, or cases of them: `compile`, `compile/W1`. All if none is named.
        names: Vec<String>,
        /// Write the figures to this file too.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Print two reports side by side, as ratios.
    Compare {
        /// A report that was written by `run --json`.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// Draw a report as SVG.
    Plot {
        /// A report that was written by `run --json`.
        report: PathBuf,
        /// Where the pictures go.
        directory: PathBuf,
    },
    /// Count the instructions of what is done all day, and compare them with a baseline.
    Guard {
        /// The baseline.
        baseline: PathBuf,
        /// Make what is counted the new baseline.
        #[arg(long)]
        accept: bool,
    },
    /// Do once what is counted.
    #[command(hide = true)]
    Scenario {
        /// What.
        scenario: Scenario,
    },
    /// Run one case in this process and print its figures as JSON.
    #[command(hide = true)]
    Case {
        /// The bench.
        bench: Bench,
        /// Its case.
        case: String,
    },
}

fn main() -> Result<()> {
    match Program::parse() {
        Program::Run { names, json } => run(&names, json),
        Program::Compare { first, second } => {
            let reports = [Report::read(&first)?, Report::read(&second)?];
            let [first, second] = &reports;
            println!("{}", compare::show(first, second));
            Ok(())
        }
        Program::Plot { report, directory } => {
            for file in plot::draw(&Report::read(&report)?, &directory)? {
                println!("{}", file.display());
            }
            Ok(())
        }
        Program::Guard { baseline, accept } => guard::run(&baseline, accept),
        Program::Scenario { scenario } => scenario.run(),
        Program::Case { bench, case } => {
            let figures = bench.measure(&case)?;
            serde_json::to_writer(std::io::stdout(), &figures).context("cannot print figures")
        }
    }
}

fn run(names: &[String], json: Option<PathBuf>) -> Result<()> {
    let cases = chosen(names)?;
    let mut report = Report::begin();
    println!("{}\n", report.machine);
    let mut failed = Vec::new();
    for (bench, case) in cases {
        eprintln!("{bench}/{case}");
        match apart(bench, case) {
            Ok(figures) => report.figures.extend(figures),
            Err(error) => failed.push(format!("{bench}/{case}: {error:#}")),
        }
    }
    println!("{}", table::of(&report.figures));
    if let Some(path) = json {
        report.write(&path)?;
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

/// The cases that names stand for.
fn chosen(names: &[String]) -> Result<Vec<(Bench, &'static str)>> {
    let all = || {
        let benches = Bench::ALL.iter();
        benches.flat_map(|bench| bench.cases().iter().map(|case| (*bench, *case)))
    };
    let mut cases = Vec::new();
    for name in names {
        let matching =
            all().filter(|(bench, case)| bench.to_string() == *name || format!("{bench}/{case}") == *name);
        let before = cases.len();
        cases.extend(matching);
        if cases.len() == before {
            let known: Vec<String> = Bench::ALL.iter().map(ToString::to_string).collect();
            bail!(
                "there is no bench {name}: they are {}, and /CASE behind it",
                known.join(", ")
            );
        }
    }
    Ok(if names.is_empty() { all().collect() } else { cases })
}

/// Runs a case in a process of its own.
fn apart(bench: Bench, case: &str) -> Result<Vec<Figure>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let child = Command::new(program)
        .args(["case", &bench.to_string(), case])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start a process")?;
    ensure!(child.status.success(), "{}", child.status);
    serde_json::from_slice(&child.stdout).context("it printed no figures")
}
