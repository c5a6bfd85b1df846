//! `swarm ca crl`: the revocation lists, printed or signed anew.

use serde_json::json;
use swarm_pki::{RevocationList, Timestamp};

use crate::args::Global;
use crate::report::{Failure, Output};

use super::{RootArguments, describe_list};

/// Print the revocation lists as PEM, after signing anew those that are due
///
/// A hub that runs does so by itself, but for the root's list when the root's key is encrypted or elsewhere:
/// --root signs it, once a year.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca crl --root --passphrase-file pass > lists.pem")]
pub(super) struct Crl {
    /// Sign the root's list anew
    #[arg(long)]
    root: bool,
    #[command(flatten)]
    key: RootArguments,
}

impl Crl {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        let now = Timestamp::now();
        if self.root {
            let key = self.key.read()?;
            store.refresh_root_crl(&key.access(), &crate::cmd::requester(), now)?;
        }
        let refresh = store.refresh_crls(now)?;
        if refresh.root_due {
            eprintln!("the root's revocation list is due: swarm ca crl --root");
        }
        if self.root || !refresh.issued.is_empty() {
            crate::cmd::tell_hub(global);
        }
        let lists = store.bundle(now)?.crls;
        let value: Vec<_> = lists
            .iter()
            .map(|list| {
                let mut value = describe_list(list);
                value["pem"] = json!(list.to_pem());
                value
            })
            .collect();
        output.show(&value, || {
            lists.iter().map(RevocationList::to_pem).collect()
        })
    }
}
