//! `swarm request`, `swarm grant`, `swarm accept`: a machine joins without a connection.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;
use swarm::{Authority, Layout};
use swarm_pki::{CertificateRequest, Fingerprint, NodeId, Role, SwarmName};

use crate::args::Global;
use crate::input;
use crate::report::{Failure, Output, chain};

/// Ask for a certificate without a connection: makes this machine's keys and prints the request
///
/// Carry the request to the hub, have it granted there (swarm grant), and bring the grant back (swarm
/// accept). The request is no secret; the keys stay here.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm request edge7 --swarm cabins > edge7.request")]
pub(crate) struct Request {
    /// The id that this machine hopes for
    id: NodeId,
    /// The swarm that it hopes to join
    #[arg(long, default_value = "swarm", value_name = "NAME")]
    swarm: SwarmName,
}

impl Request {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let layout = Layout::new(&global.dir)?;
        let text = swarm::request(&layout, &self.swarm, &self.id)?;
        let value = json!({ "node": self.id, "swarm": self.swarm, "request": text });
        output.show(&value, || text)
    }
}

/// Grant a request that was carried here: prints the grant, to be carried back
///
/// What the node becomes is decided here, by its id, the roles given and swarm.toml; nothing that the request
/// wishes for counts. The grant is no secret, and whoever carries it cannot change it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm grant edge7 edge7.request > edge7.grant")]
pub(crate) struct Grant {
    /// The new node's id
    id: NodeId,
    /// A file with the request; - or nothing for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A role of the node; may be repeated. Default: as swarm.toml has it, else edge
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<Role>,
}

impl Grant {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let text = input::text(self.file.as_deref(), 4 * swarm_pki::MAX_REQUEST_BYTES)?;
        let request = CertificateRequest::from_pem(text.trim())
            .map_err(|error| Failure::input(format!("this is no request: {}", chain(&error))))?;
        let authority = Authority::open(Layout::new(&global.dir)?)?;
        let roles = BTreeSet::from_iter(self.roles);
        let grant = authority.grant_request(&request, &self.id, roles, &super::requester())?;
        super::tell_hub(global);
        let text = grant
            .to_pem()
            .map_err(|error| Failure::failed(chain(&error)))?;
        let root = authority.store().root()?.fingerprint();
        let certificate = grant.certificate();
        let value = json!({
            "node": self.id, "serial": certificate.serial().to_string(),
            "not_after": certificate.not_after().to_string(),
            "root_fingerprint": root.to_string(), "grant": text,
        });
        if !output.is_json() {
            eprintln!("on the machine: swarm accept --root {root} FILE");
        }
        output.show(&value, || text)
    }
}

/// Accept the grant that was carried here: this machine becomes the node
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm accept --root 6f1c…e2 edge7.grant && swarm up")]
pub(crate) struct Accept {
    /// A file with the grant; - or nothing for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The root's SHA-256 fingerprint, learnt by another way than the grant (swarm ca show prints it);
    /// default: the root that this machine trusts already
    #[arg(long, value_name = "FINGERPRINT")]
    root: Option<Fingerprint>,
}

impl Accept {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let text = input::text(
            self.file.as_deref(),
            swarm_pki::enroll::MAX_GRANT_FILE_BYTES,
        )?;
        let joined = swarm::accept(&Layout::new(&global.dir)?, &text, self.root)?;
        super::join::show(&joined, &[], global, output)
    }
}
