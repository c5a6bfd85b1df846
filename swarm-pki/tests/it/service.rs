//! Service certificates and usages: what is vouched for, and for what.

use std::time::Duration;

use swarm_pki::testing::TestAuthority;
use swarm_pki::{
    CertificateRequest, IdentityError, NodeCertificate, PrivateKey, RequestError, Revocation,
    RevocationReason, SerialNumber, ServiceCertificate, ServiceIdentity, ServiceRequest, Signer,
    Usage, Validity, VerifyError,
};

const DAY: Duration = Duration::from_secs(86_400);

fn issue(authority: &TestAuthority, name: &str) -> (ServiceCertificate, PrivateKey) {
    let key = PrivateKey::generate(Default::default()).unwrap();
    let name = name.parse().unwrap();
    let request = ServiceRequest::build(&key, &authority.swarm, &name).unwrap();
    let request = ServiceRequest::from_der(request.der()).unwrap();
    let claimed = request.claimed_service().unwrap();
    assert_eq!(claimed.service, name);
    let mut identity = ServiceIdentity::new(authority.swarm.clone(), name);
    identity.dns = vec!["matrix.example.org".parse().unwrap()];
    identity.addresses = vec![[192, 0, 2, 1].into()];
    let serial = SerialNumber::from_random([7; 16]);
    let validity = Validity::starting(authority.start, DAY * 90, DAY);
    let certificate = authority
        .issuing
        .issue_service(request.public_key(), &identity, serial, validity)
        .unwrap();
    assert_eq!(certificate.identity(), &identity);
    (certificate, key)
}

#[test]
fn a_service_is_verified_and_revoked_and_is_no_node() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let trust = authority.trust(now);
    let (service, _) = issue(&authority, "matrix");
    let chain = [service.der().clone()];
    let verified = trust.verify_service(&chain, now).unwrap();
    assert_eq!(verified, service);
    let uri = verified.identity().spiffe_id().to_string();
    assert_eq!(uri, "spiffe://testers/service/matrix");
    assert_eq!(
        ServiceCertificate::from_pem(&service.to_pem()),
        Ok(service.clone())
    );
    // Neither is taken for the other.
    assert!(matches!(
        trust.verify(&chain, now),
        Err(VerifyError::Identity(IdentityError::Missing(_)))
    ));
    let node = authority.issue("matrix", &[]);
    assert!(matches!(
        trust.verify_service(&[node.certificate.der().clone()], now),
        Err(VerifyError::Identity(IdentityError::Unexpected(_)))
    ));
    assert_ne!(node.certificate.subject(), service.subject());
    // Time, revocation and strangers count as for nodes.
    assert!(matches!(
        trust.verify_service(&chain, now + DAY * 91),
        Err(VerifyError::Expired { .. })
    ));
    let mut trust = trust;
    let mut news = swarm_pki::TrustBundle::default();
    news.crls.push(authority.revoke(&service, now));
    trust.merge(&news, now);
    assert!(matches!(
        trust.verify_service(&chain, now),
        Err(VerifyError::Revoked {
            revocation: Revocation {
                reason: RevocationReason::KeyCompromise,
                ..
            },
            ..
        })
    ));
    let (foreign, _) = issue(&TestAuthority::default(), "matrix");
    assert!(matches!(
        trust.verify_service(&[foreign.der().clone()], now),
        Err(VerifyError::UnknownIssuer { .. })
    ));
}

#[test]
fn a_service_request_needs_no_extension_and_proves_its_key() {
    let mut authority = TestAuthority::default();
    let (_, key) = issue(&authority, "grafana");
    let node = authority.issue("edge1", &[]);
    // A node's request is a request; the other way round the tunnel's key is missing.
    assert!(ServiceRequest::from_der(node.request().der()).is_ok());
    let name = "grafana".parse().unwrap();
    let request = ServiceRequest::build(&key, &authority.swarm, &name).unwrap();
    assert!(matches!(
        CertificateRequest::from_der(request.der()),
        Err(RequestError::Identity(_))
    ));
    let again = ServiceRequest::from_pem(&request.to_pem()).unwrap();
    assert_eq!(again.public_key(), key.public_key());
    let mut forged = request.der().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert!(matches!(
        ServiceRequest::from_der(&forged),
        Err(RequestError::ProofOfPossession)
    ));
    let mut trailing = request.der().to_vec();
    trailing.push(0);
    assert!(matches!(
        ServiceRequest::from_der(&trailing),
        Err(RequestError::Malformed)
    ));
}

#[test]
fn usages_are_what_the_certificate_says() {
    let authority = TestAuthority::default();
    let key = PrivateKey::generate(Default::default()).unwrap();
    let validity = Validity::starting(authority.start, DAY, DAY);
    let mut identity = authority.identity("edge1", &[]);
    for (fill, usages) in [
        (1, vec![Usage::Server]),
        (2, vec![Usage::Client]),
        (3, vec![Usage::Server, Usage::Client]),
    ] {
        identity.usages = usages.iter().copied().collect();
        let serial = SerialNumber::from_random([fill; 16]);
        let node = authority
            .issuing
            .issue_node(key.public_key(), &identity, serial, validity)
            .unwrap();
        let read = NodeCertificate::from_der(node.der()).unwrap();
        assert_eq!(read.identity().usages, identity.usages);
        for usage in Usage::ALL {
            assert_eq!(read.identity().allows(usage), usages.contains(&usage));
        }
    }
    identity.usages.clear();
    let serial = SerialNumber::from_random([4; 16]);
    let none = authority
        .issuing
        .issue_node(key.public_key(), &identity, serial, validity);
    assert!(none.is_err());
}
