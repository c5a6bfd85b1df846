//! Login by a proven identity: short-lived JSON Web Tokens (RFC 7519), signed with Ed25519
//! (RFC 8037), that a homeserver takes in place of a password.
//!
//! A homeserver takes a token without an expiry, takes one token as often as it is shown, makes
//! whatever user it names, and logs an administrator in by it. So all of that is forbidden here,
//! where tokens are minted: [`TokenIssuer`] names an expiry always and soon, and refuses the names
//! it was told to keep. *Whether* a node is who it says is for the caller to prove first, by its
//! certificate.

use std::collections::BTreeSet;
use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::id::Localpart;

/// Seconds for which a token is valid, unless told otherwise.
pub const DEFAULT_LIFETIME_SECONDS: u64 = 60;

/// Seconds by which a token's begin lies before its making, for clocks that disagree.
pub const BACKDATE_SECONDS: u64 = 60;

/// Localparts for which no token is ever minted, whatever the issuer was told.
pub const RESERVED_LOCALPARTS: [&str; 8] = [
    "admin",
    "administrator",
    "root",
    "server",
    "swarm-admin",
    "synapse",
    "system",
    "_server",
];

/// Why no token was minted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The name is kept for the server or its administrators.
    #[error("`{0}` is a reserved name")]
    Reserved(Localpart),
    /// The key is not an Ed25519 seed.
    #[error("not an ed25519 seed")]
    Key,
}

/// A token to log in with, as compact JWS. A secret: it is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct LoginToken(String);

impl LoginToken {
    /// Takes a token that was minted elsewhere.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The text of it. Keep it out of logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LoginToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginToken(..)")
    }
}

/// Mints login tokens. Lives beside the homeserver, behind a door that asks for a certificate.
///
/// # Example
/// ```
/// use swarm_matrix::{Localpart, TokenIssuer};
///
/// let issuer = TokenIssuer::from_seed(&[7; 32])?;
/// let jwt_config = format!("algorithm: EdDSA\nsecret: |\n{}", issuer.public_key_pem());
/// let token = issuer.issue(&Localpart::parse("edge1")?, 1_767_225_600, &[1; 16])?;
/// assert_eq!(token.expose().split('.').count(), 3);
/// assert!(issuer.issue(&Localpart::parse("admin")?, 1_767_225_600, &[2; 16]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TokenIssuer {
    key: Ed25519KeyPair,
    reserved: BTreeSet<Localpart>,
    lifetime: u64,
    name: Option<String>,
    audience: Option<String>,
}

