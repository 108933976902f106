//! The cluster side of Palisade.
//!
//! ```text
//!   files ─────manifest─┐
//!                       ├─► Kubernetes objects ──decode──► palisade_policy ──compile──► palisade_crds
//!   API server ───watch─┘                                                                    │
//!       ▲                                                                                    │
//!       └──────────────────────────────── publish, while this replica leads ─────────────────┘
//! ```
//!
//! The binary `palisade` is [`cli::run`] and nothing more.

pub mod assertions;
mod backoff;
pub mod cli;
pub mod decode;
pub mod enforced;
mod error;
pub mod inventory;
mod lead;
pub mod manifest;
mod metrics;
mod publish;
mod report;
pub mod run;
mod tables;
mod watch;
