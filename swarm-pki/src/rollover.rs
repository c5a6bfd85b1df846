//! Roll-over of an authority as a state machine: announce, trust both, reissue, retire.
//!
//! ```text
//!   begin ──▶ Announced ──▶ Trusted ──▶ Reissuing ──▶ Retiring ──▶ done
//!              │   ▲ every live node       ▲ every live node
//!              │   └ knows the new one     └ has a certificate below the new one
//!              └── abort: as long as nothing was issued from the new one
//! ```
//!
//! No step leaves a node behind by accident: the two gates name the nodes that they wait for, and
//! going on without one is a decision about that node. Everything here is pure; a
//! [`store`](crate::store) keeps the state.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{NodeCertificate, NodeId, Timestamp};

/// Which authority is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RolloverKind {
    /// The issuing authority, below the same root.
    Issuing,
    /// The root, and with it every issuing authority below it.
    Root,
}

/// How far a roll-over is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RolloverPhase {
    /// The new authority exists and is in the bundle; nothing is issued from it. Goes on when
    /// every live node has reported that it knows it.
    Announced,
    /// Every live node knows both.
    Trusted,
    /// New certificates come from the new authority. Goes on when no live node depends on the old
    /// one.
    Reissuing,
    /// Nobody depends on the old authority; what is left is to end it.
    Retiring,
}

/// What becomes of an old issuing authority in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Retirement {
    /// The root revokes it: its key is worth nothing from then on, wherever it lies. Needs the
    /// root's key for a moment.
    #[default]
    Revoked,
    /// It is left to expire: the root's key stays where it is, and the old key must be kept safe
    /// until then. The only way for an authority below a root in another store.
    LeftToExpire,
}

/// A roll-over that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rollover {
    /// Which authority is replaced.
    pub kind: RolloverKind,
    /// How far it is.
    pub phase: RolloverPhase,
    /// The generation that is replaced.
    pub old: u32,
    /// The generation that takes its place.
    pub new: u32,
    /// The generation of the issuing authority that issues afterwards; the same as `new` unless a
    /// root is replaced.
    pub issuing: u32,
    /// What becomes of the old issuing authority. An old root retires itself.
    pub retirement: Retirement,
    /// When it began.
    pub began: Timestamp,
    /// Who was left behind, by decision.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left_behind: BTreeSet<NodeId>,
}

/// A roll-over cannot go on yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the roll-over waits for {}", Listed(.waiting))]
pub struct RolloverWaits {
    /// In which phase.
    pub phase: RolloverPhase,
    /// For whom.
    pub waiting: Vec<NodeId>,
}

impl Rollover {
    /// Names the live nodes that the roll-over waits for, those left behind excepted. `knows`
    /// tells whether a node has reported that it knows the new authority, `depends` whether a
    /// certificate stands and falls with the old one.
    pub fn waiting(
        &self,
        live: &[NodeCertificate],
        knows: impl Fn(&NodeId) -> bool,
        depends: impl Fn(&NodeCertificate) -> bool,
    ) -> Vec<NodeId> {
        let waits = |node: &&NodeCertificate| match self.phase {
            RolloverPhase::Announced => !knows(node.id()),
            RolloverPhase::Reissuing => depends(node),
            RolloverPhase::Trusted | RolloverPhase::Retiring => false,
        };
        let waiting: BTreeSet<&NodeId> = live
            .iter()
            .filter(waits)
            .map(NodeCertificate::id)
            .filter(|id| !self.left_behind.contains(*id))
            .collect();
        waiting.into_iter().cloned().collect()
    }

    /// Goes one phase on; `None` when the roll-over is done with it. Those of `waiting` who are
    /// in `leave_behind` are left behind, and returned.
    ///
    /// # Errors
    /// [`RolloverWaits`] names the others.
    pub fn advance(
        &self,
        waiting: &[NodeId],
        leave_behind: &BTreeSet<NodeId>,
    ) -> Result<(Option<RolloverPhase>, BTreeSet<NodeId>), RolloverWaits> {
        let (left, waiting): (Vec<_>, Vec<_>) = waiting
            .iter()
            .cloned()
            .partition(|id| leave_behind.contains(id));
        if !waiting.is_empty() {
            let phase = self.phase;
            return Err(RolloverWaits { phase, waiting });
        }
        Ok((self.phase.next(), left.into_iter().collect()))
    }

    /// Tells whether nothing depends on the new authority yet.
    pub fn can_be_aborted(&self) -> bool {
        self.phase < RolloverPhase::Reissuing
    }

    /// Tells whether new certificates come from the new authority.
    pub fn has_switched(&self) -> bool {
        self.phase >= RolloverPhase::Reissuing
    }
}

impl RolloverPhase {
    /// Returns the phase after this one; `None` after the last.
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Announced => Some(Self::Trusted),
            Self::Trusted => Some(Self::Reissuing),
            Self::Reissuing => Some(Self::Retiring),
            Self::Retiring => None,
        }
    }
}

impl fmt::Display for RolloverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Issuing => "issuing",
            Self::Root => "root",
        })
    }
}

impl fmt::Display for RolloverPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Announced => "announced",
            Self::Trusted => "trusted",
            Self::Reissuing => "reissuing",
            Self::Retiring => "retiring",
        })
    }
}

impl fmt::Display for Retirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Revoked => "revoked",
            Self::LeftToExpire => "left to expire",
        })
    }
}

/// Prints the first of many names, and how many more there are.
struct Listed<'a>(&'a [NodeId]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        for (place, id) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(f, "{separator}{id}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollover(phase: RolloverPhase) -> Rollover {
        Rollover {
            kind: RolloverKind::Issuing,
            phase,
            old: 1,
            new: 2,
            issuing: 2,
            retirement: Retirement::Revoked,
            began: Timestamp::MIN,
            left_behind: BTreeSet::new(),
        }
    }

    #[test]
    fn the_phases_follow_each_other_and_end() {
        let mut phase = RolloverPhase::Announced;
        let mut seen = vec![phase];
        while let Some(next) = phase.next() {
            assert!(next > phase);
            seen.push(next);
            phase = next;
        }
        assert_eq!(seen.len(), 4);
        assert!(rollover(RolloverPhase::Trusted).can_be_aborted());
        assert!(!rollover(RolloverPhase::Reissuing).can_be_aborted());
        assert!(rollover(RolloverPhase::Retiring).has_switched());
    }

    #[test]
    fn nobody_is_left_behind_without_being_named() {
        let one: NodeId = "edge1".parse().unwrap();
        let two: NodeId = "edge2".parse().unwrap();
        let waiting = [one.clone(), two.clone()];
        let announced = rollover(RolloverPhase::Announced);
        let refused = announced
            .advance(&waiting, &[one.clone()].into())
            .unwrap_err();
        assert_eq!(refused.waiting, std::slice::from_ref(&two));
        assert_eq!(refused.to_string(), "the roll-over waits for edge2");
        let (next, left) = announced
            .advance(&waiting, &[one.clone(), two.clone()].into())
            .unwrap();
        assert_eq!(next, Some(RolloverPhase::Trusted));
        assert_eq!(left, [one, two].into());
    }
}
