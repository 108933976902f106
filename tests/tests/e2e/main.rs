//! What a cluster does to Palisade beside changing policies: services, workloads that come and go, nodes that talk to
//! their pods. On a running cluster: `make e2e`.
#![expect(clippy::print_stdout, reason = "tests tell what they measure")]

mod audit;
mod frontend;
mod labels;
mod newborn;
mod outages;
mod ports;
mod rights;
mod scene;
mod selves;
mod services;
mod storms;
mod tightening;
mod workloads;

/// Where everybody listens.
const PORT: u16 = 8080;
/// Where everybody listens too.
const OTHER_PORT: u16 = 9090;
