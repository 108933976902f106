//! Runs the command in this process, and writes manifests for it to read.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "every test file uses a part of this, and helpers of tests may fail like tests"
)]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use clap::{Args, Command, FromArgMatches};

use palisade_audit::style::Style;
use palisade_controller::cli::{self, Exit, Streams};
use palisade_controller::inventory::{self, LoadError, Loaded, Sources};
use tempfile::TempDir;

/// What a command did.
pub(crate) struct Run {
    pub(crate) exit: Exit,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Run {
    pub(crate) fn succeeded(&self) -> bool {
        self.exit == Exit::Success
    }
}

pub(crate) fn palisade(arguments: &[&str]) -> Run {
    palisade_reading(arguments, &[])
}

pub(crate) fn palisade_reading(arguments: &[&str], mut input: &[u8]) -> Run {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("palisade")
        .chain(arguments.iter().copied())
        .map(OsString::from);
    let mut streams = Streams {
        input: &mut input,
        output: &mut output,
        errors: &mut errors,
        style: Style::PLAIN,
        watched: false,
    };
    let exit = cli::run(arguments, &mut streams).unwrap();
    Run {
        exit,
        output: String::from_utf8(output).unwrap(),
        errors: String::from_utf8(errors).unwrap(),
    }
}

/// A folder of manifests and a folder for what they compile to.
pub(crate) struct Workshop {
    folder: TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// `palisade compile -f NAME… -o out MORE…`. In what it says, the folder is `DIR`.
    pub(crate) fn compile(&self, names: &[&str], more: &[&str]) -> Run {
        self.compile_reading(names, more, &[])
    }

    pub(crate) fn compile_reading(&self, names: &[&str], more: &[&str], input: &[u8]) -> Run {
        let place = |name: &str| {
            if name == "-" {
                name.to_owned()
            } else {
                self.path(name).to_str().unwrap().to_owned()
            }
        };
        let mut arguments = vec!["compile".to_owned(), "-o".to_owned(), place("out")];
        arguments.extend(names.iter().flat_map(|name| ["-f".to_owned(), place(name)]));
        arguments.extend(more.iter().map(|&text| text.to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut run = palisade_reading(&arguments, input);
        run.errors = run.errors.replace(self.folder.path().to_str().unwrap(), "DIR");
        run
    }

    /// The files below `out`, sorted.
    pub(crate) fn written(&self) -> Vec<String> {
        let out = self.path("out");
        let mut files = Vec::new();
        for folder in ["addressgroups", "noderulesets", "podslices", "policyslices"] {
            let entries = fs::read_dir(out.join(folder)).into_iter().flatten();
            files.extend(
                entries.map(|entry| format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap())),
            );
        }
        files.sort();
        files
    }

    /// The inventory of these files, loaded with MORE options, and what is said about it. In that, the folder is `DIR`.
    pub(crate) fn load(&self, names: &[&str], more: &[&str]) -> (Result<Loaded, LoadError>, String) {
        let arguments = names.iter().flat_map(|name| {
            let path = if *name == "." {
                self.path("")
            } else {
                self.path(name)
            };
            ["-f".to_owned(), path.to_str().unwrap().to_owned()]
        });
        let arguments = std::iter::once("test".to_owned())
            .chain(arguments)
            .chain(more.iter().map(|&text| text.to_owned()));
        let matches = Sources::augment_args(Command::new("test"))
            .try_get_matches_from(arguments)
            .unwrap();
        let sources = Sources::from_arg_matches(&matches).unwrap();
        self.speaking(|streams| inventory::load(&sources, streams))
    }

    /// The inventory with these files over it.
    pub(crate) fn overlay(&self, base: &Loaded, names: &[&str]) -> Result<Loaded, LoadError> {
        let files: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        self.speaking(|streams| inventory::overlay(base, &files, streams))
            .0
    }

    fn speaking<T>(&self, run: impl FnOnce(&mut Streams<'_>) -> T) -> (T, String) {
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let outcome = run(&mut Streams {
            input: &mut [].as_slice(),
            output: &mut output,
            errors: &mut errors,
            style: Style::PLAIN,
            watched: false,
        });
        let said = String::from_utf8(errors).unwrap();
        (outcome, said.replace(self.folder.path().to_str().unwrap(), "DIR"))
    }
}
