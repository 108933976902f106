//! The `palisade-enforcer` command. See [`palisade_enforcer::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    palisade_enforcer::cli::run()
}
