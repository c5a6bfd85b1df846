//! What other libraries are known to fall for.

use std::time::Duration;

use der::{Decode, Encode, Reader, SliceReader, asn1::BitStringRef, asn1::UintRef};
use swarm_pki::testing::TestAuthority;
use swarm_pki::verify::{ChainCheck, ChainError, verify_chain};
use swarm_pki::{Certificate, CrlError, NodeCertificate, RevocationList, TrustBundle, VerifyError};
use x509_cert::crl::CertificateList;
use x509_cert::ext::Extension;

const DAY: Duration = Duration::from_secs(86_400);

/// The order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(content);
    out
}

/// `ORDER - s`: with it the signature is as good as with `s`.
fn other_s(s: &[u8]) -> [u8; 32] {
    let mut padded = [0; 32];
    padded[32 - s.len()..].copy_from_slice(s);
    let mut out = [0; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(padded[at]) - borrow;
        borrow = i16::from(difference < 0);
        out[at] = difference.rem_euclid(256) as u8;
    }
    out
}

/// The same certificate with its ECDSA signature rewritten into the other valid form.
fn malleated(der: &[u8]) -> Vec<u8> {
    let mut reader = SliceReader::new(der).unwrap();
    let (tbs, algorithm, signature) = reader
        .sequence(|fields| {
            let tbs = fields.tlv_bytes()?;
            let algorithm = fields.tlv_bytes()?;
            let signature = BitStringRef::decode(fields)?;
            Ok::<_, der::Error>((tbs, algorithm, signature))
        })
        .unwrap();
    let mut reader = SliceReader::new(signature.as_bytes().unwrap()).unwrap();
    let (r, s) = reader
        .sequence(|fields| {
            Ok::<_, der::Error>((UintRef::decode(fields)?, UintRef::decode(fields)?))
        })
        .unwrap();
    let s = other_s(s.as_bytes());
    let mut pair = r.to_der().unwrap();
    pair.extend(UintRef::new(&s).unwrap().to_der().unwrap());
    let mut bits = vec![0];
    bits.extend(tlv(0x30, &pair));
    let mut content = tbs.to_vec();
    content.extend(algorithm);
    content.extend(tlv(0x03, &bits));
    tlv(0x30, &content)
}

#[test]
fn a_rewritten_signature_escapes_no_revocation_and_takes_no_second_place() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let node = authority.issue("edge1", &[]);
    let mut trust = authority.trust(now);
    let twin = malleated(node.certificate.der());
    assert_ne!(twin, node.certificate.der().to_vec());
    let twin = NodeCertificate::from_der(&twin).unwrap();
    assert!(twin.is_signed_by(authority.issuing.certificate()));
    assert_ne!(twin.fingerprint(), node.certificate.fingerprint());

    // It verifies, for it is as good as the other; but it is no news.
    trust.verify(&[twin.der().clone()], now).unwrap();
    let mut news = TrustBundle::default();
    news.nodes.push(twin.certificate().clone());
    assert!(trust.merge(&news, now).is_empty());
    assert_eq!(trust.roster().len(), 1);

    news.crls.push(authority.revoke(&node.certificate, now));
    let changes = trust.merge(&news, now);
    assert_eq!(changes.removed.len(), 1);
    assert_eq!(trust.roster().len(), 0);
    for certificate in [&node.certificate, &twin] {
        let verdict = trust.verify(&[certificate.der().clone()], now);
        assert!(
            matches!(verdict, Err(VerifyError::Revoked { .. })),
            "{verdict:?}"
        );
    }
    assert!(trust.merge(&news, now).is_empty());
}

#[test]
fn the_newest_list_of_an_issuer_counts_wherever_it_stands() {
    let mut authority = TestAuthority::default();
    let now = authority.start + DAY;
    let node = authority.issue("edge1", &[]);
    let old = authority.crl(now);
    let new = authority.revoke(&node.certificate, now);
    for lists in [[old.clone(), new.clone()], [new, old]] {
        let mut check = ChainCheck::default();
        check.roots = vec![authority.root.certificate().clone()];
        check.intermediates = vec![authority.issuing.certificate().clone()];
        check.crls = lists.to_vec();
        check.crls.push(authority.root_crl(now));
        let verdict = verify_chain(&node.certificate, &check, now);
        assert!(
            matches!(verdict, Err(ChainError::Revoked(_))),
            "{verdict:?}"
        );
    }
}

#[test]
fn lists_that_leave_out_what_they_need_or_tell_only_a_part_are_refused() {
    let mut authority = TestAuthority::default();
    let whole = authority.crl(authority.start);
    let list = CertificateList::from_der(whole.der()).unwrap();
    let read = |list: &CertificateList| RevocationList::from_der(&list.to_der().unwrap());
    assert_eq!(read(&list).unwrap(), whole);

    let mut without = list.clone();
    without.tbs_cert_list.next_update = None;
    assert!(matches!(read(&without), Err(CrlError::Missing(_))));
    for left_out in ["2.5.29.20", "2.5.29.35"] {
        let mut without = list.clone();
        let extensions = without.tbs_cert_list.crl_extensions.as_mut().unwrap();
        extensions.retain(|extension| extension.extn_id.to_string() != left_out);
        assert!(
            matches!(read(&without), Err(CrlError::Missing(_))),
            "{left_out}"
        );
    }
    // Delta CRL indicator and issuing distribution point (RFC 5280, 5.2.4 and 5.2.5).
    for oid in ["2.5.29.27", "2.5.29.28"] {
        let mut part = list.clone();
        let extension = Extension {
            extn_id: oid.parse().unwrap(),
            critical: true,
            extn_value: der::asn1::OctetString::new([0x02, 0x01, 0x01].as_slice()).unwrap(),
        };
        part.tbs_cert_list
            .crl_extensions
            .as_mut()
            .unwrap()
            .push(extension);
        assert!(
            matches!(read(&part), Err(CrlError::UnknownCriticalExtension(_))),
            "{oid}"
        );
    }
    let mut trailing = whole.der().to_vec();
    trailing.push(0);
    assert!(RevocationList::from_der(&trailing).is_err());
    let mut trailing = authority.issue("edge1", &[]).certificate.der().to_vec();
    trailing.push(0);
    assert!(Certificate::from_der(&trailing).is_err());
}
