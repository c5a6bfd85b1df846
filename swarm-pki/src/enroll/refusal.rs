//! Why an authority refuses, in words that both sides know.

use std::fmt;

/// The header that names the reason of a refusal in one word.
pub(super) const HEADER: &str = "swarm-refusal";

/// Why an enrolment server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No invite has this secret for this node.
    WrongSecret,
    /// The invite was used, with another key.
    Used,
    /// The invite was not used in time.
    Expired,
    /// The invite was cancelled.
    Cancelled,
    /// Another live node has the name, a key or an address.
    Taken,
    /// Too many wrong secrets; to be tried again later.
    TooManyAttempts,
    /// The certificate to be renewed was revoked, or is not known.
    Revoked,
    /// The certificate is still good: it is renewed with itself.
    StillValid,
    /// The certificate came to its end too long ago: a new invite is needed.
    TooLate,
    /// The operator denied the node to come back.
    Denied,
    /// The request is malformed, or its key is not accepted.
    BadRequest,
    /// The authority is busy; to be tried again soon.
    Busy,
    /// The authority itself has a fault.
    Fault,
}

impl Reason {
    const ALL: [Self; 13] = [
        Self::WrongSecret,
        Self::Used,
        Self::Expired,
        Self::Cancelled,
        Self::Taken,
        Self::TooManyAttempts,
        Self::Revoked,
        Self::StillValid,
        Self::TooLate,
        Self::Denied,
        Self::BadRequest,
        Self::Busy,
        Self::Fault,
    ];

    pub(super) fn token(self) -> &'static str {
        match self {
            Self::WrongSecret => "wrong-secret",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Taken => "taken",
            Self::TooManyAttempts => "too-many-attempts",
            Self::Revoked => "revoked",
            Self::StillValid => "still-valid",
            Self::TooLate => "too-late",
            Self::Denied => "denied",
            Self::BadRequest => "bad-request",
            Self::Busy => "busy",
            Self::Fault => "fault",
        }
    }

    pub(super) fn from_token(token: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.token().as_bytes() == token)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongSecret => "no invite has this secret for this node",
            Self::Used => "the invite was used already, with another key",
            Self::Expired => "the invite has expired",
            Self::Cancelled => "the invite was cancelled",
            Self::Taken => "another live node has the name, a key or an address",
            Self::TooManyAttempts => "too many wrong secrets; try again in a minute",
            Self::Revoked => "the certificate was revoked or is not known",
            Self::StillValid => "the certificate is still good: renew it with it",
            Self::TooLate => "the certificate came to its end too long ago; a new invite is needed",
            Self::Denied => "the operator denied this node to come back",
            Self::BadRequest => "the certificate request is not acceptable",
            Self::Busy => "the authority is busy; try again",
            Self::Fault => "the authority has a fault; its log says which",
        })
    }
}
