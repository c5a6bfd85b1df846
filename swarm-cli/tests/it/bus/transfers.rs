//! `swarm bus object put` and `get` that are interrupted, and go on.

use std::io::{BufRead as _, BufReader, Write as _};

use serde_json::{Value, json};

use super::{Hub, content, fed_slowly, interrupt};
use crate::lab::ended;
use crate::program::{lines_of, words};

#[test]
fn an_interrupted_transfer_goes_on_where_it_stopped() {
    let Some(hub) = Hub::start("bus::transfers::resume") else {
        return;
    };
    hub.make_streams();
    const LENGTH: usize = 96 << 20;
    let whole = content(LENGTH);
    let source = hub.swarm.path("image");
    std::fs::write(&source, &whole).unwrap();

    // Up: the first part comes through a pipe that then says nothing more.
    let put = words("--json bus object put swarm-files - --name image");
    let (child, mut input, mut output) = fed_slowly(&hub, &put);
    input.write_all(&whole[..LENGTH / 2]).unwrap();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.contains("\"bytes\""), "{line}");
    interrupt(&child);
    let end = ended(child, "a transfer");
    drop(input);
    assert_eq!(end.code, Some(1), "{}", end.said);
    assert!(end.said.contains("interrupted"), "{}", end.said);
    let id = end.said.rsplit("--resume ").next().unwrap().trim();
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
    let mut child = hub.start_command(&hub.edge, &get);
    let mut output = BufReader::new(child.stdout.take().unwrap());
    line.clear();
    output.read_line(&mut line).unwrap();
    interrupt(&child);
    let end = ended(child, "a transfer");
    assert_eq!(end.code, Some(1), "{}", end.said);
    assert!(
        end.said.contains("the same command goes on"),
        "{}",
        end.said
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
    let Some(hub) = Hub::start("bus::transfers::silence") else {
        return;
    };
    hub.make_streams();
    let whole = content(8 << 20);
    let source = hub.swarm.path("image");
    std::fs::write(&source, &whole).unwrap();
    let put = words("--json bus object put swarm-files - --name image --patience 1s");
    let (child, mut input, mut output) = fed_slowly(&hub, &put);
    input.write_all(&whole[..whole.len() / 2]).unwrap();
    output.read_line(&mut String::new()).unwrap();
    hub.signal(rustix::process::Signal::STOP);
    // it may end before it has read all of it
    let rest = whole[whole.len() / 2..].to_vec();
    let writer = std::thread::spawn(move || input.write_all(&rest));
    let end = ended(child, "a transfer");
    hub.signal(rustix::process::Signal::CONT);
    drop(writer.join().unwrap());
    assert_eq!(end.code, Some(1), "{}", end.said);
    assert!(end.said.contains("nothing moved for 1s"), "{}", end.said);
    let id = end.said.rsplit("--resume ").next().unwrap().trim();
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
