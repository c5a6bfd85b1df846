//! `swarm ca verify`: whether a chain of certificates holds, anybody's.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use swarm_pki::verify::{ChainCheck, SubjectName, verify_chain};
use swarm_pki::{Certificate, RevocationList, Timestamp, Usage};

use crate::report::{Failure, Output, chain};

/// Verify a certificate: exits with 0 when the chain holds, 1 with the reason when not, 2 on unreadable
/// input
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm ca verify --root root.pem --intermediate issuing.pem --crl issuing.crl \
    --purpose client leaf.pem"
)]
pub(super) struct Verify {
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
    pub(super) fn run(self, output: Output) -> Result<ExitCode, Failure> {
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
