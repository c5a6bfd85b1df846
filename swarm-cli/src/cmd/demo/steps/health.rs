//! Health and metrics, and who listens where.

use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE2, HUB, Scenario};
use crate::report::{Failure, chain};

const NODES: [&str; 3] = [HUB.0, EDGE1.0, EDGE2.0];

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    record
        .step(
            "health: NATS :8222/healthz, Matrix :8008/health, every node's /healthz",
            async {
                let nats = get(demo, HUB.0, 8222, "/healthz").await?;
                let matrix = get(demo, HUB.0, 8008, "/health").await?;
                for node in NODES {
                    get(demo, node, 9464, "/healthz").await?;
                }
                Ok((
                    (),
                    format!(
                        "NATS says {}, Matrix says {}, three nodes are well",
                        nats.trim(),
                        matrix.trim()
                    ),
                ))
            },
        )
        .await?;
    record
        .step(
            "metrics: every node's /metrics, accepted by promtool check metrics",
            async {
                let mut counts = Vec::new();
                for node in NODES {
                    let text = get(demo, node, 9464, "/metrics").await?;
                    check_metrics(node, &text).await?;
                    let samples = text.lines().filter(|line| !line.starts_with('#')).count();
                    counts.push(format!("{node} {samples} samples"));
                }
                Ok(((), counts.join(", ")))
            },
        )
        .await?;
    record
        .step(
            "listeners on loopback or the mesh only, but for WireGuard and enrolment",
            async {
                let mut seen = 0;
                for node in NODES {
                    seen += check_listeners(demo, node).await?;
                }
                Ok(((), format!("{seen} sockets listen on three machines")))
            },
        )
        .await
}

/// Fetches a path of a loopback port, from inside the machine.
pub(super) async fn get(
    demo: &Scenario,
    node: &str,
    port: u16,
    path: &'static str,
) -> Result<String, Failure> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let body = demo
        .machine(node)
        .inside(move || swarm::http::get(address, path))
        .await
        .map_err(|error| Failure::failed(format!("{path} on {node}: {}", chain(&error))))?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Holds a node's metrics against promtool and against the families that it must have.
async fn check_metrics(node: &str, text: &str) -> Result<(), Failure> {
    let families: &[&str] = match node {
        "command0" => &[
            "wireguard_",
            "nats_varz_",
            "nats_client_",
            "synapse_",
            "swarm_",
        ],
        _ => &["wireguard_", "nats_client_", "swarm_"],
    };
    if let Some(family) = families
        .iter()
        .find(|family| !text.lines().any(|line| line.starts_with(**family)))
    {
        return Err(Failure::failed(format!(
            "{node} has no metric of {family}*"
        )));
    }
    let fail = |error: std::io::Error| {
        Failure::environment(format!("cannot run promtool: {error}"))
            .hint("Debian's package prometheus has it; `make demo` unpacks it")
    };
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(fail)?;
    let mut input = promtool.stdin.take().expect("the input was asked for");
    input.write_all(text.as_bytes()).await.map_err(fail)?;
    drop(input);
    let output = promtool.wait_with_output().await.map_err(fail)?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Failure::failed(format!(
        "promtool on {node}'s metrics: {}",
        String::from_utf8_lossy(&said).trim()
    )))
}

/// Checks every listening socket of a machine and returns how many there are.
async fn check_listeners(demo: &Scenario, node: &str) -> Result<usize, Failure> {
    let status = demo.status(node).await?;
    let printed = demo.machine(node).run("ss", &["-Hltun"]).await?;
    let mut count = 0;
    for line in printed.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [protocol, _, _, _, local, ..] = fields[..] else {
            return Err(Failure::failed(format!("ss on {node} printed `{line}`")));
        };
        let (host, port) = local.rsplit_once(':').unwrap_or((local, ""));
        let host = host
            .trim_matches(['[', ']'])
            .split('%')
            .next()
            .unwrap_or_default();
        let inward = host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback() || status.addresses.contains(&address));
        let wireguard = protocol == "udp" && port == status.tunnel.listen_port.to_string();
        let enrolment = protocol == "tcp" && port == "7443" && node == HUB.0;
        if !(inward || wireguard || enrolment) {
            return Err(Failure::failed(format!(
                "{node} listens on {protocol} {local}"
            )));
        }
        count += 1;
    }
    Ok(count)
}
