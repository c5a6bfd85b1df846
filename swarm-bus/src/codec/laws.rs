//! What holds for every value and for any bytes, of each self-describing codec.

use super::*;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
#[cfg(any(feature = "cbor", feature = "msgpack"))]
use std::net::SocketAddr;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    flag: bool,
    small: i8,
    large: u64,
    float: f64,
    text: String,
    absent: Option<String>,
    list: Vec<Shape>,
    map: BTreeMap<String, i64>,
    pair: (u16, char),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    Newtype(i32),
    Tuple(u8, String),
    Struct { inside: Option<Box<Shape>> },
}

/// As the mesh's own events are.
#[cfg(any(feature = "cbor", feature = "msgpack"))]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Seen { at: SocketAddr },
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Unit),
        any::<i32>().prop_map(Shape::Newtype),
        (any::<u8>(), ".{0,8}").prop_map(|(n, text)| Shape::Tuple(n, text)),
    ];
    leaf.prop_recursive(6, 12, 1, |inner| {
        prop::option::of(inner).prop_map(|inside| Shape::Struct {
            inside: inside.map(Box::new),
        })
    })
}

fn everything() -> impl Strategy<Value = Everything> {
    let numbers = (any::<bool>(), any::<i8>(), any::<u64>());
    // JSON has no NaN and no infinity.
    let float = any::<f64>().prop_filter("finite", |float| float.is_finite());
    let map = prop::collection::btree_map(".{0,6}", any::<i64>(), 0..4);
    let list = prop::collection::vec(shape(), 0..4);
    let rest = (any::<u16>(), any::<char>());
    (
        numbers,
        float,
        ".{0,40}",
        prop::option::of(".{0,4}"),
        list,
        map,
        rest,
    )
        .prop_map(|(numbers, float, text, absent, list, map, pair)| {
            let (flag, small, large) = numbers;
            Everything {
                flag,
                small,
                large,
                float,
                text,
                absent,
                list,
                map,
                pair,
            }
        })
}

macro_rules! laws {
    ($name:ident, $codec:ty, $nested:expr) => {
        mod $name {
            use super::*;

            proptest! {
                #[test]
                fn what_is_encoded_decodes_to_the_same(value in everything()) {
                    let bytes = <$codec as Codec<Everything>>::encode(&value).unwrap();
                    let back = <$codec as Codec<Everything>>::decode(&bytes).unwrap();
                    prop_assert_eq!(back, value);
                }

                #[test]
                fn a_cut_or_lengthened_payload_is_an_error(value in everything(), at in any::<prop::sample::Index>()) {
                    let bytes = <$codec as Codec<Everything>>::encode(&value).unwrap();
                    let cut = bytes.slice(..at.index(bytes.len()));
                    prop_assert!(<$codec as Codec<Everything>>::decode(&cut).is_err());
                    let longer = Bytes::from([&bytes[..], b"0"].concat());
                    prop_assert!(<$codec as Codec<Everything>>::decode(&longer).is_err());
                }

                #[test]
                fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
                    let bytes = Bytes::from(bytes);
                    if let Ok(value) = <$codec as Codec<Value>>::decode(&bytes) {
                        let again = <$codec as Codec<Value>>::encode(&value).unwrap();
                        prop_assert_eq!(<$codec as Codec<Value>>::decode(&again).unwrap(), value);
                    }
                    let _ = <$codec as Codec<Everything>>::decode(&bytes);
                }
            }

            #[test]
            fn deep_nesting_is_an_error_and_no_overflow() {
                let nested: fn(usize) -> Vec<u8> = $nested;
                let decode = |depth| <$codec as Codec<Value>>::decode(&nested(depth).into());
                assert!(decode(MAX_DEPTH - 8).is_ok());
                for depth in [MAX_DEPTH + 1, 1_000_000] {
                    assert!(decode(depth).is_err(), "{depth}");
                }
            }
        }
    };
}

laws!(json, Json, |depth| ["[".repeat(depth), "]".repeat(depth)]
    .concat()
    .into_bytes());

#[cfg(feature = "msgpack")]
laws!(msgpack, MessagePack, |depth| {
    let mut bytes = vec![0x91; depth - 1];
    bytes.push(0x90);
    bytes
});

