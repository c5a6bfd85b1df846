//! `swarm bus kv`, `object`, `service`, `deadletter` and what else is asked by hand, against a real server
//! with the configuration that a hub renders.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use swarm_bus::Token;
use swarm_bus::client::Fault;
use swarm_bus::topics::{CommandReply, Commands};

use crate::bus::{Hub, event, json_of, lines_of};
use crate::program::{Ended, Swarm};

#[test]
fn state_is_written_read_and_watched() {
    let Some(hub) = Hub::start("buckets::state") else {
        return;
    };
    hub.edge(&["bus", "kv", "ls", "swarm-state"])
        .failure(1, &["no such", "swarm bus kv ls"]);
    hub.make_streams();
    let put = [
        "--json",
        "bus",
        "kv",
        "put",
        "swarm-state",
        "edge1.mode",
        "\"day\"",
    ];
    assert_eq!(
        json_of(hub.edge(&put)),
        json!({"bucket": "swarm-state", "key": "edge1.mode", "revision": 1})
    );
    let get = ["bus", "kv", "get", "swarm-state", "edge1.mode"];
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

    let update = [
        "bus",
        "kv",
        "update",
        "swarm-state",
        "edge1.mode",
        "\"night\"",
    ];
    hub.edge(&[&update[..], &["7"]].concat())
        .failure(1, &["not at the revision expected", "at revision 1"]);
    hub.edge(&[&update[..], &["1"]].concat()).success();
    let create = ["bus", "kv", "create", "swarm-state", "edge1.mode", "1"];
    hub.edge(&create).failure(1, &["not at the revision"]);
    let history = [
        "--json",
        "bus",
        "kv",
        "history",
        "swarm-state",
        "edge1.mode",
    ];
    let history = lines_of(&hub.edge(&history).success());
    let values: Vec<_> = history.iter().map(|entry| &entry["value"]).collect();
    assert_eq!(values, [&json!("day"), &json!("night")]);

    // A value from standard input, of another node, which a hub may write.
    let mut child = hub
        .command(
            &hub.swarm,
            &["bus", "kv", "put", "swarm-state", "edge2.list", "-"],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"[1, 2]").unwrap();
    Ended::of(child.wait_with_output().unwrap()).success();
    let ls = ["--json", "bus", "kv", "ls", "swarm-state"];
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

    let watch = [
        "--json",
        "bus",
        "kv",
        "watch",
        "swarm-state",
        "edge1.*",
        "--count",
        "3",
        "--time",
        "30s",
    ];
    let mut watch = hub
        .command(&hub.edge, &watch)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["value"], "day");
    assert_eq!(next()["value"], "night");
    assert_eq!(next(), json!({"operation": "current"}));
    hub.edge(&["bus", "kv", "del", "swarm-state", "edge1.mode"])
        .success();
    let deleted = next();
    assert_eq!(
        (&deleted["operation"], &deleted["key"]),
        (&json!("del"), &json!("edge1.mode"))
    );
    assert!(watch.wait().unwrap().success());
    hub.edge(&get)
        .failure(1, &["edge1.mode was deleted", "swarm bus kv ls"]);
    hub.edge(&[
        "bus",
        "kv",
        "watch",
        "swarm-state",
        "edge3.*",
        "--count",
        "1",
        "--time",
        "300ms",
    ])
    .code
    .filter(|code| *code == 1)
    .unwrap();
}

