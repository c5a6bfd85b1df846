//! `swarm bus kv`: state that is kept by key.

use std::io::{BufRead as _, BufReader};

use serde_json::{Value, json};

use super::Hub;
use crate::lab::ended;
use crate::program::{json_of, lines_of, words};

#[test]
fn state_is_written_read_and_watched() {
    let Some(hub) = Hub::start("bus::kv::state") else {
        return;
    };
    hub.edge(&words("bus kv ls swarm-state"))
        .failure(1, &["there is no bucket swarm-state", "swarm bus kv ls"]);
    hub.make_streams();
    let put = words("--json bus kv put swarm-state edge1.mode \"day\"");
    assert_eq!(
        json_of(hub.edge(&put)),
        json!({"bucket": "swarm-state", "key": "edge1.mode", "revision": 1})
    );
    let get = words("bus kv get swarm-state edge1.mode");
    let got = json_of(hub.hub(&[&["--json"], &get[..]].concat()));
    assert_eq!(
        (&got["value"], &got["revision"]),
        (&json!("day"), &json!(1))
    );
    assert!(
        hub.edge(&get)
            .success()
            .starts_with("\"day\"\n(revision 1, ")
    );
    let raw = hub.edge(&[&get[..], &["--raw"]].concat()).success();
    assert_eq!(raw, "\"day\"");

    let update = words("bus kv update swarm-state edge1.mode \"night\"");
    hub.edge(&[&update[..], &["7"]].concat())
        .failure(1, &["not at the revision expected", "at revision 1"]);
    hub.edge(&[&update[..], &["1"]].concat()).success();
    let create = words("bus kv create swarm-state edge1.mode 1");
    hub.edge(&create).failure(1, &["not at the revision"]);
    let history = words("--json bus kv history swarm-state edge1.mode");
    let history = lines_of(&hub.edge(&history).success());
    let values: Vec<_> = history.iter().map(|entry| &entry["value"]).collect();
    assert_eq!(values, [&json!("day"), &json!("night")]);

    // A value from standard input, of another node, which a hub may write.
    let put = words("bus kv put swarm-state edge2.list -");
    hub.fed(&hub.swarm, &put, b"[1, 2]").success();
    let ls = words("--json bus kv ls swarm-state");
    let listed = json_of(hub.edge(&ls));
    let keys: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["key"])
        .collect();
    assert_eq!(keys, ["edge1.mode", "edge2.list"]);
    let own = json_of(hub.edge(&[&ls[..], &["edge1.*"]].concat()));
    assert_eq!(own.as_array().unwrap().len(), 1);
    let table = hub.edge(&ls[1..]).success();
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("edge2.list") && line.ends_with("[1,2]")),
        "{table}"
    );

    let watch = words("--json bus kv watch swarm-state edge1.* --count 3 --time 30s");
    let mut watch = hub.start_command(&hub.edge, &watch);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["value"], "day");
    assert_eq!(next()["value"], "night");
    assert_eq!(next(), json!({"operation": "current"}));
    hub.edge(&words("bus kv del swarm-state edge1.mode"))
        .success();
    let deleted = next();
    assert_eq!(
        (&deleted["operation"], &deleted["key"]),
        (&json!("del"), &json!("edge1.mode"))
    );
    ended(watch, "bus kv watch").success();
    hub.edge(&get)
        .failure(1, &["edge1.mode was deleted", "swarm bus kv ls"]);
    hub.edge(&words(
        "bus kv watch swarm-state edge3.* --count 1 --time 300ms",
    ))
    .code
    .filter(|code| *code == 1)
    .unwrap();
}

