//! One PEM block, in and out.

use der::pem::LineEnding;
use zeroize::Zeroizing;

use super::{KeyError, MAX_KEY_BYTES};

pub(super) fn read_pem(pem: &str) -> Result<(&str, Zeroizing<Vec<u8>>), KeyError> {
    if pem.len() > MAX_KEY_BYTES {
        return Err(KeyError::TooLong(pem.len()));
    }
    let (label, der) = der::pem::decode_vec(pem.as_bytes()).map_err(|_| KeyError::Malformed)?;
    Ok((label, Zeroizing::new(der)))
}

/// Writes one PEM block with `\n` line ends.
pub(crate) fn write_pem(label: &'static str, der: &[u8]) -> String {
    der::pem::encode_string(label, LineEnding::LF, der)
        .expect("a constant label and a size below der's limit")
}
