//! URIs that name nodes and services in certificates.
//!
//! The form follows the [SPIFFE ID](https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md)
//! specification: the swarm is the trust domain, kind and name are the path.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{NameError, NameFault, NodeId, ServiceName, SwarmName};

macro_rules! spiffe_type {
    (
        $(#[$doc:meta])* $type:ident { $(#[$field_doc:meta])* $field:ident: $name:ident },
        $path:literal, $kind:literal
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type {
            /// The swarm, which is the trust domain.
            pub swarm: SwarmName,
            $(#[$field_doc])*
            pub $field: $name,
        }

        impl $type {
            /// Puts the two names together.
            pub fn new(swarm: SwarmName, $field: $name) -> Self {
                Self { swarm, $field }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("spiffe://{}", $path, "{}"), self.swarm, self.$field)
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let (swarm, name) = text
                    .strip_prefix("spiffe://")
                    .and_then(|rest| rest.split_once($path))
                    .ok_or_else(|| NameError {
                        kind: $kind,
                        text: text.chars().take(80).collect(),
                        fault: NameFault::Form(concat!("spiffe://<swarm>", $path, "<name>")),
                    })?;
                Ok(Self {
                    swarm: swarm.parse()?,
                    $field: name.parse()?,
                })
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.to_string()
            }
        }
    };
}

spiffe_type! {
    /// The URI that names a node in its certificate: `spiffe://<swarm>/node/<id>`.
    SpiffeId {
        /// The node within the swarm.
        node: NodeId
    },
    "/node/", "SPIFFE id of a node"
}

spiffe_type! {
    /// The URI that names a service in its certificate: `spiffe://<swarm>/service/<name>`.
    ServiceSpiffeId {
        /// The service within the swarm.
        service: ServiceName
    },
    "/service/", "SPIFFE id of a service"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_spiffe_id_of_another_form_is_refused() {
        for bad in [
            "spiffe://s/edge1",
            "spiffe://s/node/",
            "spiffe:///node/a",
            "spiffe://s/node/a/b",
            "spiffe://s/node/a?x",
            "http://s/node/a",
            "spiffe://S/node/a",
        ] {
            assert!(bad.parse::<SpiffeId>().is_err(), "{bad}");
            let bad = bad.replace("node", "service");
            assert!(bad.parse::<ServiceSpiffeId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_node_is_no_service() {
        assert!("spiffe://s/service/a".parse::<SpiffeId>().is_err());
        assert!("spiffe://s/node/a".parse::<ServiceSpiffeId>().is_err());
    }

    proptest! {
        #[test]
        fn a_spiffe_id_survives_its_text_form(swarm in "[a-z][a-z0-9]{0,9}", node in "[a-z0-9]{1,9}") {
            let id = SpiffeId::new(swarm.parse().unwrap(), node.parse().unwrap());
            prop_assert_eq!(id.to_string().parse::<SpiffeId>().unwrap(), id);
        }

        #[test]
        fn whatever_parses_prints_as_it_was_written(text in "(spiffe://)?[a-z./-]{0,30}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.to_string(), text.clone());
            }
            if let Ok(id) = text.parse::<ServiceSpiffeId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
