//! What can be wrong with a `swarm.toml`, and where.

use std::fmt;

use crate::address::AddressError;
use crate::value::ValueError;

/// One thing that is wrong in a `swarm.toml`.
///
/// It displays as `line 3, column 11: swarm.network: …, found "…"` and, when there is one, the
/// hint in a second line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Line in the text, counted from 1.
    pub line: usize,
    /// Column in the line, in characters, counted from 1.
    pub column: usize,
    /// Path of the key with dots between, such as `nodes.edge1.address`; empty where the text is
    /// not TOML.
    pub key: String,
    /// What is wrong.
    pub kind: ProblemKind,
    /// The text that is wrong, shortened to 80 characters, where there is one.
    pub found: Option<String>,
    /// What to do about it, where that can be said.
    pub hint: Option<String>,
}

/// The kinds of problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The text is not TOML.
    #[error("not TOML: {message}")]
    Syntax {
        /// What the TOML parser says.
        message: String,
    },
    /// The text is longer than a `swarm.toml` may be.
    #[error("the text has {length} bytes, at most {limit} are read")]
    TooLong {
        /// Length of the text, in bytes.
        length: usize,
        /// Longest that is read, in bytes.
        limit: usize,
    },
    /// There is no such key.
    #[error("unknown key")]
    UnknownKey,
    /// The value has another type than the key takes.
    #[error("expected {expected}, not {actual}")]
    WrongType {
        /// The type that the key takes, with its article.
        expected: &'static str,
        /// The TOML type found.
        actual: &'static str,
    },
    /// The value is not one that the key takes.
    #[error(transparent)]
    Value(ValueError),
    /// A key that must be there is not.
    #[error("missing")]
    Missing,
    /// The same value stands twice in a list.
    #[error("stands twice in the list")]
    Repeated,
    /// No node has the role `hub`.
    #[error("no node has the role \"hub\"")]
    NoHub,
    /// A key that only a hub takes stands at another node.
    #[error("only a node with the role \"hub\" takes this key")]
    OnlyForHubs,
    /// A key that no hub takes stands at one.
    #[error("a node with the role \"hub\" does not take this key")]
    NotForHubs,
    /// A network has bits set behind its prefix.
    #[error("a network has no bits set behind its prefix")]
    HostBits,
    /// A network is not one of the private ones.
    #[error("not inside a private network: {allowed}")]
    NotPrivate {
        /// The networks that are allowed.
        allowed: &'static str,
    },
    /// A network has too few addresses.
    #[error("too small a network: the prefix may have {longest} bits at most")]
    NetworkTooSmall {
        /// The longest prefix allowed, in bits.
        longest: u8,
    },
    /// A node's address cannot be had.
    #[error(transparent)]
    Address(AddressError),
    /// A public address lies inside the mesh.
    #[error("a public address cannot lie inside the mesh network {network}")]
    InsideMesh {
        /// The mesh network.
        network: String,
    },
    /// An address that nobody else can reach.
    #[error("not an address that other nodes can reach")]
    NotReachable,
    /// Two hubs give the same public address and port.
    #[error("{other} has the same public address and port")]
    SameEndpoint {
        /// The other key.
        other: String,
    },
    /// Two listeners of one machine take the same port.
    #[error("port {port} is taken by {other} on the same machine")]
    PortTaken {
        /// The port.
        port: u16,
        /// The key of the other listener.
        other: String,
    },
    /// Of two values, one must not exceed the other.
    #[error("must not be longer than {other} ({limit})")]
    Exceeds {
        /// The key of the other value.
        other: &'static str,
        /// The other value.
        limit: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.kind)?;
        if let Some(found) = &self.found {
            write!(f, ", found {found:?}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Everything found wrong in one reading of a `swarm.toml`: at least one problem, in the order
/// of the text, 64 at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    problems: Vec<Problem>,
    omitted: usize,
}

impl Problems {
    /// How many are told at most.
    pub(crate) const LIMIT: usize = 64;

    /// Takes problems, at least one, in the order of the text.
    pub(crate) fn new(problems: Vec<Problem>, omitted: usize) -> Self {
        Self { problems, omitted }
    }

    /// The problems, in the order of the text.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.problems
    }

    /// How many more there were than are told.
    #[must_use]
    pub fn omitted(&self) -> usize {
        self.omitted
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.problems.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
