//! Every rendered file, given to the program that reads it for a check.

use std::process::Command;

use swarm_config::{Renderer, Scrape};

use crate::fixture::{id, layout, login_key, members, plan};
use crate::programs::{find, python_with_synapse, run, skip, succeed, write};

fn rendered(scrape: Scrape) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let (plan, node) = (plan(), id("command0"));
    let layout = layout(directory.path().to_str().unwrap());
    let members = members(&plan);
    let mut renderer = Renderer::new(&plan, &layout, &node, &members);
    renderer.scrape = scrape;
    renderer.program = swarm_config::AbsolutePath::parse("/bin/true").unwrap();
    write(directory.path(), &renderer.all(Some(&login_key())).unwrap());
    directory
}

#[test]
fn wg_quick_reads_the_tunnel() {
    let Some(wg_quick) = find("wg-quick") else {
        return skip("wg_quick_reads_the_tunnel", "no wg-quick");
    };
    let directory = rendered(Scrape::Loopback);
    let path = directory.path().join("wireguard/wg0.conf");
    let stripped = succeed(Command::new(wg_quick).arg("strip").arg(path));
    assert_eq!(stripped.matches("[Peer]").count(), 2, "{stripped}");
    // What wg-quick does itself is stripped, what wg does is left.
    assert!(
        !stripped.contains("PostUp") && stripped.contains("ListenPort = 51820"),
        "{stripped}"
    );
}

#[test]
fn promtool_reads_the_scrape_configuration() {
    let Some(promtool) = find("promtool") else {
        return skip("promtool_reads_the_scrape_configuration", "no promtool");
    };
    for scrape in [Scrape::Loopback, Scrape::Mesh] {
        let directory = rendered(scrape);
        let path = directory.path().join("prometheus/scrape.yml");
        succeed(
            Command::new(&promtool)
                .args(["check", "config", "--syntax-only"])
                .arg(path),
        );
    }
}

#[test]
fn systemd_reads_the_unit() {
    let Some(analyze) = find("systemd-analyze") else {
        return skip("systemd_reads_the_unit", "no systemd-analyze");
    };
    let directory = rendered(Scrape::Loopback);
    let path = directory.path().join("systemd/swarm.service");
    let output = run(Command::new(analyze)
        .args(["verify", "--man=no"])
        .arg(&path));
    let text = String::from_utf8_lossy(&output.stderr);
    // The machine's own units may be at fault too; every complaint names its unit.
    let ours: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("swarm.service"))
        .collect();
    assert_eq!(ours, [] as [&str; 0], "{text}");
}

#[test]
fn nats_server_reads_the_bus() {
    let Some(server) = find("nats-server") else {
        return skip("nats_server_reads_the_bus", "no nats-server");
    };
    let directory = rendered(Scrape::Loopback);
    // The check reads the certificates as well: any will do.
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["command0.swarm.internal".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let node = directory.path().join("nodes/command0");
    std::fs::create_dir_all(&node).unwrap();
    std::fs::write(node.join("tls.key"), key.serialize_pem()).unwrap();
    std::fs::write(node.join("tls.crt"), &certificate).unwrap();
    std::fs::write(node.join("trust.pem"), &certificate).unwrap();
    let path = directory.path().join("nats/nats-server.conf");
    succeed(Command::new(server).arg("-t").arg("-c").arg(path));
}

#[test]
fn synapse_reads_the_rooms() {
    let Some(python) = python_with_synapse() else {
        return skip("synapse_reads_the_rooms", "no Python with Synapse");
    };
    let directory = rendered(Scrape::Loopback);
    // The check reads both secrets, which Synapse makes when it starts.
    let matrix = directory.path().join("matrix");
    let seed = "A".repeat(43);
    std::fs::write(
        matrix.join("signing.key"),
        format!("ed25519 a_test {seed}\n"),
    )
    .unwrap();
    std::fs::write(matrix.join("registration.secret"), "secret\n").unwrap();
    let path = matrix.join("homeserver.yaml");
    succeed(
        Command::new(python)
            .args(["-m", "synapse.config", "-c"])
            .arg(path),
    );
}
