//! The invite: all that a machine needs in order to join, in one word.

use std::{fmt, net::SocketAddr, str::FromStr};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::base32;
use crate::{
    DnsName, Fingerprint, NodeId, SwarmName, Timestamp,
    store::{self, InviteSecret, InviteSpec, Store},
};

/// The first characters of every invite; the digit is the version of the form.
const PREFIX: &str = "swarm1";

/// The longest invite, in characters; as a QR code it fits.
const MAX_TEXT: usize = 4096;

/// The most addresses an invite carries.
pub const MAX_ADDRESSES: usize = 16;

const CHECKSUM: usize = 4;

/// Where an enrolment server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port.
    Socket(SocketAddr),
    /// A name that the joining machine's own resolver knows, and a port.
    Name(DnsName, u16),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

impl FromStr for Address {
    type Err = InviteError;

    /// Reads `192.0.2.1:8443`, `[2001:db8::1]:8443`, `hub.example:8443`, or one of them as a URL
    /// (`https://hub.example:8443/`).
    fn from_str(text: &str) -> Result<Self, InviteError> {
        let text = text.strip_prefix("https://").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        if let Ok(address) = text.parse() {
            return match address {
                SocketAddr::V6(v6) if v6.scope_id() != 0 || v6.flowinfo() != 0 => {
                    Err(InviteError::Malformed("a zone is good on one machine only"))
                }
                address => Ok(Self::Socket(address)),
            };
        }
        let (name, port) = text
            .rsplit_once(':')
            .ok_or(InviteError::Malformed("an address needs a port"))?;
        let name = name
            .parse()
            .map_err(|_| InviteError::Malformed("not a host name"))?;
        let port = port
            .parse()
            .map_err(|_| InviteError::Malformed("not a port"))?;
        Ok(Self::Name(name, port))
    }
}

/// Says why a text is not an invite.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// The text does not start with `swarm1`.
    #[error("this is not an invite: it does not start with {PREFIX:?}")]
    NotAnInvite,
    /// The invite is of a version that this program does not know.
    #[error("this invite is of version {0:?}, which this program does not know")]
    Version(char),
    /// A character that no invite contains.
    #[error("the character {0:?} does not occur in invites")]
    Character(char),
    /// The checksum fails.
    #[error("a character is wrong or missing: the invite was not copied exactly")]
    Checksum,
    /// Copied well, and yet not what an invite contains.
    #[error("the invite is malformed: {0}")]
    Malformed(&'static str),
}

/// Says why no invite was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateInviteError {
    /// The invite cannot be written as text.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The store did not make it.
    #[error("the authority's store did not make the invite")]
    Store(#[from] store::Error),
}

/// An invitation for one node to join one swarm, once.
///
/// As text it is one word of letters and digits, `swarm1…`; case, spaces, hyphens and line breaks
/// do not matter when it is read, and a checksum tells a slip in copying from a wrong secret.
/// It must be kept secret until it is used: `Debug` hides the secret in it, `Display` is the whole
/// invite.
///
/// ```
/// use swarm_pki::{Fingerprint, enroll::{Invite, InviteError}, store::InviteSecret};
///
/// let invite = Invite::new(
///     "fleet".parse()?,
///     "edge1".parse()?,
///     "hub".parse()?,
///     Fingerprint([7; 32]),
///     InviteSecret::from_bytes([42; 24]),
///     vec!["192.0.2.1:8443".parse()?],
///     "2026-12-01T00:00:00Z".parse()?,
/// )?;
/// let text = invite.to_string();
/// assert_eq!(text.parse(), Ok(invite));
/// assert_eq!(text[..text.len() - 1].parse::<Invite>(), Err(InviteError::Checksum));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    swarm: SwarmName,
    node: NodeId,
    authority: NodeId,
    root: Fingerprint,
    secret: InviteSecret,
    addresses: Vec<Address>,
    expires: Timestamp,
}

