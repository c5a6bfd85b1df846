//! The part of PKCS#10 (RFC 2986) that every request has: a key, and the proof of holding it.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME;
use const_oid::db::rfc5912::ID_EXTENSION_REQ;
use der::asn1::{Any, BitString, Ia5String, SetOfVec};
use der::{Decode, Encode, Reader, SliceReader};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::attr::Attribute;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};

use super::{MAX_REQUEST_BYTES, RequestError};
use crate::encode::extension;
use crate::key::{PublicKey, SignError, Signer};

/// A request whose signature is the key's own.
pub(super) struct Pkcs10 {
    pub(super) public_key: PublicKey,
    pub(super) extensions: Vec<Extension>,
}

impl Pkcs10 {
    /// Parses exactly one DER request and verifies its proof of possession.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLong(der.len()));
        }
        let malformed = |_| RequestError::Malformed;
        let request = CertReq::from_der(der).map_err(malformed)?;
        let spki = request.info.public_key.to_der().map_err(malformed)?;
        let public_key = PublicKey::from_spki_der(&spki)?;
        let signed = signed_part(der).map_err(malformed)?;
        let signature = request
            .signature
            .as_bytes()
            .ok_or(RequestError::Malformed)?;
        if request.algorithm != public_key.algorithm().signature_algorithm()
            || !public_key.verify(signed, signature)
        {
            return Err(RequestError::ProofOfPossession);
        }
        Ok(Self {
            public_key,
            extensions: requested_extensions(&request)?,
        })
    }

    /// Returns the content of the one extension of this kind; `None` when there is none.
    pub(super) fn extension(&self, oid: ObjectIdentifier) -> Result<Option<&[u8]>, RequestError> {
        let mut found = self.extensions.iter().filter(|e| e.extn_id == oid);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(RequestError::Malformed),
            (one, _) => Ok(one.map(|extension| extension.extn_value.as_bytes())),
        }
    }

    /// Returns the first URI that the requester hopes for and that reads as a `T`.
    pub(super) fn claimed<T: std::str::FromStr>(&self) -> Option<T> {
        let san = self
            .extensions
            .iter()
            .filter(|extension| extension.extn_id == ID_CE_SUBJECT_ALT_NAME)
            .find_map(|extension| SubjectAltName::from_der(extension.extn_value.as_bytes()).ok())?;
        san.0.iter().find_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => uri.as_str().parse().ok(),
            _ => None,
        })
    }
}

/// Writes a request that is signed by the key it is for, and hopes for the name `uri`.
pub(super) fn build(
    signer: &dyn Signer,
    subject: &[u8],
    uri: &str,
    more: impl IntoIterator<Item = Extension>,
) -> Result<Vec<u8>, SignError> {
    let uri = Ia5String::new(uri).expect("names are ASCII");
    let san = SubjectAltName(vec![GeneralName::UniformResourceIdentifier(uri)]);
    let mut extensions = vec![extension(ID_CE_SUBJECT_ALT_NAME, false, &san)];
    extensions.extend(more);
    let attributes = SetOfVec::try_from(vec![Attribute {
        oid: ID_EXTENSION_REQ,
        values: Any::encode_from(&ExtensionReq(extensions))
            .and_then(|value| SetOfVec::try_from(vec![value]))
            .map_err(SignError::new)?,
    }])
    .map_err(SignError::new)?;
    let public_key = signer.public_key();
    let info = CertReqInfo {
        version: Version::V1,
        subject: Name::from_der(subject).map_err(SignError::new)?,
        public_key: SubjectPublicKeyInfoOwned::from_der(public_key.spki_der())
            .map_err(SignError::new)?,
        attributes,
    };
    let signature = signer.sign(&info.to_der().map_err(SignError::new)?)?;
    let request = CertReq {
        info,
        algorithm: public_key.algorithm().signature_algorithm(),
        signature: BitString::from_bytes(&signature).map_err(SignError::new)?,
    };
    request.to_der().map_err(SignError::new)
}

/// Reads one PEM block `CERTIFICATE REQUEST`.
pub(super) fn read_pem(pem: &str) -> Result<Vec<u8>, RequestError> {
    if pem.len() > 2 * MAX_REQUEST_BYTES {
        return Err(RequestError::TooLong(pem.len()));
    }
    match der::pem::decode_vec(pem.as_bytes()) {
        Ok(("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST", der)) => Ok(der),
        _ => Err(RequestError::Malformed),
    }
}

/// The bytes that were signed, exactly as they came.
fn signed_part(der: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(der)?;
    reader.sequence(|fields| {
        let info = fields.tlv_bytes()?;
        fields.tlv_bytes()?;
        fields.tlv_bytes()?;
        Ok::<_, der::Error>(info)
    })
}

fn requested_extensions(request: &CertReq) -> Result<Vec<Extension>, RequestError> {
    let mut all = Vec::new();
    for attribute in request
        .info
        .attributes
        .iter()
        .filter(|a| a.oid == ID_EXTENSION_REQ)
    {
        for value in attribute.values.iter() {
            let list: Vec<Extension> = value.decode_as().map_err(|_| RequestError::Malformed)?;
            all.extend(list);
        }
    }
    Ok(all)
}
