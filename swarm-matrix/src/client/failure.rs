//! Errors of the layer below, typed.

use std::error::Error as _;

use matrix_sdk::HttpError;
use matrix_sdk::ruma::api::error::{ErrorBody, ErrorKind, RetryAfter};
use serde_json::json;

use super::endpoint::refusal;
use crate::error::Error;

/// Types an error of the SDK.
pub(super) fn classify(error: impl Into<matrix_sdk::Error>) -> Error {
    match error.into() {
        matrix_sdk::Error::Http(error) => classify_http(*error),
        error => Error::Encryption(error.into()),
    }
}

/// Types an error of a request.
pub(super) fn classify_http(error: HttpError) -> Error {
    if let HttpError::Reqwest(error) = error {
        return Error::Unreachable(error.without_url().into());
    }
    let Some(api) = error.as_client_api_error() else {
        return Error::Answer(error.into());
    };
    let body = match &api.body {
        ErrorBody::Standard(standard) => {
            let retry_after_ms = match &standard.kind {
                ErrorKind::LimitExceeded(data) => match data.retry_after {
                    Some(RetryAfter::Delay(delay)) => u64::try_from(delay.as_millis()).ok(),
                    _ => None,
                },
                _ => None,
            };
            json!({
                "errcode": standard.kind.errcode().to_string(),
                "error": standard.message,
                "retry_after_ms": retry_after_ms,
            })
        }
        _ => json!({}),
    };
    refusal(api.status_code.as_u16(), &body)
}

/// What an error means for the login that a session stands on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The login stands; try again.
    Stands,
    /// The token is no longer valid, the device is: log in as it again.
    Expired,
    /// The homeserver does not know the token, nor the device.
    Forgotten,
    /// The account is cut off.
    Revoked,
}

/// Reads from an error of the SDK whether the login still stands.
pub(super) fn standing(error: &matrix_sdk::Error) -> Standing {
    match error.client_api_error_kind() {
        Some(ErrorKind::UnknownToken(data)) if data.soft_logout => Standing::Expired,
        Some(ErrorKind::UnknownToken(_)) => Standing::Forgotten,
        Some(ErrorKind::UserLocked | ErrorKind::UserDeactivated) => Standing::Revoked,
        _ => Standing::Stands,
    }
}

/// An error and its sources in one line.
pub(super) fn one_line(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let part = inner.to_string();
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        source = inner.source();
    }
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(500)
        .collect()
}
