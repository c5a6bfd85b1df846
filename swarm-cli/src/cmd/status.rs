//! `swarm status`: how this machine's node is.

use std::process::ExitCode;

use swarm::{PeerStatus, SpoolStatus, Status as NodeStatus};
use swarm_pki::NodeId;

use crate::args::Global;
use crate::report::{Failure, Output, table};

/// Show how this machine's node is; exits with 1 when something is wrong
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm status --json | jq .tunnel.peers")]
pub(crate) struct Status {
    /// Which node, when the directory has several
    #[arg(long, value_name = "ID")]
    node: Option<NodeId>,
}

impl Status {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<ExitCode, Failure> {
        let socket = super::control_socket(global, self.node.as_ref())?;
        let status = super::runtime()?.block_on(swarm::control::status(&socket))?;
        output.show(&status, || text(&status))?;
        Ok(if status.is_healthy() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn text(status: &NodeStatus) -> String {
    let addresses: Vec<_> = status.addresses.iter().map(ToString::to_string).collect();
    let mut lines = vec![
        format!(
            "{} of {} ({}), up {}",
            status.node,
            status.swarm,
            status.roles.join(", "),
            spoken(status.uptime_seconds)
        ),
        format!("addresses    {}", addresses.join(" ")),
        format!(
            "certificate  {} until {}",
            status.certificate.serial, status.certificate.not_after
        ),
        format!(
            "tunnel       {} on UDP {}",
            status.tunnel.interface, status.tunnel.listen_port
        ),
        format!("bus          {}", status.bus.state),
        format!("events       {}", events(&status.events)),
        format!("rooms        {}", status.rooms.state),
    ];
    if let Some(link) = &status.link {
        lines.push(format!("link to hub  {}", link.state));
    }
    for service in &status.services {
        let pid = service
            .pid
            .map_or("not running".to_owned(), |pid| format!("process {pid}"));
        let ready = if service.ready { "ready" } else { "not ready" };
        lines.push(format!(
            "{:<12} {pid}, {ready}, started again {} times",
            service.name, service.restarts
        ));
    }
    lines.push(String::new());
    lines.push(table(
        &[
            "peer",
            "address",
            "endpoint",
            "handshake",
            "received",
            "sent",
        ],
        &status.tunnel.peers.iter().map(row).collect::<Vec<_>>(),
    ));
    lines.push(String::new());
    match status.problems.as_slice() {
        [] => lines.push("all is well".to_owned()),
        problems => lines.extend(problems.iter().map(|problem| format!("problem: {problem}"))),
    }
    lines.join("\n")
}

/// How the events of the node are on their way.
fn events(spool: &SpoolStatus) -> String {
    let mut said = format!("{} told, {} stored by the bus", spool.put, spool.stored);
    if spool.waiting > 0 {
        let oldest = spoken(spool.oldest_seconds);
        said.push_str(&format!(
            ", {} wait on disk, for {oldest} at most",
            spool.waiting
        ));
    }
    for (count, what) in [
        (spool.dropped, "given up"),
        (spool.refused, "not taken by the disk"),
    ] {
        if count > 0 {
            said.push_str(&format!(", {count} {what}"));
        }
    }
    said
}

fn row(peer: &PeerStatus) -> Vec<String> {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        peer.node.clone(),
        or_dash(peer.addresses.first().map(ToString::to_string)),
        or_dash(peer.endpoint.map(|endpoint| endpoint.to_string())),
        or_dash(
            peer.handshake_age_seconds
                .map(|age| format!("{} ago", spoken(age))),
        ),
        format!("{} B", peer.received_bytes),
        format!("{} B", peer.sent_bytes),
    ]
}

fn spoken(seconds: u64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}
