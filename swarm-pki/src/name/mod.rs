//! Names: parsed once, valid for ever.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

mod spiffe;

pub use spiffe::{ServiceSpiffeId, SpiffeId};

/// A name was refused; says which kind of name, the text and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}: {fault}")]
pub struct NameError {
    /// The kind of name that was expected, such as `node id`.
    pub kind: &'static str,
    /// The refused text, cut to 80 characters.
    pub text: String,
    /// What is wrong with it.
    pub fault: NameFault,
}

/// What is wrong with a refused name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// The name, or one of its labels, is empty.
    #[error("it is empty or has an empty label")]
    Empty,
    /// The name or a label is longer than this many bytes.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// A character other than `a`–`z`, `0`–`9`, `-` (and `.` between labels).
    #[error("the character {0:?} is not allowed (lower-case letters, digits and inner hyphens)")]
    Character(char),
    /// A label begins or ends with a hyphen.
    #[error("a label begins or ends with a hyphen")]
    Hyphen,
    /// The last label has digits only, so the name could be taken for an IP address.
    #[error("its last label is a number")]
    Numeric,
    /// Not of the form that the kind of SPIFFE id has.
    #[error("it is not of the form {0}")]
    Form(&'static str),
}

fn check_label(label: &str) -> Result<(), NameFault> {
    if label.is_empty() {
        return Err(NameFault::Empty);
    }
    if let Some(bad) = label
        .chars()
        .find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-'))
    {
        return Err(NameFault::Character(bad));
    }
    if label.len() > 63 {
        return Err(NameFault::TooLong(63));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(NameFault::Hyphen);
    }
    Ok(())
}

fn check_dotted(name: &str, longest: usize) -> Result<(), NameFault> {
    if name.len() > longest {
        return Err(NameFault::TooLong(longest));
    }
    name.split('.').try_for_each(check_label)?;
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NameFault::Numeric);
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameFault> = $check;
                match check(text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(fault) => Err(NameError {
                        kind: $kind,
                        text: text.chars().take(80).collect(),
                        fault,
                    }),
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

name_type! {
    /// The name of one node within its swarm: a lower-case DNS label of 1–63 bytes.
    ///
    /// Letters, digits and inner hyphens only, so it is a DNS label, a NATS subject token, a
    /// Matrix localpart and a file name as it stands.
    NodeId, "node id", check_label
}

name_type! {
    /// The name of a service within its swarm: of the same form as a [`NodeId`], in a name space
    /// of its own.
    ServiceName, "service name", check_label
}

name_type! {
    /// The name of a swarm: lower-case and DNS-like, dots optional, at most 64 bytes (what X.520
    /// allows an organization name).
    ///
    /// It is the trust domain in every [`SpiffeId`]. Verifiers take dotless names; RFC 5280 §4.2.1.6
    /// wants a fully qualified host in a URI, so strict linters are content with dotted names only.
    SwarmName, "swarm name", |text| check_dotted(text, 64)
}

name_type! {
    /// A lower-case DNS name, as it stands in a certificate's DNS SAN; at most 253 bytes, no
    /// wildcard.
    DnsName, "DNS name", |text| check_dotted(text, 253)
}

name_type! {
    /// The DNS domain that node names are put under; at most 189 bytes, so that every
    /// [`NodeId`] fits in front of it.
    Domain, "domain", |text| check_dotted(text, 189)
}

name_type! {
    /// What a node is for: a lower-case label of 1–63 bytes, the unit that permissions and
    /// segmentation are written in.
    Role, "role", check_label
}

impl Domain {
    /// Returns the DNS name of a node in this domain: `<id>.<domain>`.
    pub fn host(&self, id: &NodeId) -> DnsName {
        DnsName(format!("{id}.{self}").into())
    }
}

impl Role {
    /// The role of a machine that the others rely on: it runs the bus and the rooms.
    pub const HUB: &'static str = "hub";
    /// The role of a machine in the field.
    pub const EDGE: &'static str = "edge";
    /// The role of a machine that people command the swarm from.
    pub const OPERATOR: &'static str = "operator";

    /// Makes the role [`HUB`](Self::HUB).
    pub fn hub() -> Self {
        Self(Self::HUB.into())
    }

    /// Makes the role [`EDGE`](Self::EDGE).
    pub fn edge() -> Self {
        Self(Self::EDGE.into())
    }

    /// Makes the role [`OPERATOR`](Self::OPERATOR).
    pub fn operator() -> Self {
        Self(Self::OPERATOR.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_node_id_is_a_lower_case_dns_label() {
        for good in ["a", "edge-1", "7", &"x".repeat(63)] {
            assert!(good.parse::<NodeId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "Edge",
            "a.b",
            "a b",
            "-a",
            "a-",
            "a*",
            ">",
            "ä",
            "../x",
            &"x".repeat(64),
        ] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_dns_name_cannot_be_taken_for_an_address() {
        assert!("10.0.0.1".parse::<DnsName>().is_err());
        assert!("7.swarm.internal".parse::<DnsName>().is_ok());
        assert!("a..b".parse::<DnsName>().is_err());
        assert!("a.b.".parse::<DnsName>().is_err());
    }

    #[test]
    fn every_node_id_fits_in_front_of_every_domain() {
        let longest: Domain = [&"d".repeat(63)[..]; 3].join(".")[..189].parse().unwrap();
        let host = longest.host(&"n".repeat(63).parse().unwrap());
        assert!(host.as_str().parse::<DnsName>().is_ok());
    }

    proptest! {
        #[test]
        fn a_name_that_parses_prints_as_it_was_written(text in ".{0,70}") {
            if let Ok(id) = text.parse::<NodeId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
