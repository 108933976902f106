//! The `palisade` command. See [`palisade_controller::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    palisade_controller::cli::main()
}
