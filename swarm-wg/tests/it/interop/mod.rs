//! Our tunnel against other implementations: Debian's wireguard-go, boringtun, gotatun.

mod bulk;
mod handshakes;
mod keepalives;
mod renewals;
mod roaming;

use std::net::SocketAddr;

use swarm_wg::core::DropReason;
use swarm_wg::{PresharedKey, Tunnel};

use crate::foreign::{Foreign, Known, Program};
use crate::lab::{Family, Lab, Side};
use crate::programs::{find_tool, skip};

/// Which side begins the handshakes. The other one is not told where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begins {
    Ours,
    Theirs,
}

impl Begins {
    pub(crate) fn side(self) -> Side {
        match self {
            Self::Ours => Side::A,
            Self::Theirs => Side::B,
        }
    }
}

/// What the two are told of each other.
pub(crate) struct Terms {
    pub(crate) begins: Begins,
    pub(crate) outer: Family,
    pub(crate) preshared: Option<PresharedKey>,
    /// Seconds, of the side that begins.
    pub(crate) keepalive: Option<u16>,
}

impl Terms {
    pub(crate) fn new(begins: Begins) -> Self {
        Self {
            begins,
            outer: Family::V4,
            preshared: None,
            keepalive: None,
        }
    }

    /// Starts both and introduces them.
    pub(crate) fn meet<'a>(&self, lab: &'a Lab, program: Program) -> (Tunnel, Foreign<'a>) {
        let ours = lab.start(Side::A, lab.config(Side::A));
        let theirs = Foreign::start(lab, program);
        let mut peer = theirs.as_peer();
        peer.preshared_key.clone_from(&self.preshared);
        let mut known = Known {
            preshared: self.preshared.as_ref(),
            ..Known::default()
        };
        match self.begins {
            Begins::Ours => {
                peer.endpoint = Some(theirs.at(self.outer));
                peer.persistent_keepalive = self.keepalive;
                theirs.know(&ours, &known);
                ours.add_peer(peer).unwrap();
            }
            Begins::Theirs => {
                ours.add_peer(peer).unwrap();
                known.endpoint = Some(at(&ours, self.outer));
                known.keepalive = self.keepalive;
                theirs.know(&ours, &known);
            }
        }
        (ours, theirs)
    }
}

/// Where our tunnel is.
pub(crate) fn at(ours: &Tunnel, family: Family) -> SocketAddr {
    SocketAddr::new(Side::A.outer_of(family), ours.listen_port())
}

/// Calls a function for each implementation that there is, at the same time, with a laboratory
/// each.
pub(crate) fn with_each(test: &str, check: impl Fn(&Lab, Program) + Sync) {
    let present = |program: &Program| {
        let missing = ["wg", program.name()]
            .into_iter()
            .find(|tool| find_tool(tool).is_none());
        missing.is_none_or(|tool| skip::<()>(test, &format!("needs {tool}")).is_some())
    };
    let check = &check;
    std::thread::scope(|scope| {
        for program in Program::ALL.into_iter().filter(present) {
            scope.spawn(move || {
                if let Some(lab) = Lab::new(test) {
                    check(&lab, program);
                }
            });
        }
    });
}

/// Nothing of what the two said to each other may have been refused.
pub(crate) fn assert_understood(ours: &Tunnel, program: Program) {
    let drops = ours.metrics().drops;
    for reason in [
        DropReason::NotWireGuard,
        DropReason::BadMac,
        DropReason::UnknownPeer,
        DropReason::BadHandshake,
        DropReason::ReplayedHandshake,
        DropReason::BadCookie,
        DropReason::BadTag,
        DropReason::ReplayedData,
        DropReason::MalformedInner,
        DropReason::SpoofedSource,
    ] {
        assert_eq!(drops.count(reason), 0, "{reason:?} of {program:?}");
    }
}
