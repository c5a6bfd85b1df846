//! An authority whose key this program never sees: OpenSSL holds it and signs.
//!
//! A token (PKCS#11), a hardware module or a signing service takes OpenSSL's place the same way: all that
//! is asked of it is a signature over some bytes.
//!
//! ```sh
//! cargo run -p swarm-pki --example remote_signer
//! ```

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use swarm_pki::{
    Authority, CertificateRequest, CrlContents, KeyAlgorithm, NodeIdentity, PrivateKey, PublicKey,
    SerialNumber, SignError, Signer, Timestamp, Trust, TrustBundle, Validity,
};

/// A key that stays with OpenSSL.
struct OpensslKey {
    file: PathBuf,
    public: PublicKey,
}

impl OpensslKey {
    /// Has OpenSSL make a P-256 key in `directory`, and reads the public half.
    fn generate(directory: &Path, name: &str) -> Result<Self, Box<dyn Error>> {
        let file = directory.join(name);
        let curve = ["-pkeyopt", "ec_paramgen_curve:P-256"];
        openssl(
            Command::new("openssl")
                .args(["genpkey", "-algorithm", "EC"])
                .args(curve)
                .arg("-out")
                .arg(&file),
        )?;
        let spki = openssl(
            Command::new("openssl")
                .args(["pkey", "-pubout", "-outform", "DER", "-in"])
                .arg(&file),
        )?;
        let public = PublicKey::from_spki_der(&spki)?;
        Ok(Self { file, public })
    }
}

impl Signer for OpensslKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        // pkeyutl wants to know the length beforehand, so it gets a file.
        let input = tempfile::NamedTempFile::new().map_err(SignError::new)?;
        std::fs::write(input.path(), message).map_err(SignError::new)?;
        let mut command = Command::new("openssl");
        command.args(["pkeyutl", "-sign", "-rawin", "-digest", "sha256", "-inkey"]);
        command.arg(&self.file).arg("-in").arg(input.path());
        openssl(&mut command).map_err(|error| SignError::new(error.to_string()))
    }
}

fn openssl(command: &mut Command) -> Result<Vec<u8>, Box<dyn Error>> {
    let output = command.output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

fn serial() -> Result<SerialNumber, Box<dyn Error>> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random)?;
    Ok(SerialNumber::from_random(random))
}

/// Makes a root and an issuing authority with such keys, issues for a node, and has the node verified.
///
/// # Errors
/// When OpenSSL is missing, or anything does not hold.
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let now = Timestamp::now();
    let day = Duration::from_secs(86_400);
    let validity = Validity::starting(now, 30 * day, day);
    let swarm: swarm_pki::SwarmName = "cabins".parse()?;

    let root = OpensslKey::generate(directory.path(), "root.key")?;
    let root = Authority::create_root(&swarm, 1, root, serial()?, validity)?;
    let issuing = OpensslKey::generate(directory.path(), "issuing.key")?;
    let certificate = root.issue_authority(&swarm, 1, issuing.public_key(), serial()?, validity)?;
    let issuing = Authority::new(certificate, issuing)?;

    let key = PrivateKey::generate(KeyAlgorithm::P256)?;
    let request = CertificateRequest::build(&key, &swarm, &"edge1".parse()?, [7; 32])?;
    let identity = NodeIdentity::new(
        swarm.clone(),
        "edge1".parse()?,
        request.wireguard_public_key(),
    );
    let node = issuing.issue_node(request.public_key(), &identity, serial()?, validity)?;

    let mut bundle = TrustBundle::default();
    bundle.issuers.push(issuing.certificate().clone());
    for authority in [&root, &issuing] {
        bundle.crls.push(authority.sign_crl(&CrlContents {
            number: now.as_unix(),
            this_update: now,
            next_update: now + 7 * day,
            revoked: BTreeMap::new(),
        })?);
    }
    let mut trust = Trust::new(swarm, vec![root.certificate().clone()])?;
    trust.merge(&bundle, now);
    let verified = trust.verify(&[node.der().clone()], now)?;
    println!(
        "{} is certified by a key that only OpenSSL has",
        verified.id()
    );
    Ok(())
}
