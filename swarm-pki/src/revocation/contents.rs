//! What a revocation list shall say, and the list that says it.

use std::collections::BTreeMap;

use const_oid::db::rfc5280::{ID_CE_CRL_NUMBER, ID_CE_CRL_REASONS};

use super::{Revocation, RevocationList};
use crate::asn1::{Writer, tag};
use crate::encode::sign;
use crate::key::{SignError, Signer};
use crate::profile::write_authority_key_identifier;
use crate::{SerialNumber, Timestamp};

/// Octets of an entry with a reason and a serial number of 16 octets.
const USUAL_ENTRY: usize = 49;

/// What a revocation list shall say; [`Authority::sign_crl`](crate::Authority::sign_crl) makes it
/// one.
#[derive(Clone, Debug)]
pub struct CrlContents {
    /// Counts up with every list of one authority.
    pub number: u64,
    /// When the list is made.
    pub this_update: Timestamp,
    /// By when the next one will be made.
    pub next_update: Timestamp,
    /// The revoked certificates; ordered, so that equal contents give equal lists.
    pub revoked: BTreeMap<SerialNumber, Revocation>,
}

impl CrlContents {
    pub(crate) fn sign(
        &self,
        issuer: &[u8],
        key_id: &[u8],
        signer: &dyn Signer,
    ) -> Result<RevocationList, SignError> {
        let room = 256 + self.revoked.len() * USUAL_ENTRY;
        let mut writer = Writer::with_capacity(room);
        writer.sequence(|tbs| {
            tbs.integer(&[1]);
            tbs.raw(signer.public_key().algorithm().signature_algorithm_der());
            tbs.raw(issuer);
            tbs.time(self.this_update);
            tbs.time(self.next_update);
            // RFC 5280 §5.1.2.6: absent when there are none.
            if !self.revoked.is_empty() {
                tbs.sequence(|list| {
                    for (serial, revocation) in &self.revoked {
                        write_entry(list, serial, revocation);
                    }
                });
            }
            tbs.nested(tag::context(0), |wrapped| {
                wrapped.sequence(|extensions| {
                    write_authority_key_identifier(extensions, key_id);
                    extensions.extension(ID_CE_CRL_NUMBER.as_bytes(), false, |value| {
                        value.integer(&self.number.to_be_bytes());
                    });
                });
            });
        });
        let der = sign(&writer.into_der(), signer)?;
        RevocationList::from_der(&der).map_err(SignError::new)
    }
}

fn write_entry(list: &mut Writer, serial: &SerialNumber, revocation: &Revocation) {
    list.sequence(|entry| {
        entry.integer(serial.as_bytes());
        entry.time(revocation.at);
        if let Some(code) = revocation.reason.code() {
            entry.sequence(|extensions| {
                extensions.extension(ID_CE_CRL_REASONS.as_bytes(), false, |value| {
                    value.primitive(tag::ENUMERATED, &[code]);
                });
            });
        }
    });
}
