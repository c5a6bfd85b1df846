//! What the nodes of a role may be: certificates are issued from this, never from a request.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::optional_seconds;
use super::{Error, Grant, Settings};
use crate::{DnsName, Domain, Role, Usage};

/// What the nodes of one role may be. A node of several roles has to satisfy all of them; what a
/// role does not state, it does not limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RolePolicy {
    /// The longest that a certificate lives, and how long it lives unless its grant says less. The
    /// shortest of a node's roles counts.
    #[serde(with = "optional_seconds", skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<Duration>,
    /// The sides of a TLS connection that its nodes take; a node of several roles takes those of
    /// all that state some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usages: Option<BTreeSet<Usage>>,
    /// Where the addresses of its nodes lie: each in one of these, unless there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressPrefix>,
    /// Under which domains its nodes may have DNS names, beside `<id>.<domain>`; `None` for any,
    /// an empty list for no other name. A node of several roles may have what one of those that
    /// state some allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Vec<Domain>>,
}

/// What is asked for breaks the policy of a role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// The certificate would live too long.
    #[error("nodes of the role {role} have certificates of {} s at most, not {} s", .most.as_secs(), .asked.as_secs())]
    Lifetime {
        /// Whose policy.
        role: Role,
        /// The longest that it allows.
        most: Duration,
        /// What was asked for.
        asked: Duration,
    },
    /// An address lies elsewhere.
    #[error("the address {address} lies in no prefix of the role {role}")]
    Address {
        /// Whose policy.
        role: Role,
        /// The address.
        address: IpAddr,
    },
    /// A DNS name lies elsewhere.
    #[error("the DNS name {name} lies under no domain that the node's roles allow")]
    DnsName {
        /// The name.
        name: DnsName,
    },
}

impl RolePolicy {
    /// Makes a policy that limits nothing; fill in the fields.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.usages.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(Error::Settings("a role has no usage"));
        }
        if self
            .lifetime
            .is_some_and(|lifetime| lifetime.as_secs() == 0)
        {
            return Err(Error::Settings("a role's lifetime is zero"));
        }
        Ok(())
    }
}

/// What the policy makes of a grant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) lifetime: Duration,
    pub(super) usages: BTreeSet<Usage>,
}

/// Holds a grant against the policies of its roles.
pub(super) fn terms(grant: &Grant, settings: &Settings) -> Result<Terms, PolicyFault> {
    let policies: Vec<(&Role, &RolePolicy)> = grant
        .roles
        .iter()
        .filter_map(|role| settings.roles.get_key_value(role))
        .collect();
    let shortest = policies
        .iter()
        .filter_map(|(role, policy)| Some((policy.lifetime?, *role)))
        .min();
    let lifetime = match (grant.lifetime, shortest) {
        (Some(asked), Some((most, role))) if asked > most => {
            let role = role.clone();
            return Err(PolicyFault::Lifetime { role, most, asked });
        }
        (Some(asked), _) => asked,
        (None, Some((most, _))) => most,
        (None, None) => settings.lifetimes.node,
    };
    for (role, policy) in &policies {
        let outside = |address: &&IpAddr| {
            !policy.addresses.is_empty()
                && !policy
                    .addresses
                    .iter()
                    .any(|prefix| prefix.contains(**address))
        };
        if let Some(address) = grant.addresses.iter().find(outside) {
            return Err(PolicyFault::Address {
                role: (*role).clone(),
                address: *address,
            });
        }
    }
    let domains: Vec<&Vec<Domain>> = policies
        .iter()
        .filter_map(|(_, policy)| policy.dns.as_ref())
        .collect();
    let own = settings.domain.host(&grant.id);
    let outside = |name: &&DnsName| {
        **name != own
            && !domains
                .iter()
                .copied()
                .flatten()
                .any(|domain| lies_under(name, domain))
    };
    if !domains.is_empty()
        && let Some(name) = grant.dns.iter().find(outside)
    {
        return Err(PolicyFault::DnsName { name: name.clone() });
    }
    let stated: BTreeSet<Usage> = policies
        .iter()
        .filter_map(|(_, policy)| policy.usages.as_ref())
        .flatten()
        .copied()
        .collect();
    let usages = if stated.is_empty() {
        Usage::ALL.into()
    } else {
        stated
    };
    Ok(Terms { lifetime, usages })
}

fn lies_under(name: &DnsName, domain: &Domain) -> bool {
    name.as_str()
        .strip_suffix(domain.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// An address prefix in CIDR form: `10.44.0.0/16`, `fd00:44::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressPrefix {
    address: IpAddr,
    length: u8,
}

/// The text is not an address prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address prefix: no bits beyond its length may be set")]
pub struct PrefixError(String);

impl AddressPrefix {
    /// Makes a prefix; `None` when the length does not fit the family, or bits beyond it are set.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let (bits, width) = bits(address);
        let fits = u32::from(length) <= width && bits & !mask(length, width) == 0;
        fits.then_some(Self { address, length })
    }

    /// Tells whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, width) = bits(self.address);
        let (other, other_width) = bits(address);
        width == other_width && other & mask(self.length, width) == own
    }
}

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u32::from(v4).into(), 32),
        IpAddr::V6(v6) => (v6.into(), 128),
    }
}

