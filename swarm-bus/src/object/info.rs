//! What a bucket says of an object: its description, as ADR-20 writes it.

use super::link::Link;
use super::name::{BASE64, ObjectName, ParseNameError, UploadId};
use crate::Token;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::SystemTime;

const ALGORITHM: &str = "SHA-256=";
/// The longest description that is read, in bytes.
const MAX_LENGTH: usize = 64 << 10;

/// The SHA-256 digest of an object.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// What a bucket says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its name.
    pub name: ObjectName,
    /// What people note about it.
    pub description: String,
    /// Which upload its chunks are of.
    pub upload: UploadId,
    /// How many bytes it has.
    pub size: u64,
    /// How many chunks it is stored in.
    pub chunks: u64,
    /// Its digest.
    pub digest: Digest,
    /// When it was stored, by the server's clock.
    pub modified: SystemTime,
}

/// What stands under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Described {
    Object(ObjectInfo),
    /// It was deleted.
    Deleted,
    /// It points elsewhere.
    Link(Link),
}

/// A description that is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseInfoError {
    /// It is longer than any description needs to be.
    #[error("{0} bytes are more than a description has")]
    TooLong(usize),
    /// It is no JSON, or lacks what every description has.
    #[error("that is no description of an object")]
    Json(#[source] serde_json::Error),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] ParseNameError),
    /// It speaks of another object or bucket than the one that it stands under.
    #[error("the description is of another {0}")]
    Other(&'static str),
    /// What its chunks stand under is no id.
    #[error("the description names no upload")]
    Upload,
    /// It is a link to what is no bucket.
    #[error("the link names no bucket")]
    Link,
    /// The digest is none, or of another kind than SHA-256.
    #[error("the description has no SHA-256 digest")]
    Digest,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Raw {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) options: Option<Options>,
    bucket: String,
    nuid: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    mtime: Option<String>,
    #[serde(default)]
    chunks: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(default, skip_serializing_if = "is_not")]
    deleted: Option<bool>,
}

fn is_not(flag: &Option<bool>) -> bool {
    !flag.unwrap_or(false)
}

#[derive(Serialize, Deserialize)]
pub(super) struct Options {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<RawLink>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_chunk_size: Option<u64>,
}

/// A link without a name is one to a whole bucket.
#[derive(Serialize, Deserialize)]
pub(super) struct RawLink {
    pub(super) bucket: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
}

impl Raw {
    /// Describes what has no chunks.
    pub(super) fn new(name: &ObjectName, bucket: &Token, id: &UploadId) -> Self {
        Self {
            name: name.to_string(),
            description: None,
            options: None,
            bucket: bucket.to_string(),
            nuid: id.to_string(),
            size: 0,
            // The time of the message is the one that counts.
            mtime: Some("0001-01-01T00:00:00Z".to_owned()),
            chunks: 0,
            digest: None,
            deleted: None,
        }
    }
}

impl Described {
    /// Reads what a bucket holds under a subject.
    pub(crate) fn parse(
        json: &[u8],
        bucket: &Token,
        subject: &str,
        modified: SystemTime,
    ) -> Result<Self, ParseInfoError> {
        if json.len() > MAX_LENGTH {
            return Err(ParseInfoError::TooLong(json.len()));
        }
        let raw: Raw = serde_json::from_slice(json).map_err(ParseInfoError::Json)?;
        let name = ObjectName::parse(&raw.name)?;
        if raw.bucket != bucket.as_str() {
            return Err(ParseInfoError::Other("bucket"));
        }
        if name.subject(bucket).as_str() != subject {
            return Err(ParseInfoError::Other("name"));
        }
        if raw.deleted == Some(true) {
            return Ok(Self::Deleted);
        }
        let description = raw.description.unwrap_or_default();
        if let Some(link) = raw.options.and_then(|options| options.link) {
            return Ok(Self::Link(Link {
                name,
                description,
                target: link.parse()?,
                modified,
            }));
        }
        Ok(Self::Object(ObjectInfo {
            name,
            description,
            upload: raw.nuid.parse().map_err(|_| ParseInfoError::Upload)?,
            size: raw.size,
            chunks: raw.chunks,
            digest: parse_digest(raw.digest.as_deref()).ok_or(ParseInfoError::Digest)?,
            modified,
        }))
    }
}

fn parse_digest(text: Option<&str>) -> Option<Digest> {
    let (algorithm, digest) = text?.split_at_checked(ALGORITHM.len())?;
    if !algorithm.eq_ignore_ascii_case(ALGORITHM) || digest.len() > 44 {
        return None;
    }
    let digest = BASE64.decode(digest).ok()?;
    Some(Digest(digest.try_into().ok()?))
}

impl ObjectInfo {
    /// Writes the description of an object.
    pub(crate) fn to_json(&self, bucket: &Token, chunk_size: usize) -> Vec<u8> {
        let mut raw = Raw::new(&self.name, bucket, &self.upload);
        raw.description = Some(self.description.clone()).filter(|text| !text.is_empty());
        raw.options = Some(Options {
            link: None,
            max_chunk_size: u64::try_from(chunk_size).ok(),
        });
        raw.size = self.size;
        raw.chunks = self.chunks;
        raw.digest = Some(format!("{ALGORITHM}{}", BASE64.encode(self.digest.0)));
        write(&raw)
    }
}

