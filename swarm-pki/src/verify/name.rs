//! The name that a certificate is checked for.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use der::Decode;
use rustls_pki_types::ServerName;
use webpki::EndEntityCert;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::ChainError;
use crate::Certificate;

/// A name that a certificate may bear as a subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubjectName {
    /// A DNS name; wildcards of the certificate match one label.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
    /// A URI, compared byte by byte.
    Uri(String),
}

impl SubjectName {
    pub(super) fn check(&self, leaf: &Certificate) -> Result<(), ChainError> {
        let borne = match self {
            Self::Dns(name) => {
                ServerName::try_from(name.as_str()).is_ok_and(|name| bears_server_name(leaf, &name))
            }
            Self::Ip(address) => bears_server_name(leaf, &ServerName::from(*address)),
            Self::Uri(uri) => bears_uri(leaf, uri),
        };
        if borne {
            Ok(())
        } else {
            Err(ChainError::Name(self.clone()))
        }
    }
}

impl FromStr for SubjectName {
    type Err = Infallible;
    /// An address is an address, text with `://` is a URI, everything else is a DNS name.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.parse() {
            Ok(address) => Self::Ip(address),
            Err(_) if text.contains("://") => Self::Uri(text.into()),
            Err(_) => Self::Dns(text.into()),
        })
    }
}

impl fmt::Display for SubjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Uri(text) => f.pad(text),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

fn bears_server_name(leaf: &Certificate, name: &ServerName<'_>) -> bool {
    EndEntityCert::try_from(leaf.der())
        .is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(name).is_ok())
}

fn bears_uri(leaf: &Certificate, uri: &str) -> bool {
    let Ok(x509) = x509_cert::Certificate::from_der(leaf.der()) else {
        return false;
    };
    let Ok(Some((_, san))) = x509.tbs_certificate().get_extension::<SubjectAltName>() else {
        return false;
    };
    san.0.iter().any(|name| {
        matches!(name, GeneralName::UniformResourceIdentifier(borne) if borne.as_str() == uri)
    })
}
