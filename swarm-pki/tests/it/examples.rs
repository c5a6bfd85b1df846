//! Every example does what it says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::duplicate_mod, reason = "each example brings its fleet along")]

#[path = "../../examples/axum_server.rs"]
mod axum_server;
#[path = "../../examples/hyper_client.rs"]
mod hyper_client;
#[path = "../../examples/remote_signer.rs"]
mod remote_signer;
#[path = "../../examples/reqwest_client.rs"]
mod reqwest_client;
#[path = "../../examples/two_services.rs"]
mod two_services;

#[test]
fn two_services_know_each_other() {
    two_services::main().unwrap();
}

#[test]
fn an_axum_server_knows_its_callers() {
    axum_server::main().unwrap();
}

#[test]
fn a_hyper_client_keeps_a_connection() {
    hyper_client::main().unwrap();
}

#[test]
fn a_remote_signer_keeps_its_key() {
    if crate::fixture::program("a_remote_signer_keeps_its_key", "openssl").is_some() {
        remote_signer::main().unwrap();
    }
}

#[test]
fn a_reqwest_client_is_a_member() {
    reqwest_client::main().unwrap();
}
