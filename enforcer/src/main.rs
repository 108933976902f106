//! The `palisade-enforcer` command. See [`palisade_enforcer::cli`].

use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    palisade_enforcer::cli::run()
}
