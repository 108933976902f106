//! What an operator asks a running program, the same of the controller and of the enforcer.
//!
//! ```text
//!   /livez    200 while the program serves at all
//!   /readyz   200 once every named task is ready; before that 503 with the names that are still to come
//!   /metrics  OpenMetrics text
//! ```
//! What the answers are about is the program's: it names its tasks ([`Readiness`]) and registers its metrics.

mod readiness;
mod serve;

pub use readiness::{Readiness, Task};
pub use serve::{Endpoint, ServeError};
