//! Whatever happens to a network, and in whatever order: what is delivered is what was sent, at
//! most once, and in order where the network keeps the order. When all is well again, all
//! arrives.

mod model;
mod steps;

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::testing::Link;
use model::Model;
use steps::{link, step};

const NODES: usize = 3;

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_arrives_is_what_was_sent_once_and_in_order_where_the_network_keeps_it(
        seed: u64,
        latency in 0u64..400,
        steps in vec(step(), 1..40),
    ) {
        let calm = Link { latency: Duration::from_millis(latency), ..Link::default() };
        let mut model = Model::new(seed, calm, true);
        for step in &steps {
            model.take(step);
        }
        model.heal();
    }

    #[test]
    fn what_arrives_is_what_was_sent_once_where_the_network_reorders_and_repeats(
        seed: u64,
        links in vec(link(), 1..4),
        steps in vec(step(), 1..40),
    ) {
        let mut model = Model::new(seed, links[0], false);
        for (n, step) in steps.iter().enumerate() {
            model.set_link(links[n * links.len() / steps.len()]);
            model.take(step);
        }
        model.heal();
    }
}
