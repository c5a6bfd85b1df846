//! What an error of the library means to a person: its kind, and what to do next.

use swarm::Error;
use swarm::http::HttpError;

use crate::report::{Failure, Kind, chain};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (kind, hint) = advice(&error);
        let failure = Self::new(kind, chain(&error));
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        let failure = Self::failed(chain(&error));
        match error {
            HttpError::Connect { .. } => failure.hint("is the node running? start it: swarm up"),
            _ => failure,
        }
    }
}

impl From<swarm_pki::store::Error> for Failure {
    fn from(error: swarm_pki::store::Error) -> Self {
        Error::from(error).into()
    }
}

fn advice(error: &Error) -> (Kind, Option<String>) {
    let (kind, hint) = match error {
        Error::Directory { .. } | Error::Config { .. } | Error::Corrupt { .. } => {
            (Kind::Input, None)
        }
        Error::File { source, .. } => match source.kind() {
            std::io::ErrorKind::NotFound => (
                Kind::Input,
                Some("is --dir right? a hub begins with: swarm bootstrap"),
            ),
            std::io::ErrorKind::PermissionDenied => (
                Kind::Environment,
                Some("run it as the owner of the directory"),
            ),
            _ => (Kind::Environment, None),
        },
        Error::NoNode { .. } => (
            Kind::Input,
            Some(
                "a hub begins with: swarm bootstrap; any other machine with: swarm join; is --dir right?",
            ),
        ),
        Error::SeveralNodes { .. } => (Kind::Input, Some("name one: --node ID")),
        Error::NoAuthority { .. } => (Kind::Input, Some("run this on the hub; is --dir right?")),
        Error::Exists { .. } => (
            Kind::Failed,
            Some("choose another id, or revoke the old node first: swarm revoke ID"),
        ),
        Error::Held { .. } => (
            Kind::Failed,
            Some("it runs already: swarm status; or end that process"),
        ),
        Error::Certificate { .. } => (
            Kind::Failed,
            Some("set the clock (date), or ask for a new invite: swarm invite ID"),
        ),
        Error::Listen { .. } => (
            Kind::Environment,
            Some("who has it: ss -ltnp; another port can be set in swarm.toml"),
        ),
        Error::MissingProgram { install, .. } => (Kind::Environment, Some(*install)),
        Error::Tunnel(error) => (Kind::Environment, Some(tunnel(error))),
        Error::Spool { .. } => (
            Kind::Environment,
            Some(
                "is the disk full or read-only? what waits there is in the directory named; move it away to begin anew",
            ),
        ),
        Error::Authority(error) => authority(error),
        Error::Enroll(_) => (
            Kind::Failed,
            Some("ask for a new invite: swarm invite ID; is the hub up and reachable?"),
        ),
        _ => (Kind::Failed, None),
    };
    (kind, hint.map(str::to_owned))
}

fn tunnel(error: &swarm_wg::Error) -> &'static str {
    use std::io::{Error, ErrorKind};
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<Error>());
    match cause.map(Error::kind) {
        Some(ErrorKind::AddrInUse | ErrorKind::ResourceBusy) => {
            "another process has it: wg show, ip link, ss -lunp"
        }
        _ => "a tunnel needs root, or CAP_NET_ADMIN and /dev/net/tun",
    }
}

fn authority(error: &swarm_pki::store::Error) -> (Kind, Option<&'static str>) {
    use swarm_pki::store::Error;
    let hint = match error {
        Error::Unsettled => "give it a node's trust bundle: swarm ca adopt nodes/ID/trust.bundle",
        Error::PassphraseNeeded => "give the root key's passphrase: --passphrase-file FILE",
        Error::RootKeyAway { .. } => "give the root's key file: --root-key FILE",
        Error::RolloverWaits(_) => {
            "start those nodes, revoke those that are gone, or go on without: --leave-behind ID"
        }
        Error::NotOperational => {
            "have the root certify it: swarm ca subordinate sign, there; swarm ca subordinate accept, here"
        }
        Error::Permissions { .. } => "take the rights from the others: chmod go= FILE",
        _ => return (Kind::Failed, None),
    };
    (Kind::Failed, Some(hint))
}
