//! What the operator decided for the whole swarm; it can be changed later, save the name.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::{Error, RolePolicy, Store};
use crate::profile::seconds;
use crate::{Domain, KeyAlgorithm, Lifetimes, Role, SwarmName, Timestamp};

/// What was decided for the whole swarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Settings {
    /// The swarm's name; it never changes.
    pub swarm: SwarmName,
    /// The domain that node names are put under.
    pub domain: Domain,
    /// The algorithm of the authorities' own keys.
    pub key_algorithm: KeyAlgorithm,
    /// How long everything lives.
    pub lifetimes: Lifetimes,
    /// How long after the end of its certificate a node may ask to come back.
    #[serde(with = "seconds")]
    pub reenroll_within: Duration,
    /// What the nodes of a role may be; roles that are not here are not limited.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<Role, RolePolicy>,
}

impl Settings {
    /// Makes settings with the defaults (90 days to come back, no roles); change the fields where
    /// need be.
    pub fn new(swarm: SwarmName, domain: Domain) -> Self {
        Self {
            swarm,
            domain,
            key_algorithm: KeyAlgorithm::default(),
            lifetimes: Lifetimes::default(),
            reenroll_within: Duration::from_secs(90 * 24 * 3_600),
            roles: BTreeMap::new(),
        }
    }

    /// Refuses what no certificate could be issued by.
    pub(super) fn check(&self) -> Result<(), Error> {
        let lifetimes = &self.lifetimes;
        let all = [
            lifetimes.root,
            lifetimes.issuing,
            lifetimes.node,
            lifetimes.crl,
            lifetimes.root_crl,
        ];
        if all.iter().any(|lifetime| lifetime.as_secs() == 0) {
            return Err(Error::Settings("a lifetime is zero"));
        }
        self.roles.values().try_for_each(RolePolicy::check)
    }
}

impl Store {
    /// Changes the settings, for what is issued from now on.
    ///
    /// # Errors
    /// [`Error::Settings`] when the swarm's name is another one, a lifetime is zero, or a role
    /// has no usage.
    pub fn update_settings(
        &self,
        settings: &Settings,
        requester: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        settings.check()?;
        self.exclusive(|transaction| {
            if transaction.state().settings.swarm != settings.swarm {
                return Err(Error::Settings("the swarm's name never changes"));
            }
            if transaction.state().settings == *settings {
                return Ok(());
            }
            let settings = settings.clone();
            transaction.record(Event::SettingsChanged { settings }, requester, now)
        })
    }
}

pub(super) mod optional_seconds {
    //! A duration as whole seconds, or nothing.
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(in crate::store) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|duration| duration.as_secs()).serialize(to)
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<u64>::deserialize(from).map(|seconds| seconds.map(Duration::from_secs))
    }
}
