//! Cuts accounts off, and lets them back in: Synapse's admin API.
//!
//! The admin API shares its listener with the client API: reach it over loopback or a unix
//! socket, and let no front pass `/_synapse/admin` through.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use aws_lc_rs::hmac;
use reqwest::Method;
use serde_json::{Value, json};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::client::Endpoint;
use crate::error::Error;
use crate::id::{Localpart, ServerName, UserId};

/// The one device of the admin account.
const DEVICE: &str = "SWARMADMIN";

/// The homeserver's `registration_shared_secret`: whoever holds it makes administrators. Not shown
/// by `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SharedSecret(String);

impl SharedSecret {
    /// Takes the secret as the homeserver's configuration has it.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The admin account's password: nothing to keep, and only the secret's holder can say it.
    fn password(&self, localpart: &Localpart) -> Zeroizing<String> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        let tag = hmac::sign(
            &key,
            format!("swarm-matrix admin password\0{localpart}").as_bytes(),
        );
        Zeroizing::new(hex(tag.as_ref()))
    }

    /// The proof that a registration is the secret holder's, as Synapse defines it.
    fn mac(&self, nonce: &str, localpart: &str, password: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.0.as_bytes());
        let text = Zeroizing::new([nonce, localpart, password, "admin"].join("\0"));
        hex(hmac::sign(&key, text.as_bytes()).as_ref())
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What lets one user make a new identity, once carried to its node. A secret: not shown by
/// `Debug`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct IdentityPermit(String);

impl IdentityPermit {
    /// Takes a permit as it was carried.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text of it, to carry it. Keep it out of logs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn random() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut())
            .map_err(|_| Error::Encryption("no randomness".into()))?;
        Ok(Self(hex(bytes.as_ref())))
    }
}

impl fmt::Debug for IdentityPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityPermit(..)")
    }
}

/// What cutting an account off did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CutOff {
    /// Devices that were logged out.
    pub devices: usize,
}

/// The administrator of a homeserver.
pub struct Admin {
    endpoint: Endpoint,
    server: ServerName,
    localpart: Localpart,
    secret: SharedSecret,
    token: Mutex<Zeroizing<String>>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("endpoint", &self.endpoint.url())
            .field("localpart", &self.localpart)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// Logs in as the administrator `localpart`, making the account when there is none.
    ///
    /// The homeserver needs `registration_shared_secret`, and password logins: this account alone
    /// has one.
    ///
    /// # Errors
    /// When the homeserver cannot be reached, the secret is another, or the name is taken by an
    /// account that was not made here.
    pub async fn connect(
        endpoint: Endpoint,
        server: ServerName,
        localpart: Localpart,
        secret: SharedSecret,
    ) -> Result<Self, Error> {
        let token = Mutex::default();
        let admin = Self {
            endpoint,
            server,
            localpart,
            secret,
            token,
        };
        match admin.log_in().await {
            Ok(()) => {}
            Err(Error::Refused { status: 403, .. }) => {
                admin.register().await?;
                admin.log_in().await?;
            }
            Err(error) => return Err(error),
        }
        Ok(admin)
    }

