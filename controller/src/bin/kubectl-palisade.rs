//! `kubectl palisade`: the same command as `palisade`, by the name that kubectl looks for in the search path.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    palisade_controller::cli::main()
}
