//! What `policy-audit verify` costs for a node of 250 pods in a cluster of 2,500 policies: 100 policies on each pod, with 20
//! peers each. Prints its times.
fn main() {}