#[test]
fn what_is_wrong_with_state_is_said() {
    let Some(hub) = Hub::start("buckets::state_errors") else {
        return;
    };
    hub.make_streams();
    let kv = |arguments: &[&str]| hub.edge(&[&["bus", "kv"], arguments].concat());
    kv(&["put", "swarm-state", "edge2.mode", "1"]).failure(
        1,
        &["not permitted", "--explain '$KV.swarm-state.edge2.mode'"],
    );
    kv(&["put", "swarm-state", "edge1.mode", "night"]).failure(2, &["no JSON", "quotes"]);
    kv(&["put", "swarm-state", "mode", "1"]).failure(2, &["no key of swarm-state", "NODE.KEY"]);
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
    kv(&["put", "swarm-state", "edge1.a", "1"]).success();
    kv(&["purge", "swarm-state", "edge1.a"]).failure(1, &["allows no purges", "swarm bus kv del"]);
    kv(&["add", "jobs"]).failure(1, &["not permitted", "only a hub"]);
    kv(&["rm", "swarm-state", "--yes"]).failure(1, &["not permitted"]);
    let listed = json_of(hub.edge(&["--json", "bus", "kv", "ls"]));
    assert_eq!(listed[0]["bucket"], "swarm-state");
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[test]
fn a_hub_makes_fills_and_removes_buckets() {
    let Some(hub) = Hub::start("buckets::any") else {
        return;
    };
    let kv = |arguments: &[&str]| hub.hub(&[&["bus", "kv"], arguments].concat());
    kv(&[
        "add",
        "jobs",
        "--history",
        "3",
        "--ttl",
        "1h",
        "--max-bytes",
        "1MiB",
    ])
    .success();
    assert!(
        kv(&[
            "add",
            "jobs",
            "--history",
            "4",
            "--ttl",
            "1h",
            "--max-bytes",
            "1MiB"
        ])
        .success()
        .contains("changed")
    );
    kv(&["add", "swarm-state"]).failure(2, &["the mesh's own"]);
    kv(&["add", "a.b"]).failure(2, &["no name of a bucket"]);
    kv(&["put", "jobs", "build.linux/x86.1", "plain text"]).success();
    let get = ["--json", "bus", "kv", "get", "jobs", "build.linux/x86.1"];
    assert_eq!(json_of(hub.hub(&get))["value"], "plain text");
    let listed = kv(&["ls", "jobs", "build.>"]).success();
    assert!(listed.contains("build.linux/x86.1"), "{listed}");
    kv(&["purge", "jobs", "build.linux/x86.1"]).success();
    assert!(kv(&["ls", "jobs"]).success().contains("no such key"));
    kv(&["rm", "jobs"]).failure(2, &["gone for good", "--yes"]);
    kv(&["rm", "jobs", "--yes"]).success();
    kv(&["rm", "jobs", "--yes"]).failure(1, &["no bucket jobs"]);
    kv(&["ls", "jobs"]).failure(1, &["no such"]);

    let object = |arguments: &[&str]| hub.hub(&[&["bus", "object"], arguments].concat());
    object(&["add", "backups", "--max-bytes", "1MiB"]).success();
    assert!(object(&["ls"]).success().contains("backups"));
    let large = hub.swarm.path("large");
    std::fs::write(&large, vec![1; 2 << 20]).unwrap();
    object(&["put", "backups", large.to_str().unwrap()]).failure(1, &["full", "--max-bytes"]);
    // what was begun is gone
    let info = hub.hub(&["--json", "bus", "stream", "info", "OBJ_backups"]);
    assert_eq!(json_of(info)["messages"], 0);
    object(&["rm", "backups", "--yes"]).success();
}

/// Bytes of which no two chunks are alike.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0_u32..).flat_map(u32::to_le_bytes).take(length).collect()
}

/// Starts a command on the hub that is fed, and read, as it goes.
pub(crate) fn piped(hub: &Hub, arguments: &[&str]) -> (Child, ChildStdin, BufReader<ChildStdout>) {
    let mut child = hub
        .command(&hub.swarm, arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, input, output)
}

