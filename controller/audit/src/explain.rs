//! One question about one connection: allowed or denied, and why.
