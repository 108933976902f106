//! `palisade policy-audit report`.

use std::io;
use std::path::PathBuf;

use clap::Args;
use k8s_openapi::jiff::Timestamp;
use palisade_audit::lint::lint;
use palisade_audit::report::{self, About};
use palisade_policy::reach::Reach;
use thiserror::Error;

use crate::cli::{Exit, Streams, failed, output};
use crate::inventory::{self, Loaded, Sources};

/// Write all answers on one page of HTML
///
/// What policies isolate and allow, in plain words, as a matrix and as a graph, and what lint finds in them: one file, to be
/// opened in any browser, printed, or sent to those who decide. It asks the network for nothing.
#[derive(Debug, Args)]
pub(super) struct Options {
    #[command(flatten)]
    sources: Sources,
    /// The file, or `-` for the standard output. A file that is there is replaced once the new one is whole, and keeps its
    /// permissions; a new one may only be read by its owner
    #[arg(short, long, value_name = "FILE.html")]
    output: PathBuf,
    /// What the page calls the cluster; by default the files that it is read from, or the context
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The time that the page says it is of, as in 2026-11-25T16:00:00Z; by default now
    #[arg(long, value_name = "TIME")]
    time: Option<Timestamp>,
}

/// A report that cannot be made.
#[derive(Debug, Error)]
#[error("cannot write the data of the page")]
struct ReportError(#[from] serde_json::Error);

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let loaded = match inventory::load(&options.sources, streams) {
        Ok(loaded) => loaded,
        Err(error) => return error.tell(streams),
    };
    let page = match page(options, &loaded) {
        Ok(page) => page,
        Err(error) => return failed(&error, streams),
    };
    if options.output.as_os_str() == "-" {
        streams.output.write_all(page.as_bytes())?;
        return Ok(Exit::Success);
    }
    match output::write(&options.output, &page) {
        Ok(()) => {
            let policies = loaded.inventory.state.policies().len();
            let file = options.output.display();
            writeln!(
                streams.errors,
                "{policies} policies in {file}, {} kB",
                page.len().div_ceil(1000)
            )?;
            Ok(Exit::Success)
        }
        Err(error) => failed(&error, streams),
    }
}

fn page(options: &Options, loaded: &Loaded) -> Result<String, ReportError> {
    let Loaded {
        inventory, origins, ..
    } = loaded;
    let reach = Reach::of(&inventory.state);
    let time = options.time.unwrap_or_else(Timestamp::now);
    let about = About {
        source: options.title.clone().unwrap_or_else(|| source(&options.sources)),
        time: time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    };
    Ok(report::render(
        inventory,
        &reach,
        &lint(inventory),
        origins,
        &about,
    )?)
}

/// What is read, in a few words.
fn source(sources: &Sources) -> String {
    let files = sources.filenames.iter().map(|file| match file.as_os_str() {
        stdin if stdin == "-" => "the standard input".to_owned(),
        _ => file.display().to_string(),
    });
    let files: Vec<String> = files.collect();
    match (files.as_slice(), &sources.surroundings.context) {
        ([], Some(context)) => format!("the cluster of context {context}"),
        ([], None) => "the current cluster".to_owned(),
        ([one], _) => one.clone(),
        ([first, others @ ..], _) => format!("{first} and {} more", others.len()),
    }
}
