//! `swarm bus object`: objects of any size.

use std::io::{BufRead as _, Write as _};

use serde_json::json;

use super::{Hub, content, fed_slowly, interrupt};
use crate::lab::ended;
use crate::program::{json_of, lines_of, words};

#[test]
fn objects_are_put_listed_read_and_deleted() {
    let Some(hub) = Hub::start("bus::objects::objects") else {
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
    hub.edge(&words("bus object del swarm-files kernel.img"))
        .failure(1, &["not permitted"]);
    let listed = hub.edge(&words("bus object ls swarm-files")).success();
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
            &words("bus object get swarm-files kernel.img -o -"),
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
    hub.hub(&words("bus object del swarm-files kernel.img"))
        .success();
    hub.hub(&words("bus object del swarm-files kernel.img"))
        .failure(1, &["no object"]);
}

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
    let put = words("--json bus object put swarm-files - --name=lost");
    let (child, mut input, mut output) = fed_slowly(&hub, &put);
    input.write_all(&content(4 << 20)).unwrap();
    output.read_line(&mut String::new()).unwrap();
    interrupt(&child);
    assert_eq!(ended(child, put).code, Some(1));

    let sweep = words("--json bus object sweep swarm-files");
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
