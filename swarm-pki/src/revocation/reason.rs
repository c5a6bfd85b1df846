//! Why certificates are revoked.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a certificate was revoked ([RFC 5280 §5.3.1](https://www.rfc-editor.org/rfc/rfc5280#section-5.3.1)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RevocationReason {
    /// No reason given.
    #[default]
    Unspecified,
    /// The key, or the machine with it, is in other hands.
    KeyCompromise,
    /// An authority's key is in other hands.
    CaCompromise,
    /// The node belongs to somebody else now.
    AffiliationChanged,
    /// Another certificate takes its place.
    Superseded,
    /// The node is no longer in use.
    CessationOfOperation,
    /// The node may no longer do what the certificate says.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    /// Returns the reason's name as it is typed and stored, such as `key-compromise`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::CaCompromise => "ca-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
            Self::PrivilegeWithdrawn => "privilege-withdrawn",
        }
    }

    const ALL: [Self; 7] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
    ];

    /// Returns the CRLReason; RFC 5280 wants it absent rather than unspecified.
    pub(super) fn code(self) -> Option<u8> {
        match self {
            Self::Unspecified => None,
            Self::KeyCompromise => Some(1),
            Self::CaCompromise => Some(2),
            Self::AffiliationChanged => Some(3),
            Self::Superseded => Some(4),
            Self::CessationOfOperation => Some(5),
            Self::PrivilegeWithdrawn => Some(9),
        }
    }

    /// Reads a CRLReason. Those that this crate never gives count as unspecified.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        let own = Self::ALL.into_iter().find(|own| own.code() == Some(code));
        own.or_else(|| matches!(code, 0 | 6 | 8 | 10).then_some(Self::Unspecified))
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not the name of a revocation reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a revocation reason")]
pub struct ReasonError(String);

impl std::str::FromStr for RevocationReason {
    type Err = ReasonError;
    fn from_str(text: &str) -> Result<Self, ReasonError> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| ReasonError(text.chars().take(64).collect()))
    }
}
