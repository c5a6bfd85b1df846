//! `swarm bus object`: objects of any size.

use std::io::{BufRead as _, Write as _};

use super::{Hub, json_of};
use crate::buckets::{content, interrupt, piped};
use crate::lab::ended;

#[test]
fn what_interrupted_uploads_left_is_swept_once_it_is_idle() {
    let Some(hub) = Hub::start("bus::objects::sweep") else {
        return;
    };
    hub.make_streams();
    let object = |arguments: &[&str]| hub.hub(&[&["--json", "bus", "object"], arguments].concat());
    let kept = hub.swarm.path("kept");
    std::fs::write(&kept, content(300_000)).unwrap();
    object(&["put", "swarm-files", kept.to_str().unwrap()]).success();
    let put = [
        "--json",
        "bus",
        "object",
        "put",
        "swarm-files",
        "-",
        "--name=lost",
    ];
    let (child, mut input, mut output) = piped(&hub, &put);
    input.write_all(&content(4 << 20)).unwrap();
    output.read_line(&mut String::new()).unwrap();
    interrupt(&child);
    assert_eq!(ended(child, put).code, Some(1));

    let sweep = ["--json", "bus", "object", "sweep", "swarm-files"];
    let swept = json_of(hub.hub(&sweep));
    assert_eq!(
        (&swept["uploads"], &swept["chunks"]),
        (&0.into(), &0.into())
    );
    let now = [&sweep[..], &["--idle", "0s"]].concat();
    hub.edge(&now).failure(1, &["not permitted", "--explain"]);
    let swept = json_of(hub.hub(&now));
    assert_eq!(
        (&swept["bucket"], &swept["uploads"]),
        (&"swarm-files".into(), &1.into())
    );
    assert!(swept["chunks"].as_u64().unwrap() > 0, "{swept}");
    let none = hub.hub(&now[1..]).success();
    assert_eq!(
        none.trim(),
        "swarm-files has no upload that was idle for 0s"
    );

    // The object is whole, and all that is left.
    let copy = hub.swarm.path("copy");
    object(&["get", "swarm-files", "kept", "-o", copy.to_str().unwrap()]).success();
    assert_eq!(std::fs::read(&copy).unwrap(), content(300_000));
    let info = json_of(object(&["info", "swarm-files"]));
    assert_eq!(info["stream"], "OBJ_swarm-files");
    let bytes = info["bytes"].as_u64().unwrap();
    assert!((300_000..400_000).contains(&bytes), "{info}");
    assert!(info["keys"].is_null(), "{info}");
}
