//! The cluster side of Palisade.
//!
//! ```text
//!   files ──manifest──► Kubernetes objects ──decode──► palisade_policy ──compile──► palisade_crds
//! ```
//!
//! The binary `palisade` is [`cli::run`] and nothing more.

pub mod cli;
pub mod decode;
pub mod manifest;