/// Writes that what stood under a name is deleted.
pub(crate) fn deleted_json(name: &ObjectName, bucket: &Token, id: &UploadId) -> Vec<u8> {
    let mut raw = Raw::new(name, bucket, id);
    raw.deleted = Some(true);
    write(&raw)
}

pub(super) fn write(raw: &Raw) -> Vec<u8> {
    serde_json::to_vec(raw).expect("texts and numbers have a form in JSON")
}

#[cfg(test)]
mod tests {
    use super::super::LinkTarget;
    use super::*;

    const BUCKET: Token = Token::from_static("b");
    const SUBJECT: &str = "$O.b.M.YQ==";
    const OF_GO: &str = r#"{"name":"a","description":"text","headers":{"X":["1"]},
        "options":{"max_chunk_size":131072},"bucket":"b","nuid":"3XoJWHTDU9","size":5,
        "mtime":"0001-01-01T00:00:00Z","chunks":1,
        "digest":"SHA-256=LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="}"#;

    fn parse(json: &str) -> Result<Described, ParseInfoError> {
        Described::parse(json.as_bytes(), &BUCKET, SUBJECT, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn what_another_client_wrote_is_read_and_written_back() {
        let Described::Object(info) = parse(OF_GO).unwrap() else {
            panic!("an object");
        };
        assert_eq!((info.size, info.chunks), (5, 1));
        assert_eq!(info.description, "text");
        let digest = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!(info.digest.to_string(), digest);
        let json = String::from_utf8(info.to_json(&BUCKET, 131_072)).unwrap();
        assert_eq!(parse(&json).unwrap(), Described::Object(info.clone()));
        let json = deleted_json(&info.name, &BUCKET, &info.upload);
        let json = String::from_utf8(json).unwrap();
        assert_eq!(parse(&json).unwrap(), Described::Deleted);
    }

    #[test]
    fn padding_and_case_of_the_algorithm_are_of_no_matter() {
        for digest in [
            "SHA-256=LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ",
            "sha-256=LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
        ] {
            assert!(parse_digest(Some(digest)).is_some(), "{digest}");
        }
    }

    #[test]
    fn hostile_descriptions_are_refused_by_what_is_wrong() {
        type Is = fn(&ParseInfoError) -> bool;
        let cases: [(&str, &str, Is); 10] = [
            (r#""bucket":"b""#, r#""bucket":"c""#, |e| {
                matches!(e, ParseInfoError::Other("bucket"))
            }),
            (r#""name":"a""#, r#""name":"c""#, |e| {
                matches!(e, ParseInfoError::Other("name"))
            }),
            (r#""name":"a""#, r#""name":"\u001b[2J""#, |e| {
                matches!(e, ParseInfoError::Name(_))
            }),
            (r#""name":"a""#, r#""name":"""#, |e| {
                matches!(e, ParseInfoError::Name(_))
            }),
            ("3XoJWHTDU9", ">", |e| matches!(e, ParseInfoError::Upload)),
            ("3XoJWHTDU9", "", |e| matches!(e, ParseInfoError::Upload)),
            (r#""size":5"#, r#""size":-5"#, |e| {
                matches!(e, ParseInfoError::Json(_))
            }),
            (r#""size":5"#, r#""size":18446744073709551616"#, |e| {
                matches!(e, ParseInfoError::Json(_))
            }),
            ("SHA-256=LP", "SHA-256=", |e| {
                matches!(e, ParseInfoError::Digest)
            }),
            ("SHA-256=", "MD5=", |e| matches!(e, ParseInfoError::Digest)),
        ];
        for (good, bad, is) in cases {
            assert!(OF_GO.contains(good), "{good}");
            let error = parse(&OF_GO.replace(good, bad)).unwrap_err();
            assert!(is(&error), "{bad}: {error:?}");
        }
        let long = format!("{OF_GO}{}", " ".repeat(MAX_LENGTH));
        assert!(matches!(parse(&long), Err(ParseInfoError::TooLong(_))));
        assert!(matches!(parse("[]"), Err(ParseInfoError::Json(_))));
    }

    #[test]
    fn links_of_another_client_are_read_and_hostile_ones_refused() {
        let parse = |link: &str| parse(&OF_GO.replace(r#""max_chunk_size":131072"#, link));
        let target = |link: &str| match parse(link) {
            Ok(Described::Link(link)) => link.target,
            other => panic!("{link}: {other:?}"),
        };
        let bucket = Token::from_static("c");
        let object = LinkTarget::Object {
            bucket: bucket.clone(),
            name: ObjectName::parse("o/ä").unwrap(),
        };
        assert_eq!(target(r#""link":{"bucket":"c","name":"o/ä"}"#), object);
        for link in [
            r#""link":{"bucket":"c"}"#,
            r#""link":{"bucket":"c","name":""}"#,
        ] {
            assert_eq!(target(link), LinkTarget::Bucket(bucket.clone()));
        }
        for bucket in ["", "a.b", "*", ">", "a/b"] {
            let link = format!(r#""link":{{"bucket":"{bucket}","name":"o"}}"#);
            assert!(
                matches!(parse(&link), Err(ParseInfoError::Link)),
                "{bucket}"
            );
        }
        let control = parse(r#""link":{"bucket":"c","name":"\u001b[2J"}"#);
        assert!(matches!(control, Err(ParseInfoError::Name(_))));
        for odd in [r#""link":"c""#, r#""link":{"name":"o"}"#] {
            assert!(matches!(parse(odd), Err(ParseInfoError::Json(_))), "{odd}");
        }
    }
}
