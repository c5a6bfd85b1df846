//! `swarm ca`: what the authority holds, and whether a chain of certificates does.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use swarm::{Authority, Layout};
use swarm_pki::store::{KeyPlace, NodeRecord, NodeStatus};
use swarm_pki::verify::{ChainCheck, SubjectName, verify_chain};
use swarm_pki::{Certificate, RevocationList, Timestamp, Usage};

use crate::args::Global;
use crate::report::{Failure, Output, chain, table};

/// See what the authority on this machine holds; verify certificates
#[derive(Debug, clap::Args)]
pub(crate) struct Ca {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the root and the issuing authority, and check the log of what was issued
    #[command(after_help = "Example:\n  swarm ca show")]
    Show,
    /// List every certificate that was issued to a node
    #[command(
        after_help = "Example:\n  swarm ca list --json | jq '.[] | select(.status == \"live\")'"
    )]
    List,
    Verify(Verify),
}

impl Ca {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<ExitCode, Failure> {
        let open =
            || -> Result<Authority, Failure> { Ok(Authority::open(Layout::new(&global.dir)?)?) };
        match self.command {
            Command::Show => show(&open()?, output)?,
            Command::List => list(&open()?, output)?,
            Command::Verify(verify) => return verify.run(output),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(authority: &Authority, output: Output) -> Result<(), Failure> {
    let store = authority.store();
    let now = Timestamp::now();
    let root = store.root()?;
    let (generation, issuing) = store.issuing()?;
    let settings = store.settings()?;
    let log = store.verify()?;
    let lists: Vec<_> = store.bundle(now)?.crls.iter().map(describe_list).collect();
    let value = json!({
        "swarm": settings.swarm, "domain": settings.domain,
        "root": describe(&root), "root_key_encrypted": (store.root_key()? == KeyPlace::StoredEncrypted),
        "issuing": describe(&issuing), "issuing_generation": generation,
        "revocation_lists": lists, "log": log,
    });
    output.show(&value, || {
        let text = |name: &str, certificate: &Certificate| {
            format!(
                "{name:<8} {}\n         until {}, fingerprint {}",
                certificate.subject(),
                certificate.not_after(),
                certificate.fingerprint()
            )
        };
        let lists: Vec<_> = lists
            .iter()
            .map(|list| {
                format!(
                    "list     {} of {}: {} revoked, until {}",
                    word(&list["number"]),
                    word(&list["issuer"]),
                    list["revoked"],
                    word(&list["next_update"])
                )
            })
            .collect();
        format!(
            "swarm    {} ({})\n{}\n{}\n{}\nlog      intact, head {log}",
            settings.swarm,
            settings.domain,
            text("root", &root),
            text("issuing", &issuing),
            lists.join("\n"),
        )
    })
}

fn word(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn describe(certificate: &Certificate) -> serde_json::Value {
    json!({
        "subject": certificate.subject(), "serial": certificate.serial().to_string(),
        "not_before": certificate.not_before().to_string(), "not_after": certificate.not_after().to_string(),
        "fingerprint": certificate.fingerprint().to_string(), "pem": certificate.to_pem(),
    })
}

fn describe_list(list: &RevocationList) -> serde_json::Value {
    json!({
        "issuer": list.issuer(), "number": list.number().to_string(), "revoked": list.len(),
        "this_update": list.this_update().to_string(), "next_update": list.next_update().to_string(),
    })
}

fn list(authority: &Authority, output: Output) -> Result<(), Failure> {
    let records = authority.store().nodes(Timestamp::now())?;
    let value: Vec<_> = records
        .iter()
        .map(|record| {
            let identity = record.certificate.identity();
            json!({
                "node": identity.id, "serial": record.certificate.serial().to_string(), "status": status(record),
                "roles": identity.roles, "addresses": identity.addresses,
                "not_after": record.certificate.not_after().to_string(),
                "issued_at": record.issued_at.to_string(), "requester": record.requester,
            })
        })
        .collect();
    output.show(&value, || {
        let rows: Vec<_> = records.iter().map(row).collect();
        table(
            &["node", "status", "roles", "address", "until", "serial"],
            &rows,
        )
    })
}

fn row(record: &NodeRecord) -> Vec<String> {
    let identity = record.certificate.identity();
    let roles: Vec<_> = identity.roles.iter().map(ToString::to_string).collect();
    vec![
        identity.id.to_string(),
        status(record).to_owned(),
        roles.join(","),
        identity
            .addresses
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
        record.certificate.not_after().to_string(),
        record.certificate.serial().to_string(),
    ]
}

fn status(record: &NodeRecord) -> &'static str {
    match record.status {
        NodeStatus::Live => "live",
        NodeStatus::Expired => "expired",
        NodeStatus::Revoked(_) => "revoked",
        _ => "unknown",
    }
}

/// Verify a certificate: exits with 0 when the chain holds, 1 with the reason when not, 2 on unreadable
/// input
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm ca verify --root root.pem --intermediate issuing.pem --crl issuing.crl \
    --purpose client leaf.pem"
)]
struct Verify {
    /// A trusted root, PEM or DER; may be repeated
    #[arg(long, required = true, value_name = "FILE")]
    root: Vec<PathBuf>,
    /// Authorities that the path may lead over, PEM (one or more) or DER; may be repeated
    #[arg(long, value_name = "FILE")]
    intermediate: Vec<PathBuf>,
    /// A revocation list, PEM or DER; may be repeated. With any, each certificate of the path must be covered
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// The time to verify at, RFC 3339; default: now
    #[arg(long, value_name = "RFC3339")]
    at: Option<Timestamp>,
    /// The name that the certificate must bear: a DNS name, an address or a URI
    #[arg(long, value_name = "DNS|IP|URI")]
    name: Option<SubjectName>,
    /// The use that the certificate must allow
    #[arg(long, value_name = "server|client")]
    purpose: Option<PurposeArgument>,
    /// The certificate, PEM or DER; further certificates in the file are taken as intermediates
    leaf: PathBuf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PurposeArgument {
    Server,
    Client,
}

impl Verify {
    fn run(self, output: Output) -> Result<ExitCode, Failure> {
        let mut leaf = read_certificates(&self.leaf)?.into_iter();
        let Some(certificate) = leaf.next() else {
            return Err(Failure::input(format!(
                "{} has no certificate",
                self.leaf.display()
            )));
        };
        let mut check = ChainCheck::default();
        check.intermediates.extend(leaf);
        for path in &self.intermediate {
            check.intermediates.extend(read_certificates(path)?);
        }
        for path in &self.root {
            check.roots.extend(read_certificates(path)?);
        }
        for path in &self.crl {
            check.crls.push(read_list(path)?);
        }
        check.name = self.name;
        check.purpose = self.purpose.map(|purpose| match purpose {
            PurposeArgument::Server => Usage::Server,
            PurposeArgument::Client => Usage::Client,
        });
        match verify_chain(&certificate, &check, self.at.unwrap_or_else(Timestamp::now)) {
            Ok(verified) => {
                let path: Vec<_> = verified
                    .path
                    .iter()
                    .map(|certificate| certificate.subject().to_string())
                    .collect();
                let value = json!({ "ok": true, "path": path, "revocation_checked": verified.revocation_checked });
                let revocation = if verified.revocation_checked {
                    "not revoked"
                } else {
                    "revocation not checked"
                };
                output.show(&value, || {
                    format!("ok: {} ({revocation})", path.join(" ← "))
                })?;
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                let reason = chain(&error);
                output.show(&json!({ "ok": false, "reason": reason }), || {
                    format!("refused: {reason}")
                })?;
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let bytes = read(path)?;
    let certificates = match pem_text(&bytes) {
        Some(text) => Certificate::from_pem_chain(text),
        None => Certificate::from_der(&bytes).map(|certificate| vec![certificate]),
    };
    certificates.map_err(|error| Failure::input(format!("{}: {}", path.display(), chain(&error))))
}

fn read_list(path: &Path) -> Result<RevocationList, Failure> {
    let bytes = read(path)?;
    let list = match pem_text(&bytes) {
        Some(text) => RevocationList::from_pem(text),
        None => RevocationList::from_der(&bytes),
    };
    list.map_err(|error| Failure::input(format!("{}: {}", path.display(), chain(&error))))
}

fn pem_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.contains("-----BEGIN "))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::input(format!("cannot read {}: {error}", path.display())))
}
