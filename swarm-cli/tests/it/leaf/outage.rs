//! What outages of either end and of the link between cost, and do not cost.

use std::time::Duration;

use swarm_bus::stream::{Gaps, Origin};
use swarm_bus::topics::{EVENTS_STREAM, leaf_stream, leaf_streams};

use super::{
    EDGE, End, PATIENCE, Site, all, arrived, deadline, ensure, held, numbers, pause, publish,
};

#[test]
fn what_is_stored_at_the_edge_arrives_once_and_in_order_through_every_outage() {
    const TEST: &str = "leaf::outage::what_is_stored_at_the_edge_arrives";
    let Some(site) = Site::new(TEST) else { return };
    site.inside(async |site| {
        let (hub, edge) = site.begin().await;
        publish(&edge, 0..50).await;
        arrived(&hub, &EVENTS_STREAM, 50).await;

        site.kill(End::Hub);
        publish(&edge, 50..100).await;
        // The edge's server dies right after it said that it has them, with nobody to pass them to.
        site.kill(End::Edge);
        site.start(End::Edge);
        edge.states().until(|state| !state.is_connected()).await;
        edge.connected(PATIENCE).await.unwrap();
        publish(&edge, 100..150).await;
        site.start(End::Hub);
        arrived(&hub, &EVENTS_STREAM, 150).await;

        // A link that is cut, which nobody is told.
        site.link("del");
        publish(&edge, 150..300).await;
        site.link("add");
        arrived(&hub, &EVENTS_STREAM, 300).await;

        // In the midst of it all: the hub dies while it takes over.
        publish(&edge, 300..400).await;
        site.kill(End::Hub);
        publish(&edge, 400..500).await;
        site.start(End::Hub);
        hub.states().until(|state| !state.is_connected()).await;
        hub.connected(PATIENCE).await.unwrap();
        arrived(&hub, &EVENTS_STREAM, 500).await;
        publish(&edge, 500..510).await;
        arrived(&hub, &EVENTS_STREAM, 510).await;

        let inlet = leaf_stream(&EDGE);
        assert_eq!(numbers(&hub, &inlet).await, all(510));
        assert_eq!(numbers(&hub, &EVENTS_STREAM).await, all(510));
    });
}

#[test]
fn what_the_edges_limits_take_is_counted_and_the_rest_arrives() {
    const TEST: &str = "leaf::outage::what_the_edges_limits_take";
    let Some(site) = Site::new(TEST) else { return };
    site.inside(async |site| {
        let (hub, edge) = site.begin().await;
        let mut streams = leaf_streams(&EDGE);
        streams[0].max_bytes = Some(20_000);
        ensure(&edge, &streams).await;
        publish(&edge, 0..10).await;
        arrived(&hub, &EVENTS_STREAM, 10).await;
        site.kill(End::Hub);
        publish(&edge, 10..500).await;
        let left = edge.stream_info(&leaf_stream(&EDGE)).await.unwrap();
        assert!(
            left.bytes <= 20_000 && left.last_sequence == 500,
            "{left:?}"
        );
        assert!(
            left.first_sequence > 11,
            "some went before the hub had them"
        );
        site.start(End::Hub);
        let inlet = leaf_stream(&EDGE);
        arrived(&hub, &inlet, 10 + left.messages).await;

        let mut gaps = Gaps::default();
        for stored in held(&hub, &inlet).await {
            gaps.note(&Origin::of(&stored.headers).unwrap());
        }
        assert_eq!(gaps.missing(), left.first_sequence - 11);
        let expected: Vec<_> = (0..10).chain(left.first_sequence - 1..500).collect();
        arrived(&hub, &EVENTS_STREAM, expected.len() as u64).await;
        assert_eq!(numbers(&hub, &EVENTS_STREAM).await, expected);

        // By age too, with nobody to take them.
        site.kill(End::Hub);
        streams[0].max_age = Some(Duration::from_secs(2));
        streams[0].duplicate_window = Duration::from_secs(1);
        ensure(&edge, &streams).await;
        let mut check = deadline();
        while edge.stream_info(&inlet).await.unwrap().messages > 0 {
            check("old messages go");
            pause().await;
        }
        let empty = edge.stream_info(&inlet).await.unwrap();
        assert_eq!(empty.first_sequence, 501);
    });
}