impl Invite {
    /// Puts an invite together: `node` may join `swarm` by asking the node `authority`, whose
    /// certificate descends from `root`.
    ///
    /// # Errors
    /// There is no address, there are more than [`MAX_ADDRESSES`], or the names are so long that
    /// the text would have more than 4,096 characters.
    pub fn new(
        swarm: SwarmName,
        node: NodeId,
        authority: NodeId,
        root: Fingerprint,
        secret: InviteSecret,
        addresses: Vec<Address>,
        expires: Timestamp,
    ) -> Result<Self, InviteError> {
        match addresses.len() {
            0 => return Err(InviteError::Malformed("no address")),
            1..=MAX_ADDRESSES => {}
            _ => return Err(InviteError::Malformed("too many addresses")),
        }
        let invite = Self {
            swarm,
            node,
            authority,
            root,
            secret,
            addresses,
            expires,
        };
        if invite.text().len() > MAX_TEXT {
            return Err(InviteError::Malformed("its names are too long together"));
        }
        Ok(invite)
    }

    /// Makes an invite in an authority's store and puts its text form together.
    ///
    /// `authority` is the node that serves enrolment at `addresses`.
    ///
    /// # Errors
    /// [`CreateInviteError`]; an invite that cannot be written is not made in the store either.
    pub fn create(
        store: &Store,
        spec: &InviteSpec,
        authority: NodeId,
        addresses: Vec<Address>,
        requester: &str,
        now: Timestamp,
    ) -> Result<Self, CreateInviteError> {
        let swarm = store.settings()?.swarm;
        let root = store.root()?.fingerprint();
        let node = spec.grant.id.clone();
        let blank = InviteSecret::from_bytes([0; InviteSecret::LENGTH]);
        let mut invite = Self::new(swarm, node, authority, root, blank, addresses, spec.expires)?;
        invite.secret = store.invite(spec, requester, now)?;
        Ok(invite)
    }

    /// Returns the swarm to join.
    pub fn swarm(&self) -> &SwarmName {
        &self.swarm
    }

    /// Returns the name that the joining node will have.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// Returns the node that serves enrolment. No other member is shown the secret: one that was
    /// taken over could use it.
    pub fn authority(&self) -> &NodeId {
        &self.authority
    }

    /// Returns the fingerprint of the root certificate.
    pub fn root(&self) -> Fingerprint {
        self.root
    }

    /// Returns the one-time secret.
    pub fn secret(&self) -> &InviteSecret {
        &self.secret
    }

    /// Returns where the authority can be reached, the likeliest first.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Returns when the invite ends.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Draws the invite as a QR code for a terminal with a dark background, two modules in a character.
    pub fn qr(&self) -> Zeroizing<String> {
        use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
        // Upper case is the compact alphanumeric mode of QR codes.
        let text = Zeroizing::new(self.text().to_ascii_uppercase());
        let code = QrCode::with_error_correction_level(text.as_bytes(), EcLevel::L)
            .expect("the longest invite fits the largest code");
        let drawn = code
            .render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .build();
        Zeroizing::new(drawn)
    }

    /// Reads what is behind the checksum.
    #[cfg(feature = "testing")]
    pub(crate) fn from_content(content: &[u8]) -> Result<Self, InviteError> {
        read(content)
    }

    fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(160));
        bytes.extend_from_slice(&self.root.0);
        bytes.extend_from_slice(self.secret.to_bytes().as_slice());
        bytes.extend_from_slice(&self.expires.as_unix().to_be_bytes()[3..]);
        write_name(&mut bytes, self.swarm.as_str());
        write_name(&mut bytes, self.node.as_str());
        write_name(&mut bytes, self.authority.as_str());
        for address in &self.addresses {
            match address {
                Address::Socket(SocketAddr::V4(address)) => {
                    bytes.push(4);
                    bytes.extend_from_slice(&address.ip().octets());
                }
                Address::Socket(SocketAddr::V6(address)) => {
                    bytes.push(6);
                    bytes.extend_from_slice(&address.ip().octets());
                }
                Address::Name(name, _) => {
                    bytes.push(0);
                    write_name(&mut bytes, name.as_str());
                }
            }
            let port = match address {
                Address::Socket(address) => address.port(),
                Address::Name(_, port) => *port,
            };
            bytes.extend_from_slice(&port.to_be_bytes());
        }
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
        text.push_str(PREFIX);
        text.push_str(&base32::encode(&bytes));
        text
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::new_with_prefix(PREFIX)
        .chain_update(bytes)
        .finalize();
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&digest[..CHECKSUM]);
    checksum
}

