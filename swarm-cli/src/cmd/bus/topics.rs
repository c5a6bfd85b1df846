//! `swarm bus topics`: what there is on the bus.

use swarm_bus::catalogue::{Catalogue, Entry};

use crate::report::{Failure, Output, print_line, table};

/// Show the mesh's topics: subjects, payloads, streams, and who may do what
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  swarm bus topics\n  swarm bus topics --schema NodeEvents\n  \
    swarm bus topics --asyncapi > mesh.asyncapi.json"
)]
pub(super) struct Topics {
    /// Print the JSON Schema of a topic's payload: its name, its template or one of its subjects
    #[arg(long, value_name = "TOPIC", conflicts_with = "asyncapi")]
    schema: Option<String>,
    /// With --schema, that of the answers
    #[arg(long, requires = "schema")]
    reply: bool,
    /// Print all as an AsyncAPI 3.0 document
    #[arg(long)]
    asyncapi: bool,
}

impl Topics {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let catalogue = Catalogue::mesh();
        if self.asyncapi {
            return print_line(&format!("{:#}", catalogue.to_asyncapi()));
        }
        if let Some(topic) = &self.schema {
            return print_line(&schema(&catalogue, topic, self.reply)?);
        }
        let entries = catalogue.entries();
        output.show(&entries, || text(&entries))
    }
}

fn schema(catalogue: &Catalogue, topic: &str, reply: bool) -> Result<String, Failure> {
    let entry = catalogue.find(topic).ok_or_else(|| {
        Failure::input(format!("there is no topic {topic}"))
            .hint("which there are: swarm bus topics")
    })?;
    let (schema, what) = match reply {
        true => (catalogue.reply_schema(&entry.name), "answers"),
        false => (catalogue.payload_schema(&entry.name), "payload"),
    };
    match schema {
        Some(schema) => Ok(format!("{schema:#}")),
        None if reply && entry.reply.is_none() => {
            Err(Failure::input(format!("{} is not answered", entry.name)))
        }
        None => Err(Failure::input(format!(
            "the {what} of {} has no schema: it is {}",
            entry.name, entry.payload.media_type
        ))),
    }
}

fn text(entries: &[Entry]) -> String {
    let heading = [
        "topic",
        "subject",
        "payload",
        "kept by",
        "publish",
        "subscribe",
    ];
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            let payload = match &entry.reply {
                Some(reply) => format!("{} -> {}", entry.payload.name, reply.name),
                None => entry.payload.name.clone(),
            };
            let kept = match entry.streams.as_slice() {
                [] => "-".to_owned(),
                streams => streams.join(", "),
            };
            vec![
                entry.name.clone(),
                entry.template.to_owned(),
                payload,
                kept,
                who(entry, &["publish", "write_state"]),
                who(entry, &["subscribe", "serve", "read_state"]),
            ]
        })
        .collect();
    format!("{}\n\n*: of its own subjects only", table(&heading, &rows))
}

/// The roles that have one of the rights; with a star those that have it for their own only.
fn who(entry: &Entry, rights: &[&str]) -> String {
    let mut roles: Vec<String> = Vec::new();
    let of = |scope: &'static str| {
        entry
            .rights
            .iter()
            .filter(move |right| rights.contains(&right.right) && right.scope == scope)
            .map(|right| right.role)
    };
    let all: Vec<_> = of("all").collect();
    for role in &all {
        if !roles.iter().any(|known| known == role) {
            roles.push((*role).to_owned());
        }
    }
    for role in of("own").filter(|role| !all.contains(role)) {
        let role = format!("{role}*");
        if !roles.contains(&role) {
            roles.push(role);
        }
    }
    roles.join(" ")
}
