//! Entry points for fuzzing: bytes in, laws checked, no panic allowed.

use std::sync::{LazyLock, Mutex, PoisonError};

use super::TestAuthority;
use crate::identity::SwarmExtension;
use crate::{
    CertificateRequest, NodeCertificate, RevocationList, ServiceCertificate, ServiceRequest,
    TrustBundle,
};

static AUTHORITY: LazyLock<Mutex<TestAuthority>> = LazyLock::new(Mutex::default);

/// A request that parses keeps its bytes, survives PEM, and its key is of an accepted algorithm.
pub fn fuzz_csr(data: &[u8]) {
    if let Ok(request) = CertificateRequest::from_der(data) {
        assert_eq!(request.der(), data);
        let again = CertificateRequest::from_pem(&request.to_pem()).expect("its own PEM");
        assert_eq!(again.public_key(), request.public_key());
        assert_ne!(again.wireguard_public_key(), [0; 32]);
    }
    if let Ok(request) = ServiceRequest::from_der(data) {
        assert_eq!(request.der(), data);
        let again = ServiceRequest::from_pem(&request.to_pem()).expect("its own PEM");
        assert_eq!(again.public_key(), request.public_key());
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = CertificateRequest::from_pem(text);
        let _ = ServiceRequest::from_pem(text);
    }
}

/// A bundle that parses is encoded to the same bytes, and nothing of it is believed by somebody
/// who pins another root.
pub fn fuzz_bundle(data: &[u8]) {
    if let Ok(bundle) = TrustBundle::from_der(data) {
        assert_eq!(bundle.to_der().expect("within the limits"), data);
        let authority = AUTHORITY.lock().unwrap_or_else(PoisonError::into_inner);
        let mut trust = authority.empty_trust();
        let changes = trust.merge(&bundle, authority.start);
        assert!(changes.is_empty());
        assert_eq!(trust.roster().len(), 0);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = TrustBundle::from_pem(text);
    }
}

/// An identity extension that parses is encoded to the same bytes; a certificate of a node or a
/// service that parses states an identity that keeps the limits, is not taken for the other kind,
/// and is believed by nobody who pins another root.
pub fn fuzz_identity(data: &[u8]) {
    if let Ok(extension) = SwarmExtension::from_der(data) {
        assert_eq!(extension.to_extension().extn_value.as_bytes(), data);
    }
    if let Ok(node) = NodeCertificate::from_der(data) {
        node.identity()
            .check()
            .expect("a parsed identity keeps the limits");
        assert_eq!(node.der().as_ref(), data);
        let authority = AUTHORITY.lock().unwrap_or_else(PoisonError::into_inner);
        let verified = authority
            .empty_trust()
            .verify(&[node.der().clone()], authority.start);
        assert!(verified.is_err());
    }
    if let Ok(service) = ServiceCertificate::from_der(data) {
        assert_eq!(service.der().as_ref(), data);
        assert!(NodeCertificate::from_der(data).is_err());
        let authority = AUTHORITY.lock().unwrap_or_else(PoisonError::into_inner);
        let verified = authority
            .empty_trust()
            .verify_service(&[service.der().clone()], authority.start);
        assert!(verified.is_err());
    }
}

/// A revocation list that parses survives PEM, lists each of its serials, and is not taken for
/// another authority's.
pub fn fuzz_crl(data: &[u8]) {
    if let Ok(list) = RevocationList::from_der(data) {
        assert_eq!(RevocationList::from_pem(&list.to_pem()).as_ref(), Ok(&list));
        for (serial, revocation) in list.iter() {
            assert_eq!(list.lookup(&serial), Some(revocation));
        }
        let authority = AUTHORITY.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(list.verify(authority.issuing.certificate()).is_err());
        assert_eq!(list.supersedes(&list), Ok(false));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = RevocationList::from_pem(text);
    }
}
