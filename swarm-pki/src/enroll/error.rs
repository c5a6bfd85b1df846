//! Why a machine has not joined.

use std::{fmt, io, time::Duration};

use super::{Reason, client::listed};
use crate::{
    Fingerprint, Timestamp, VerifyError,
    timestamp::Spoken,
    tls::{HandshakeError, http},
};

/// Says why a machine did not get its certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The authority was reached and verified, and it refused.
    #[error("the authority refused: {line}")]
    Refused {
        /// Why, to decide by.
        reason: Reason,
        /// What the authority said, in one line.
        line: String,
    },
    /// The authority was reached, and the clocks differ so much that its certificate or ours does
    /// not count as valid.
    #[error("{clock}, and therefore: {cause}")]
    WrongClock {
        /// How the clocks differ.
        clock: ClockError,
        /// What failed because of it.
        cause: Box<AttemptError>,
    },
    /// Whatever answered has another root than the invite names, or than the links of known roots
    /// lead to: it is not the authority, or the authority was made anew since.
    #[error(
        "{address} has another root certificate: expected {expected}, found {}",
        listed(found)
    )]
    WrongRoot {
        /// Which address.
        address: String,
        /// The fingerprint in the invite, or of the root that this machine knows.
        expected: Fingerprint,
        /// The fingerprints of the roots that were found instead.
        found: Vec<Fingerprint>,
    },
    /// No address led to the authority.
    #[error("no address led to the authority: {}", Attempts(tried))]
    Unreachable {
        /// Each address and what became of it.
        tried: Vec<(String, AttemptError)>,
    },
}

/// Says what became of one address.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// The name has no address.
    #[error("its name is not known")]
    Resolve(#[source] io::Error),
    /// No connection, no TLS session or no answer.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The root is not the one that the invite names.
    #[error(
        "another root certificate: expected {expected}, found {}",
        listed(found)
    )]
    WrongRoot {
        /// The fingerprint in the invite, or of the root that this machine knows.
        expected: Fingerprint,
        /// The fingerprints of the roots that were found instead.
        found: Vec<Fingerprint>,
    },
    /// An HTTP status that is no refusal of an authority's.
    #[error("status {status}: {line}")]
    Status {
        /// The status.
        status: u16,
        /// The first line of the body.
        line: String,
    },
    /// The answer is not what an enrolment server gives.
    #[error("the answer is {0}")]
    BadAnswer(&'static str),
    /// The certificate in the answer is not to be trusted.
    #[error("the new certificate is not to be trusted")]
    Untrusted(#[source] VerifyError),
}

/// How far two clocks are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClockError {
    /// The time by this machine's clock.
    pub ours: Timestamp,
    /// The time by the authority's clock.
    pub theirs: Timestamp,
}

impl ClockError {
    pub(super) fn between(ours: Timestamp, theirs: Timestamp) -> Option<Self> {
        (ours != theirs).then_some(Self { ours, theirs })
    }

    /// Returns how far the clocks are apart.
    pub fn skew(&self) -> Duration {
        self.ours
            .since(self.theirs)
            .max(self.theirs.since(self.ours))
    }
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.ours > self.theirs {
            "ahead of"
        } else {
            "behind"
        };
        write!(
            f,
            "this machine's clock is {} {side} the authority's",
            Spoken(self.skew())
        )
    }
}

/// What one address says about whether to try the next one.
#[derive(Debug)]
pub(super) enum Answer {
    /// It was the authority; another address leads to the same.
    Final(JoinError),
    TryNext(AttemptError),
}

impl Answer {
    /// Blames the clocks for what a difference between them can have caused.
    pub(super) fn blame(self, clock: Option<ClockError>, tolerated: Duration) -> Self {
        match (self, clock) {
            (Self::TryNext(cause), Some(clock))
                if cause.is_about_time() && clock.skew() > tolerated =>
            {
                Self::Final(JoinError::WrongClock {
                    clock,
                    cause: Box::new(cause),
                })
            }
            (answer, _) => answer,
        }
    }
}

impl<E: Into<AttemptError>> From<E> for Answer {
    fn from(error: E) -> Self {
        Self::TryNext(error.into())
    }
}

impl AttemptError {
    fn is_about_time(&self) -> bool {
        match self {
            Self::Http(http::Error::Handshake(error)) => error.is_about_time(),
            Self::Http(http::Error::Http(error)) => {
                HandshakeError::in_chain(error).is_some_and(|error| error.is_about_time())
            }
            Self::Untrusted(error) => {
                matches!(
                    error,
                    VerifyError::NotYetValid { .. } | VerifyError::Expired { .. }
                )
            }
            _ => false,
        }
    }
}

impl JoinError {
    /// Says what all attempts together mean: a wrong root says more than an address that is dead.
    pub(super) fn from_attempts(mut tried: Vec<(String, AttemptError)>) -> Self {
        let wrong = tried
            .iter()
            .position(|(_, why)| matches!(why, AttemptError::WrongRoot { .. }));
        match wrong.map(|index| tried.swap_remove(index)) {
            Some((address, AttemptError::WrongRoot { expected, found })) => Self::WrongRoot {
                address,
                expected,
                found,
            },
            _ => Self::Unreachable { tried },
        }
    }
}

/// Each address with all that it said.
struct Attempts<'a>(&'a [(String, AttemptError)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("there is none");
        }
        for (index, (address, why)) in self.0.iter().enumerate() {
            write!(f, "{}{address}: {why}", if index == 0 { "" } else { "; " })?;
            let mut source = std::error::Error::source(why);
            while let Some(error) = source {
                write!(f, ": {error}")?;
                source = error.source();
            }
        }
        Ok(())
    }
}
