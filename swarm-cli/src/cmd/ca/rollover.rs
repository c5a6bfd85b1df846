//! `swarm ca rollover`: an authority takes another's place, and no node is left behind unawares.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use swarm::Layout;
use swarm_pki::rollover::{Retirement, RolloverPhase};
use swarm_pki::store::{RolloverSpec, RolloverStatus, RootKey};
use swarm_pki::{NodeId, Timestamp};

use crate::args::Global;
use crate::input;
use crate::report::{Failure, Output};

use super::RootArguments;

/// Replace the issuing authority or the root, step by step
///
/// announced: the new authority is made and made known, nothing comes from it yet. trusted: every live node
/// has reported that it knows it. reissuing: certificates come from it, nodes renew. retiring: every live node
/// has one; the last step retires the old authority. No step is taken before every live node is ready for it.
#[derive(Debug, Subcommand)]
pub(super) enum Rollover {
    Begin(Begin),
    Status(Status),
    Advance(Advance),
    Abort(Abort),
}

impl Rollover {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        match self {
            Self::Begin(command) => command.run(global, output),
            Self::Status(command) => command.run(global, output),
            Self::Advance(command) => command.run(global, output),
            Self::Abort(command) => command.run(global, output),
        }
    }
}

/// Make the new authority, and make it known
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  swarm ca rollover begin issuing --passphrase-file pass\n  swarm ca rollover begin root \
    --root-key /media/usb/root.key --new-root-key /media/usb/root-2.key"
)]
pub(super) struct Begin {
    /// Which authority is replaced
    kind: Kind,
    /// Let the old issuing authority expire instead of revoking it in the end
    #[arg(long)]
    leave_to_expire: bool,
    #[command(flatten)]
    root: RootArguments,
    /// Put the new root's key into this new file and not on this machine
    #[arg(long, value_name = "FILE")]
    new_root_key: Option<PathBuf>,
    /// Encrypt the new root's key with the passphrase that is the first line of this file
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// The authority that issues for nodes
    Issuing,
    /// The root, and with it the issuing authority
    Root,
}

impl Begin {
    fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        let passphrase = self.new_passphrase_file.as_deref().map(input::passphrase);
        let passphrase = passphrase.transpose()?;
        let mut spec = match (self.kind, self.new_root_key) {
            (Kind::Issuing, _) => RolloverSpec::issuing(),
            (Kind::Root, Some(path)) => RolloverSpec::root(RootKey::File { path, passphrase }),
            (Kind::Root, None) => RolloverSpec::root(RootKey::Stored { passphrase }),
        };
        if self.leave_to_expire {
            spec.retirement = Retirement::LeftToExpire;
        }
        let root = self.root.read()?;
        let requester = crate::cmd::requester();
        store.begin_rollover(&spec, &root.access(), &requester, Timestamp::now())?;
        crate::cmd::tell_hub(global);
        show(global, output)
    }
}

/// Show how far the roll-over is, and for whom it waits
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca rollover status")]
pub(super) struct Status {}

impl Status {
    fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        show(global, output)
    }
}

/// Take the next step, when every live node is ready for it
///
/// The root's key is needed for the last step alone: to retire the old authority.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca rollover advance --leave-behind edge9")]
pub(super) struct Advance {
    /// Do not wait for this node: it has to join anew, or to be approved; may be repeated
    #[arg(long, value_name = "ID")]
    leave_behind: Vec<NodeId>,
    #[command(flatten)]
    root: RootArguments,
}

impl Advance {
    fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        let live = swarm::live_nodes(&Layout::new(&global.dir)?, &store)?;
        let leave_behind = BTreeSet::from_iter(self.leave_behind);
        let root = self.root.read()?;
        let requester = crate::cmd::requester();
        store.advance_rollover(
            &live,
            &leave_behind,
            &root.access(),
            &requester,
            Timestamp::now(),
        )?;
        crate::cmd::tell_hub(global);
        show(global, output)
    }
}

/// Give the roll-over up, as long as nothing came from the new authority
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swarm ca rollover abort --passphrase-file pass")]
pub(super) struct Abort {
    #[command(flatten)]
    root: RootArguments,
}

impl Abort {
    fn run(self, global: &Global, output: Output) -> Result<(), Failure> {
        let store = super::open(global)?;
        let root = self.root.read()?;
        store.abort_rollover(&root.access(), &crate::cmd::requester(), Timestamp::now())?;
        crate::cmd::tell_hub(global);
        show(global, output)
    }
}

fn show(global: &Global, output: Output) -> Result<(), Failure> {
    let store = super::open(global)?;
    let live = swarm::live_nodes(&Layout::new(&global.dir)?, &store)?;
    let Some(status) = store.rollover(&live, Timestamp::now())? else {
        return output.show(&json!({ "under_way": false }), || {
            "no roll-over is under way".to_owned()
        });
    };
    let value = json!({
        "under_way": true, "phase": phase(status.phase),
        "old": status.old.to_string(), "new": status.new.to_string(),
        "waiting": status.waiting, "left_behind": status.left_behind,
        "began": status.began.to_string(),
    });
    output.show(&value, || text(&status))
}

fn text(status: &RolloverStatus) -> String {
    let names = |ids: &mut dyn Iterator<Item = &NodeId>| {
        ids.map(NodeId::as_str).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "{} takes the place of {}: {}",
        status.new,
        status.old,
        phase(status.phase)
    );
    if status.waiting.is_empty() {
        text.push_str("\nnext: swarm ca rollover advance");
    } else {
        text.push_str("\nwaiting for ");
        text.push_str(&names(&mut status.waiting.iter()));
    }
    if !status.left_behind.is_empty() {
        text.push_str("\nleft behind: ");
        text.push_str(&names(&mut status.left_behind.iter()));
    }
    text
}

fn phase(phase: RolloverPhase) -> &'static str {
    match phase {
        RolloverPhase::Announced => "announced",
        RolloverPhase::Trusted => "trusted",
        RolloverPhase::Reissuing => "reissuing",
        RolloverPhase::Retiring => "retiring",
        _ => "unknown",
    }
}