pub(crate) fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn objects_are_put_listed_read_and_deleted() {
    let Some(hub) = Hub::start("buckets::objects") else {
        return;
    };
    hub.make_streams();
    let source = hub.swarm.path("kernel.img");
    std::fs::write(&source, content(700_000)).unwrap();
    let source = source.to_str().unwrap();
    let put = [
        "--json",
        "bus",
        "object",
        "put",
        "swarm-files",
        source,
        "--description",
        "a kernel",
    ];
    let last = lines_of(&hub.hub(&put).success()).pop().unwrap();
    assert_eq!(
        (&last["name"], &last["size"]),
        (&json!("kernel.img"), &json!(700_000))
    );
    hub.edge(&["bus", "object", "put", "swarm-files", source])
        .failure(1, &["not permitted", "--explain"]);
    hub.edge(&["bus", "object", "del", "swarm-files", "kernel.img"])
        .failure(1, &["not permitted"]);
    let listed = hub.edge(&["bus", "object", "ls", "swarm-files"]).success();
    assert!(listed.contains("kernel.img  683.6 KiB"), "{listed}");
    let info = hub
        .edge(&["bus", "object", "info", "swarm-files", "kernel.img"])
        .success();
    assert!(
        info.contains("a kernel") && info.contains(last["sha256"].as_str().unwrap()),
        "{info}"
    );

    let target = hub.edge.path("copy");
    let get = [
        "bus",
        "object",
        "get",
        "swarm-files",
        "kernel.img",
        "-o",
        target.to_str().unwrap(),
    ];
    hub.edge(&get).success();
    assert_eq!(std::fs::read(&target).unwrap(), content(700_000));
    assert!(!hub.edge.path("copy.part").exists() && !hub.edge.path("copy.part.json").exists());
    hub.edge(&get).failure(2, &["is there already", "--force"]);
    hub.edge(&[&get[..], &["--force"]].concat()).success();
    let printed = hub
        .command(
            &hub.edge,
            &[
                "bus",
                "object",
                "get",
                "swarm-files",
                "kernel.img",
                "-o",
                "-",
            ],
        )
        .output()
        .unwrap();
    assert_eq!(printed.stdout, content(700_000));

    for (arguments, words) in [
        (
            &["get", "swarm-files", "nothing"][..],
            &["no object `nothing`", "swarm bus object ls"][..],
        ),
        (&["info", "swarm-files", "nothing"], &["no object"]),
        (&["ls", "nowhere"], &["not permitted"]),
    ] {
        hub.edge(&[&["bus", "object"], arguments].concat())
            .failure(1, words);
    }
    assert!(!hub.edge.path("nothing.part").exists());
    for arguments in [
        &["put", "swarm-files", "-"][..],
        &["put", "swarm-files", "/nonexistent"],
        &["put", "swarm-files", "/tmp"],
        &["put", "a.b", source],
        &["put", "swarm-files", source, "--name", "a\u{7}b"],
        &["get", "swarm-files", ".."],
    ] {
        hub.hub(&[&["bus", "object"], arguments].concat())
            .failure(2, &["swarm: "]);
    }
    hub.hub(&["bus", "object", "del", "swarm-files", "kernel.img"])
        .success();
    hub.hub(&["bus", "object", "del", "swarm-files", "kernel.img"])
        .failure(1, &["no object"]);
}

