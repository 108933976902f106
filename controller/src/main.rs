//! The `palisade` command. See [`palisade_controller::cli`].

use std::io;
use std::process::ExitCode;

use palisade_controller::cli::{self, Exit, Streams};

fn main() -> ExitCode {
    let (mut input, mut output, mut errors) = (io::stdin(), io::stdout(), io::stderr());
    let mut streams = Streams {
        input: &mut input,
        output: &mut output,
        errors: &mut errors,
    };
    // An error here is that of a stream: there is nowhere left to tell it.
    cli::run(std::env::args_os(), &mut streams)
        .unwrap_or(Exit::Failure)
        .into()
}
