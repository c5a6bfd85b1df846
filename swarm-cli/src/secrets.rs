//! Keys and secrets that a node or a hub makes for itself, each in a file of its own, 0600.

use std::path::{Path, PathBuf};

use swarm_config::PublicKeyPem;
use swarm_matrix::{Localpart, LoginToken, TokenIssuer};
use swarm_pki::{CertificateRequest, KeyAlgorithm, NodeId, PrivateKey, SwarmName};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::file;
use crate::layout::{Layout, NodeLayout};
use crate::member::{Member, read_wireguard_key};

/// Makes a fresh TLS key and a request for a certificate with it and the node's tunnel key, which is made
/// when there is none yet.
pub(crate) fn request(
    swarm: &SwarmName,
    id: &NodeId,
    node: &NodeLayout,
) -> Result<(PrivateKey, CertificateRequest), Error> {
    let path = node.wireguard_key();
    if !path.exists() {
        let key = swarm_wg::PrivateKey::generate()?;
        let text = Zeroizing::new(format!("{}\n", key.to_base64().as_str()));
        file::replace(&path, text.as_bytes(), 0o600).map_err(Error::file(&path))?;
    }
    let tunnel = read_wireguard_key(node)?.public_key();
    let key = PrivateKey::generate(KeyAlgorithm::P256).map_err(swarm_pki::Error::from)?;
    let request = CertificateRequest::build(&key, swarm, id, *tunnel.as_bytes())
        .map_err(swarm_pki::Error::from)?;
    Ok((key, request))
}

/// Makes the secrets of the rooms' server that are missing, and returns their paths.
///
/// Synapse would make some of them itself, by a start of their own that takes seconds.
pub(crate) fn make_missing(layout: &Layout) -> Result<Vec<PathBuf>, Error> {
    let rendered = layout.rendered();
    let mut made = Vec::new();
    let mut make = |path: PathBuf, contents: &dyn Fn() -> Result<Zeroizing<String>, Error>| {
        if path.exists() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            file::private_directory(parent).map_err(Error::file(parent))?;
        }
        file::replace(&path, contents()?.as_bytes(), 0o600).map_err(Error::file(&path))?;
        made.push(path);
        Ok::<_, Error>(())
    };
    make(layout.token_seed(), &|| random_hex())?;
    make(rendered.matrix_registration_secret().into(), &|| {
        random_hex()
    })?;
    make(rendered.matrix_signing_key().into(), &signing_key)?;
    Ok(made)
}

/// The key that signs the rooms' login tokens, on a hub.
pub(crate) fn token_signer(layout: &Layout) -> Result<TokenIssuer, Error> {
    let path = layout.token_seed();
    let text = Zeroizing::new(std::fs::read_to_string(&path).map_err(Error::file(&path))?);
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), seed.as_mut()).map_err(|error| Error::Corrupt {
        path,
        reason: error.to_string(),
    })?;
    TokenIssuer::from_seed(&seed).map_err(|error| Error::Render(error.to_string()))
}

/// The public half of [`token_signer`], which the rooms' server verifies with.
pub(crate) fn token_key(layout: &Layout) -> Result<PublicKeyPem, Error> {
    let pem = token_signer(layout)?.public_key_pem();
    PublicKeyPem::parse(&pem).map_err(|error| Error::Render(error.to_string()))
}

/// Reads a secret that is one line of text.
pub(crate) fn read_line(path: &Path) -> Result<Zeroizing<String>, Error> {
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(Error::file(path))?);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn random_hex() -> Result<Zeroizing<String>, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill(bytes.as_mut())?;
    Ok(Zeroizing::new(hex::encode(bytes.as_ref())))
}

/// The homeserver's own signing key in the form that Synapse reads: algorithm, version, seed.
fn signing_key() -> Result<Zeroizing<String>, Error> {
    use base64::Engine as _;
    let mut seed = Zeroizing::new([0; 32]);
    fill(seed.as_mut())?;
    let seed =
        Zeroizing::new(base64::engine::general_purpose::STANDARD_NO_PAD.encode(seed.as_ref()));
    Ok(Zeroizing::new(format!(
        "ed25519 a_swarm {}\n",
        seed.as_str()
    )))
}

fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes)
        .map_err(|error| Error::Render(format!("the system gives no randomness: {error}")))
}

/// Mints a short-lived login token for the rooms, on a hub; for the node that a certificate proved.
pub(crate) fn room_token(member: &Member, node: &NodeId) -> Result<LoginToken, Error> {
    let issuer = token_signer(member.layout())?;
    let refuse = |error: &dyn std::fmt::Display| Error::Refused {
        by: member.id().to_string(),
        reason: error.to_string(),
    };
    let localpart = Localpart::parse(node.as_str()).map_err(|error| refuse(&error))?;
    let mut id = [0; 16];
    fill(&mut id)?;
    issuer
        .issue(&localpart, swarm_pki::Timestamp::now().as_unix(), &id)
        .map_err(|error| refuse(&error))
}
