//! Public keys, as the programs read them. There are no private keys in this crate.

use super::{ValueError, check, text_value};

/// A WireGuard public key: 32 bytes in base64, 44 characters, as `wg pubkey` writes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireGuardPublicKey(String);

/// A public key in PEM (`-----BEGIN PUBLIC KEY-----`, RFC 7468, 13), as Synapse takes it for
/// checking signed logins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKeyPem(String);

text_value!(WireGuardPublicKey);
text_value!(PublicKeyPem);

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '+' || c == '/'
}

impl WireGuardPublicKey {
    /// Parses a key.
    ///
    /// # Errors
    /// [`ValueError`] unless the text is the canonical base64 of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        const WHAT: &str = "WireGuard public key";
        const FORM: ValueError = ValueError::Form {
            what: "a WireGuard public key",
            expected: "32 bytes in base64",
        };
        check(WHAT, text, 44, "base64 is expected", |c| {
            is_base64(c) || c == '='
        })?;
        let body = text.strip_suffix('=').ok_or(FORM)?;
        // 43 digits hold 258 bits; the last two of them are zero in the canonical form.
        if body.len() != 43
            || body.contains('=')
            || !body.ends_with(|c| "AEIMQUYcgkosw048".contains(c))
        {
            return Err(FORM);
        }
        Ok(Self(text.to_owned()))
    }
}

impl PublicKeyPem {
    /// Parses a PEM text. Space around it is dropped; lines end with a line feed afterwards.
    ///
    /// # Errors
    /// [`ValueError`] unless the text is exactly one `PUBLIC KEY` block with a body of base64,
    /// 4 kB at most. The key inside is not looked at.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        const FORM: ValueError = ValueError::Form {
            what: "a public key",
            expected: "one PEM block named PUBLIC KEY",
        };
        let text = text.trim();
        if text.len() > 4096 {
            return Err(ValueError::TooLong {
                what: "public key",
                length: text.len(),
                limit: 4096,
            });
        }
        let body = text
            .strip_prefix(BEGIN)
            .and_then(|t| t.strip_suffix(END))
            .ok_or(FORM)?;
        let mut pem = format!("{BEGIN}\n");
        let mut lines = 0;
        for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if !line.trim_end_matches('=').chars().all(is_base64) {
                return Err(FORM);
            }
            pem.push_str(line);
            pem.push('\n');
            lines += 1;
        }
        if lines == 0 {
            return Err(FORM);
        }
        pem.push_str(END);
        pem.push('\n');
        Ok(Self(pem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wireguard_key_is_the_canonical_base64_of_32_bytes() {
        let good = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
        assert_eq!(WireGuardPublicKey::parse(good).unwrap().as_str(), good);
        for bad in [
            "",
            "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg",
            "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dh=",
            "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8D==",
            "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\n",
            "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp\"Dg=",
        ] {
            assert!(WireGuardPublicKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_pem_holds_one_public_key_and_nothing_else() {
        let good = format!("{BEGIN}\r\nMCowBQYDK2VwAyEA\r\n{END}\r\n");
        let pem = PublicKeyPem::parse(&good).unwrap();
        assert_eq!(pem.as_str(), format!("{BEGIN}\nMCowBQYDK2VwAyEA\n{END}\n"));
        assert_eq!(PublicKeyPem::parse(pem.as_str()), Ok(pem));
        for bad in [
            String::new(),
            format!("{BEGIN}\n{END}"),
            good.replace("PUBLIC", "PRIVATE"),
            format!("{good}{good}"),
            good.replace("MCow", "MC: w"),
        ] {
            assert!(PublicKeyPem::parse(&bad).is_err(), "{bad:?}");
        }
    }
}