fn write_name(bytes: &mut Vec<u8>, name: &str) {
    bytes.push(u8::try_from(name.len()).expect("names have at most 253 bytes"));
    bytes.extend_from_slice(name.as_bytes());
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let text = text.trim();
        // Twice the length, for line breaks and spaces.
        if text.len() > 2 * MAX_TEXT {
            return Err(InviteError::Malformed("it is too long"));
        }
        let (name, version) = PREFIX.split_at(PREFIX.len() - 1);
        let rest = text
            .get(..name.len())
            .filter(|start| start.eq_ignore_ascii_case(name))
            .and_then(|_| text.get(name.len()..))
            .ok_or(InviteError::NotAnInvite)?;
        let body = rest
            .strip_prefix(version)
            .ok_or_else(|| match rest.chars().next() {
                Some(other) => InviteError::Version(other),
                None => InviteError::Checksum,
            })?;
        let bytes = base32::decode(body)
            .map_err(InviteError::Character)?
            .ok_or(InviteError::Checksum)?;
        let (content, sum) = bytes.split_last_chunk().ok_or(InviteError::Checksum)?;
        if checksum(content) != *sum {
            return Err(InviteError::Checksum);
        }
        read(content)
    }
}

fn read(content: &[u8]) -> Result<Invite, InviteError> {
    let mut reader = Reader(content);
    let root = Fingerprint(*reader.array()?);
    let secret = InviteSecret::from_bytes(*reader.array()?);
    let mut expires = [0; 8];
    expires[3..].copy_from_slice(reader.array::<5>()?);
    let expires = u64::from_be_bytes(expires);
    if expires > Timestamp::MAX.as_unix() {
        return Err(InviteError::Malformed("it ends after the year 9999"));
    }
    let swarm = reader.name()?;
    let node = reader.name()?;
    let authority = reader.name()?;
    let mut addresses = Vec::new();
    while !reader.0.is_empty() {
        if addresses.len() == MAX_ADDRESSES {
            return Err(InviteError::Malformed("too many addresses"));
        }
        addresses.push(reader.address()?);
    }
    let expires = Timestamp::from_unix(expires);
    Invite::new(swarm, node, authority, root, secret, addresses, expires)
}

