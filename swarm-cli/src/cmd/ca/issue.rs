//! `swarm ca issue` and `swarm ca renew`: certificates for requests that were brought here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use swarm_pki::store::{Grant, Issued, NodeStatus, ServiceGrant};
use swarm_pki::{
    Certificate, CertificateRequest, DnsName, NodeId, Role, ServiceName, ServiceRequest, Timestamp,
};

use crate::args::Global;
use crate::input;
use crate::report::{Failure, Output, chain};

/// Issue a certificate for a request, and print it with the authority that issued it
///
/// What the certificate says is decided here and by the policies of the roles, never by the request. Nodes
/// join by an invite (swarm invite) or a grant (swarm grant) as a rule; this is for anything else. With
/// --service, ID names a service instead of a node, and any PKCS#10 request will do: openssl makes one.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm ca issue printer1 printer1.csr --service --dns printer1.cabins.internal > chain.pem"
)]
pub(super) struct Issue {
    /// The id of the node, or the name of the service
    id: NodeId,
    /// A file with the request, PKCS#10 PEM; - or nothing for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A role of the node; may be repeated
    #[arg(long = "role", value_name = "ROLE", conflicts_with = "service")]
    roles: Vec<Role>,
    /// An address; may be repeated, a node's own first
    #[arg(long = "address", value_name = "IP")]
    addresses: Vec<IpAddr>,
    /// A DNS name; may be repeated
    #[arg(long = "dns", value_name = "NAME")]
    dns: Vec<DnsName>,
    /// How long the certificate lives, such as 30d; default: as the settings have it
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    lifetime: Option<Duration>,
    /// Certify a service, which is no node: no WireGuard key, no roles, no place in the roster
    #[arg(long)]
    service: bool,
}

impl Issue {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let text = input::text(self.file.as_deref(), 4 * swarm_pki::MAX_REQUEST_BYTES)?;
        let store = super::open(global)?;
        let (requester, now) = (crate::cmd::requester(), Timestamp::now());
        if self.service {
            let request = ServiceRequest::from_pem(text.trim()).map_err(no_request)?;
            let name: ServiceName = self
                .id
                .as_str()
                .parse()
                .map_err(|error| Failure::input(chain(&error)))?;
            let mut grant = ServiceGrant::new(name);
            grant.addresses = self.addresses;
            grant.dns = self.dns;
            grant.lifetime = self.lifetime;
            let issued = store.issue_service(&request, &grant, &requester, now)?;
            return show(issued.certificate.certificate(), &issued.issuer, output);
        }
        let request = CertificateRequest::from_pem(text.trim()).map_err(no_request)?;
        let mut grant = Grant::new(self.id);
        grant.roles = BTreeSet::from_iter(self.roles);
        grant.addresses = self.addresses;
        grant.dns = self.dns;
        grant.lifetime = self.lifetime;
        let issued = store.issue(&request, &grant, &requester, now)?;
        crate::cmd::tell_hub(global);
        show_node(&issued, output)
    }
}

/// Renew a node's certificate for a request that was brought here, with what it was granted last
///
/// Running nodes renew by themselves; this is for one that cannot reach the authority.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca renew edge7 edge7.request > chain.pem")]
pub(super) struct Renew {
    /// The node's id
    id: NodeId,
    /// A file with the request; - or nothing for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Renew {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let text = input::text(self.file.as_deref(), 4 * swarm_pki::MAX_REQUEST_BYTES)?;
        let request = CertificateRequest::from_pem(text.trim()).map_err(no_request)?;
        let store = super::open(global)?;
        let now = Timestamp::now();
        let record = store
            .node(&self.id, now)?
            .ok_or_else(|| swarm_pki::store::Error::UnknownNode(self.id.clone()))?;
        if record.status != NodeStatus::Live {
            return Err(
                Failure::failed(format!("{} has no live certificate to renew", self.id))
                    .hint("let it join again: swarm grant, or swarm invite"),
            );
        }
        let requester = crate::cmd::requester();
        let issued = store.renew(&record.certificate, &request, &requester, now)?;
        crate::cmd::tell_hub(global);
        show_node(&issued, output)
    }
}

fn no_request(error: swarm_pki::RequestError) -> Failure {
    Failure::input(format!("this is no request: {}", chain(&error)))
}

fn show_node(issued: &Issued, output: Output) -> Result<(), Failure> {
    show(issued.certificate.certificate(), &issued.issuer, output)
}

fn show(certificate: &Certificate, issuer: &Certificate, output: Output) -> Result<(), Failure> {
    let text = format!("{}{}", certificate.to_pem(), issuer.to_pem());
    let value = json!({
        "serial": certificate.serial().to_string(), "subject": certificate.subject(),
        "not_after": certificate.not_after().to_string(), "chain": text,
    });
    output.show(&value, || text)
}
