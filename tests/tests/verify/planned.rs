//! What the planner plans is what the API says: verification finds nothing.

use palisade_audit::kernel::{Verifier, text};
use palisade_policy::cluster::ClusterState;
use palisade_policy::testing::config;
use palisade_policy::testing::strategies::history;
use proptest::prelude::*;

use super::world::{ATTACHMENTS, nodes};

proptest! {
    #![proptest_config(config(50))]

    #[test]
    fn what_is_planned_for_any_cluster_is_what_the_api_says(events in history(150)) {
        let state = ClusterState::from_events(events);
        let mut verifier = Verifier::new(&state);
        for attachment in ATTACHMENTS {
            for (name, node) in nodes(&state, attachment) {
                let report = verifier.verify(&name, &node.document(&name));
                prop_assert!(report.agrees(), "{attachment:?}\n{}", text(&[report]));
            }
        }
    }
}