impl TokenIssuer {
    /// Makes an issuer from an Ed25519 seed: 32 random bytes, kept as a secret.
    ///
    /// # Errors
    /// When the seed is of no use as a key.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, IssueError> {
        let key = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| IssueError::Key)?;
        Ok(Self {
            key,
            reserved: BTreeSet::new(),
            lifetime: DEFAULT_LIFETIME_SECONDS,
            name: None,
            audience: None,
        })
    }

    /// The same with a name reserved beside [`RESERVED_LOCALPARTS`]: that of every administrator.
    pub fn reserve(mut self, localpart: Localpart) -> Self {
        self.reserved.insert(localpart);
        self
    }

    /// The same with tokens that live for so many seconds: 1 to 600.
    pub fn with_lifetime(mut self, seconds: u64) -> Self {
        self.lifetime = seconds.clamp(1, 600);
        self
    }

    /// The same with the `iss` claim; the homeserver's `jwt_config.issuer` must be equal.
    pub fn with_issuer(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The same with the `aud` claim; it must be among the homeserver's `jwt_config.audiences`,
    /// and a homeserver that has none refuses the token.
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// The public key for the homeserver's `jwt_config.secret`: PEM of a SubjectPublicKeyInfo
    /// (RFC 8410), with a line break at the end.
    pub fn public_key_pem(&self) -> String {
        // SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes }
        const PREFIX: [u8; 12] = [
            0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0,
        ];
        let mut der = PREFIX.to_vec();
        der.extend_from_slice(self.key.public_key().as_ref());
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        )
    }

    /// Mints a token for a user whose identity the caller has proven.
    ///
    /// `now` is seconds since 1970, UTC. `id` makes the token one of its kind (`jti`): 16 random
    /// bytes.
    ///
    /// # Errors
    /// When the name is reserved.
    pub fn issue(
        &self,
        localpart: &Localpart,
        now: u64,
        id: &[u8; 16],
    ) -> Result<LoginToken, IssueError> {
        if self.is_reserved(localpart) {
            return Err(IssueError::Reserved(localpart.clone()));
        }
        let begin = now.saturating_sub(BACKDATE_SECONDS);
        let mut claims = serde_json::json!({
            "sub": localpart,
            "iat": begin,
            "nbf": begin,
            "exp": now.saturating_add(self.lifetime),
            "jti": URL_SAFE_NO_PAD.encode(id),
        });
        if let Some(name) = &self.name {
            claims["iss"] = name.as_str().into();
        }
        if let Some(audience) = &self.audience {
            claims["aud"] = audience.as_str().into();
        }
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"EdDSA","typ":"JWT"}"#);
        let mut token = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.key.sign(token.as_bytes());
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature.as_ref()));
        Ok(LoginToken(token))
    }

    /// Whether no token is minted for a name: it is reserved, or the server's own (`_…`).
    pub fn is_reserved(&self, localpart: &Localpart) -> bool {
        RESERVED_LOCALPARTS.contains(&localpart.as_str())
            || localpart.as_str().starts_with('_')
            || self.reserved.contains(localpart)
    }
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer")
            .field("reserved", &self.reserved)
            .field("lifetime", &self.lifetime)
            .field("issuer", &self.name)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use serde_json::Value;

    fn name(text: &str) -> Localpart {
        Localpart::parse(text).unwrap()
    }

    #[test]
    fn a_token_is_signed_short_lived_and_its_own() {
        let issuer = TokenIssuer::from_seed(&[1; 32]).unwrap().with_issuer("hub");
        let token = issuer.issue(&name("edge1"), 10_000, &[9; 16]).unwrap();
        let (signed, signature) = token.expose().rsplit_once('.').unwrap();
        UnparsedPublicKey::new(&ED25519, issuer.key.public_key().as_ref())
            .verify(
                signed.as_bytes(),
                &URL_SAFE_NO_PAD.decode(signature).unwrap(),
            )
            .unwrap();
        let claims = URL_SAFE_NO_PAD
            .decode(signed.split_once('.').unwrap().1)
            .unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["sub"], "edge1");
        assert_eq!(claims["exp"], 10_060);
        assert_eq!(claims["nbf"], 9_940);
        assert_eq!(claims["iss"], "hub");
        assert!(claims.get("aud").is_none());
        let other = issuer.issue(&name("edge1"), 10_000, &[8; 16]).unwrap();
        assert_ne!(token, other);
    }

    #[test]
    fn no_token_is_minted_for_a_reserved_name() {
        let issuer = TokenIssuer::from_seed(&[1; 32])
            .unwrap()
            .reserve(name("boss"));
        for reserved in ["admin", "swarm-admin", "boss", "_bridge"] {
            assert_eq!(
                issuer.issue(&name(reserved), 1, &[0; 16]),
                Err(IssueError::Reserved(name(reserved)))
            );
        }
    }

    #[test]
    fn neither_key_nor_token_shows_in_debug() {
        let issuer = TokenIssuer::from_seed(&[1; 32]).unwrap();
        let token = issuer.issue(&name("edge1"), 1, &[0; 16]).unwrap();
        assert_eq!(format!("{token:?}"), "LoginToken(..)");
        assert!(!format!("{issuer:?}").contains("key"));
    }

    #[test]
    fn the_public_key_is_a_subject_public_key_info() {
        let pem = TokenIssuer::from_seed(&[1; 32]).unwrap().public_key_pem();
        let body = pem.lines().nth(1).unwrap();
        assert_eq!(STANDARD.decode(body).unwrap().len(), 44);
        assert!(pem.ends_with("-----END PUBLIC KEY-----\n"));
    }
}
