//! Private keys under a passphrase: PBES2 (RFC 8018), which OpenSSL opens.

use der::Decode;
use pkcs8::pkcs5::{pbes2, scrypt};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use super::pem::{read_pem, write_pem};
use super::{KeyError, PrivateKey};

/// Ceilings on what an encrypted key file may ask of the machine that opens it.
const MAX_PBKDF2_ITERATIONS: u32 = 10_000_000;
const MAX_SCRYPT_BYTES: u64 = 256 * 1024 * 1024;

impl PrivateKey {
    /// Parses one PEM block `ENCRYPTED PRIVATE KEY`: PBES2 with scrypt or PBKDF2, AES-CBC.
    ///
    /// # Errors
    /// [`KeyError::WrongPassphrase`]; [`KeyError::ExcessiveDerivation`] for a file made to stall
    /// its reader; else as [`from_pkcs8_der`](Self::from_pkcs8_der).
    pub fn from_encrypted_pem(pem: &str, passphrase: &[u8]) -> Result<Self, KeyError> {
        let ("ENCRYPTED PRIVATE KEY", der) = read_pem(pem)? else {
            return Err(KeyError::WrongPemLabel {
                expected: "ENCRYPTED PRIVATE KEY",
            });
        };
        let info = EncryptedPrivateKeyInfoRef::from_der(&der).map_err(|_| KeyError::Malformed)?;
        let scheme = info.encryption_algorithm.pbes2().ok_or_else(|| {
            KeyError::UnsupportedAlgorithm(info.encryption_algorithm.oid().to_string())
        })?;
        let excessive = match &scheme.kdf {
            pbes2::Kdf::Pbkdf2(params) => params.iteration_count > MAX_PBKDF2_ITERATIONS,
            pbes2::Kdf::Scrypt(params) => {
                let bytes = u64::from(params.block_size)
                    .saturating_mul(128)
                    .saturating_mul(params.cost_parameter);
                bytes > MAX_SCRYPT_BYTES || params.parallelization > 16
            }
            _ => true,
        };
        if excessive {
            return Err(KeyError::ExcessiveDerivation);
        }
        let plain = info
            .decrypt(passphrase)
            .map_err(|_| KeyError::WrongPassphrase)?;
        Self::from_pkcs8_der(plain.as_bytes())
    }

    /// Returns the PEM block `ENCRYPTED PRIVATE KEY`: PBES2 with scrypt (N = 2^14, r = 8, p = 1;
    /// 16 MiB, what OpenSSL opens by default) and AES-256-CBC.
    ///
    /// `randomness` becomes the salt and the initialization vector: fresh for every call.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn to_encrypted_pem(
        &self,
        passphrase: &[u8],
        randomness: [u8; 32],
    ) -> Result<Zeroizing<String>, KeyError> {
        let (salt, iv) = randomness.split_at(16);
        let iv = iv.try_into().expect("32 bytes split at 16");
        let cost = scrypt::Params::new(14, 8, 1).map_err(|_| KeyError::Library)?;
        let params = pbes2::Parameters::generate_scrypt_aes256cbc(cost, salt, iv)
            .map_err(|_| KeyError::Library)?;
        let encrypted = PrivateKeyInfoRef::from_der(&self.pkcs8)
            .expect("written by this type")
            .encrypt_with_params(params, passphrase)
            .map_err(|_| KeyError::Library)?;
        Ok(Zeroizing::new(write_pem(
            "ENCRYPTED PRIVATE KEY",
            encrypted.as_bytes(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{KeyAlgorithm, Signer};

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_alone() {
        let key = PrivateKey::generate(KeyAlgorithm::P256).unwrap();
        let sealed = key.to_encrypted_pem(b"correct horse", [7; 32]).unwrap();
        let opened = PrivateKey::from_encrypted_pem(&sealed, b"correct horse").unwrap();
        assert_eq!(opened.public_key(), key.public_key());
        let wrong = PrivateKey::from_encrypted_pem(&sealed, b"battery staple");
        assert!(matches!(wrong, Err(KeyError::WrongPassphrase)));
        assert!(matches!(
            PrivateKey::from_pem(&sealed),
            Err(KeyError::Encrypted)
        ));
    }
}
