//! `swarm ca revoke`: a node, one certificate, or an issuing authority.

use serde_json::json;
use swarm_pki::store::{AuthorityId, Target};
use swarm_pki::{NodeId, RevocationReason, SerialNumber, ServiceName, Timestamp};

use crate::args::Global;
use crate::report::{Failure, Output};

use super::RootArguments;

/// Revoke a node, a service, one certificate, or an issuing authority with all that it issued
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm ca revoke --serial 4f0c… --reason superseded\n  swarm ca revoke --authority issuing-2 \
    --reason ca-compromise --passphrase-file pass"
)]
pub(super) struct Revoke {
    #[command(flatten)]
    target: Which,
    /// Why, as RFC 5280 names reasons: key-compromise, cessation-of-operation, superseded, …
    #[arg(long, default_value = "unspecified")]
    reason: RevocationReason,
    #[command(flatten)]
    root: RootArguments,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The node whose certificates are revoked
    node: Option<NodeId>,
    /// The service whose certificates are revoked
    #[arg(long, value_name = "NAME")]
    service: Option<ServiceName>,
    /// The certificate that is revoked, by its serial number
    #[arg(long, value_name = "SERIAL")]
    serial: Option<SerialNumber>,
    /// The issuing authority that is revoked; needs the root's key
    #[arg(long, value_name = "issuing-N")]
    authority: Option<AuthorityId>,
}

impl Revoke {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        let (requester, now) = (crate::cmd::requester(), Timestamp::now());
        let (what, target) = match self.target {
            Which { node: Some(id), .. } => (id.to_string(), Target::Node(id)),
            Which {
                service: Some(name),
                ..
            } => (format!("the service {name}"), Target::Service(name)),
            Which {
                serial: Some(serial),
                ..
            } => (format!("the certificate {serial}"), Target::Serial(serial)),
            Which {
                authority: Some(AuthorityId::Issuing(generation)),
                ..
            } => {
                let root = self.root.read()?;
                let list = store.revoke_issuing(
                    generation,
                    self.reason,
                    &root.access(),
                    &requester,
                    now,
                )?;
                return show(global, output, &format!("issuing-{generation}"), &list);
            }
            _ => {
                return Err(Failure::input("a root is not revoked, it retires")
                    .hint("replace it: swarm ca rollover begin root"));
            }
        };
        let list = store.revoke(&target, self.reason, &requester, now)?;
        show(global, output, &what, &list)
    }
}

fn show(
    global: &Global,
    output: Output,
    what: &str,
    list: &swarm_pki::RevocationList,
) -> Result<(), Failure> {
    let told = crate::cmd::tell_hub(global);
    let value =
        json!({ "revoked": what, "crl_number": list.number().to_string(), "hub_told": told });
    output.show(&value, || {
        format!("{what} is revoked, in revocation list {}", list.number())
    })
}
