//! The node certificates whose signatures were verified.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use crate::Certificate;

/// A set of certificates by what was signed: the same certificate under a signature that was
/// rewritten into another valid form is the same.
#[derive(Clone, Default)]
pub(super) struct KnownCertificates(HashSet<Signed>);

#[derive(Clone)]
struct Signed(Certificate);

impl Hash for Signed {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Drawn at random by the authority; the comparison decides.
        self.0.serial().hash(state);
    }
}

impl PartialEq for Signed {
    fn eq(&self, other: &Self) -> bool {
        self.0.signed_der() == other.0.signed_der()
    }
}

impl Eq for Signed {}

impl KnownCertificates {
    /// Tells whether it is known, under whatever signature.
    pub(super) fn contains(&self, certificate: &Certificate) -> bool {
        self.0.contains(&Signed(certificate.clone()))
    }

    /// Tells whether it is known under this very signature.
    pub(super) fn contains_exactly(&self, certificate: &Certificate) -> bool {
        let known = self.0.get(&Signed(certificate.clone()));
        known.is_some_and(|known| known.0 == *certificate)
    }

    pub(super) fn insert(&mut self, certificate: &Certificate) {
        self.0.insert(Signed(certificate.clone()));
    }

    pub(super) fn remove(&mut self, certificate: &Certificate) {
        self.0.remove(&Signed(certificate.clone()));
    }
}
