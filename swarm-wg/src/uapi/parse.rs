//! Requests, from bytes to meaning. Nothing is changed before a whole request has been
//! understood.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::key::{PresharedKey, PrivateKey, PublicKey, from_hex};

/// The longest request, in bytes: about twenty thousand peers.
pub(crate) const MAX_REQUEST: usize = 4 << 20;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Request {
    Get,
    Set(Set),
}

/// Changes to the tunnel, in the order in which they are to be made: first its own, then the
/// peers'.
#[derive(Debug, Default)]
pub(crate) struct Set {
    /// `Some(None)` takes the key away.
    pub(crate) private_key: Option<Option<PrivateKey>>,
    pub(crate) listen_port: Option<u16>,
    pub(crate) fwmark: Option<u32>,
    pub(crate) replace_peers: bool,
    pub(crate) peers: Vec<PeerSet>,
}

/// Changes to one peer.
#[derive(Debug)]
pub(crate) struct PeerSet {
    pub(crate) public_key: PublicKey,
    pub(crate) remove: bool,
    pub(crate) update_only: bool,
    /// `Some(None)` takes the key away.
    pub(crate) preshared_key: Option<Option<PresharedKey>>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) persistent_keepalive: Option<u16>,
    pub(crate) replace_allowed_ips: bool,
    /// Each is added, or with `false` removed.
    pub(crate) allowed_ips: Vec<(IpNet, bool)>,
}

/// The errors of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errno {
    Invalid,
    Protocol,
    Io,
    AddressInUse,
}

impl Errno {
    /// The number on the wire, negative as other userspace implementations write it.
    pub(crate) fn code(self) -> i32 {
        match self {
            Self::Io => -5,
            Self::Invalid => -22,
            Self::Protocol => -71,
            Self::AddressInUse => -98,
        }
    }
}

/// Where the first request in a buffer ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After this many bytes, the blank line among them.
    Complete(usize),
    /// Not yet.
    Partial,
    /// Never: it is too long.
    TooLong,
}

/// Looks for the blank line that ends a request. `seen` bytes were looked at before.
pub(crate) fn frame(buffer: &[u8], seen: usize) -> Framing {
    let start = seen.saturating_sub(1);
    match buffer[start..].windows(2).position(|pair| pair == b"\n\n") {
        Some(at) if start + at + 2 <= MAX_REQUEST => Framing::Complete(start + at + 2),
        Some(_) => Framing::TooLong,
        None if buffer.len() >= MAX_REQUEST => Framing::TooLong,
        None => Framing::Partial,
    }
}

/// Understands a whole request.
pub(crate) fn parse(request: &[u8]) -> Result<Request, Errno> {
    let text = std::str::from_utf8(request).map_err(|_| Errno::Invalid)?;
    let mut lines = text.lines().take_while(|line| !line.is_empty());
    match lines.next() {
        Some("get=1") => match lines.next() {
            None => Ok(Request::Get),
            Some(_) => Err(Errno::Protocol),
        },
        Some("set=1") => {
            let mut set = Set::default();
            for line in lines {
                let (key, value) = line.split_once('=').ok_or(Errno::Protocol)?;
                set.line(key, value)?;
            }
            Ok(Request::Set(set))
        }
        _ => Err(Errno::Protocol),
    }
}

impl Set {
    fn line(&mut self, key: &str, value: &str) -> Result<(), Errno> {
        if key == "public_key" {
            self.peers
                .push(PeerSet::new(PublicKey::from_bytes(*key_bytes(value)?)));
            return Ok(());
        }
        match self.peers.last_mut() {
            Some(peer) => peer.line(key, value),
            None => self.device_line(key, value),
        }
    }

    fn device_line(&mut self, key: &str, value: &str) -> Result<(), Errno> {
        match key {
            "private_key" => {
                let bytes = key_bytes(value)?;
                let key = (*bytes != [0; 32]).then(|| PrivateKey::from_bytes(*bytes));
                self.private_key = Some(key);
            }
            "listen_port" => self.listen_port = Some(number(value)?),
            "fwmark" => self.fwmark = Some(number(value)?),
            "replace_peers" => self.replace_peers = truth(value)?,
            _ => return Err(Errno::Invalid),
        }
        Ok(())
    }
}