#[test]
fn an_interrupted_transfer_goes_on_where_it_stopped() {
    let Some(hub) = Hub::start("buckets::resume") else {
        return;
    };
    hub.make_streams();
    const LENGTH: usize = 96 << 20;
    let whole = content(LENGTH);
    let source = hub.swarm.path("image");
    std::fs::write(&source, &whole).unwrap();

    // Up: the first part comes through a pipe that then says nothing more.
    let put = [
        "--json",
        "bus",
        "object",
        "put",
        "swarm-files",
        "-",
        "--name",
        "image",
    ];
    let (child, mut input, mut output) = piped(&hub, &put);
    input.write_all(&whole[..LENGTH / 2]).unwrap();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.contains("\"bytes\""), "{line}");
    interrupt(&child);
    let ended = Ended::of(child.wait_with_output().unwrap());
    drop(input);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("interrupted"), "{}", ended.said);
    let id = ended.said.rsplit("--resume ").next().unwrap().trim();
    let resume = |file: &str| {
        let put = [
            "--json",
            "bus",
            "object",
            "put",
            "swarm-files",
            file,
            "--name",
            "image",
        ];
        hub.hub(&[&put[..], &["--resume", id]].concat())
    };
    let other = hub.swarm.path("other");
    std::fs::write(&other, vec![9; LENGTH]).unwrap();
    resume(other.to_str().unwrap()).failure(2, &["does not begin with", "without --resume"]);
    let lines = lines_of(&resume(source.to_str().unwrap()).success());
    assert_eq!(lines.last().unwrap()["size"], LENGTH);
    // what was there was not sent again
    assert!(
        lines[0]["bytes"].as_u64().unwrap() > 128 << 10,
        "{}",
        lines[0]
    );

    // Down.
    let target = hub.edge.path("image");
    let get = [
        "--json",
        "bus",
        "object",
        "get",
        "swarm-files",
        "image",
        "-o",
        target.to_str().unwrap(),
    ];
    let mut child = hub
        .command(&hub.edge, &get)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    line.clear();
    output.read_line(&mut line).unwrap();
    interrupt(&child);
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(
        ended.said.contains("the same command goes on"),
        "{}",
        ended.said
    );
    assert!(!target.exists());
    let place = std::fs::read(hub.edge.path("image.part.json")).unwrap();
    let place: Value = serde_json::from_slice(&place).unwrap();
    let bytes = place["bytes"].as_u64().unwrap();
    let lines = lines_of(&hub.edge(&get).success());
    assert!(
        lines[0]["bytes"].as_u64().unwrap() > bytes,
        "{} after {bytes}",
        lines[0]
    );
    assert_eq!(std::fs::read(&target).unwrap(), whole);

    // Of an object that is another one by now it begins anew.
    std::fs::write(hub.edge.path("image2.part"), &whole[..bytes as usize]).unwrap();
    let mut old = place;
    old["upload"] = json!("elsewhere");
    std::fs::write(hub.edge.path("image2.part.json"), old.to_string()).unwrap();
    let target = hub.edge.path("image2");
    let get = hub.edge(&[
        "bus",
        "object",
        "get",
        "swarm-files",
        "image",
        "-o",
        target.to_str().unwrap(),
    ]);
    assert!(get.said.contains("from the beginning"), "{}", get.said);
    get.success();
    assert_eq!(std::fs::read(&target).unwrap(), whole);
}

#[test]
fn a_transfer_to_a_server_that_says_nothing_ends_and_is_resumed() {
    let Some(hub) = Hub::start("buckets::silence") else {
        return;
    };
    hub.make_streams();
    let whole = content(8 << 20);
    let source = hub.swarm.path("image");
    std::fs::write(&source, &whole).unwrap();
    let put = [
        "--json",
        "bus",
        "object",
        "put",
        "swarm-files",
        "-",
        "--name",
        "image",
        "--patience",
        "1s",
    ];
    let (child, mut input, mut output) = piped(&hub, &put);
    input.write_all(&whole[..whole.len() / 2]).unwrap();
    output.read_line(&mut String::new()).unwrap();
    hub.signal(rustix::process::Signal::STOP);
    // it may end before it has read all of it
    let rest = whole[whole.len() / 2..].to_vec();
    let writer = std::thread::spawn(move || input.write_all(&rest));
    let ended = Ended::of(child.wait_with_output().unwrap());
    hub.signal(rustix::process::Signal::CONT);
    drop(writer.join().unwrap());
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(
        ended.said.contains("nothing moved for 1s"),
        "{}",
        ended.said
    );
    let id = ended.said.rsplit("--resume ").next().unwrap().trim();
    let put = [
        "--json",
        "bus",
        "object",
        "put",
        "swarm-files",
        source.to_str().unwrap(),
    ];
    let resumed = hub.hub(&[&put[..], &["--name", "image", "--resume", id]].concat());
    let last = lines_of(&resumed.success()).pop().unwrap();
    assert_eq!(last["size"], whole.len());
}

