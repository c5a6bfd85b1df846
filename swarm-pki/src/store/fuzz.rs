//! Entry points for fuzzing what the store reads from files and carriers.

use sha2::{Digest, Sha256};

use super::event::Entry;
use super::journal::{Batch, Head, read_entries};
use super::restore::Contents;
use super::state::State;
use super::{AuthorityGrant, AuthorityRequest, Error};

/// A head and a journal add up to a state or are refused by line. Lines without their hashes are
/// chained first, for random bytes do not get past a hash.
pub fn fuzz_store(data: &[u8]) {
    let path = std::path::Path::new("head");
    if let Some(at) = data.iter().position(|byte| *byte == b'\n')
        && let Ok(head) = Head::parse(&data[..at], path)
        && let Ok(entries) = read_entries(&data[at + 1..], &Head::genesis(), &head)
    {
        assert_eq!(Head::parse(&head.to_json(), path).ok(), Some(head));
        let _ = State::replay(entries);
    }
    let genesis = Head::genesis();
    let mut batch = Batch::after(&genesis);
    let lines = data.split(|byte| *byte == b'\n');
    for mut entry in lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok()) {
        entry.sequence = batch.next_sequence();
        batch.push(&entry);
    }
    let (text, head) = batch.into_parts();
    let again = read_entries(&text, &genesis, &head).expect("it was chained here");
    assert_eq!(again.len() as u64, head.entries);
    if !text.is_empty() {
        assert!(read_entries(&text[..text.len() - 1], &genesis, &head).is_err());
    }
    if let Err(fault) = State::replay(again) {
        assert!(fault.starts_with("line "), "{fault}");
    }
}

/// A backup is read or refused, with its own digest and with a mended one.
pub fn fuzz_backup(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = Contents::read(text);
    let body = text.trim_end().rfind('\n').map_or("", |end| &text[..=end]);
    let digest = hex::encode(Sha256::digest(body.as_bytes()));
    let seal = "00".repeat(32);
    let mended = format!("{body}{{\"sha256\":\"{digest}\",\"seal\":\"{seal}\"}}\n");
    if let Ok(contents) = Contents::read(&mended) {
        // The seal is over everything, so it does not fit what was mended.
        assert!(matches!(
            contents.open(b"passphrase"),
            Err(Error::BackupPassphrase | Error::BackupDamaged(_))
        ));
    }
}

/// A request or grant for an authority that parses is written so that it parses to the same.
pub fn fuzz_authority(data: &[u8]) {
    let _ = AuthorityRequest::from_der(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(request) = AuthorityRequest::from_pem(text) {
        let again = AuthorityRequest::from_pem(&request.to_pem()).expect("it was written here");
        assert_eq!(again.public_key(), request.public_key());
    }
    if let Ok(grant) = AuthorityGrant::from_pem(text) {
        let written = grant.to_pem().expect("what was read is not too much");
        assert_eq!(AuthorityGrant::from_pem(&written).ok(), Some(grant));
    }
}
