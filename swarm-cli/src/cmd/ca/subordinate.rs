//! `swarm ca subordinate`: an issuing authority of another hub or region, below this swarm's root.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use swarm_pki::Timestamp;
use swarm_pki::store::{AuthorityGrant, AuthorityRequest};

use crate::args::Global;
use crate::input;
use crate::report::{Failure, Output, chain};

use super::RootArguments;

/// The longest grant for an authority that is read, in bytes.
const LONGEST: usize = 128 * 1024 * 1024;

/// Let another machine issue below this swarm's root
///
/// There: swarm ca init --below FINGERPRINT prints the request. Here, with the root's key: swarm ca
/// subordinate sign. There: swarm ca subordinate accept.
#[derive(Debug, Subcommand)]
pub(super) enum Subordinate {
    Request(Request),
    Sign(Sign),
    Accept(Accept),
}

impl Subordinate {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        match self {
            Self::Request(command) => command.run(global, output),
            Self::Sign(command) => command.run(global, output),
            Self::Accept(command) => command.run(global, output),
        }
    }
}

/// On the other machine: print the request that waits, or make one for the next generation
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca subordinate request > north.request")]
pub(super) struct Request {}

impl Request {
    fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        let request = store.request_authority(&crate::cmd::requester(), Timestamp::now())?;
        let text = request.to_pem();
        output.show(&json!({ "request": text }), || text)
    }
}

/// On the root's machine: certify the other authority, and print the grant
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm ca subordinate sign --label north --passphrase-file pass north.request > north.grant"
)]
pub(super) struct Sign {
    /// A file with the request; - or nothing for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// What the authority is called: a hub, a region
    #[arg(long)]
    label: String,
    #[command(flatten)]
    root: RootArguments,
}

impl Sign {
    fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let text = input::text(self.file.as_deref(), 4 * swarm_pki::MAX_REQUEST_BYTES)?;
        let request = AuthorityRequest::from_pem(text.trim())
            .map_err(|error| Failure::input(format!("this is no request: {}", chain(&error))))?;
        let root = self.root.read()?;
        let grant = super::open(global)?.sign_subordinate(
            &request,
            &self.label,
            &root.access(),
            &crate::cmd::requester(),
            Timestamp::now(),
        )?;
        crate::cmd::tell_hub(global);
        let text = grant.to_pem()?;
        let value = json!({ "subject": grant.certificate.subject(), "grant": text });
        output.show(&value, || text)
    }
}

/// On the other machine: take the grant; from then on it issues
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca subordinate accept north.grant")]
pub(super) struct Accept {
    /// A file with the grant; - or nothing for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Accept {
    fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let text = input::text(self.file.as_deref(), LONGEST)?;
        let grant = AuthorityGrant::from_pem(&text)?;
        let store = super::open(global)?;
        store.accept_authority(&grant, &crate::cmd::requester(), Timestamp::now())?;
        crate::cmd::tell_hub(global);
        let (generation, certificate) = store.issuing()?;
        let value = json!({ "issuing": certificate.subject(), "generation": generation });
        output.show(&value, || format!("{} issues now", certificate.subject()))
    }
}