#[test]
fn services_and_dead_letters_are_a_hubs() {
    let Some(hub) = Hub::start("buckets::services") else {
        return;
    };
    hub.make_streams();
    let none = hub
        .hub(&["bus", "service", "ls", "--wait", "300ms"])
        .success();
    assert_eq!(none.trim(), "no service answered");
    hub.edge(&["bus", "service", "ls"])
        .failure(1, &["not permitted", "--explain"]);
    hub.hub(&["bus", "service", "info", "a.b"])
        .failure(2, &["name of a service"]);
    hub.hub(&["bus", "deadletter", "ls"])
        .failure(1, &["nobody keeps dead letters"]);
    hub.edge(&["bus", "deadletter", "ls"])
        .failure(1, &["not permitted"]);

    // A message that somebody gives up.
    hub.edge(&[
        "bus",
        "pub",
        "swarm.events.node.edge1",
        &event(7),
        "--stored",
    ])
    .success();
    hub.as_member(&hub.swarm, async |bus| {
        use swarm_bus::dead_letter::Keeper;
        use swarm_bus::service::{EndpointConfig, ServiceConfig, ServiceName};
        use swarm_bus::topics::{NODE_SERVICE, NodeEvents, events_consumer};
        let mut keeper = Keeper::start(&bus).await.unwrap();
        let config = events_consumer(&Token::from_static("command0"));
        bus.ensure_consumer(&config).await.unwrap();
        let mut events = bus
            .consumer::<NodeEvents>(&config.stream, &config.durable)
            .await
            .unwrap();
        events.next().await.unwrap().term().unwrap();
        keeper.next().await.unwrap();
        let mut config = ServiceConfig::new(NODE_SERVICE, "1.2.3".parse().unwrap());
        config.metadata.insert("node".into(), "command0".into());
        let service = bus.service(config).await.unwrap();
        let endpoint = EndpointConfig::new(ServiceName::from_static("commands"));
        let filter = Commands::filter(Some(&Token::from_static("command0")), None);
        service
            .endpoint(endpoint, filter, |_| async { Ok(CommandReply::default()) })
            .await
            .unwrap();
        let found = json_of(
            hub.on_other_thread(&["--json", "bus", "service", "ls"])
                .await,
        );
        assert_eq!(found[0]["name"], "swarm-node");
        let table = hub
            .on_other_thread(&["bus", "service", "ls"])
            .await
            .success();
        assert!(
            table.contains("command0") && table.contains("swarm.commands.command0.*"),
            "{table}"
        );
        let info = hub
            .on_other_thread(&["bus", "service", "info", "swarm-node"])
            .await
            .success();
        assert!(info.contains("swarm-node 1.2.3"), "{info}");
        let stats = hub
            .on_other_thread(&["bus", "service", "stats"])
            .await
            .success();
        assert!(stats.contains("swarm.commands.command0.*"), "{stats}");
    });
    let letters = lines_of(&hub.hub(&["--json", "bus", "deadletter", "ls"]).success());
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0]["subject"], "swarm.events.node.edge1");
    let number = letters[0]["number"].to_string();
    let shown = hub.hub(&["bus", "deadletter", "show", &number]).success();
    assert!(shown.contains("\"at\": 7"), "{shown}");
    let replayed = json_of(hub.hub(&["--json", "bus", "deadletter", "replay", &number]));
    assert_eq!(
        (&replayed["stream"], &replayed["sequence"]),
        (&json!("SWARM_EVENTS"), &json!(2))
    );
    hub.hub(&["bus", "deadletter", "replay", &number])
        .failure(1, &["no dead letter"]);
    hub.hub(&["bus", "deadletter", "rm", "99"])
        .failure(1, &["no dead letter 99"]);
    let none = hub.hub(&["bus", "deadletter", "ls"]).success();
    assert_eq!(none.trim(), "there are no dead letters");
}

