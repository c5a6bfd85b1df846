//! Sessions of tests, and what waits for them.

use std::future::Future;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use swarm_matrix::{
    Body, Localpart, LoginToken, Message, Messages, Received, Session, SessionConfig, SessionState,
    TokenError, UserId,
};

use crate::synapse::{SERVER_NAME, Synapse, issuer};

/// How long a test waits for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("nothing within {LIMIT:?}: {what}"),
    }
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(format!("@{name}:{SERVER_NAME}")).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "tests stand in for a shell")]
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

pub(crate) fn now_ms() -> u64 {
    now().as_millis().try_into().unwrap()
}

pub(crate) fn token(name: &str) -> LoginToken {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).unwrap();
    issuer()
        .issue(&Localpart::parse(name).unwrap(), now().as_secs(), &id)
        .unwrap()
}

pub(crate) fn config(synapse: &Synapse, name: &str, store: &Path) -> SessionConfig {
    let localpart = name.to_owned();
    SessionConfig::new(synapse.endpoint(), user(name), store, move || {
        let token = token(&localpart);
        async move { Ok::<_, TokenError>(token) }
    })
}

/// A session that is up to date.
pub(crate) async fn session(synapse: &Synapse, name: &str, store: &Path) -> Session {
    let session = soon("login", Session::login(config(synapse, name, store)))
        .await
        .unwrap();
    session.connected(LIMIT).await.unwrap();
    session
}

/// The next message that could be read.
pub(crate) async fn next(messages: &mut Messages) -> Message {
    soon("message", messages.next_message())
        .await
        .expect("the session goes on")
}

/// Everything up to the text given.
pub(crate) async fn until_text(messages: &mut Messages, text: &str) -> Vec<Received> {
    let mut all = Vec::new();
    loop {
        let received = soon(text, messages.next())
            .await
            .expect("the session goes on");
        let found = matches!(&received, Received::Message(message)
            if message.body == Body::Text(text.to_owned()));
        all.push(received);
        if found {
            return all;
        }
    }
}

pub(crate) async fn state(
    session: &Session,
    what: &str,
    wanted: impl FnMut(&SessionState) -> bool,
) {
    soon(what, session.state().wait_for(wanted)).await.unwrap();
}

/// The client-server API, bare: a client that keeps to nothing.
pub(crate) struct Bare {
    http: reqwest::Client,
    url: String,
    pub(crate) token: String,
}

impl Bare {
    pub(crate) async fn login(synapse: &Synapse, name: &str) -> Self {
        let mut bare = Self::new(synapse);
        let body = json!({"type": "org.matrix.login.jwt", "token": token(name).expose()});
        let (status, answer) = bare.call("POST", "login", Some(body)).await;
        assert_eq!(status, 200, "{answer}");
        bare.token = answer["access_token"].as_str().unwrap().to_owned();
        bare
    }

    pub(crate) fn new(synapse: &Synapse) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .build()
            .unwrap();
        Self {
            http,
            url: synapse.url(),
            token: String::new(),
        }
    }

    pub(crate) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}/_matrix/client/v3/{path}", self.url);
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, url).timeout(LIMIT);
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
        )
    }
}

/// A name as part of a path.
pub(crate) fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
