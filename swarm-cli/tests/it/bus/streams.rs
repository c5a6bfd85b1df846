//! `swarm bus stream` and `bench`.

use serde_json::{Value, json};

use super::{Hub, event};
use crate::program::{json_of, lines_of, words};

#[test]
fn streams_are_listed_shown_and_emptied() {
    let Some(hub) = Hub::start("bus::streams::emptied") else {
        return;
    };
    let none = hub.hub(&["bus", "stream", "list"]).success();
    assert_eq!(none.trim(), "there is no stream");
    hub.make_streams();
    for number in 1..=3 {
        let subject = "swarm.events.node.edge1";
        let stored = hub.edge(&["--json", "bus", "pub", subject, &event(number), "--stored"]);
        let stored = json_of(stored);
        assert_eq!(stored["stream"], "SWARM_EVENTS");
        assert_eq!(stored["sequence"], number);
    }
    let listed = json_of(hub.hub(&words("--json bus stream list")));
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|s| &s["name"])
        .collect();
    let all = words("KV_swarm-state OBJ_swarm-files SWARM_ENDPOINTS SWARM_EVENTS SWARM_TRUST");
    assert_eq!(names, all);
    let info = json_of(hub.hub(&words("--json bus stream info SWARM_EVENTS")));
    assert_eq!(
        (&info["messages"], &info["max_age_seconds"]),
        (&json!(3), &json!(604_800))
    );
    let info = hub
        .hub(&["bus", "stream", "info", "SWARM_EVENTS"])
        .success();
    assert!(
        info.contains("at most 7days") && info.contains("1..3"),
        "{info}"
    );

    let show = words("--json bus stream show SWARM_EVENTS --from 2");
    let shown = lines_of(&hub.hub(&show).success());
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0]["sequence"], 2);
    assert_eq!(shown[0]["payload"]["event"]["kind"], "up");
    assert_eq!(shown[0]["error"], Value::Null);
    let one = [&show[..], &["--count", "1"]].concat();
    assert_eq!(lines_of(&hub.hub(&one).success()).len(), 1);
    let other = [&show[..], &["--subject", "swarm.events.node.edge2"]].concat();
    assert_eq!(hub.hub(&other).success(), "");

    let purge = words("--json bus stream purge SWARM_EVENTS --keep 1");
    hub.hub(&purge).failure(2, &["holds 3 messages", "--yes"]);
    let purged = json_of(hub.hub(&[&purge[..], &["--yes"]].concat()));
    assert_eq!(purged, json!({"stream": "SWARM_EVENTS", "purged": 2}));
    assert_eq!(lines_of(&hub.hub(&show).success()).len(), 1);

    hub.hub(&words("bus stream info NOWHERE"))
        .failure(1, &["no such stream", "swarm bus stream list"]);
    hub.hub(&words("bus stream info a.b"))
        .failure(2, &["no name of a stream"]);
    hub.edge(&["bus", "stream", "list"])
        .failure(1, &["not permitted", "only a hub"]);
}

#[test]
fn the_bus_is_measured_within_bounds() {
    let Some(hub) = Hub::start("bus::streams::bench") else {
        return;
    };
    hub.make_streams();
    let bench = words("--json bus bench --count 50 --size 500 --stored");
    let measured = json_of(hub.edge(&bench));
    let measured = measured.as_array().unwrap();
    let kinds: Vec<_> = measured
        .iter()
        .map(|one| one["what"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["publish", "flushed", "request", "stored"]);
    for one in measured {
        assert_eq!(one["messages"], 50, "{one}");
        assert!(one["per_second"].as_f64().unwrap() > 0.0);
        let latency = &one["latency_milliseconds"];
        if one["what"] == "publish" {
            assert!(latency.is_null());
        } else {
            let at = |key: &str| latency[key].as_f64().unwrap();
            assert!(0.0 < at("p50") && at("p50") <= at("p99") && at("p99") <= at("max"));
        }
        if one["what"] != "request" {
            assert_eq!(one["payload_bytes"], 500, "{one}");
        }
    }
    let info = json_of(hub.hub(&words("--json bus stream info SWARM_EVENTS")));
    assert_eq!(info["messages"], 50);

    // Bounded in time as well.
    let short = words("--json bus bench --count 1000000 --time 200ms");
    for one in json_of(hub.hub(&short)).as_array().unwrap() {
        assert!(one["messages"].as_u64().unwrap() < 1_000_000, "{one}");
    }
    hub.edge(&words("bus bench --to command0"))
        .failure(1, &["nobody serves"]);
    hub.edge(&words("bus bench --time 2h"))
        .failure(2, &["--time"]);
    hub.edge(&words("bus bench --count 0"))
        .code
        .filter(|code| *code == 2)
        .unwrap();
}
