//! Where questions about policies get their objects from: files, a live cluster, a snapshot of one.

use std::path::PathBuf;

use clap::Args;
use palisade_audit::inventory::{Inventory, ObjectRef, Place, Places};
use palisade_policy::cluster::ClusterState;
use thiserror::Error;

use crate::cli::Streams;
use crate::manifest::{self, InvalidManifests, Source, Strictness};

/// Which objects are asked about.
#[derive(Clone, Debug, Default, Args)]
pub struct Sources {
    /// A file, a directory (all .yaml, .yml and .json files in it and below it), or `-` for the standard input; without any,
    /// a live cluster is asked
    #[arg(short, long = "filename", value_name = "FILE|DIR|-")]
    pub filenames: Vec<PathBuf>,
}

/// What was found.
#[derive(Debug)]
pub struct Loaded {
    /// The objects.
    pub inventory: Inventory,
    /// Where they are written.
    pub origins: Origins,
}

/// Where each object is written.
#[derive(Clone, Debug, Default)]
pub struct Origins {}

impl Places for Origins {
    fn place(&self, _object: &ObjectRef, _field: Option<&str>) -> Option<Place> {
        None
    }
}

/// Why there is nothing to ask.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Manifests that cannot be understood.
    #[error(transparent)]
    Manifests(#[from] InvalidManifests),
}

/// Reads everything that `sources` name. What is worth knowing goes to the error output.
pub fn load(sources: &Sources, streams: &mut Streams<'_>) -> Result<Loaded, LoadError> {
    let files: Vec<Source> = sources.filenames.iter().cloned().map(Source::from).collect();
    let manifests = manifest::read(&files, streams.input, Strictness::KeepGoing)?;
    let inventory = Inventory {
        state: ClusterState::from_events(manifests.events),
        ..Inventory::default()
    };
    Ok(Loaded {
        inventory,
        origins: Origins::default(),
    })
}
