//! A site that obeys nothing that the hub says of permissions.

use std::time::Duration;

use swarm::{Authority, Layout};
use swarm_bus::Token;
use swarm_bus::client::Client;
use swarm_bus::topics::{EVENTS_STREAM, leaf_stream};
use swarm_pki::RevocationReason;

use super::raw::{Hostile, Listener};
use super::{EDGE, End, Site, arrived, deadline, held, pause, publish};

/// The subjects of what a stream of the hub holds, in its order.
async fn subjects(hub: &Client, stream: &Token) -> Vec<String> {
    let held = held(hub, stream).await;
    held.into_iter().map(|stored| stored.subject).collect()
}

#[test]
fn only_a_living_leaf_gets_in_and_no_further_than_what_crosses() {
    const TEST: &str = "leaf::hostile::only_a_living_leaf_gets_in";
    let Some(site) = Site::new(TEST) else { return };
    site.inside(async |site| {
        let (hub, edge) = site.begin().await;
        publish(&edge, 0..1).await;
        arrived(&hub, &EVENTS_STREAM, 1).await;
        site.kill(End::Edge);

        // Without a certificate, and with that of a node without a bus of its own.
        let bare = Hostile::connect(site, None).err().unwrap();
        assert!(
            bare.contains("ertificate") || bare.contains("closed"),
            "{bare}"
        );
        let other = Hostile::connect(site, Some(&site.other)).err().unwrap();
        assert!(other.contains("Authorization Violation"), "{other}");
        // A leaf is none of the clients, either.
        let direct = std::fs::read_to_string(site.edge.path("swarm.toml")).unwrap();
        std::fs::write(
            site.edge.path("swarm.toml"),
            direct.replace("leaf = true", "leaf = false"),
        )
        .unwrap();
        let client = site.member(&site.edge).bus();
        let refused = client.connected(Duration::from_secs(10)).await;
        assert!(refused.is_err(), "a leaf connects as a client");
        std::fs::write(site.edge.path("swarm.toml"), direct).unwrap();

        // Whoever has the key of a leaf and speaks the protocol.
        let mut listener = Listener::new(site);
        let mut leaf = Hostile::connect(site, Some(&site.edge)).unwrap();
        for subject in [
            "swarm.events.node.edge1",
            "swarm.events.node.edge2",
            "swarm.telemetry.edge1.host",
            "swarm.telemetry.edge2.host",
            "swarm.commands.edge2.reboot",
            "swarm.commands.command0.reboot",
            "swarm.endpoints.edge2",
            "swarm.trust.bundle",
            "_INBOX_command0.x",
            "elsewhere",
        ] {
            leaf.publish(subject, "x");
        }
        let stream = leaf_stream(&EDGE);
        for request in ["DELETE", "PURGE"] {
            for name in [EVENTS_STREAM.as_str(), stream.as_str()] {
                for prefix in ["$JS.API", "$JS.hub.API", "$JS.command0.API"] {
                    leaf.publish(&format!("{prefix}.STREAM.{request}.{name}"), "");
                }
            }
        }
        leaf.write("LS+ >\r\nLS+ swarm.commands.edge2.*\r\nLS+ _INBOX_command0.>\r\nPING\r\n")
            .unwrap();
        leaf.until_pong();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(listener.say(""), ["swarm.telemetry.edge1.host"]);
        let events = hub.stream_info(&EVENTS_STREAM).await.unwrap();
        assert_eq!((events.messages, events.last_sequence), (1, 1));

        // What the hub's server takes for the leaf's stream may bear any subject; it stays with the
        // leaf's own.
        listener.say(
            "PUB swarm.commands.edge2.reboot 1\r\nx\r\nPUB swarm.events.node.edge2 1\r\nx\r\n",
        );
        let mut asked = None;
        let mut check = deadline();
        while asked.is_none() {
            leaf.write("PING\r\n").unwrap();
            let said = leaf.until_pong();
            assert!(
                !said.iter().any(|line| line.contains("commands.edge2")),
                "{said:?}"
            );
            let request = said
                .iter()
                .find(|line| line.contains("API.CONSUMER.CREATE."));
            let deliver = said
                .iter()
                .flat_map(|line| line.split('"'))
                .find(|word| word.starts_with("_LEAF.edge1."));
            asked = request.zip(deliver).map(|(request, deliver)| {
                let reply = request.split(' ').nth(2).unwrap();
                (reply.to_owned(), deliver.to_owned())
            });
            check("the hub asks for a consumer");
            pause().await;
        }
        let (reply, deliver) = asked.unwrap();
        let at = "{\"consumer_seq\":0,\"stream_seq\":0}";
        leaf.publish(
            &reply,
            &format!(
                "{{\"type\":\"io.nats.jetstream.api.v1.consumer_create_response\",\"stream_name\":\
                 \"{stream}\",\"name\":\"c\",\"created\":\"2026-01-01T00:00:00Z\",\"config\":{{}},\
                 \"delivered\":{at},\"ack_floor\":{at},\"num_pending\":2}}"
            ),
        );
        for (number, subject) in [
            (1, "swarm.events.node.edge2"),
            (2, "swarm.events.node.edge1"),
        ] {
            let reply = format!(
                "$JS.ACK.{stream}.c.1.{}.{number}.1700000000000000000.0@{subject}",
                number + 1
            );
            leaf.write(&format!("LMSG {deliver} {reply} 1\r\nx\r\n"))
                .unwrap();
        }
        leaf.write("PING\r\n").unwrap();
        leaf.until_pong();
        // All of it is in the stream of the leaf; of that, its own goes further. The event of edge2 which
        // is there was published by the hub itself, above.
        let [own, forged] = ["swarm.events.node.edge1", "swarm.events.node.edge2"];
        arrived(&hub, &stream, 3).await;
        assert_eq!(subjects(&hub, &stream).await, [own, forged, own]);
        arrived(&hub, &EVENTS_STREAM, 3).await;
        let mut taken = subjects(&hub, &EVENTS_STREAM).await;
        taken.sort();
        assert_eq!(taken, [own, own, forged]);

        // Revoked, it reaches nothing from the reload on, and does not come back.
        let authority = Authority::open(Layout::new(site.hub.path("")).unwrap()).unwrap();
        let id = "edge1".parse().unwrap();
        authority
            .revoke(&id, RevocationReason::KeyCompromise, "test")
            .unwrap();
        authority.render(&"command0".parse().unwrap()).unwrap();
        let before = site.log(&site.hub).len();
        site.reload_hub();
        let mut check = deadline();
        while !site.log(&site.hub)[before..].contains("Reloaded server configuration") {
            check(&site.log(&site.hub)[before..]);
            pause().await;
        }
        listener = Listener::new(site);
        if leaf
            .write("LMSG swarm.telemetry.edge1.host 1\r\nx\r\nPING\r\n")
            .is_ok()
        {
            leaf.until_pong();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(listener.say(""), [] as [&str; 0]);
        let again = Hostile::connect(site, Some(&site.edge)).err().unwrap();
        assert!(again.contains("Authorization Violation"), "{again}");
    });
}
