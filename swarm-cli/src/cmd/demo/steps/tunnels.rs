//! Tunnels: `wg show` lists the peers, and every node reaches every other.

use std::net::IpAddr;

use crate::cmd::demo::record::Record;
use crate::cmd::demo::scenario::{EDGE1, EDGE2, HUB, Scenario};
use crate::report::Failure;

pub(in super::super) async fn play(
    demo: &mut Scenario,
    record: &mut Record,
) -> Result<(), Failure> {
    let nodes = [HUB.0, EDGE1.0, EDGE2.0];
    record
        .step(
            "wg show lists the peers that the certificates name",
            async {
                for node in nodes {
                    let status = demo.status(node).await?;
                    let shown = demo
                        .machine(node)
                        .run("wg", &["show", &status.tunnel.interface, "allowed-ips"])
                        .await?;
                    for peer in &status.tunnel.peers {
                        let line = shown
                            .lines()
                            .find(|line| line.starts_with(&peer.public_key));
                        let missing = peer.addresses.iter().find(|address| {
                            !line.is_some_and(|line| line.contains(&address.to_string()))
                        });
                        if let Some(address) = missing {
                            return Err(Failure::failed(format!(
                                "wg show on {node} does not route {address} to {}:\n{shown}",
                                peer.node
                            )));
                        }
                    }
                }
                let shown = demo.machine(EDGE1.0).run("wg", &["show"]).await?;
                Ok(((), shown.trim_end().to_owned()))
            },
        )
        .await?;
    record
        .step("ping across, IPv4 and IPv6", async {
            Ok(((), ping_all(demo, &nodes).await?))
        })
        .await
}

/// Pings from every node to every other, on every address.
pub(super) async fn ping_all(demo: &Scenario, nodes: &[&'static str]) -> Result<String, Failure> {
    let mut detail = Vec::new();
    for from in nodes {
        for peer in demo.status(from).await?.tunnel.peers {
            if !nodes.contains(&peer.node.as_str()) {
                continue;
            }
            for address in peer.addresses {
                let took = ping(demo, from, address).await?;
                detail.push(format!("{from} → {} {address} {took} ms", peer.node));
            }
        }
    }
    let expected = nodes.len() * (nodes.len() - 1);
    if detail.len() < expected {
        return Err(Failure::failed(format!(
            "only {} of at least {expected} pairs",
            detail.len()
        )));
    }
    Ok(detail.join("\n"))
}

/// Pings once and returns the round trip in milliseconds.
pub(super) async fn ping(demo: &Scenario, from: &str, to: IpAddr) -> Result<f64, Failure> {
    let printed = demo
        .machine(from)
        .run("ping", &["-n", "-c", "1", "-W", "2", &to.to_string()])
        .await?;
    printed
        .split("time=")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| Failure::failed(format!("ping from {from} to {to} said no time: {printed}")))
}
