//! Everything that a node measures, as Prometheus text.

mod page;

use std::net::{Ipv4Addr, SocketAddr};

use swarm_bus::monitor::{Jsz, Varz};

use crate::http;

use super::supervisor::Supervised;
use super::{Hub, Shared};
use page::Page;

/// The metrics of a node, in the text format 0.0.4.
pub(super) async fn text(shared: &Shared) -> String {
    let mut page = Page::default();
    add_node(&mut page, shared);
    add_tunnel(&mut page, shared);
    page.add_all(shared.bus.statistics().metrics());
    page.add_all(shared.events.statistics().metrics());
    if let Some(hub) = &shared.hub {
        add_services(&mut page, hub.services.all());
        add_front(&mut page, hub);
        add_nats(&mut page, shared.member.plan().nats().monitor_port).await;
        add_synapse(&mut page, shared).await;
    }
    if let Some(leaf) = &shared.leaf {
        add_services(&mut page, [&leaf.nats]);
        add_nats(&mut page, shared.member.plan().nats().leaf.monitor_port).await;
    }
    page.text()
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

#[allow(
    clippy::cast_precision_loss,
    reason = "Prometheus has only floating-point numbers"
)]
fn number(value: u64) -> f64 {
    value as f64
}

fn add_node(page: &mut Page, shared: &Shared) {
    let status = shared.status();
    let labels = [
        ("swarm", status.swarm.as_str()),
        ("node", status.node.as_str()),
        ("version", status.version.as_str()),
    ];
    page.gauge(
        "swarm_node_info",
        "The node and the version of its program.",
        &labels,
        1.0,
    );
    page.gauge(
        "swarm_node_healthy",
        "Whether nothing is wrong with the node.",
        &[],
        flag(status.is_healthy()),
    );
    page.gauge(
        "swarm_node_uptime_seconds",
        "Seconds since the node was started.",
        &[],
        number(status.uptime_seconds),
    );
    page.gauge(
        "swarm_certificate_remaining_seconds",
        "Seconds until the node's certificate ends.",
        &[],
        number(status.certificate.remaining_seconds),
    );
    page.gauge(
        "swarm_bus_connected",
        "Whether the node is connected to the bus.",
        &[],
        flag(status.bus.connected),
    );
    page.gauge(
        "swarm_rooms_connected",
        "Whether the node is connected to the rooms.",
        &[],
        flag(status.rooms.connected),
    );
    let trust = shared.member.tls().trust();
    page.gauge(
        "swarm_roster_nodes",
        "Nodes in the roster, this one included.",
        &[],
        number(trust.roster().count() as u64),
    );
    for crl in trust.crls() {
        let issuer = crl.issuer().to_string();
        let labels = [("issuer", issuer.as_str())];
        page.gauge(
            "swarm_crl_revoked_certificates",
            "Certificates on the revocation list.",
            &labels,
            number(crl.len() as u64),
        );
    }
}

fn add_tunnel(page: &mut Page, shared: &Shared) {
    let trust = shared.member.tls().trust();
    for sample in shared.tunnel.tunnel().metrics().samples() {
        let mut labels: Vec<(&str, String)> = sample
            .labels
            .iter()
            .map(|(name, value)| (*name, value.clone()))
            .collect();
        let key = sample.labels.iter().find(|(name, _)| *name == "public_key");
        if let Some(node) = key.and_then(|(_, key)| key.parse::<swarm_wg::PublicKey>().ok()) {
            let node = trust
                .node_by_wireguard_key(node.as_bytes())
                .map(|node| node.id().to_string());
            labels.push(("node", node.unwrap_or_default()));
        }
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let (help, kind) = tunnel_family(sample.name);
        page.add(sample.name, help, kind, &labels, number(sample.value));
    }
}

fn tunnel_family(name: &str) -> (&'static str, &'static str) {
    match name {
        "wireguard_sent_bytes_total" => ("Bytes sent to the peer.", "counter"),
        "wireguard_received_bytes_total" => ("Bytes received from the peer.", "counter"),
        "wireguard_latest_handshake_seconds" => {
            ("When the last handshake was, seconds since 1970.", "gauge")
        }
        "wireguard_packets_dropped_total" => ("Packets dropped, by reason.", "counter"),
        "wireguard_peers" => ("Peers of the interface.", "gauge"),
        _ if name.ends_with("_total") => ("A count of the tunnel.", "counter"),
        _ => ("A figure of the tunnel.", "gauge"),
    }
}

fn add_services<'a>(page: &mut Page, services: impl IntoIterator<Item = &'a Supervised>) {
    for service in services {
        let condition = service.condition();
        let labels = [("service", service.name())];
        page.gauge(
            "swarm_service_ready",
            "Whether the server answers.",
            &labels,
            flag(condition.ready),
        );
        page.counter(
            "swarm_service_restarts_total",
            "How often the server was started again.",
            &labels,
            number(condition.restarts),
        );
    }
}

fn add_front(page: &mut Page, hub: &Hub) {
    for (name, value) in hub.front.counters().iter() {
        let labels = [("outcome", name)];
        page.counter(
            "swarm_front_events_total",
            "What happened at the rooms' front.",
            &labels,
            number(value),
        );
    }
}

async fn add_nats(page: &mut Page, monitor_port: u16) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, monitor_port));
    let varz = http::get(address, "/varz")
        .await
        .ok()
        .and_then(|body| Varz::parse(&body).ok());
    let jsz = http::get(address, "/jsz")
        .await
        .ok()
        .and_then(|body| Jsz::parse(&body).ok());
    page.gauge(
        "nats_up",
        "Whether the server's monitoring answers.",
        &[],
        flag(varz.is_some()),
    );
    page.add_all(varz.iter().flat_map(Varz::metrics));
    page.add_all(jsz.iter().flat_map(Jsz::metrics));
}

async fn add_synapse(page: &mut Page, shared: &Shared) {
    let address = SocketAddr::from((
        Ipv4Addr::LOCALHOST,
        shared.member.plan().matrix().metrics_port,
    ));
    let text = http::get(address, "/_synapse/metrics").await;
    page.gauge(
        "synapse_up",
        "Whether the server's metrics answer.",
        &[],
        flag(text.is_ok()),
    );
    if let Ok(text) = text {
        page.add_text(&String::from_utf8_lossy(&text), "synapse_");
    }
}