#[test]
fn what_is_wrong_with_state_is_said() {
    let Some(hub) = Hub::start("bus::kv::state_errors") else {
        return;
    };
    hub.make_streams();
    let kv = |arguments: &[&str]| hub.edge(&[&["bus", "kv"], arguments].concat());
    kv(&words("put swarm-state edge2.mode 1")).failure(
        1,
        &["not permitted", "--explain '$KV.swarm-state.edge2.mode'"],
    );
    kv(&words("put swarm-state edge1.mode night")).failure(2, &["no JSON", "quotes"]);
    kv(&words("put swarm-state mode 1")).failure(2, &["no key of swarm-state", "NODE.KEY"]);
    kv(&["put", "swarm-state", "edge1.a b", "1"]).failure(2, &["no key"]);
    kv(&["ls", "swarm.state"]).failure(2, &["no name of a bucket"]);
    kv(&["ls", "swarm-state", "a.b.c"]).failure(2, &["no keys that match"]);
    kv(&["get", "other", "a"]).failure(1, &["not permitted"]);
    kv(&["get", "swarm-state", "edge1.none"]).failure(1, &["edge1.none is not in swarm-state"]);
    kv(&[
        "put",
        "swarm-state",
        "edge1.large",
        &format!("\"{}\"", "x".repeat(70_000)),
    ])
    .failure(1, &["larger than the bucket takes", "swarm bus object put"]);
    kv(&words("put swarm-state edge1.a 1")).success();
    kv(&["purge", "swarm-state", "edge1.a"]).failure(1, &["allows no purges", "swarm bus kv del"]);
    kv(&["add", "jobs"]).failure(1, &["not permitted", "only a hub"]);
    kv(&["rm", "swarm-state", "--yes"]).failure(1, &["not permitted"]);
    let listed = json_of(hub.edge(&words("--json bus kv ls")));
    assert_eq!(listed[0]["bucket"], "swarm-state");
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[test]
fn a_hub_makes_fills_and_removes_buckets() {
    let Some(hub) = Hub::start("bus::kv::any") else {
        return;
    };
    let kv = |arguments: &[&str]| hub.hub(&[&["bus", "kv"], arguments].concat());
    kv(&words("add jobs --history 3 --ttl 1h --max-bytes 1MiB")).success();
    assert!(
        kv(&words("add jobs --history 4 --ttl 1h --max-bytes 1MiB"))
            .success()
            .contains("changed")
    );
    kv(&["add", "swarm-state"]).failure(2, &["the mesh's own"]);
    kv(&["add", "a.b"]).failure(2, &["no name of a bucket"]);
    kv(&["put", "jobs", "build.linux/x86.1", "plain text"]).success();
    let get = words("--json bus kv get jobs build.linux/x86.1");
    assert_eq!(json_of(hub.hub(&get))["value"], "plain text");
    let listed = kv(&["ls", "jobs", "build.>"]).success();
    assert!(listed.contains("build.linux/x86.1"), "{listed}");
    kv(&["purge", "jobs", "build.linux/x86.1"]).success();
    assert!(kv(&["ls", "jobs"]).success().contains("no such key"));
    kv(&["rm", "jobs"]).failure(2, &["gone for good", "--yes"]);
    kv(&["rm", "jobs", "--yes"]).success();
    kv(&["rm", "jobs", "--yes"]).failure(1, &["no bucket jobs"]);
    kv(&["ls", "jobs"]).failure(1, &["there is no bucket jobs"]);

    let object = |arguments: &[&str]| hub.hub(&[&["bus", "object"], arguments].concat());
    object(&words("add backups --max-bytes 1MiB")).success();
    assert!(object(&["ls"]).success().contains("backups"));
    let large = hub.swarm.path("large");
    std::fs::write(&large, vec![1; 2 << 20]).unwrap();
    object(&["put", "backups", large.to_str().unwrap()]).failure(1, &["full", "--max-bytes"]);
    // what was begun is gone
    let info = hub.hub(&words("--json bus stream info OBJ_backups"));
    assert_eq!(json_of(info)["messages"], 0);
    object(&["rm", "backups", "--yes"]).success();
}

#[test]
fn a_bucket_is_described_and_a_revision_read() {
    let Some(hub) = Hub::start("bus::kv::info") else {
        return;
    };
    hub.make_streams();
    let kv = |arguments: &[&str]| hub.hub(&[&["--json", "bus", "kv"], arguments].concat());
    let limits = words("--history=3 --ttl=1h --max-bytes=1MiB --max-value-size=1KiB");
    kv(&[&["add", "jobs"], &limits[..]].concat()).success();
    kv(&words("put jobs a one")).success();
    kv(&words("put jobs a two")).success();
    kv(&words("put jobs b -5")).success();
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
    let text = hub.hub(&words("bus kv info jobs")).success();
    for line in [
        "age         at most 1h",
        "keys        2",
        "values      4, at most 3 of a key",
        "value size  at most 1.0 KiB",
    ] {
        assert!(text.lines().any(|had| had == line), "{line}: {text}");
    }

    let first = json_of(kv(&words("get jobs a --revision 1")));
    assert_eq!(
        (&first["value"], &first["revision"]),
        (&json!("one"), &json!(1))
    );
    let raw = words("bus kv get jobs a --revision=2 --raw");
    assert_eq!(hub.hub(&raw).success(), "two");
    kv(&words("get jobs a --revision 3")).failure(
        1,
        &[
            "revision 3 of jobs is none that it keeps of a",
            "swarm bus kv history jobs a",
        ],
    );
    kv(&words("get jobs a --revision 4")).failure(1, &["revision 4 of jobs deleted a"]);
    assert_eq!(json_of(kv(&["get", "jobs", "b"]))["value"], -5);

    kv(&["info", "nothing"]).failure(1, &["there is no bucket nothing", "swarm bus kv ls"]);
    hub.edge(&words("bus kv info swarm-state")).success();
    hub.edge(&words("bus kv info jobs"))
        .failure(1, &["not permitted", "swarm bus kv ls", "--explain"]);
}
