//! `swarm ca backup`, `restore` and `adopt`: the authority saved, and brought back without taking anything back.

use std::path::{Path, PathBuf};

use serde_json::json;
use swarm::Layout;
use swarm_pki::store::Store;
use swarm_pki::{MAX_BUNDLE_BYTES, Timestamp, TrustBundle};

use crate::args::Global;
use crate::input;
use crate::report::{Failure, Output, chain};

/// The longest backup that is read, in bytes.
const LONGEST: usize = 1024 * 1024 * 1024;

/// Write everything that the authority is into one file, its keys encrypted
///
/// A root's key that lives elsewhere is not in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca backup --passphrase-file pass /media/usb/ca.backup")]
pub(super) struct Backup {
    /// The new file
    file: PathBuf,
    /// A file whose first line is the passphrase that the backup is to have
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,
}

impl Backup {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let passphrase = input::passphrase(&self.passphrase_file)?;
        let store = super::open(global)?;
        let text = store.backup(&passphrase, Timestamp::now())?;
        super::write_new(&self.file, &text, 0o600)?;
        let value = json!({ "file": self.file, "bytes": text.len() });
        output.show(&value, || {
            format!("{} bytes in {}", text.len(), self.file.display())
        })
    }
}

/// Bring an authority back from its backup
///
/// What was revoked since the backup must stay revoked: give the trust bundle of at least one node
/// (nodes/<id>/trust.bundle), the newest there is. Without one the authority comes back, but signs nothing
/// before one was adopted (swarm ca adopt).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm ca restore --passphrase-file pass --bundle edge1/trust.bundle /media/usb/ca.backup"
)]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    /// A file whose first line is the backup's passphrase
    #[arg(long, value_name = "FILE")]
    passphrase_file: PathBuf,
    /// A node's trust bundle; may be repeated
    #[arg(long, value_name = "FILE")]
    bundle: Vec<PathBuf>,
}

impl Restore {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let passphrase = input::passphrase(&self.passphrase_file)?;
        let text = input::text(Some(&self.file), LONGEST)?;
        let bundles = self
            .bundle
            .iter()
            .map(|path| read_bundle(path))
            .collect::<Result<Vec<_>, _>>()?;
        let directory = Layout::new(&global.dir)?.authority();
        let requester = crate::cmd::requester();
        let now = Timestamp::now();
        let store = Store::restore(&directory, &text, &passphrase, &bundles, &requester, now)?;
        let settled = store.is_settled()?;
        let value = json!({ "directory": directory, "settled": settled });
        output.show(&value, || {
            let next = if settled {
                "it signs again"
            } else {
                "it signs nothing before it has learnt what was revoked since: swarm ca adopt BUNDLE"
            };
            format!("the authority is back in {}; {next}", directory.display())
        })
    }
}

/// Let a restored authority learn from a node's trust bundle what it issued and revoked since its backup
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca adopt nodes/edge1/trust.bundle")]
pub(super) struct Adopt {
    /// A node's trust bundle; may be repeated
    #[arg(value_name = "FILE", required_unless_present = "without_bundle")]
    bundle: Vec<PathBuf>,
    /// No node has a bundle any more: sign again all the same. What was revoked since the backup then counts
    /// as revoked only for nodes that remember it
    #[arg(long, conflicts_with = "bundle")]
    without_bundle: bool,
}

impl Adopt {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        let now = Timestamp::now();
        if self.without_bundle {
            store.settle_without_bundle(&crate::cmd::requester(), now)?;
        }
        let (mut revocations, mut certificates, mut root_due) = (0, 0, false);
        for path in &self.bundle {
            let adoption = store.adopt(&read_bundle(path)?, now)?;
            revocations += adoption.revocations;
            certificates += adoption.certificates;
            root_due |= adoption.root_due;
        }
        crate::cmd::tell_hub(global);
        let settled = store.is_settled()?;
        let value = json!({
            "revocations": revocations, "certificates": certificates, "root_due": root_due, "settled": settled,
        });
        output.show(&value, || {
            let mut text =
                format!("learnt of {certificates} certificates and {revocations} revocations");
            if root_due {
                text.push_str("\nthe root's list has to name more: swarm ca crl --root");
            }
            if !settled {
                text.push_str(
                    "\nthere was no list of this authority in it: it still signs nothing",
                );
            }
            text
        })
    }
}

/// Reads a trust bundle, PEM as nodes keep it or DER as they exchange it.
fn read_bundle(path: &Path) -> Result<TrustBundle, Failure> {
    let unreadable =
        |error: &dyn std::fmt::Display| Failure::input(format!("{}: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
    if bytes.len() > 2 * MAX_BUNDLE_BYTES {
        return Err(unreadable(&"it is too long"));
    }
    let bundle = match std::str::from_utf8(&bytes) {
        Ok(text) if text.starts_with("-----BEGIN ") => TrustBundle::from_pem(text),
        _ => TrustBundle::from_der(&bytes),
    };
    bundle.map_err(|error| unreadable(&chain(&error)))
}
