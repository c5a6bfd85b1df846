//! `swarm ca`: everything that the authority on this machine does, one command a file.

mod audit;
mod backup;
mod crl;
mod init;
mod issue;
mod list;
mod reenroll;
mod revoke;
mod rollover;
mod settings;
mod show;
mod subordinate;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;
use swarm::Layout;
use swarm_pki::store::{RootAccess, Store};
use swarm_pki::{Certificate, RevocationList};
use zeroize::Zeroizing;

use crate::args::Global;
use crate::input;
use crate::report::{Failure, Output};

/// Run the authority on this machine; verify certificates of any
#[derive(Debug, clap::Args)]
pub(crate) struct Ca {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Show(show::Show),
    List(list::List),
    Issue(issue::Issue),
    Renew(issue::Renew),
    Revoke(revoke::Revoke),
    Crl(crl::Crl),
    #[command(subcommand)]
    Rollover(rollover::Rollover),
    Audit(audit::Audit),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Adopt(backup::Adopt),
    Export(audit::Export),
    Pending(reenroll::Pending),
    Approve(reenroll::Approve),
    Deny(reenroll::Deny),
    #[command(subcommand)]
    Subordinate(subordinate::Subordinate),
    DetachRoot(init::DetachRoot),
    Settings(settings::Settings),
    Verify(verify::Verify),
}

impl Ca {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Init(command) => command.run(global, output),
            Command::Show(command) => command.run(global, output),
            Command::List(command) => command.run(global, output),
            Command::Issue(command) => command.run(global, output),
            Command::Renew(command) => command.run(global, output),
            Command::Revoke(command) => command.run(global, output),
            Command::Crl(command) => command.run(global, output),
            Command::Rollover(command) => command.run(global, output),
            Command::Audit(command) => command.run(global, output),
            Command::Backup(command) => command.run(global, output),
            Command::Restore(command) => command.run(global, output),
            Command::Adopt(command) => command.run(global, output),
            Command::Export(command) => command.run(global),
            Command::Pending(command) => command.run(global, output),
            Command::Approve(command) => command.run(global, output),
            Command::Deny(command) => command.run(global, output),
            Command::Subordinate(command) => command.run(global, output),
            Command::DetachRoot(command) => command.run(global, output),
            Command::Settings(command) => command.run(global, output),
            Command::Verify(command) => return command.run(output),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Opens the authority of the swarm's directory; it needs no `swarm.toml`.
fn open(global: &Global) -> Result<Store, Failure> {
    let directory = Layout::new(&global.dir)?.authority();
    if !directory.exists() {
        return Err(swarm::Error::NoAuthority { directory }.into());
    }
    Ok(Store::open(&directory)?)
}

/// How the root signs, for what only the root can sign.
#[derive(Debug, clap::Args)]
struct RootArguments {
    /// The root's key file, when it is not with the authority: on a USB stick
    #[arg(long, value_name = "FILE")]
    root_key: Option<PathBuf>,
    /// A file whose first line is the passphrase of the root's key
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl RootArguments {
    fn read(self) -> Result<RootKey, Failure> {
        let passphrase = self.passphrase_file.as_deref().map(input::passphrase);
        Ok(RootKey {
            file: self.root_key,
            passphrase: passphrase.transpose()?,
        })
    }
}

/// The root's key as far as the operator has told.
struct RootKey {
    file: Option<PathBuf>,
    passphrase: Option<Zeroizing<Vec<u8>>>,
}

impl RootKey {
    fn access(&self) -> RootAccess<'_> {
        let passphrase = self
            .passphrase
            .as_ref()
            .map(|passphrase| passphrase.as_slice());
        match (&self.file, passphrase) {
            (Some(path), passphrase) => RootAccess::KeyFile { path, passphrase },
            (None, Some(passphrase)) => RootAccess::Passphrase(passphrase),
            (None, None) => RootAccess::Stored,
        }
    }
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

/// Writes a file that must not be there yet.
fn write_new(path: &Path, contents: &str, mode: u32) -> Result<(), Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| {
            file.write_all(contents.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .map_err(|error| Failure::input(format!("cannot write {}: {error}", path.display())))
}