#[cfg(feature = "cbor")]
laws!(cbor, Cbor, |depth| {
    let mut bytes = vec![0x81; depth - 1];
    bytes.push(0x80);
    bytes
});

/// A length of four thousand million, and nothing after it: of a byte string, a text, a list, a map.
#[cfg(feature = "msgpack")]
#[test]
fn an_announced_length_alone_allocates_nothing_in_message_pack() {
    for first in [0xc6, 0xdb, 0xdd, 0xdf] {
        let bytes = Bytes::copy_from_slice(&[first, 0xff, 0xff, 0xff, 0xff]);
        assert!(<MessagePack as Codec<Value>>::decode(&bytes).is_err());
        assert!(<MessagePack as Codec<Vec<u64>>>::decode(&bytes).is_err());
        assert!(<MessagePack as Codec<String>>::decode(&bytes).is_err());
    }
}

#[cfg(feature = "cbor")]
#[test]
fn an_announced_length_alone_allocates_nothing_in_cbor() {
    for first in [0x5b, 0x7b, 0x9b, 0xbb] {
        let mut bytes = vec![0xff; 9];
        bytes[0] = first;
        let bytes = Bytes::from(bytes);
        assert!(<Cbor as Codec<Value>>::decode(&bytes).is_err());
        assert!(<Cbor as Codec<Vec<u64>>>::decode(&bytes).is_err());
        assert!(<Cbor as Codec<String>>::decode(&bytes).is_err());
    }
}

#[cfg(feature = "msgpack")]
#[test]
fn message_pack_says_the_same_as_json() {
    let value = Tagged::Seen {
        at: "[2001:db8::1]:7".parse().unwrap(),
    };
    let bytes = <MessagePack as Codec<Tagged>>::encode(&value).unwrap();
    assert_eq!(
        <MessagePack as Codec<Tagged>>::decode(&bytes).unwrap(),
        value
    );
    assert_eq!(
        <MessagePack as Codec<Value>>::decode(&bytes).unwrap(),
        serde_json::to_value(&value).unwrap()
    );
}

#[cfg(feature = "cbor")]
#[test]
fn cbor_is_what_the_rfc_shows() {
    // RFC 8949, appendix A.
    for (hex, value) in [
        ("1bffffffffffffffff", serde_json::json!(u64::MAX)),
        ("fb3ff199999999999a", serde_json::json!(1.1)),
        ("64f0908591", serde_json::json!("\u{10151}")),
        (
            "a26161016162820203",
            serde_json::json!({"a": 1, "b": [2, 3]}),
        ),
    ] {
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        let bytes = Bytes::from(bytes);
        assert_eq!(<Cbor as Codec<Value>>::decode(&bytes).unwrap(), value);
        assert_eq!(<Cbor as Codec<Value>>::encode(&value).unwrap(), bytes);
    }
}

#[cfg(feature = "msgpack")]
#[test]
fn message_pack_is_what_its_specification_shows() {
    let value = serde_json::json!({"compact": true, "schema": 0});
    let bytes = Bytes::from_static(b"\x82\xa7compact\xc3\xa6schema\x00");
    assert_eq!(
        <MessagePack as Codec<Value>>::encode(&value).unwrap(),
        bytes
    );
    assert_eq!(
        <MessagePack as Codec<Value>>::decode(&bytes).unwrap(),
        value
    );
}

/// What the documentation of `Cbor` warns of: an error at the receiver, not another value.
#[cfg(feature = "cbor")]
#[test]
fn cbor_does_not_read_a_compact_form_back_from_a_tagged_enum() {
    let address: SocketAddr = "192.0.2.1:7".parse().unwrap();
    let bytes = <Cbor as Codec<SocketAddr>>::encode(&address).unwrap();
    assert_eq!(
        <Cbor as Codec<SocketAddr>>::decode(&bytes).unwrap(),
        address
    );
    let value = Tagged::Seen { at: address };
    let bytes = <Cbor as Codec<Tagged>>::encode(&value).unwrap();
    let read = <Cbor as Codec<Tagged>>::decode(&bytes);
    assert!(matches!(read, Err(DecodeError::Malformed(_))), "{read:?}");
}
