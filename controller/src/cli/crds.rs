//! `palisade crds`: the definitions of the custom resources.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde_saphyr::SerializeError;
use thiserror::Error;

use super::{Exit, Streams, failed};

/// Print the definitions of the custom resources as YAML.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Write one file for each into this directory instead; `config/crd` is kept up to date like this.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// A Kubernetes object as a YAML document, without a `---`.
pub fn to_yaml(object: &impl Serialize) -> Result<String, SerializeError> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(object, options)
}

pub(super) fn run(options: &Options, streams: &mut Streams<'_>) -> io::Result<Exit> {
    let outcome = match &options.output {
        Some(directory) => write(directory).map(|()| String::new()),
        None => text(),
    };
    match outcome {
        Ok(text) => {
            streams.output.write_all(text.as_bytes())?;
            Ok(Exit::Success)
        }
        Err(error) => failed(&error, streams),
    }
}

/// Why the definitions could not be given.
#[derive(Debug, Error)]
enum CrdsError {
    #[error("cannot encode the definitions")]
    Encode(#[from] SerializeError),
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

fn text() -> Result<String, CrdsError> {
    let mut text = String::new();
    for definition in palisade_crds::crds() {
        text.push_str("---\n");
        text.push_str(&to_yaml(&definition)?);
    }
    Ok(text)
}

fn write(directory: &Path) -> Result<(), CrdsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CrdsError::Write { path, source }
    };
    fs::create_dir_all(directory).map_err(failed(directory))?;
    for definition in palisade_crds::crds() {
        let path = directory.join(file_name(&definition));
        fs::write(&path, to_yaml(&definition)?).map_err(failed(&path))?;
    }
    Ok(())
}

/// `palisade.dev_noderulesets.yaml`, as other projects name these files.
fn file_name(definition: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", definition.spec.group, definition.spec.names.plural)
}
