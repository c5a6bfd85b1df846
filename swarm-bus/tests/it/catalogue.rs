use serde_json::{Value, json};
use std::collections::BTreeSet;
use swarm_bus::catalogue::Catalogue;
use swarm_bus::permissions::{Policy, Right, Role, Rule, Scope};
use swarm_bus::stream::StreamConfig;
use swarm_bus::{MessagePack, Pattern, Raw, Token, Topic};

#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Reading {
    celsius: f64,
    /// What was odd about it.
    #[serde(default)]
    note: Option<String>,
    pair: (u8, bool),
}

/// What no schema is known of.
#[derive(serde::Serialize, serde::Deserialize)]
struct Secretive;

/// What a probe
/// measures.
///
/// Once a minute.
#[derive(Topic)]
#[topic(
    "lab.{room}.temperature.{probe}",
    payload = Reading,
    codec = MessagePack,
    delivery = stored,
    schema = 2
)]
struct Temperature {
    /// Where it hangs.
    room: Token,
    probe: u16,
}

#[derive(Topic)]
#[topic("lab.{room}.calibrate", payload = Secretive, reply = Vec<Reading>)]
struct Calibrate {
    room: Token,
}

#[derive(Topic)]
#[topic("lab.picture", payload = bytes::Bytes, codec = Raw)]
struct Picture;

mod other {
    use super::*;

    #[derive(Topic)]
    #[topic("lab.picture.small", payload = bytes::Bytes, codec = Raw)]
    pub(super) struct Picture;
}

fn lab() -> Catalogue {
    let mut stream = StreamConfig::new(
        Token::from_static("LAB"),
        vec![Pattern::from_static("lab.*.temperature.>")],
    );
    stream.max_messages = Some(10);
    let policy = Policy::new()
        .with(Rule::new::<Temperature>(
            Role::Edge,
            Right::Publish,
            Scope::Own,
        ))
        .with(Rule::new::<Temperature>(
            Role::Operator,
            Right::Consume(Token::from_static("LAB")),
            Scope::All,
        ));
    Catalogue::new("lab", "1.0.0")
        .with::<Temperature>()
        .with::<Calibrate>()
        .with::<Picture>()
        .with::<other::Picture>()
        .with_streams([stream])
        .with_policy(policy)
}

#[test]
fn an_entry_says_what_the_type_knows() {
    let entry = lab().find("lab.attic.temperature.3").unwrap();
    assert_eq!(
        serde_json::to_value(&entry).unwrap(),
        json!({
            "name": "Temperature",
            "summary": "What a probe measures.",
            "description": "What a probe\nmeasures.\n\nOnce a minute.",
            "template": "lab.{room}.temperature.{probe}",
            "places": [
                {"name": "room", "kind": "token", "description": "Where it hangs."},
                {"name": "probe", "kind": "u16", "description": ""},
            ],
            "payload": {
                "type": "Reading",
                "media_type": "application/vnd.msgpack",
                "has_schema": true,
            },
            "reply": null,
            "delivery": "stored",
            "schema": 2,
            "streams": ["LAB"],
            "rights": [
                {"role": "edge", "right": "publish", "scope": "own", "stream": null},
                {"role": "operator", "right": "consume", "scope": "all", "stream": "LAB"},
            ],
        })
    );
    let names: Vec<_> = lab().entries().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["Temperature", "Calibrate", "Picture", "Picture_2"]);
    assert_eq!(lab().find("lab.picture.small").unwrap().name, "Picture_2");
    assert!(lab().find("lab.nothing").is_none());
    assert_eq!(lab().without_schema(), ["Calibrate"]);
}

#[test]
fn a_schema_is_complete_in_itself() {
    let schema = lab().payload_schema("Temperature").unwrap();
    assert_eq!(schema["title"], "Reading");
    assert_eq!(
        schema["properties"]["note"]["description"],
        "What was odd about it."
    );
    // Draft 7 writes a pair so.
    assert_eq!(schema["properties"]["pair"]["items"][1]["type"], "boolean");
    let replies = lab().reply_schema("Calibrate").unwrap();
    assert_eq!(replies["type"], "array");
    for schema in [&schema, &replies] {
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        assert_resolved(schema);
    }
    assert!(lab().payload_schema("Picture").is_none());
}

#[test]
fn the_mesh_has_a_schema_for_everything_and_says_who_may() {
    let mesh = Catalogue::mesh();
    assert_eq!(mesh.without_schema(), Vec::<String>::new());
    let may = |topic: &str, right: &str| -> BTreeSet<_> {
        let entry = mesh.find(topic).unwrap();
        let rights = entry.rights.iter().filter(|r| r.right == right);
        rights.map(|r| (r.role, r.scope)).collect()
    };
    assert_eq!(
        may("Commands", "publish"),
        [("hub", "all"), ("operator", "all")].into()
    );
    // The narrower topic is covered by the rules for the wider one.
    assert_eq!(
        may("swarm.commands.n1.ping", "publish"),
        [("hub", "all"), ("edge", "all"), ("operator", "all")].into()
    );
    assert_eq!(
        may("NodeEvents", "publish"),
        [("hub", "all"), ("edge", "own"), ("operator", "own")].into()
    );
    let kept: Vec<_> = mesh
        .entries()
        .into_iter()
        .filter(|entry| !entry.streams.is_empty())
        .map(|entry| (entry.streams.concat(), entry.delivery))
        .collect();
    assert_eq!(
        kept,
        [
            ("SWARM_EVENTS".to_owned(), "stored"),
            ("SWARM_ENDPOINTS".to_owned(), "stored"),
            ("SWARM_TRUST".to_owned(), "stored"),
            ("KV_swarm-state".to_owned(), "stored"),
        ]
    );
}

#[test]
fn the_asyncapi_document_is_whole() {
    for catalogue in [lab(), Catalogue::mesh()] {
        let document = catalogue.to_asyncapi();
        assert_resolved(&document);
        let channels = document["channels"].as_object().unwrap();
        for (name, channel) in channels {
            let address = channel["address"].as_str().unwrap_or_default();
            let places: BTreeSet<_> = address
                .split('.')
                .filter_map(|token| token.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            let parameters: BTreeSet<_> = channel["parameters"]
                .as_object()
                .into_iter()
                .flat_map(|parameters| parameters.keys().map(String::as_str))
                .collect();
            assert_eq!(places, parameters, "{name}");
        }
        // Two operations for each topic, and a channel more for each call.
        let operations = document["operations"].as_object().unwrap();
        let entries = catalogue.entries();
        assert_eq!(operations.len(), 2 * entries.len());
        let calls = entries.iter().filter(|e| e.reply.is_some()).count();
        assert_eq!(channels.len(), entries.len() + calls);
    }
    let document = lab().to_asyncapi();
    let operation = &document["operations"]["publishTemperature"];
    assert_eq!(operation["action"], "send");
    assert_eq!(operation["x-roles"][0]["role"], "edge");
    let message = &document["components"]["messages"]["Temperature"];
    assert_eq!(message["contentType"], "application/vnd.msgpack");
    assert_eq!(
        message["headers"]["required"],
        json!(["Content-Type", "Swarm-Schema"])
    );
    assert_eq!(message["payload"]["$ref"], "#/components/schemas/Reading");
}

/// Each reference leads to something within the document.
#[track_caller]
fn assert_resolved(document: &Value) {
    let mut rest = vec![document];
    while let Some(value) = rest.pop() {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    let pointer = to.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{to}");
                }
                rest.extend(map.values());
            }
            Value::Array(list) => rest.extend(list),
            _ => {}
        }
    }
}
