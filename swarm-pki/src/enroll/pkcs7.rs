//! The certs-only message of EST: a `SignedData` that signs nothing (RFC 5272, 4.1; RFC 5652, 5.1).

use der::{
    Decode as _, Encode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _, asn1::AnyRef,
};

/// `id-signedData`, 1.2.840.113549.1.7.2, as a DER value.
const SIGNED_DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// `id-data`, 1.2.840.113549.1.7.1, as a DER value.
const DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];

/// The most certificates, and the most lists, that are taken out of a message.
const MAX_ELEMENTS: usize = 64;

/// The message is not a certs-only `SignedData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a certs-only PKCS#7 message")]
pub(super) struct NotCertsOnly;

/// Encodes certificates and revocation lists; a `SET OF` has no order but that of its encodings.
pub(super) fn encode<C: AsRef<[u8]>>(
    certificates: impl IntoIterator<Item = C>,
    lists: &[&[u8]],
) -> Vec<u8> {
    let certificates = certificates.into_iter().collect();
    let version = tlv(0x02, &[1]);
    let no_digests = tlv(0x31, &[]);
    let nothing = tlv(0x30, DATA);
    let certificates = set(0xa0, certificates);
    let lists = if lists.is_empty() {
        Vec::new()
    } else {
        set(0xa1, lists.to_vec())
    };
    let no_signers = tlv(0x31, &[]);
    let signed = [
        version,
        no_digests,
        nothing,
        certificates,
        lists,
        no_signers,
    ]
    .concat();
    let content = tlv(0xa0, &tlv(0x30, &signed));
    tlv(0x30, &[SIGNED_DATA, &content].concat())
}

fn set<C: AsRef<[u8]>>(tag: u8, mut elements: Vec<C>) -> Vec<u8> {
    elements.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    let content: Vec<&[u8]> = elements.iter().map(AsRef::as_ref).collect();
    tlv(tag, &content.concat())
}

/// One DER value: tag, length, content.
pub(super) fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(value.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let length = value.len().to_be_bytes();
            let length = &length[length.iter().take_while(|octet| **octet == 0).count()..];
            out.push(0x80 | u8::try_from(length.len()).expect("a usize has at most 8 bytes"));
            out.extend_from_slice(length);
        }
    }
    out.extend_from_slice(value);
    out
}

/// The DER of what a message carries.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) certificates: Vec<Vec<u8>>,
    pub(super) lists: Vec<Vec<u8>>,
}

/// Takes certificates and revocation lists out of a message, whatever their order and whatever
/// else is in it.
pub(super) fn decode(message: &[u8]) -> Result<Content, NotCertsOnly> {
    let info = AnyRef::from_der(message).map_err(|_| NotCertsOnly)?;
    content(&info)
        .map_err(|_| NotCertsOnly)?
        .ok_or(NotCertsOnly)
}

fn content(info: &AnyRef<'_>) -> der::Result<Option<Content>> {
    let [kind, content] = &children(info, 2)?[..] else {
        return Ok(None);
    };
    let is_signed = kind.tag() == Tag::ObjectIdentifier && kind.value() == &SIGNED_DATA[2..];
    if info.tag() != Tag::Sequence || !is_signed || content.tag() != context(0) {
        return Ok(None);
    }
    let [signed] = &children(content, 1)?[..] else {
        return Ok(None);
    };
    let mut found = Content::default();
    for part in children(signed, 6)? {
        if part.tag() == context(0) {
            found.certificates = sequences(&part)?;
        } else if part.tag() == context(1) {
            found.lists = sequences(&part)?;
        }
    }
    Ok(Some(found))
}

/// The other choices of a certificate and of a revocation list are tagged, and left out.
fn sequences(set: &AnyRef<'_>) -> der::Result<Vec<Vec<u8>>> {
    let elements = children(set, MAX_ELEMENTS)?;
    elements
        .iter()
        .filter(|element| element.tag() == Tag::Sequence)
        .map(|element| element.to_der())
        .collect()
}

fn context(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

fn children<'a>(parent: &AnyRef<'a>, limit: usize) -> der::Result<Vec<AnyRef<'a>>> {
    let mut reader = SliceReader::new(parent.value())?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        if found.len() == limit {
            return Err(der::ErrorKind::Overlength.into());
        }
        found.push(AnyRef::decode(&mut reader)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Things of the outer shape of certificates.
    fn shapes() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let shape = prop::collection::vec(any::<u8>(), 0..400)
            .prop_map(|body| tlv(0x30, &tlv(0x04, &body)));
        prop::collection::vec(shape, 0..5)
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_sorted(mut certificates in shapes(), mut lists in shapes()) {
            let borrowed: Vec<&[u8]> = lists.iter().map(Vec::as_slice).collect();
            let decoded = decode(&encode(&certificates, &borrowed)).unwrap();
            certificates.sort();
            lists.sort();
            prop_assert_eq!(decoded, Content { certificates, lists });
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn other_messages_are_refused() {
        assert_eq!(decode(b""), Err(NotCertsOnly));
        assert_eq!(decode(&tlv(0x30, DATA)), Err(NotCertsOnly));
        let mut trailing = encode(Vec::<Vec<u8>>::new(), &[]);
        assert!(decode(&trailing).is_ok());
        trailing.push(0);
        assert_eq!(decode(&trailing), Err(NotCertsOnly));
    }
}
