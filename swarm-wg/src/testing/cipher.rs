//! The cipher of data messages alone, to measure what a core adds to it.

use crate::core::Cipher;

/// A key of the cipher that sessions use on this processor.
pub struct DataCipher(Cipher);

impl std::fmt::Debug for DataCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataCipher").finish_non_exhaustive()
    }
}

impl DataCipher {
    /// Makes a key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Cipher::new(key))
    }

    /// Encrypts in place, and returns the tag. No counter may be used twice.
    pub fn seal(&self, counter: u64, plain: &mut [u8]) -> [u8; 16] {
        self.0.seal(counter, plain)
    }

    /// Decrypts a message in place that ends in its tag: the length of the plaintext, at the
    /// start of `sealed`; `None` when it is not authentic.
    pub fn open(&self, counter: u64, sealed: &mut [u8]) -> Option<usize> {
        self.0.open(counter, sealed)
    }
}
