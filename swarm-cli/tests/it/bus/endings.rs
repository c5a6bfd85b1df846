//! How a command ends that shows what comes, and what is left of its output.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout};

use serde_json::{Value, json};

use super::{Hub, event, interrupt};
use crate::lab::{ended, until};
use crate::program::words;

/// Starts a command on the edge whose output is read as it comes.
fn started(hub: &Hub, arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut child = hub.start_command(&hub.edge, arguments);
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

fn line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line
}

const WATCH: [&str; 4] = ["bus", "kv", "watch", "swarm-state"];
const PRESENT: &str = "-- that is the present state; changes follow\n";

#[test]
fn a_reader_that_goes_away_ends_it_without_a_word() {
    let Some(hub) = Hub::start("bus::endings::unread") else {
        return;
    };
    hub.make_streams();
    // As `| head -1` does; nothing comes afterwards that would show that nobody reads it.
    let (child, mut output) = started(&hub, &WATCH);
    assert_eq!(line(&mut output), PRESENT);
    drop(output);
    let end = ended(child, WATCH);
    assert_eq!((end.code, end.said.as_str()), (Some(0), ""));
    // Nor is a log that nobody reads a failure.
    let mut child = hub.start_command(&hub.edge, &words("-vv bus kv ls"));
    drop(child.stderr.take());
    assert_eq!(ended(child, "bus kv ls").code, Some(0));
    // Before anything came, and however many were asked for.
    let (child, output) = started(&hub, &["bus", "sub", "--count", "5"]);
    drop(output);
    let end = ended(child, "bus sub");
    assert_eq!((end.code, end.said.as_str()), (Some(0), ""));
    // More lines than the pipe holds.
    for number in 0..3 {
        let body = "x".repeat(50_000);
        let event =
            json!({"at": number, "event": {"kind": "custom", "name": "long", "body": body}});
        let put = [
            "bus",
            "pub",
            "swarm.events.node.edge1",
            &event.to_string(),
            "--stored",
        ];
        hub.edge(&put).success();
    }
    let mut child = hub.start_command(&hub.swarm, &words("bus stream show SWARM_EVENTS"));
    drop(child.stdout.take());
    let end = ended(child, "bus stream show");
    assert_eq!((end.code, end.said.as_str()), (Some(0), ""));
}

#[test]
fn ctrl_c_ends_it_and_says_what_was_asked_for_and_did_not_come() {
    let Some(hub) = Hub::start("bus::endings::interrupted") else {
        return;
    };
    hub.make_streams();
    let interrupted = |more: &[&str]| {
        let (child, mut output) = started(&hub, &[&WATCH[..], more].concat());
        assert_eq!(line(&mut output), PRESENT);
        interrupt(&child);
        ended(child, WATCH)
    };
    let end = interrupted(&[]);
    assert_eq!((end.code, end.said.as_str()), (Some(0), ""));
    interrupted(&["--count", "2"]).failure(1, &["interrupted; 0 of 2 entries came"]);

    let (mut child, mut output) = started(&hub, &["--json", "bus", "sub", "swarm.events.>"]);
    let reader = std::thread::spawn(move || (line(&mut output), output));
    until("a message is heard", || {
        let put = ["bus", "pub", "swarm.events.node.edge1", &event(1)];
        hub.edge(&put).success();
        assert_eq!(child.try_wait().unwrap(), None);
        reader.is_finished()
    });
    let (heard, _output) = reader.join().unwrap();
    let heard: Value = serde_json::from_str(&heard).unwrap();
    assert_eq!(heard["payload"]["at"], 1);
    interrupt(&child);
    let end = ended(child, "bus sub");
    assert_eq!((end.code, end.said.as_str()), (Some(0), ""));
}

#[test]
fn what_is_given_and_printed_is_as_it_was_said() {
    let Some(hub) = Hub::start("bus::endings::forms") else {
        return;
    };
    hub.make_streams();
    // A payload from standard input.
    let put = words("bus pub swarm.events.node.edge1 - --stored");
    let kept = hub.fed(&hub.edge, &put, event(5).as_bytes());
    assert_eq!(kept.success().trim(), "kept by SWARM_EVENTS as 1");
    // The name that other lists have.
    let listed = hub.hub(&["bus", "stream", "ls"]).success();
    assert!(listed.contains("SWARM_EVENTS"), "{listed}");
    // Bytes are no JSON.
    hub.hub(&words("--json bus object get swarm-files x -o -"))
        .failure(2, &["no JSON", "-o FILE"]);
    let raw = words("--json bus kv get swarm-state edge1.a --raw");
    hub.hub(&raw).failure(2, &["no JSON", "--json"]);
    // Nor is a file put in the place of what is none, even where one may be replaced.
    let socket = hub.swarm.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let get = words("bus object get swarm-files x --force -o");
    hub.hub(&[&get[..], &[socket.to_str().unwrap()]].concat())
        .failure(2, &["no regular file", "-o -"]);
    // What is wrong is said with what is right.
    for (arguments, words) in [
        (
            &["sub", "a..b"][..],
            &["a..b", "* stands for one token"][..],
        ),
        (
            &["kv", "ls", "swarm-state", "a..b"],
            &["* stands for one token"],
        ),
        (
            &["stream", "show", "SWARM_EVENTS", "--subject", ""],
            &["* stands"],
        ),
        (&["pub", "a b", "{}"], &["a b", "swarm bus topics"]),
        (
            &["request", "swarm.commands.edge1.ping", "{"],
            &["--schema PingCommand"],
        ),
        (
            &["request", "swarm.commands.edge1.status", "{"],
            &["--schema Commands"],
        ),
    ] {
        hub.hub(&[&["bus"], arguments].concat()).failure(2, words);
    }
    let role = hub.hub(&words("bus permissions e --role king"));
    assert_eq!(role.code, Some(2));
    assert!(role.said.contains("there are hub, edge"), "{}", role.said);
}
