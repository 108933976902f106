//! The program of `make demo`. See [`palisade_tests::demo`].

use std::io::{Write, stderr};
use std::process::ExitCode;

use clap::Parser;
use palisade_tests::demo::{self, Ending, Options, Screen};

/// What shells give for a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(demo::run(&options, &mut Screen::stdout())) {
        Ok(Ending::Good) => ExitCode::SUCCESS,
        Ok(Ending::Bad) => ExitCode::FAILURE,
        Ok(Ending::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // If even this cannot be written, the exit code is all that is left to say.
    let _ = writeln!(stderr(), "error: {error:#}");
    ExitCode::from(2)
}