#[test]
fn many_answers_are_taken_as_they_come() {
    let Some(hub) = Hub::start("buckets::many") else {
        return;
    };
    let status = "swarm.commands.edge1.status";
    hub.hub(&["bus", "request", status, "--replies", "all"])
        .failure(1, &["nobody serves"]);
    hub.as_member(&hub.edge, async |bus| {
        // two who serve the same, by connections of their own: each may answer once
        let layout = swarm::Layout::new(hub.edge.path("")).unwrap();
        let other = swarm::Member::open(layout, None).unwrap().bus();
        other.connected(Duration::from_secs(10)).await.unwrap();
        for (number, bus) in [&bus, &other].into_iter().enumerate() {
            let filter = Commands::filter(Some(&Token::from_static("edge1")), None);
            let requests = bus.requests(filter, None).unwrap();
            requests.barrier().await.unwrap();
            tokio::spawn(requests.serve(move |call| {
                std::future::ready(match call.topic.verb.as_str() {
                    "fail" => Err(Fault::new(500, "broken")),
                    _ => Ok(CommandReply(json!(number))),
                })
            }));
        }
        let ask = async |arguments: &[&str]| {
            hub.on_other_thread(&[&["--json", "bus", "request"], arguments].concat())
                .await
        };
        let two = lines_of(&ask(&[status, "--replies", "2"]).await.success());
        let mut replies: Vec<_> = two
            .iter()
            .map(|line| line["reply"].as_u64().unwrap())
            .collect();
        replies.sort_unstable();
        assert_eq!(replies, [0, 1]);
        let all = ask(&[status, "--replies", "all", "--timeout", "1s"]).await;
        assert_eq!(lines_of(&all.success()).len(), 2);
        let three = ask(&[status, "--replies", "3", "--timeout", "1s"]).await;
        assert_eq!(three.code, Some(1));
        assert!(three.said.contains("2 of 3 answers"), "{}", three.said);
        let failed = ask(&[
            "swarm.commands.edge1.fail",
            "--replies",
            "all",
            "--gap",
            "500ms",
        ])
        .await;
        assert_eq!((failed.code, lines_of(&failed.output).len()), (Some(1), 2));
        assert!(
            failed.said.contains("all 2 answers are errors"),
            "{}",
            failed.said
        );
    });
    hub.hub(&["bus", "request", status, "--replies", "0"])
        .code
        .filter(|code| *code == 2)
        .unwrap();
}

#[test]
fn what_is_not_published_is_refused_with_the_command_for_it() {
    let Some(hub) = Hub::start("buckets::publish") else {
        return;
    };
    for (subject, hint) in [
        (
            "swarm.commands.edge1.reboot",
            "swarm bus request swarm.commands.edge1.reboot",
        ),
        ("$KV.swarm-state.edge1.mode", "swarm bus kv put"),
        ("swarm.trust.bundle", "swarm ca"),
    ] {
        hub.hub(&["bus", "pub", subject, "null"])
            .failure(2, &["no topic that one publishes", hint]);
    }
    hub.make_streams();
    let endpoints = json!({"at": 1, "observed": ["192.0.2.1:51820"]}).to_string();
    let put = [
        "bus",
        "pub",
        "swarm.endpoints.edge1",
        &endpoints,
        "--stored",
    ];
    hub.hub(&put).success();
    hub.edge(&put).failure(1, &["not permitted"]);
    // The spool is the running node's.
    let spool = |subject: &str| hub.edge.run(&["bus", "pub", "--spool", subject, &event(1)]);
    spool("swarm.events.node.edge1").failure(1, &["swarm up"]);
    spool("swarm.events.node.other").failure(2, &["not this node"]);
    spool("swarm.telemetry.edge1.x").failure(2, &["not spooled"]);
    Swarm::new()
        .run(&[
            "bus",
            "pub",
            "--spool",
            "swarm.events.node.edge1",
            &event(1),
        ])
        .failure(2, &["no node"]);
}
