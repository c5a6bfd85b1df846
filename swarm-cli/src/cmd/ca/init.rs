//! `swarm ca init` and `swarm ca detach-root`: an authority, and where its root's key is.

use std::path::PathBuf;

use serde_json::json;
use swarm::Layout;
use swarm_pki::store::{AuthorityId, RootKey, Store, StoreSpec};
use swarm_pki::{Domain, Fingerprint, KeyAlgorithm, SwarmName, Timestamp};

use crate::args::Global;
use crate::input;
use crate::report::{Failure, Output};

/// Make an authority on this machine: a root and an issuing authority below it
///
/// `swarm bootstrap` makes one as well, together with a hub; this is for a root whose key lives elsewhere, for
/// an authority below another machine's root, and for a swarm without a hub. Names and lifetimes come from
/// swarm.toml where there is one.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm ca init --name cabins --domain cabins.internal --root-key /media/usb/root.key \
    --passphrase-file pass"
)]
pub(super) struct Init {
    /// The swarm's name, when there is no swarm.toml
    #[arg(long, default_value = "swarm")]
    name: SwarmName,
    /// The domain that node names are put under, when there is no swarm.toml; default: <name>.internal
    #[arg(long)]
    domain: Option<Domain>,
    /// The algorithm of the authorities' keys; nodes choose their own
    #[arg(long, value_enum, default_value = "p256")]
    algorithm: Algorithm,
    /// Put the root's key into this new file, on a USB stick for instance, and not on this machine
    #[arg(long, value_name = "FILE", conflicts_with = "below")]
    root_key: Option<PathBuf>,
    /// Encrypt the root's key with the passphrase that is the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "below")]
    passphrase_file: Option<PathBuf>,
    /// Make no root: this authority is to be certified by the root with this fingerprint, elsewhere. Prints
    /// the request, which swarm ca subordinate sign takes there
    #[arg(long, value_name = "FINGERPRINT")]
    below: Option<Fingerprint>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Algorithm {
    /// Every TLS stack and browser takes it
    P256,
    /// rustls, Go and OpenSSL take it, browsers do not
    Ed25519,
}

impl Init {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let layout = Layout::new(&global.dir)?;
        let directory = layout.authority();
        let mut spec = self.specification(&layout)?;
        spec.settings.key_algorithm = match self.algorithm {
            Algorithm::P256 => KeyAlgorithm::P256,
            Algorithm::Ed25519 => KeyAlgorithm::Ed25519,
        };
        let now = Timestamp::now();
        let requester = crate::cmd::requester();
        if let Some(root) = self.below {
            let (_, request) = Store::init_subordinate(&directory, spec, root, &requester, now)?;
            let text = request.to_pem();
            return output.show(&json!({ "request": text }), || text);
        }
        let passphrase = self.passphrase_file.as_deref().map(input::passphrase);
        let passphrase = passphrase.transpose()?;
        spec.root_key = match self.root_key {
            Some(path) => RootKey::File { path, passphrase },
            None => RootKey::Stored { passphrase },
        };
        let store = Store::init(&directory, spec, &requester, now)?;
        let settings = store.settings()?;
        let root = store.root()?;
        let value = json!({
            "swarm": settings.swarm, "domain": settings.domain,
            "root_fingerprint": root.fingerprint().to_string(), "directory": directory,
        });
        output.show(&value, || {
            format!(
                "authority of the swarm {} ({}) in {}\nroot fingerprint {}",
                settings.swarm,
                settings.domain,
                directory.display(),
                root.fingerprint()
            )
        })
    }

    fn specification(&self, layout: &Layout) -> Result<StoreSpec, Failure> {
        if layout.config().exists() {
            return Ok(swarm::specification(&swarm::read_plan(layout)?));
        }
        let domain = match &self.domain {
            Some(domain) => domain.clone(),
            None => format!("{}.internal", self.name)
                .parse()
                .map_err(|error| Failure::input(format!("give a --domain: {error}")))?,
        };
        Ok(StoreSpec::new(self.name.clone(), domain))
    }
}

/// Move the root's key out of the authority's directory, to a USB stick for instance
///
/// What was removed may stay readable on flash memory: a key that must never have been on this machine is put
/// elsewhere from the start (swarm ca init --root-key).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm ca detach-root /media/usb/root.key --passphrase-file pass"
)]
pub(super) struct DetachRoot {
    /// The new file
    to: PathBuf,
    /// Which root, when there are several: its generation
    #[arg(long, default_value_t = 1)]
    generation: u32,
    /// Encrypt a plain key with the passphrase that is the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl DetachRoot {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        let passphrase = self.passphrase_file.as_deref().map(input::passphrase);
        let passphrase = passphrase.transpose()?;
        store.detach_root(
            self.generation,
            &self.to,
            passphrase.as_ref().map(|passphrase| passphrase.as_slice()),
            &crate::cmd::requester(),
            Timestamp::now(),
        )?;
        let root = AuthorityId::Root(self.generation);
        let value = json!({ "root": root.to_string(), "key": self.to });
        output.show(&value, || {
            format!(
                "the key of {root} is in {} now, and not here",
                self.to.display()
            )
        })
    }
}
