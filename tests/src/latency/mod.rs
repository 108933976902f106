//! How long it takes from the API to the packet, on a running cluster: `make bench-latency`.
//!
//! | figure | from | to |
//! |---|---|---|
//! | `T_allow` | the API call that allows returns | the first request that is answered was sent |
//! | `T_deny` | the API call that takes it back returns | the last request that is answered was sent |
//! | `T_pod_protect` | before a pod exists | no denied request to it or from it is ever answered |
//!
//! A client sends a request every millisecond, each from another port, to a pod under default-deny. Each figure is taken
//! with some hundred other policies beside, all of which select both pods. What the stages in between took is read from
//! the programs' own metrics. Figures are printed, never judged; that the right requests were answered is.

mod births;
mod metrics;
mod round;
mod table;

pub use births::Births;
pub use metrics::{Stage, Stages};
pub use round::{Bench, Figures, Round};
pub use table::table;
