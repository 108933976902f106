//! Reachability says of every packet what the oracle says.

use palisade_policy::cluster::ClusterState;
use palisade_policy::evaluate::evaluate;
use palisade_policy::reach::Reach;
use palisade_policy::testing::config;
use palisade_policy::testing::strategies::{history, packet};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn a_packet_is_judged_as_the_oracle_judges_it(events in history(120), packets in vec(packet(), 200)) {
        let state = ClusterState::from_events(events);
        let reach = Reach::of(&state);
        for packet in packets {
            let expected = evaluate(&state, &packet);
            prop_assert_eq!(reach.verdict(&packet), expected.verdict, "{}", expected);
        }
    }
}
