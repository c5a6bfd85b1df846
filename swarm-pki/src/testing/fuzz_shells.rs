//! Entry points for fuzzing what people and members hand to the shells.

#[cfg(feature = "enroll")]
use std::sync::LazyLock;

#[cfg(feature = "enroll")]
use super::{TestAuthority, TestNode};

#[cfg(feature = "enroll")]
static AUTHORITY: LazyLock<(TestAuthority, TestNode)> = LazyLock::new(|| {
    let mut authority = TestAuthority::default();
    let node = authority.issue("edge1", &[]);
    (authority, node)
});

/// An invite that parses is printed so that it parses again, and never shows its secret by
/// accident; an address likewise.
#[cfg(feature = "enroll")]
pub fn fuzz_invite(data: &[u8]) {
    use crate::enroll::{Address, Invite};

    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(invite) = text.parse::<Invite>() {
        assert_eq!(invite.to_string().parse(), Ok(invite.clone()));
        assert!(!format!("{invite:?}").contains(invite.secret().expose().as_str()));
    }
    if let Ok(address) = text.parse::<Address>() {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    // Behind the checksum, where random text does not get.
    if let Ok(invite) = Invite::from_content(data) {
        assert_eq!(invite.to_string().parse(), Ok(invite));
    }
}

/// A grant file that parses is written so that it parses to the same again, and is accepted by
/// nobody who pins another root.
#[cfg(feature = "enroll")]
pub fn fuzz_grant(data: &[u8]) {
    use crate::enroll::GrantFile;

    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(file) = GrantFile::from_pem(text) else {
        return;
    };
    let again = file.to_pem().expect("it was within the limits");
    assert_eq!(GrantFile::from_pem(&again), Ok(file.clone()));
    let (authority, node) = &*AUTHORITY;
    let root = authority.root.certificate().fingerprint();
    let accepted = file.accept(root, &authority.swarm, &node.request(), authority.start);
    assert!(accepted.is_err());
}

/// A path that passes a closed prefix does not lead under it, however often a service decodes it
/// and resolves dots, repeated slashes and backslashes.
#[cfg(feature = "front")]
pub fn fuzz_path(data: &[u8]) {
    use crate::front::PathPrefix;

    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (prefix, path) = text.split_once('\n').unwrap_or(("/_synapse/admin", text));
    let Ok(prefix) = prefix.parse::<PathPrefix>() else {
        return;
    };
    assert_eq!(prefix.to_string().parse().as_ref(), Ok(&prefix));
    if prefix.covers(path) != Ok(false) {
        return;
    }
    let closed = resolve(prefix.to_string().as_bytes());
    let mut served = path.as_bytes().to_vec();
    for _ in 0..4 {
        let segments = resolve(&served);
        assert!(
            !segments.starts_with(&closed),
            "{path:?} slips past {prefix}"
        );
        served = decode(&served);
    }
}

/// What a careless service makes of a path.
#[cfg(feature = "front")]
fn resolve(path: &[u8]) -> Vec<Vec<u8>> {
    let end = path
        .iter()
        .position(|byte| matches!(byte, b'?' | b'#'))
        .unwrap_or(path.len());
    let mut segments = Vec::new();
    for segment in path[..end].split(|byte| matches!(byte, b'/' | b'\\')) {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            name => segments.push(name.to_ascii_lowercase()),
        }
    }
    segments
}

/// Decodes what can be decoded and leaves the rest, as careless services do.
#[cfg(feature = "front")]
fn decode(path: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        match (path[at], digit(path.get(at + 1)), digit(path.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}