/// The leading `length` of `width` bits.
fn mask(length: u8, width: u32) -> u128 {
    let all = u128::MAX >> (128 - width);
    match u32::from(length) {
        0 => 0,
        length => all & (all << (width - length)),
    }
}

impl fmt::Display for AddressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.address, self.length))
    }
}

impl FromStr for AddressPrefix {
    type Err = PrefixError;
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let parsed = text
            .split_once('/')
            .and_then(|(address, length)| Self::new(address.parse().ok()?, length.parse().ok()?));
        parsed.ok_or_else(|| PrefixError(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for AddressPrefix {
    type Error = PrefixError;
    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<AddressPrefix> for String {
    fn from(prefix: AddressPrefix) -> Self {
        prefix.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let mut settings =
            Settings::new("testers".parse().unwrap(), "test.internal".parse().unwrap());
        let mut edge = RolePolicy::new();
        edge.lifetime = Some(Duration::from_secs(7 * 86_400));
        edge.usages = Some([Usage::Client].into());
        edge.addresses = vec![
            "10.44.0.0/16".parse().unwrap(),
            "fd44::/16".parse().unwrap(),
        ];
        edge.dns = Some(vec!["cabins.test".parse().unwrap()]);
        settings.roles.insert(Role::edge(), edge);
        let mut hub = RolePolicy::new();
        hub.lifetime = Some(Duration::from_secs(86_400));
        hub.usages = Some([Usage::Server].into());
        settings.roles.insert(Role::hub(), hub);
        settings
    }

    fn grant(roles: &[Role]) -> Grant {
        let mut grant = Grant::new("edge1".parse().unwrap());
        grant.roles = roles.iter().cloned().collect();
        grant
    }

    #[test]
    fn the_shortest_lifetime_counts_and_usages_add_up() {
        let settings = settings();
        let one = terms(&grant(&[Role::edge()]), &settings).unwrap();
        assert_eq!(one.lifetime, Duration::from_secs(7 * 86_400));
        assert_eq!(one.usages, [Usage::Client].into());
        let both = terms(&grant(&[Role::edge(), Role::hub()]), &settings).unwrap();
        assert_eq!(both.lifetime, Duration::from_secs(86_400));
        assert_eq!(both.usages, Usage::ALL.into());
        let none = terms(&grant(&[]), &settings).unwrap();
        assert_eq!(none.lifetime, settings.lifetimes.node);
        let mut long = grant(&[Role::edge(), Role::hub()]);
        long.lifetime = Some(Duration::from_secs(86_401));
        let refused = terms(&long, &settings).unwrap_err();
        assert!(matches!(refused, PolicyFault::Lifetime { role, .. } if role == Role::hub()));
    }

    #[test]
    fn addresses_and_names_outside_are_refused() {
        let settings = settings();
        let mut inside = grant(&[Role::edge()]);
        inside.addresses = vec!["10.44.3.4".parse().unwrap(), "fd44:1::2".parse().unwrap()];
        inside.dns = vec![
            "shop.cabins.test".parse().unwrap(),
            "edge1.test.internal".parse().unwrap(),
        ];
        terms(&inside, &settings).unwrap();
        let mut outside = inside.clone();
        outside.addresses.push("10.45.0.1".parse().unwrap());
        assert!(matches!(
            terms(&outside, &settings),
            Err(PolicyFault::Address { .. })
        ));
        for name in ["evilcabins.test", "edge2.test.internal"] {
            let mut outside = inside.clone();
            outside.dns.push(name.parse().unwrap());
            assert!(matches!(
                terms(&outside, &settings),
                Err(PolicyFault::DnsName { .. })
            ));
        }
    }

    #[test]
    fn a_prefix_has_no_bits_beyond_its_length() {
        for text in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "::/0",
            "fd00::1/128",
            "10.1.2.3/32",
        ] {
            let prefix: AddressPrefix = text.parse().unwrap();
            assert_eq!(prefix.to_string(), text);
        }
        for text in [
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0",
            "::/129",
            "x/8",
            "10.0.0.0/-1",
        ] {
            assert!(text.parse::<AddressPrefix>().is_err(), "{text}");
        }
        let v4: AddressPrefix = "0.0.0.0/0".parse().unwrap();
        assert!(v4.contains("10.0.0.1".parse().unwrap()));
        assert!(!v4.contains("::1".parse().unwrap()));
    }
}
