//! Names: of nodes, of the swarm, of its domain, of roles.

use super::{ValueError, check, text_value};

const LABEL: &str = "lower-case letters, digits and '-' are allowed";
const DOTTED: &str = "lower-case letters, digits, '-' and '.' are allowed";

/// The name of a node: one lower-case DNS label of 1 to 63 characters.
///
/// So it is a token of a NATS subject, a Matrix localpart and a file name as it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(String);

/// The name of a swarm: lower-case DNS labels, most often a single one. It is the Matrix server
/// name and the authority of the nodes' SPIFFE ids too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SwarmName(String);

/// The DNS domain under which the nodes' names stand, such as `swarm.internal`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(String);

/// What a node is there for: one lower-case label. [`Role::HUB`] and [`Role::EDGE`] mean
/// something to this crate; every other is the operator's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(String);

text_value!(NodeId);
text_value!(SwarmName);
text_value!(Domain);
text_value!(Role);

impl NodeId {
    /// Parses a node id.
    ///
    /// # Errors
    /// [`ValueError`] unless the text is a lower-case DNS label (RFC 1123, 2.1).
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        label("node id", text)?;
        Ok(Self(text.to_owned()))
    }
}

impl SwarmName {
    /// Parses the name of a swarm.
    ///
    /// # Errors
    /// [`ValueError`] unless the text is one or more lower-case DNS labels with dots between,
    /// at most 100 characters in all, and not an IPv4 address.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        dotted("swarm name", text, 100)?;
        Ok(Self(text.to_owned()))
    }

    /// The domain that a swarm of this name has unless it states another: `<name>.internal`.
    #[must_use]
    pub fn default_domain(&self) -> Domain {
        Domain(format!("{}.internal", self.0))
    }
}

impl Domain {
    /// Parses a domain.
    ///
    /// # Errors
    /// [`ValueError`] unless the text is lower-case DNS labels with dots between, at most
    /// 189 characters: with a node's label before it, it stays within the 253 of DNS.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        dotted("domain", text, 189)?;
        Ok(Self(text.to_owned()))
    }

    /// The name of a node in this domain.
    #[must_use]
    pub fn host(&self, id: &NodeId) -> String {
        format!("{id}.{self}")
    }
}

impl Role {
    /// The role of a node with a public address that runs the services.
    pub const HUB: &'static str = "hub";
    /// The role of every node that states none.
    pub const EDGE: &'static str = "edge";

    /// Parses a role.
    ///
    /// # Errors
    /// [`ValueError`] unless the text is a lower-case label of 1 to 63 characters.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        label("role", text)?;
        Ok(Self(text.to_owned()))
    }

    /// The hub role.
    #[must_use]
    pub fn hub() -> Self {
        Self(Self::HUB.to_owned())
    }

    /// The edge role.
    #[must_use]
    pub fn edge() -> Self {
        Self(Self::EDGE.to_owned())
    }

    /// Whether this is the hub role.
    #[must_use]
    pub fn is_hub(&self) -> bool {
        self.0 == Self::HUB
    }
}

fn is_label_character(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn label(what: &'static str, text: &str) -> Result<(), ValueError> {
    check(what, text, 63, LABEL, is_label_character)?;
    for (index, character) in [
        (0, text.chars().next()),
        (text.len() - 1, text.chars().last()),
    ] {
        if character == Some('-') {
            return Err(ValueError::Character {
                what,
                character: '-',
                index: index + 1,
                allowed: "it begins and ends with a letter or digit",
            });
        }
    }
    Ok(())
}

fn dotted(what: &'static str, text: &str, limit: usize) -> Result<(), ValueError> {
    check(what, text, limit, DOTTED, |c| {
        is_label_character(c) || c == '.'
    })?;
    for part in text.split('.') {
        label(what, part)?;
    }
    // The last label of a host name is never a number: that would be an address.
    if text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(ValueError::Form {
            what: "a name",
            expected: "a last label with a letter",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_is_one_lower_case_label() {
        for good in ["a", "edge1", "x-1", "0", &"a".repeat(63)] {
            assert_eq!(NodeId::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a_b",
            "ä",
            "a b",
            "a\n",
            "*",
            ">",
            &"a".repeat(64),
        ] {
            assert!(NodeId::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_swarm_name_may_be_dotless_or_dotted_but_no_address() {
        for good in ["swarm", "a.b", "swarm-7.example"] {
            assert_eq!(SwarmName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "", ".", "a.", ".a", "a..b", "Swarm", "10.0.0.1", "7", "a:80", "@x",
        ] {
            assert!(SwarmName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_longest_domain_leaves_room_for_a_node_name() {
        let label = "a".repeat(62);
        let domain = Domain::parse(&format!("{label}.{label}.{label}")).unwrap();
        assert_eq!(domain.as_str().len(), 188);
        let id = NodeId::parse(&"n".repeat(63)).unwrap();
        assert!(domain.host(&id).len() <= 253);
        assert!(Domain::parse(&"a.".repeat(100)).is_err());
    }

    #[test]
    fn an_error_names_the_character_and_its_place() {
        let error = NodeId::parse("edge_1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "node id has '_' at character 5; lower-case letters, digits and '-' are allowed"
        );
    }
}
