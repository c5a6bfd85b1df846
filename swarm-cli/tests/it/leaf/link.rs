//! What crosses the link of a site, in both directions.

use std::time::Duration;

use swarm_bus::permissions::HUB_DOMAIN;
use swarm_bus::topics::{EVENTS_STREAM, NodeEvents, TRUST_STREAM, TrustBundle};
use swarm_bus::{Token, Topic as _};

use super::{EDGE, PATIENCE, Site, deadline, pause, publish};

#[test]
fn a_site_reaches_the_hub_over_its_link_and_is_reached() {
    const TEST: &str = "leaf::link::a_site_reaches_the_hub";
    let Some(site) = Site::new(TEST) else { return };
    site.inside(async |site| {
        let (hub, edge) = site.begin().await;
        hub.publish_stored(&TrustBundle, &bytes::Bytes::from_static(b"trust"))
            .await
            .unwrap();
        let there = edge.in_domain(HUB_DOMAIN);
        let mut check = deadline();
        loop {
            if let Ok(Some(bundle)) = there.last(&TRUST_STREAM, &TrustBundle).await {
                assert_eq!(bundle.unwrap().payload, &b"trust"[..]);
                break;
            }
            check("the trust bundle is read over the link");
            pause().await;
        }
        // It is sent, as well.
        let mut bundles = edge.subscribe(TrustBundle::any()).unwrap();
        bundles.barrier().await.unwrap();
        let mut check = deadline();
        loop {
            hub.publish_stored(&TrustBundle, &bytes::Bytes::from_static(b"news"))
                .await
                .unwrap();
            if let Ok(Some(item)) =
                tokio::time::timeout(Duration::from_secs(1), bundles.next()).await
            {
                assert_eq!(item.unwrap().payload, &b"news"[..]);
                break;
            }
            check("the trust bundle is heard over the link");
        }
        // Its own consumer at the hub, made by the hub; with acknowledgements.
        hub.ensure_consumer(&swarm_bus::topics::events_consumer(&EDGE))
            .await
            .unwrap();
        publish(&edge, 0..3).await;
        let mut events = there
            .consumer::<NodeEvents>(&EVENTS_STREAM, &EDGE)
            .await
            .unwrap();
        for number in 0..3 {
            let delivered = tokio::time::timeout(PATIENCE, events.next()).await;
            let delivered = delivered.unwrap().unwrap();
            assert_eq!((delivered.sequence, delivered.deliveries), (number + 1, 1));
            delivered
                .ack_confirmed(Duration::from_secs(5))
                .await
                .unwrap();
        }
        // Commands go there, and their answers come back.
        let filter = swarm_bus::topics::Commands::filter(Some(&EDGE), None);
        let requests = edge.requests(filter, None).unwrap();
        let serve = requests.serve(async |_| Ok(swarm_bus::topics::CommandReply::default()));
        let ask = async {
            let topic = swarm_bus::topics::Commands {
                node: EDGE,
                verb: Token::from_static("look"),
            };
            let mut check = deadline();
            loop {
                let command = swarm_bus::topics::Command::default();
                let within = Duration::from_secs(1);
                match hub.request(&topic, &command, within).await {
                    Ok(_) => return,
                    Err(error) => check(&format!("a command is answered: {error}")),
                }
                pause().await;
            }
        };
        tokio::select! {
            () = ask => {}
            _ = serve => panic!("it serves until it is dropped"),
        }
    });
}