impl PeerSet {
    fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            remove: false,
            update_only: false,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
            replace_allowed_ips: false,
            allowed_ips: Vec::new(),
        }
    }

    fn line(&mut self, key: &str, value: &str) -> Result<(), Errno> {
        match key {
            "remove" => self.remove = truth(value)?,
            "update_only" => self.update_only = truth(value)?,
            "preshared_key" => {
                let bytes = key_bytes(value)?;
                let key = (*bytes != [0; 32]).then(|| PresharedKey::from_bytes(*bytes));
                self.preshared_key = Some(key);
            }
            "endpoint" => self.endpoint = Some(value.parse().map_err(|_| Errno::Invalid)?),
            "persistent_keepalive_interval" => self.persistent_keepalive = Some(number(value)?),
            "replace_allowed_ips" => self.replace_allowed_ips = truth(value)?,
            "allowed_ip" => {
                let (prefix, add) = match value.strip_prefix('-') {
                    Some(prefix) => (prefix, false),
                    None => (value, true),
                };
                self.allowed_ips
                    .push((prefix.parse().map_err(|_| Errno::Invalid)?, add));
            }
            "protocol_version" => {
                if value != "1" {
                    return Err(Errno::Invalid);
                }
            }
            _ => return Err(Errno::Invalid),
        }
        Ok(())
    }
}

fn key_bytes(value: &str) -> Result<zeroize::Zeroizing<[u8; 32]>, Errno> {
    from_hex(value).map_err(|_| Errno::Invalid)
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, Errno> {
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        value.parse().map_err(|_| Errno::Invalid)
    } else {
        Err(Errno::Invalid)
    }
}

fn truth(value: &str) -> Result<bool, Errno> {
    match value {
        "true" => Ok(true),
        _ => Err(Errno::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33";

    fn set(text: &str) -> Result<Set, Errno> {
        match parse(text.as_bytes())? {
            Request::Set(set) => Ok(set),
            Request::Get => Err(Errno::Protocol),
        }
    }

    #[test]
    fn the_example_of_the_specification_is_understood() {
        let text = format!(
            "set=1\nprivate_key=e84b5a6d2717c1003a13b431570353dbaca9146cf150c5f8575680feba52027a\n\
             fwmark=0\nlisten_port=12912\nreplace_peers=true\npublic_key={KEY}\n\
             preshared_key=188515093e952f5f22e865cef3012e72f8b5f0b598ac0309d5dacce3b70fcf52\n\
             replace_allowed_ips=true\nallowed_ip=192.168.4.4/32\nendpoint=[abcd:23::33%2]:51820\n\n"
        );
        let set = set(&text).unwrap();
        assert!(set.replace_peers && set.private_key.unwrap().is_some());
        assert_eq!(set.listen_port, Some(12912));
        assert_eq!(set.peers.len(), 1);
        assert_eq!(
            set.peers[0].allowed_ips,
            [("192.168.4.4/32".parse().unwrap(), true)]
        );
        assert_eq!(
            set.peers[0].endpoint,
            Some("[abcd:23::33%2]:51820".parse().unwrap())
        );
    }

    #[test]
    fn a_key_of_zeros_takes_a_key_away() {
        let zeros = "0".repeat(64);
        let set = set(&format!(
            "set=1\nprivate_key={zeros}\npublic_key={KEY}\npreshared_key={zeros}\n\n"
        ));
        let set = set.unwrap();
        assert!(matches!(set.private_key, Some(None)));
        assert!(matches!(set.peers[0].preshared_key, Some(None)));
    }

    #[test]
    fn what_is_not_understood_is_refused_whole() {
        for text in [
            "set=1\nunknown=1\n\n",
            "set=1\nlisten_port=65536\n\n",
            "set=1\nlisten_port=+1\n\n",
            "set=1\nallowed_ip=10.0.0.0/8\n\n",
            "set=1\npublic_key=abc\n\n",
            "set=1\nreplace_peers=false\n\n",
            "set=1\nnonsense\n\n",
            "get=2\n\n",
            "get=1\nx=1\n\n",
            "\n\n",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_request_ends_at_its_blank_line_however_it_arrives() {
        let text = b"get=1\n\nget=1\n\n";
        for end in 0..text.len() {
            for seen in 0..=end {
                let expected = if end >= 7 {
                    Framing::Complete(7)
                } else {
                    Framing::Partial
                };
                if seen < 7 {
                    assert_eq!(frame(&text[..end], seen), expected);
                }
            }
        }
        assert_eq!(frame(&vec![b'a'; MAX_REQUEST], 0), Framing::TooLong);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            let _ = frame(&bytes, bytes.len() / 2);
        }

        #[test]
        fn any_lines_are_parsed_without_a_panic(lines in proptest::collection::vec(
            ("(private_key|public_key|endpoint|allowed_ip|fwmark|remove|[a-z_]{0,8})", "[0-9a-f./:=-]{0,70}"), 0..20,
        )) {
            let mut text = "set=1\n".to_owned();
            for (key, value) in lines {
                text += &format!("{key}={value}\n");
            }
            let _ = parse(text.as_bytes());
        }
    }
}
