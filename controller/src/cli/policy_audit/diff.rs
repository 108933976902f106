//! `palisade policy-audit diff`.

use std::io;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use palisade_audit::diff::{Diff, output};

use crate::cli::{Exit, Streams};
use crate::inventory::{self, LoadError, Loaded, OF_A_CLUSTER, Sources, Surroundings};

/// Say what a change would mean
///
/// Compares OLD and NEW, or the cluster with NEW laid over it: which connections become allowed or denied, on which ports,
/// and because of which policies; which pods become isolated or open. What is written differently and means the same is no
/// difference. Pods are the same if they have the same name, or else if the same workload made them, or if they have the same
/// labels; new pods and those that are gone are told apart.
///
/// What is laid over never deletes: of files of a repository compare the whole, OLD and NEW.
///
/// Exit codes: 0, no change in meaning; 1, there is one; 2, it could not run.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What there was and what there is to be, whole; `-` is the standard input
    #[arg(
        value_names = ["OLD", "NEW"],
        num_args = 2,
        required_unless_present = "changes",
        conflicts_with = "changes"
    )]
    states: Vec<PathBuf>,
    /// What is to be applied: objects that replace those of the same kind and name, and come to the others; nothing is
    /// deleted; may be repeated
    #[arg(short = 'f', long = "filename", value_name = "NEW")]
    changes: Vec<PathBuf>,
    /// What -f is laid over, instead of the cluster; what is here and not in -f stays; may be repeated
    #[arg(long, value_name = "FILE|DIR|-", requires = "changes", conflicts_with_all = OF_A_CLUSTER)]
    base: Vec<PathBuf>,
    #[command(flatten)]
    surroundings: Surroundings,
    /// In which form
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// For programs
    Json,
    /// For a pull request
    Markdown,
}

impl From<Form> for output::Form {
    fn from(form: Form) -> Self {
        match form {
            Form::Text => Self::Text,
            Form::Json => Self::Json,
            Form::Markdown => Self::Markdown,
        }
    }
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let (before, after) = match load(options, streams) {
        Ok(states) => states,
        Err(error) => return error.tell(streams),
    };
    let diff = Diff::of(&before.inventory, &after.inventory);
    let (form, style) = (options.output.into(), streams.style);
    match options.output {
        Form::Text | Form::Markdown => output::write(&diff, form, style, &mut streams.text())?,
        Form::Json => output::write(&diff, form, style, streams.output)?,
    }
    Ok(if diff.is_empty() {
        Exit::Success
    } else {
        Exit::Negative
    })
}

fn load(options: &Options, streams: &mut Streams<'_>) -> Result<(Loaded, Loaded), LoadError> {
    let mut whole = |filenames: Vec<PathBuf>| {
        let sources = Sources {
            filenames,
            surroundings: options.surroundings.clone(),
        };
        inventory::load(&sources, streams)
    };
    if let [old, new] = options.states.as_slice() {
        return Ok((whole(vec![old.clone()])?, whole(vec![new.clone()])?));
    }
    let before = whole(options.base.clone())?;
    let after = inventory::overlay(&before, &options.changes, streams)?;
    Ok((before, after))
}
