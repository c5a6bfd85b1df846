//! `swarm room`: the rooms, through this machine's running node.

use clap::Subcommand;
use swarm::control::{RoomContents, RoomMessage, RoomStatus};
use swarm_pki::NodeId;

use crate::args::Global;
use crate::report::{Failure, Output, table};

/// See the rooms that this machine's running node is in, and send to them
#[derive(Debug, clap::Args)]
pub(crate) struct Room {
    /// Which node, when the directory has several
    #[arg(long, global = true, value_name = "ID")]
    node: Option<NodeId>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the rooms
    #[command(after_help = "Example:\n  swarm room list")]
    List,
    /// Show a room: each node's state, and the messages since the node was started
    #[command(after_help = "Example:\n  swarm room show '#ops'")]
    Show {
        /// The room's alias: ops, #ops or #ops:swarm
        room: String,
    },
    /// Send an end-to-end encrypted text to a room
    #[command(after_help = "Example:\n  swarm room send '#ops' 'edge1 is back in port'")]
    Send {
        /// The room's alias: ops, #ops or #ops:swarm
        room: String,
        /// The text
        text: String,
    },
}

impl Room {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let socket = super::control_socket(global, self.node.as_ref())?;
        super::runtime()?.block_on(async {
            match self.command {
                Command::List => {
                    let rooms = swarm::control::rooms(&socket).await?;
                    output.show(&rooms, || list(&rooms))
                }
                Command::Show { room } => {
                    let contents = swarm::control::show_room(&socket, &room).await?;
                    output.show(&contents, || show(&contents))
                }
                Command::Send { room, text } => {
                    let sent = swarm::control::send_to_room(&socket, &room, &text).await?;
                    output.show(&sent, || format!("sent to {} as {}", sent.room, sent.event))
                }
            }
        })
    }
}

fn list(rooms: &[RoomStatus]) -> String {
    let row = |room: &RoomStatus| {
        let encrypted = if room.encrypted {
            "encrypted"
        } else {
            "not encrypted"
        };
        vec![
            room.alias.clone(),
            encrypted.to_owned(),
            room.members.join(" "),
        ]
    };
    table(
        &["room", "messages", "members"],
        &rooms.iter().map(row).collect::<Vec<_>>(),
    )
}

fn show(contents: &RoomContents) -> String {
    let mut lines = vec![format!(
        "{} with {}",
        contents.room.alias,
        contents.room.members.join(", ")
    )];
    lines.extend(
        contents
            .states
            .iter()
            .map(|state| format!("state    {}  {}", state.user, state.content)),
    );
    lines.extend(contents.messages.iter().map(message));
    lines.join("\n")
}

fn message(message: &RoomMessage) -> String {
    let sent = std::time::UNIX_EPOCH + std::time::Duration::from_millis(message.sent);
    let sent = humantime::format_rfc3339_seconds(sent);
    format!(
        "{:<8} {sent}  {}  {}",
        message.kind, message.sender, message.body
    )
}
