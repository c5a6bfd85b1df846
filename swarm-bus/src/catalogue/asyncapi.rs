//! The catalogue as an AsyncAPI document.
//!
//! <https://www.asyncapi.com/docs/reference/specification/v3.0.0>, with the bindings of
//! <https://github.com/asyncapi/bindings/tree/master/nats>.

use super::schema::Schemas;
use super::{Catalogue, Content, Entry};
use crate::envelope::{CONTENT_TYPE, ID, SCHEMA};
use serde_json::{Map, Value, json};

impl Catalogue {
    /// Returns the catalogue as an AsyncAPI 3.0 document.
    ///
    /// Each topic is a channel, with one operation for those who publish or ask and one for those
    /// who subscribe or serve; a call has a channel for its answers, which has no address, because
    /// each request brings one of its own. What AsyncAPI has no word for stands in extensions: on a
    /// channel `x-delivery`, `x-schema-version` and `x-streams`, on a parameter `x-kind`, on an
    /// operation `x-roles`.
    #[must_use]
    pub fn to_asyncapi(&self) -> Value {
        let mut schemas = Schemas::new("/components/schemas");
        let mut channels = Map::new();
        let mut operations = Map::new();
        let mut messages = Map::new();
        for (index, topic) in self.topics.iter().enumerate() {
            let entry = self.entry(index);
            let name = &entry.name;
            channels.insert(name.clone(), channel(&entry));
            let payload = message(name, &entry, &topic.payload, &mut schemas);
            messages.insert(name.clone(), payload);
            let (send, receive) = match &topic.reply {
                None => ("publish", "subscribe"),
                Some(reply) => {
                    let name = format!("{name}Reply");
                    channels.insert(name.clone(), reply_channel(&entry, &name));
                    let reply = message(&name, &entry, reply, &mut schemas);
                    messages.insert(name, reply);
                    ("request", "serve")
                }
            };
            let sends = operation(&entry, "send", &["publish", "write_state"]);
            operations.insert(format!("{send}{name}"), sends);
            let rights = [
                "subscribe",
                "serve",
                "provide",
                "consume",
                "read_last",
                "read_state",
            ];
            let receives = operation(&entry, "receive", &rights);
            operations.insert(format!("{receive}{name}"), receives);
        }
        let mut info = json!({"title": self.title, "version": self.version});
        if !self.description.is_empty() {
            info["description"] = json!(self.description);
        }
        json!({
            "asyncapi": "3.0.0",
            "info": info,
            "defaultContentType": "application/json",
            "channels": channels,
            "operations": operations,
            "components": {"messages": messages, "schemas": schemas.finish()},
        })
    }
}

fn reference(path: &str) -> Value {
    json!({"$ref": format!("#/{path}")})
}

fn channel(entry: &Entry) -> Value {
    let name = &entry.name;
    let mut channel = json!({
        "address": entry.template,
        "title": name,
        "summary": entry.summary,
        "description": entry.description,
        "messages": {name: reference(&format!("components/messages/{name}"))},
        "x-delivery": entry.delivery,
        "x-schema-version": entry.schema,
    });
    if !entry.places.is_empty() {
        let parameters: Map<_, _> = entry
            .places
            .iter()
            .map(|place| {
                let parameter = json!({"description": place.description, "x-kind": place.kind});
                (place.name.to_owned(), parameter)
            })
            .collect();
        channel["parameters"] = parameters.into();
    }
    if !entry.streams.is_empty() {
        channel["x-streams"] = json!(entry.streams);
    }
    channel
}

fn reply_channel(entry: &Entry, name: &str) -> Value {
    json!({
        "address": null,
        "title": name,
        "description": format!(
            "Answers to {}, published to the reply subject of the request.", entry.name
        ),
        "messages": {name: reference(&format!("components/messages/{name}"))},
    })
}

fn operation(entry: &Entry, action: &str, rights: &[&str]) -> Value {
    let name = &entry.name;
    let mut operation = json!({
        "action": action,
        "channel": reference(&format!("channels/{name}")),
        "summary": entry.summary,
        "messages": [reference(&format!("channels/{name}/messages/{name}"))],
        "bindings": {"nats": {"bindingVersion": "0.1.0"}},
    });
    if entry.reply.is_some() {
        operation["reply"] = json!({
            "channel": reference(&format!("channels/{name}Reply")),
            "messages": [reference(&format!("channels/{name}Reply/messages/{name}Reply"))],
        });
    }
    let roles: Vec<_> = entry
        .rights
        .iter()
        .filter(|right| rights.contains(&right.right))
        .collect();
    if !roles.is_empty() {
        operation["x-roles"] = json!(roles);
    }
    operation
}

fn message(name: &str, entry: &Entry, content: &Content, schemas: &mut Schemas) -> Value {
    let payload = match schemas.of(content) {
        Some(schema) => schema,
        None if content.is_opaque() => json!({
            "type": "string", "format": "binary", "title": content.name,
        }),
        None => json!({"title": content.name}),
    };
    let mut properties = json!({
        ID: {"type": "string", "description": "What tells the message from every other."},
        SCHEMA: {
            "type": "string", "pattern": "^[0-9]+$",
            "description": "The version of the payload's format; 1 where it is missing.",
        },
    });
    if !matches!(
        content.media_type,
        "application/json" | "application/octet-stream"
    ) {
        properties[CONTENT_TYPE] = json!({"type": "string", "const": content.media_type});
    }
    let required: Vec<_> = [CONTENT_TYPE]
        .into_iter()
        .filter(|name| properties.get(name).is_some())
        .chain((entry.schema != 1).then_some(SCHEMA))
        .collect();
    let mut headers = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        headers["required"] = json!(required);
    }
    json!({
        "name": name,
        "title": content.name,
        "contentType": content.media_type,
        "headers": headers,
        "payload": payload,
    })
}
