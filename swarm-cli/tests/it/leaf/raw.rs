//! The protocols of leaf nodes and of clients, spoken by hand.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use swarm_bus::Token;
use swarm_bus::permissions::{Policy, Role};
use swarm_pki::tls::Expected;

use super::Site;
use crate::program::Swarm;

type Tls = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// Connects as NATS does, whose server speaks first; returns what it said.
fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<(String, Tls)> {
    let stream = TcpStream::connect(address)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let mut info = String::new();
    BufReader::with_capacity(1, &stream).read_line(&mut info)?;
    let connection = ClientConnection::new(config, address.ip().into()).unwrap();
    let tls = BufReader::new(StreamOwned::new(connection, stream));
    Ok((info, tls))
}

/// Speaks the leaf protocol, and obeys nothing that the hub says of permissions.
pub(super) struct Hostile(Tls);

impl Hostile {
    /// Connects with the certificate of a node, or none; `Err` with what the server said.
    pub(super) fn connect(site: &Site, swarm: Option<&Swarm>) -> Result<Self, String> {
        let hub = site.member(&site.hub);
        let text = |error: std::io::Error| error.to_string();
        let any = Expected::Role(swarm_pki::Role::hub());
        let config = match swarm {
            Some(swarm) => site.member(swarm).tls().client_config(any, &[]),
            None => {
                let trust = hub.tls().trust();
                let mut roots = rustls::RootCertStore::empty();
                for root in trust.roots() {
                    roots.add(root.der().clone()).unwrap();
                }
                let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
                let config = rustls::ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .unwrap()
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                Arc::new(config)
            }
        };
        let (info, tls) = connect(hub.plan().leaf_link_address(), config).map_err(text)?;
        assert!(info.contains("\"tls_verify\":true"), "{info}");
        let mut leaf = Self(tls);
        leaf.write(
            "CONNECT {\"version\":\"2.9.10\",\"tls_required\":true,\"server_id\":\"NX\",\"domain\":\
             \"edge1\",\"name\":\"edge1\",\"is_spoke\":true,\"jetstream\":true,\"headers\":true}\r\nPING\r\n",
        )
        .map_err(text)?;
        let said = leaf.until_pong();
        match said
            .iter()
            .find(|line| line.starts_with("-ERR") || line.starts_with("closed"))
        {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(leaf),
        }
    }

    pub(super) fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())?;
        self.0.get_mut().flush()
    }

    /// What the server says until it answers a ping, or ends.
    pub(super) fn until_pong(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line) {
                Ok(0) => said.push("closed".to_owned()),
                Err(error) => said.push(format!("closed: {error}")),
                Ok(_) if line.trim_end() == "PONG" => return said,
                Ok(_) if line.starts_with("PING") => {
                    let _ = self.write("PONG\r\n");
                    continue;
                }
                Ok(_) => {
                    said.push(line.trim_end().to_owned());
                    continue;
                }
            }
            return said;
        }
    }

    pub(super) fn publish(&mut self, subject: &str, payload: &str) {
        let length = payload.len();
        self.write(&format!("LMSG {subject} {length}\r\n{payload}\r\n"))
            .unwrap();
    }
}

/// Everything that a hub's account hears, from a user who may hear it.
pub(super) struct Listener(Tls);

impl Listener {
    pub(super) fn new(site: &Site) -> Self {
        let hub = site.member(&site.hub);
        let config = hub
            .tls()
            .client_config(Expected::Role(swarm_pki::Role::hub()), &[]);
        let (_, tls) = connect(hub.plan().nats_address(), config).unwrap();
        let mut listener = Self(tls);
        let mut subscriptions = String::new();
        let permissions = Policy::mesh().permissions(&Token::from_static("command0"), &[Role::Hub]);
        for (number, subject) in permissions.subscribe_allow.iter().enumerate() {
            subscriptions.push_str(&format!("SUB {subject} {number}\r\n"));
        }
        listener.say(&format!(
            "CONNECT {{\"verbose\":false,\"headers\":true}}\r\n{subscriptions}"
        ));
        listener
    }

    /// Sends lines, and returns the subjects of what came until the server answers.
    pub(super) fn say(&mut self, lines: &str) -> Vec<String> {
        self.0
            .get_mut()
            .write_all(format!("{lines}PING\r\n").as_bytes())
            .unwrap();
        let mut subjects = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let words: Vec<_> = line.split_whitespace().collect();
            match words.as_slice() {
                ["PONG"] => return subjects,
                ["MSG" | "HMSG", subject, .., length] => {
                    let mut body = vec![0; length.parse::<usize>().unwrap() + 2];
                    self.0.read_exact(&mut body).unwrap();
                    subjects.push((*subject).to_owned());
                }
                [error, ..] if *error == "-ERR" => panic!("{line}"),
                _ => {}
            }
        }
    }
}
