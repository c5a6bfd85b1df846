//! Logging in, and the device that comes of it.

use matrix_sdk::authentication::matrix::MatrixSession;
use matrix_sdk::config::RequestConfig;
use matrix_sdk::encryption::{CrossSigningResetAuthType, EncryptionSettings};
use matrix_sdk::ruma::api::client::uiaa::{
    AuthData, MatrixUserIdentifier, Password, UserIdentifier,
};
use matrix_sdk::ruma::{OwnedDeviceId, OwnedUserId};
use matrix_sdk::store::RoomLoadSettings;
use matrix_sdk::{Client, SessionMeta, SessionTokens, SqliteCryptoStore, SqliteStoreConfig};
use matrix_sdk_crypto::store::CryptoStore;
use matrix_sdk_crypto::types::SecretsBundle;
use matrix_sdk_crypto::{CollectStrategy, DecryptionSettings, OlmMachine, TrustRequirement};
use reqwest::Method;
use serde_json::json;

use super::config::{Identity, SessionConfig, TokenError};
use super::endpoint::REQUEST_TIMEOUT;
use super::failure::classify;
use super::store::{SavedLogin, Store};
use crate::error::Error;
use crate::quarantine::IdentityPermit;

/// Logs in as a new device by a fresh token, or as `device` again.
pub(super) async fn log_in(
    config: &SessionConfig,
    device: Option<&str>,
) -> Result<SavedLogin, Error> {
    let token = config.tokens.token().await.map_err(|error| match error {
        TokenError::Refused(reason) => Error::Revoked(reason),
        TokenError::Unavailable(reason) => Error::TokenUnavailable(reason),
    })?;
    let mut body = json!({
        "type": "org.matrix.login.jwt",
        "token": token.expose(),
        "initial_device_display_name": config.device_name,
    });
    if let Some(device) = device {
        body["device_id"] = device.into();
    }
    let path = ["_matrix", "client", "v3", "login"];
    let answer = config
        .endpoint
        .request(Method::POST, &path, None, Some(&body))
        .await;
    zeroize_json(&mut body["token"]);
    let answer = answer?;
    let text = |field: &'static str| {
        let value = answer.get(field).and_then(serde_json::Value::as_str);
        value
            .map(ToOwned::to_owned)
            .ok_or_else(|| Error::Answer(format!("no `{field}`").into()))
    };
    let user = text("user_id")?;
    if user != config.user.as_str() {
        return Err(Error::Answer(format!("logged in as {user}").into()));
    }
    Ok(SavedLogin {
        version: 1,
        user: config.user.clone(),
        device: text("device_id")?,
        access_token: text("access_token")?,
    })
}

fn zeroize_json(value: &mut serde_json::Value) {
    if let serde_json::Value::String(text) = value {
        zeroize::Zeroize::zeroize(text);
    }
}

/// Makes a client on a device's databases.
pub(super) async fn restore(
    config: &SessionConfig,
    store: &Store,
    login: &SavedLogin,
) -> Result<Client, Error> {
    let databases = sqlite(store, &login.device);
    let requests = RequestConfig::new().timeout(REQUEST_TIMEOUT).retry_limit(2);
    let client = Client::builder()
        .homeserver_url(config.endpoint.url())
        .http_client(config.endpoint.http.clone())
        .respect_login_well_known(false)
        .request_config(requests)
        .sqlite_store_with_config_and_cache_path(databases, None::<&std::path::Path>)
        .with_encryption_settings(EncryptionSettings::default())
        .with_room_key_recipient_strategy(CollectStrategy::IdentityBasedStrategy)
        .with_decryption_settings(DecryptionSettings {
            sender_device_trust_requirement: TrustRequirement::CrossSigned,
        })
        .build()
        .await
        .map_err(|error| store_error(store, login, error.into()))?;
    let user_id =
        OwnedUserId::try_from(login.user.as_str()).map_err(|error| Error::Answer(error.into()))?;
    let session = MatrixSession {
        meta: SessionMeta {
            user_id,
            device_id: OwnedDeviceId::from(login.device.as_str()),
        },
        tokens: SessionTokens {
            access_token: login.access_token.clone(),
            refresh_token: None,
        },
    };
    Box::pin(
        client
            .matrix_auth()
            .restore_session(session, RoomLoadSettings::default()),
    )
    .await
    .map_err(|error| store_error(store, login, error.into()))?;
    Ok(client)
}

