//! Paths that every reader of a rendered file takes literally.

use super::{ValueError, check, text_value};

/// An absolute path of letters, digits and `.`, `_`, `-`, `+`, `@`, `~`, `/`.
///
/// Such a path means the same to a shell, to systemd, to YAML and to nats-server without any
/// quoting, and each of these quotes in its own way. It has no empty, `.` or `..` component and
/// no slash at its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsolutePath(String);

text_value!(AbsolutePath);

impl AbsolutePath {
    /// Parses a path.
    ///
    /// # Errors
    /// [`ValueError`] unless the text is such a path, 1024 characters at most.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-+@~/".contains(c);
        check(
            "path",
            text,
            1024,
            "letters, digits and . _ - + @ ~ / are allowed",
            fits,
        )?;
        let well_formed = text
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
        if !well_formed {
            return Err(ValueError::Form {
                what: "a path",
                expected: "one that begins with '/', without '.', '..', '//' and a last '/'",
            });
        }
        Ok(Self(text.to_owned()))
    }

    /// The path of something below this one.
    pub(crate) fn join(&self, relative: &str) -> String {
        format!("{}/{relative}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_and_needs_no_quoting() {
        for good in ["/opt/sovereign-swarm", "/tmp/.tmpX1/a", "/srv/x@2+~y"] {
            assert_eq!(AbsolutePath::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "", "/", "a/b", "./a", "/a/", "/a//b", "/a/../b", "/a/.", "/a b", "/a$b", "/a%b", "/ä",
        ] {
            assert!(AbsolutePath::parse(bad).is_err(), "{bad:?}");
        }
    }
}
