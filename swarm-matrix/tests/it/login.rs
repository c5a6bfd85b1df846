//! Which login tokens a homeserver takes.

use serde_json::json;
use swarm_matrix::{Error, Localpart, Session, SessionConfig, TokenError, TokenIssuer};

use crate::swarm::{Bare, now, session, soon, user};
use crate::synapse::{issuer, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_forged_and_foreign_tokens_are_refused() {
    let Some(synapse) = shared("expired_forged_and_foreign_tokens_are_refused") else {
        return;
    };
    let bare = Bare::new(synapse);
    let name = Localpart::parse("visitor").unwrap();
    let log_in = async |token: &str| {
        let body = json!({"type": "org.matrix.login.jwt", "token": token});
        bare.call("POST", "login", Some(body)).await
    };
    let seconds = now().as_secs();
    let good = issuer().issue(&name, seconds, &[1; 16]).unwrap();
    assert_eq!(log_in(good.expose()).await.1["user_id"], "@visitor:swarm");

    // Synapse allows two minutes for clocks that disagree.
    let expired = issuer().issue(&name, seconds - 300, &[2; 16]).unwrap();
    let early = issuer().issue(&name, seconds + 600, &[3; 16]).unwrap();
    let foreign = TokenIssuer::from_seed(&[1; 32])
        .unwrap()
        .issue(&name, seconds, &[4; 16])
        .unwrap();
    let mut forged = good.expose().to_owned();
    forged.replace_range(40..41, if &forged[40..41] == "A" { "B" } else { "A" });
    for token in [expired.expose(), early.expose(), foreign.expose(), &forged] {
        let (status, answer) = log_in(token).await;
        assert_eq!(
            (status, &answer["errcode"]),
            (403, &json!("M_FORBIDDEN")),
            "{answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_tells_a_refusal_from_a_homeserver_that_is_away() {
    let test = "a_session_tells_a_refusal_from_a_homeserver_that_is_away";
    let Some(synapse) = shared(test) else { return };
    let dir = tempfile::tempdir().unwrap();
    let refused = SessionConfig::new(synapse.endpoint(), user("x"), dir.path(), || async {
        Err(TokenError::Refused("the certificate is revoked".to_owned()))
    });
    let error = Session::login(refused).await.err().unwrap();
    assert!(matches!(error, Error::Revoked(_)), "{error}");

    let nobody = swarm_matrix::Endpoint::loopback("http://127.0.0.1:9").unwrap();
    let away = SessionConfig::new(nobody, user("x"), dir.path(), || async {
        Ok(crate::swarm::token("x"))
    });
    let error = Session::login(away).await.err().unwrap();
    assert!(
        matches!(error, Error::Unreachable(_)) && error.is_transient(),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_given_up_leaves_nothing_behind() {
    let Some(synapse) = shared("a_device_given_up_leaves_nothing_behind") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let leaver = session(synapse, "leaver", dir.path()).await;
    soon("logout", leaver.logout()).await.unwrap();
    assert!(!dir.path().join("session.json").exists());
    assert!(!dir.path().join("devices").exists());
    let bare = Bare::login(synapse, "leaver").await;
    let (_, devices) = bare.call("GET", "devices", None).await;
    assert_eq!(devices["devices"].as_array().unwrap().len(), 1, "{devices}");
}