/// Takes an invite's bytes from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], InviteError> {
        let short = InviteError::Malformed("it ends too early");
        let (array, rest) = self.0.split_first_chunk().ok_or(short)?;
        self.0 = rest;
        Ok(array)
    }

    fn name<T: FromStr>(&mut self) -> Result<T, InviteError> {
        let [length] = *self.array()?;
        let short = InviteError::Malformed("it ends too early");
        let (name, rest) = self.0.split_at_checked(length.into()).ok_or(short)?;
        self.0 = rest;
        let name = str::from_utf8(name).ok().and_then(|name| name.parse().ok());
        name.ok_or(InviteError::Malformed("a name in it is not one"))
    }

    fn address(&mut self) -> Result<Address, InviteError> {
        let [kind] = *self.array()?;
        Ok(match kind {
            4 => Address::Socket((*self.array::<4>()?, self.port()?).into()),
            6 => Address::Socket((*self.array::<16>()?, self.port()?).into()),
            0 => Address::Name(self.name()?, self.port()?),
            _ => {
                return Err(InviteError::Malformed(
                    "an address in it is of an unknown kind",
                ));
            }
        })
    }

    fn port(&mut self) -> Result<u16, InviteError> {
        self.array().map(|port| u16::from_be_bytes(*port))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn invite() -> Invite {
        Invite::new(
            "fleet".parse().unwrap(),
            "edge1".parse().unwrap(),
            "hub".parse().unwrap(),
            Fingerprint([0xa5; 32]),
            InviteSecret::from_bytes(*b"0123456789abcdef01234567"),
            vec![
                "192.0.2.1:8443".parse().unwrap(),
                "[2001:db8::1]:8443".parse().unwrap(),
                "https://hub.example:443/".parse().unwrap(),
            ],
            Timestamp::from_unix(1_800_000_000),
        )
        .unwrap()
    }

    #[test]
    fn an_invite_survives_what_people_do_to_a_text() {
        let text = invite().to_string();
        assert_eq!(text.parse(), Ok(invite()));
        assert_eq!(text.to_uppercase().parse(), Ok(invite()));
        let (one, two) = text.split_at(60);
        assert_eq!(format!("  {one}\n   {two}\r\n").parse(), Ok(invite()));
    }

    #[test]
    fn an_invite_for_one_address_is_short_enough_to_copy() {
        let invite = Invite {
            addresses: vec!["192.0.2.1:8443".parse().unwrap()],
            ..invite()
        };
        assert!(
            invite.to_string().len() <= 150,
            "{}",
            invite.to_string().len()
        );
    }

    #[test]
    fn parse_errors_say_what_is_wrong() {
        let text = invite().to_string();
        assert_eq!("hello".parse::<Invite>(), Err(InviteError::NotAnInvite));
        assert_eq!("".parse::<Invite>(), Err(InviteError::NotAnInvite));
        assert_eq!("swarm".parse::<Invite>(), Err(InviteError::Checksum));
        assert_eq!(
            "swarm2abc".parse::<Invite>(),
            Err(InviteError::Version('2'))
        );
        assert_eq!(
            text.replace("swarm1", "swarm1+").parse::<Invite>(),
            Err(InviteError::Character('+'))
        );
        assert_eq!(text[..40].parse::<Invite>(), Err(InviteError::Checksum));
        assert_eq!(
            "x:y".parse::<Address>(),
            Err(InviteError::Malformed("not a port"))
        );
    }

    #[test]
    fn debug_hides_the_secret() {
        let debug = format!("{:?}", invite());
        assert!(!debug.contains(invite().secret().expose().as_str()));
    }

    #[test]
    fn the_qr_code_is_small_enough_for_a_terminal() {
        let drawn = invite().qr();
        assert!(drawn.lines().count() <= 40, "{}", drawn.lines().count());
        assert!(drawn.lines().all(|line| line.chars().count() <= 80));
    }

    /// Reads what a terminal with a dark background shows, `scale` pixels a module.
    fn photographed(drawn: &str, scale: usize) -> String {
        let light: Vec<Vec<bool>> = drawn
            .lines()
            .flat_map(|line| {
                let halves = line.chars().map(|c| match c {
                    ' ' => (false, false),
                    '\u{2580}' => (true, false),
                    '\u{2584}' => (false, true),
                    '\u{2588}' => (true, true),
                    other => panic!("{other:?} is drawn"),
                });
                let (upper, lower): (Vec<bool>, Vec<bool>) = halves.unzip();
                [upper, lower]
            })
            .collect();
        let (height, width) = (light.len() * scale, light[0].len() * scale);
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
            if light[y / scale][x / scale] { 255 } else { 0 }
        });
        let codes = image.detect_grids();
        assert_eq!(codes.len(), 1);
        codes[0].decode().unwrap().1
    }

    #[test]
    fn a_camera_reads_the_invite_off_the_screen() {
        for scale in [3, 5] {
            let text = photographed(&invite().qr(), scale);
            assert_eq!(text.parse(), Ok(invite()));
        }
    }

    proptest! {
        #[test]
        fn any_single_slip_is_a_checksum_error(at in 6usize..150, to in "[a-z2-7]") {
            let mut text = invite().to_string();
            let at = 6 + at % (text.len() - 6);
            prop_assume!(text[at..=at] != to);
            text.replace_range(at..=at, &to);
            prop_assert_eq!(text.parse::<Invite>(), Err(InviteError::Checksum));
        }

        #[test]
        fn no_text_panics(text in "(swarm1)?.{0,200}") {
            let _ = text.parse::<Invite>();
        }
    }
}
