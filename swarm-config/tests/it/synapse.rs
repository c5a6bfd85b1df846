//! Synapse, started with what is rendered.

use std::process::Command;

use rcgen::{KeyPair, PKCS_ED25519, SigningKey as _};
use swarm_config::{PublicKeyPem, Renderer};

use crate::fixture::{id, layout, members, plan};
use crate::programs::{
    Server, http, http_get, in_namespace, python_with_synapse, skip, succeed, write,
};

/// A signed login (RFC 7519, RFC 8037).
fn token(signer: &KeyPair, user: &str) -> String {
    let header = base64url(br#"{"alg":"EdDSA","typ":"JWT"}"#);
    let claims = base64url(format!("{{\"sub\":\"{user}\",\"exp\":4102444800}}").as_bytes());
    let signature = signer
        .sign(format!("{header}.{claims}").as_bytes())
        .unwrap();
    format!("{header}.{claims}.{}", base64url(&signature))
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(word >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

fn log_in(token: &str) -> String {
    let body = format!("{{\"type\":\"org.matrix.login.jwt\",\"token\":\"{token}\"}}");
    http("127.0.0.1:8008", "POST", "/_matrix/client/v3/login", &body).unwrap()
}

#[test]
fn synapse_starts_from_nothing_and_takes_signed_logins_alone() {
    const TEST: &str = "synapse::synapse_starts_from_nothing_and_takes_signed_logins_alone";
    let Some(python) = python_with_synapse() else {
        return skip(TEST, "no Python with Synapse");
    };
    if !in_namespace(TEST) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (plan, node) = (plan(), id("command0"));
    let layout = layout(directory.path().to_str().unwrap());
    let members = members(&plan);
    let renderer = Renderer::new(&plan, &layout, &node, &members);
    let signer = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let login_key = PublicKeyPem::parse(&signer.public_key_pem()).unwrap();
    write(directory.path(), &renderer.synapse(&login_key).unwrap());
    std::fs::create_dir_all(layout.matrix_data()).unwrap();

    let mut command = Command::new(&python);
    command.args([
        "-m",
        "synapse.app.homeserver",
        "-c",
        &layout.homeserver_yaml(),
    ]);
    let mut server = Server::start(&mut command, &directory.path().join("log"));
    server.wait_healthy("127.0.0.1:8008", "/health");
    let log = server.log();
    let complaint = log.lines().find(|line| {
        line.contains("ERROR")
            || (line.contains("WARNING") && !line.contains("synapse.config.logger"))
    });
    assert_eq!(complaint, None, "{log}");

    let login = http_get("127.0.0.1:8008", "/_matrix/client/v3/login").unwrap();
    let flows = login.split("\r\n\r\n").nth(1).unwrap();
    assert!(flows.contains("org.matrix.login.jwt"), "{flows}");
    // The administrator alone has a password.
    assert!(flows.contains("m.login.password"), "{flows}");
    let answer = log_in(&token(&signer, "edge1"));
    assert!(
        answer.contains(" 200 ") && answer.contains("\"@edge1:swarm\""),
        "{answer}"
    );
    let forger = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let answer = log_in(&token(&forger, "edge1"));
    assert!(answer.contains(" 403 "), "{answer}");

    // The first account comes by the registration secret.
    let mut register = Command::new(&python);
    register.args(["-m", "synapse._scripts.register_new_matrix_user"]);
    register.args([
        "-c",
        &layout.homeserver_yaml(),
        "-u",
        "root",
        "-p",
        "unused",
        "--admin",
    ]);
    succeed(register.arg("http://127.0.0.1:8008"));

    let metrics = http_get("127.0.0.1:9009", "/metrics").unwrap();
    assert!(metrics.contains("synapse_"), "{metrics}");
    // Neither listener is anywhere else.
    for address in ["10.77.0.1:8008", "10.77.0.1:9009"] {
        assert_eq!(http_get(address, "/health"), None, "{address}");
    }
    let known = http_get("127.0.0.1:8008", "/.well-known/matrix/client").unwrap();
    assert!(known.contains("https://10.77.0.1:8448"), "{known}");
    for made in [
        layout.matrix_signing_key(),
        layout.matrix_registration_secret(),
    ] {
        assert!(std::fs::metadata(&made).is_ok(), "{made}");
    }
}