fn sqlite(store: &Store, device: &str) -> SqliteStoreConfig {
    SqliteStoreConfig::new(store.device_dir(device)).key(Some(&store.key))
}

fn store_error(store: &Store, login: &SavedLogin, cause: crate::error::Cause) -> Error {
    Error::Store {
        verb: "open",
        path: store.device_dir(&login.device),
        cause,
    }
}

/// The cross-signing keys of a device that is given up, read from its databases.
pub(super) async fn keys_of(store: &Store, login: &SavedLogin) -> Option<SecretsBundle> {
    let databases = SqliteCryptoStore::open_with_config(&sqlite(store, &login.device))
        .await
        .ok()?;
    let account = databases.load_account().await.ok()??;
    let (user, device) = (account.user_id.clone(), account.device_id.clone());
    let machine = OlmMachine::with_store(&user, &device, databases, None)
        .await
        .ok()?;
    machine.store().export_secrets_bundle().await.ok()
}

/// Takes over the cross-signing keys of an earlier device. Right after login, before any sync.
pub(super) async fn adopt(client: &Client, keys: &SecretsBundle) -> Result<(), Error> {
    client
        .encryption()
        .import_secrets_bundle(keys)
        .await
        .map_err(|error| Error::Encryption(error.into()))
}

/// Sees to it that this device is signed by its user's cross-signing key, making that key where
/// the user has none. A homeserver takes a first key from a user who has only a login token; a
/// second one it does not.
pub(super) async fn ensure_identity(client: &Client) -> Result<Identity, Error> {
    let encryption = client.encryption();
    encryption.wait_for_e2ee_initialization_tasks().await;
    let signed = identity(client).await?;
    if signed == Identity::CrossSigned {
        return Ok(signed);
    }
    Box::pin(encryption.bootstrap_cross_signing_if_needed(None))
        .await
        .map_err(classify)?;
    fetch_own_keys(client).await?;
    let signed = identity(client).await?;
    Ok(if signed == Identity::CrossSigned {
        signed
    } else {
        Identity::Lost
    })
}

/// Makes a new cross-signing key in place of a lost one.
pub(super) async fn renew_identity(
    client: &Client,
    permit: &IdentityPermit,
) -> Result<Identity, Error> {
    let reset = Box::pin(client.encryption().reset_cross_signing())
        .await
        .map_err(classify)?;
    if let Some(handle) = reset {
        let CrossSigningResetAuthType::Uiaa(info) = handle.auth_type() else {
            return Err(Error::Answer("it asks for a login by OAuth".into()));
        };
        let user = client.user_id().ok_or(Error::Closed)?.to_owned();
        let user = UserIdentifier::Matrix(MatrixUserIdentifier::new(user.to_string()));
        let mut password = Password::new(user, permit.expose().to_owned());
        password.session = info.session.clone();
        let auth = Some(AuthData::Password(password));
        Box::pin(handle.auth(auth)).await.map_err(classify)?;
    }
    fetch_own_keys(client).await?;
    identity(client).await
}

/// Has the SDK look at this user's own keys as the homeserver has them.
async fn fetch_own_keys(client: &Client) -> Result<(), Error> {
    let user = client.user_id().ok_or(Error::Closed)?;
    Box::pin(client.encryption().request_user_identity(user))
        .await
        .map_err(classify)?;
    Ok(())
}

async fn identity(client: &Client) -> Result<Identity, Error> {
    let encryption = client.encryption();
    let failed = |error| Error::Encryption(Box::new(error));
    let has_keys = encryption
        .cross_signing_status()
        .await
        .is_some_and(|keys| keys.is_complete());
    let device = encryption.get_own_device().await.map_err(failed)?;
    let signed = device.is_some_and(|device| device.is_cross_signed_by_owner());
    Ok(if has_keys && signed {
        Identity::CrossSigned
    } else {
        Identity::Unknown
    })
}
