//! `swarm bus kv`: state that is kept by key.

use serde_json::json;

use super::{Hub, json_of};

#[test]
fn a_bucket_is_described_and_a_revision_read() {
    let Some(hub) = Hub::start("bus::kv::info") else {
        return;
    };
    hub.make_streams();
    let kv = |arguments: &[&str]| hub.hub(&[&["--json", "bus", "kv"], arguments].concat());
    let limits = [
        "--history=3",
        "--ttl=1h",
        "--max-bytes=1MiB",
        "--max-value-size=1KiB",
    ];
    kv(&[&["add", "jobs"], &limits[..]].concat()).success();
    kv(&["put", "jobs", "a", "one"]).success();
    kv(&["put", "jobs", "a", "two"]).success();
    kv(&["put", "jobs", "b", "-5"]).success();
    kv(&["del", "jobs", "a"]).success();

    let info = json_of(kv(&["info", "jobs"]));
    for (key, value) in [
        ("bucket", json!("jobs")),
        ("stream", json!("KV_jobs")),
        ("storage", json!("file")),
        ("replicas", json!(1)),
        ("keys", json!(2)),
        ("values", json!(4)),
        ("history", json!(3)),
        ("revision", json!(4)),
        ("max_age_seconds", json!(3600)),
        ("max_bytes", json!(1 << 20)),
        ("max_value_bytes", json!(1024)),
    ] {
        assert_eq!(info[key], value, "{key}");
    }
    assert!(info["bytes"].as_u64().unwrap() > 0, "{info}");
    let text = hub.hub(&["bus", "kv", "info", "jobs"]).success();
    for line in [
        "age         at most 1h",
        "keys        2",
        "values      4, at most 3 of a key",
        "value size  at most 1.0 KiB",
    ] {
        assert!(text.lines().any(|had| had == line), "{line}: {text}");
    }

    let first = json_of(kv(&["get", "jobs", "a", "--revision", "1"]));
    assert_eq!(
        (&first["value"], &first["revision"]),
        (&json!("one"), &json!(1))
    );
    let raw = ["bus", "kv", "get", "jobs", "a", "--revision=2", "--raw"];
    assert_eq!(hub.hub(&raw).success(), "two");
    kv(&["get", "jobs", "a", "--revision", "3"]).failure(
        1,
        &[
            "revision 3 of jobs is none that it keeps of a",
            "swarm bus kv history jobs a",
        ],
    );
    kv(&["get", "jobs", "a", "--revision", "4"]).failure(1, &["revision 4 of jobs deleted a"]);
    assert_eq!(json_of(kv(&["get", "jobs", "b"]))["value"], -5);

    kv(&["info", "nothing"]).failure(1, &["there is no bucket nothing", "swarm bus kv ls"]);
    hub.edge(&["bus", "kv", "info", "swarm-state"]).success();
    hub.edge(&["bus", "kv", "info", "jobs"])
        .failure(1, &["not permitted", "swarm bus kv ls", "--explain"]);
}