    /// The administrator's own user id.
    ///
    /// # Errors
    /// When the homeserver cannot be reached or refuses.
    pub async fn whoami(&self) -> Result<UserId, Error> {
        let path = ["_matrix", "client", "v3", "account", "whoami"];
        let answer = self.call(Method::GET, &path, None).await?;
        let user = answer
            .get("user_id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        Ok(UserId::parse(user)?)
    }

    /// Cuts an account off: locks it, then logs out every device. Its running requests end, no
    /// token logs it in any more, and nothing is lost: [`Admin::restore`] takes it back. An
    /// account that does not exist yet is made, locked.
    ///
    /// # Errors
    /// When the homeserver cannot be reached or refuses, and when it is the administrator's own.
    /// After an error do it again: done twice, it is done once.
    pub async fn cut_off(&self, user: &UserId) -> Result<CutOff, Error> {
        self.not_self(user)?;
        let account = ["_synapse", "admin", "v2", "users", user.as_str()];
        let lock = json!({"locked": true});
        let is_locked = |answer: Value| answer.get("locked").and_then(Value::as_bool) == Some(true);
        // Where there was no account, the first request makes it and passes over the lock.
        if !is_locked(self.call(Method::PUT, &account, Some(&lock)).await?)
            && !is_locked(self.call(Method::PUT, &account, Some(&lock)).await?)
        {
            return Err(Error::Answer("the account is not locked".into()));
        }
        // From here on no device can be added.
        let devices = self.devices(user).await?;
        if !devices.is_empty() {
            let path = [&account[..], &["delete_devices"]].concat();
            self.call(Method::POST, &path, Some(&json!({"devices": devices})))
                .await?;
        }
        Ok(CutOff {
            devices: devices.len(),
        })
    }

    /// Lets an account that was cut off back in. It has to log in anew.
    ///
    /// # Errors
    /// When the homeserver cannot be reached or refuses, or knows no such account.
    pub async fn restore(&self, user: &UserId) -> Result<(), Error> {
        let account = ["_synapse", "admin", "v2", "users", user.as_str()];
        // PUT would make an account that is not there.
        self.call(Method::GET, &account, None).await?;
        self.call(Method::PUT, &account, Some(&json!({"locked": false})))
            .await?;
        Ok(())
    }

    /// Whether an account is cut off; `None` when there is none.
    ///
    /// # Errors
    /// When the homeserver cannot be reached or refuses.
    pub async fn is_cut_off(&self, user: &UserId) -> Result<Option<bool>, Error> {
        let account = ["_synapse", "admin", "v2", "users", user.as_str()];
        match self.call(Method::GET, &account, None).await {
            Ok(answer) => Ok(answer.get("locked").and_then(Value::as_bool)),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets a user send so many messages a second, in bursts of so many; 0 and 0 for no limit.
    ///
    /// # Errors
    /// When the homeserver cannot be reached or refuses, or knows no such account.
    pub async fn set_ratelimit(
        &self,
        user: &UserId,
        per_second: u32,
        burst: u32,
    ) -> Result<(), Error> {
        let path = [
            "_synapse",
            "admin",
            "v1",
            "users",
            user.as_str(),
            "override_ratelimit",
        ];
        let body = json!({"messages_per_second": per_second, "burst_count": burst});
        self.call(Method::POST, &path, Some(&body)).await.map(drop)
    }

    /// Permits a user to make a new identity in place of one that was lost with its store: gives
    /// what [`Session::renew_identity`](crate::Session::renew_identity) asks for. Carry it to the
    /// node by a way that proves who it is, and take it back by [`Admin::withdraw`] when it is
    /// used: as long as it stands, it also logs the user in.
    ///
    /// # Errors
    /// When the homeserver cannot be reached or refuses, or knows no such account.
    pub async fn permit_new_identity(&self, user: &UserId) -> Result<IdentityPermit, Error> {
        let permit = IdentityPermit::random()?;
        self.set_password(user, &permit).await?;
        Ok(permit)
    }

    /// Takes back what [`Admin::permit_new_identity`] gave.
    ///
    /// # Errors
    /// When the homeserver cannot be reached or refuses, or knows no such account.
    pub async fn withdraw(&self, user: &UserId) -> Result<(), Error> {
        // A password cannot be taken away; one that nobody knows is as good.
        self.set_password(user, &IdentityPermit::random()?).await
    }

    async fn set_password(&self, user: &UserId, password: &IdentityPermit) -> Result<(), Error> {
        self.not_self(user)?;
        let account = ["_synapse", "admin", "v2", "users", user.as_str()];
        // PUT would make an account that is not there.
        self.call(Method::GET, &account, None).await?;
        let mut body = json!({"password": password.0, "logout_devices": false});
        let answer = self.call(Method::PUT, &account, Some(&body)).await;
        wipe(&mut body["password"]);
        answer.map(drop)
    }

    /// Lists the devices that an account is logged in with.
    ///
    /// # Errors
    /// When the homeserver cannot be reached or refuses, or knows no such account.
    pub async fn devices(&self, user: &UserId) -> Result<Vec<String>, Error> {
        let path = ["_synapse", "admin", "v2", "users", user.as_str(), "devices"];
        let answer = self.call(Method::GET, &path, None).await?;
        let devices = answer.get("devices").and_then(Value::as_array);
        let devices = devices.ok_or_else(|| Error::Answer("no `devices`".into()))?;
        Ok(devices
            .iter()
            .filter_map(|device| device.get("device_id").and_then(Value::as_str))
            .map(ToOwned::to_owned)
            .collect())
    }

    fn not_self(&self, user: &UserId) -> Result<(), Error> {
        if user.localpart() != self.localpart.as_str() {
            return Ok(());
        }
        Err(Error::Refused {
            status: 403,
            code: "M_FORBIDDEN".to_owned(),
            message: "an administrator does not cut itself off".to_owned(),
        })
    }

    /// A request as the administrator; logs in again once when the token is no longer good, as
    /// when another process logged in as the same device.
    async fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let token = self.token();
        match self
            .endpoint
            .request(method.clone(), path, Some(&token), body)
            .await
        {
            Err(Error::Refused { status: 401, .. }) => {
                self.log_in().await?;
                let token = self.token();
                self.endpoint
                    .request(method, path, Some(&token), body)
                    .await
            }
            answer => answer,
        }
    }

    fn token(&self) -> Zeroizing<String> {
        self.token
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    async fn log_in(&self) -> Result<(), Error> {
        let mut body = json!({
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": self.localpart},
            "password": self.secret.password(&self.localpart).as_str(),
            "device_id": DEVICE,
        });
        let path = ["_matrix", "client", "v3", "login"];
        let answer = self
            .endpoint
            .request(Method::POST, &path, None, Some(&body))
            .await;
        wipe(&mut body["password"]);
        let answer = answer?;
        let expected = UserId::new(&self.localpart, &self.server)?;
        if answer.get("user_id").and_then(Value::as_str) != Some(expected.as_str()) {
            return Err(Error::Answer("logged in as somebody else".into()));
        }
        let token = answer.get("access_token").and_then(Value::as_str);
        let token = token.ok_or_else(|| Error::Answer("no `access_token`".into()))?;
        *self
            .token
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Zeroizing::new(token.to_owned());
        Ok(())
    }

    async fn register(&self) -> Result<(), Error> {
        let path = ["_synapse", "admin", "v1", "register"];
        let answer = self
            .endpoint
            .request(Method::GET, &path, None, None)
            .await?;
        let nonce = answer.get("nonce").and_then(Value::as_str);
        let nonce = nonce.ok_or_else(|| Error::Answer("no `nonce`".into()))?;
        let password = self.secret.password(&self.localpart);
        let mut body = json!({
            "nonce": nonce,
            "username": self.localpart,
            "displayname": self.localpart,
            "password": password.as_str(),
            "admin": true,
            "mac": self.secret.mac(nonce, self.localpart.as_str(), &password),
            "inhibit_login": true,
        });
        let answer = self
            .endpoint
            .request(Method::POST, &path, None, Some(&body))
            .await;
        wipe(&mut body["password"]);
        answer.map(drop)
    }
}

fn wipe(value: &mut Value) {
    if let Value::String(text) = value {
        text.zeroize();
    }
}

impl Admin {
    /// Cuts off every account of a list that is not cut off yet; gives what went wrong, by user.
    /// As when the homeserver was away while nodes were revoked.
    pub async fn cut_off_all<'a>(
        &self,
        users: impl IntoIterator<Item = &'a UserId>,
    ) -> BTreeMap<UserId, Error> {
        let mut failed = BTreeMap::new();
        for user in users {
            let result = match self.is_cut_off(user).await {
                Ok(Some(true)) if self.devices(user).await.is_ok_and(|d| d.is_empty()) => Ok(()),
                Ok(_) => self.cut_off(user).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                failed.insert(user.clone(), error);
            }
        }
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registration_mac_is_synapses() {
        // Computed by Synapse's own register_new_matrix_user recipe (HMAC-SHA1 over the fields
        // joined by NUL).
        let secret = SharedSecret::new("shared_secret");
        assert_eq!(
            secret.mac("nonce", "user", "pass"),
            "14e353164eba1b0717c9e6bcb4b078b3585143cc"
        );
    }

    #[test]
    fn the_password_is_the_secret_holders_and_the_names() {
        let (a, b) = (SharedSecret::new("a"), SharedSecret::new("b"));
        let name = |text: &str| Localpart::parse(text).unwrap();
        assert_eq!(*a.password(&name("x")), *a.password(&name("x")));
        assert_ne!(*a.password(&name("x")), *b.password(&name("x")));
        assert_ne!(*a.password(&name("x")), *a.password(&name("y")));
        assert_eq!(format!("{a:?}"), "SharedSecret(..)");
    }
}
