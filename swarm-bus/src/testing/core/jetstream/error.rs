//! JetStream's errors: numbers and words as a server has them.

use serde::Serialize;
use std::borrow::Cow;

/// An error in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ApiError {
    code: u16,
    err_code: u16,
    description: Cow<'static, str>,
}

/// Shortens what follows.
const fn error(code: u16, err_code: u16, description: &'static str) -> ApiError {
    ApiError {
        code,
        err_code,
        description: Cow::Borrowed(description),
    }
}

impl ApiError {
    pub(super) const BAD_REQUEST: Self = error(400, 10003, "bad request");
    pub(super) const INVALID_JSON: Self = error(400, 10025, "invalid JSON");
    pub(super) const NOT_EMPTY_REQUEST: Self =
        error(400, 10038, "expected an empty request payload");
    pub(super) const NO_MESSAGE: Self = error(404, 10037, "no message found");
    pub(super) const CONSUMER_NOT_FOUND: Self = error(404, 10014, "consumer not found");
    pub(super) const STREAM_NOT_FOUND: Self = error(404, 10059, "stream not found");
    pub(super) const STREAM_NAME_IN_USE: Self = error(
        400,
        10058,
        "stream name already in use with a different configuration",
    );
    pub(super) const STREAM_MISMATCH: Self =
        error(400, 10056, "stream name in subject does not match request");
    pub(super) const SUBJECTS_OVERLAP: Self =
        error(400, 10065, "subjects overlap with an existing stream");
    pub(super) const REPLICAS: Self = error(
        500,
        10074,
        "replicas > 1 not supported in non-clustered mode",
    );
    pub(super) const NEGATIVE_REPLICAS: Self =
        error(400, 10133, "replicas count cannot be negative");
    pub(super) const CONSUMER_REPLICAS: Self = error(
        400,
        10126,
        "consumer config replica count exceeds parent stream",
    );
    pub(super) const EXPECTED_STREAM: Self = error(400, 10060, "expected stream does not match");
    pub(super) const MESSAGE_TOO_LARGE: Self =
        error(400, 10054, "message size exceeds maximum allowed");
    pub(super) const HEADERS_TOO_LARGE: Self =
        error(400, 10097, "header size exceeds maximum allowed of 64k");
    pub(super) const MAXIMUM_CONSUMERS: Self = error(400, 10026, "maximum consumers limit reached");
    pub(super) const MAXIMUM_STREAMS: Self = error(400, 10027, "maximum number of streams reached");
    pub(super) const DURABLE_NOT_SET: Self = error(
        400,
        10018,
        "consumer expected to be durable but a durable name was not set",
    );
    pub(super) const DURABLE_MISMATCH: Self = error(
        400,
        10017,
        "consumer name in subject does not match durable name in request",
    );
    pub(super) const EPHEMERAL_WITH_DURABLE: Self = error(
        400,
        10020,
        "consumer expected to be ephemeral but a durable name was set in request",
    );
    pub(super) const DURABLE_AND_NAME: Self = error(
        400,
        10132,
        "Consumer Durable and Name have to be equal if both are provided",
    );
    pub(super) const BAD_DURABLE: Self =
        error(400, 10103, "durable name can not contain '.', '*', '>'");
    pub(super) const FILTER_MISMATCH: Self = error(
        400,
        10131,
        "Consumer create request did not match filtered subject from create subject",
    );
    pub(super) const FILTER_NOT_SUBSET: Self = error(
        400,
        10093,
        "consumer filter subject is not a valid subset of the interest subjects",
    );
    pub(super) const BACKOFF: Self = error(
        400,
        10116,
        "max deliver is required to be > length of backoff values",
    );
    pub(super) const PULL_REQUIRES_ACK: Self =
        error(400, 10084, "consumer in pull mode requires ack policy");
    pub(super) const MAX_WAITING_NEGATIVE: Self =
        error(400, 10087, "consumer max waiting needs to be positive");
    pub(super) const HEARTBEAT_REQUIRES_PUSH: Self = error(
        400,
        10088,
        "consumer idle heartbeat requires a push based consumer",
    );
    pub(super) const WORKQUEUE_EXPLICIT: Self =
        error(400, 10098, "workqueue stream requires explicit ack");
    pub(super) const WORKQUEUE_UNFILTERED: Self = error(
        400,
        10099,
        "multiple non-filtered consumers not allowed on workqueue stream",
    );
    pub(super) const WORKQUEUE_NOT_UNIQUE: Self = error(
        400,
        10100,
        "filtered consumer not unique on workqueue stream",
    );
    pub(super) const WORKQUEUE_NOT_ALL: Self = error(
        400,
        10101,
        "consumer must be deliver all on workqueue stream",
    );

    pub(super) fn wrong_last_sequence(last: u64) -> Self {
        Self::with(400, 10071, format!("wrong last sequence: {last}"))
    }

    pub(super) fn wrong_last_id(last: &str) -> Self {
        Self::with(400, 10070, format!("wrong last msg ID: {last}"))
    }

    pub(super) fn sequence_not_found(sequence: u64) -> Self {
        Self::with(400, 10043, format!("sequence {sequence} not found"))
    }

    pub(super) fn invalid_stream(text: impl Into<Cow<'static, str>>) -> Self {
        Self::with(500, 10052, text)
    }

    pub(super) fn consumer_create(text: impl Into<Cow<'static, str>>) -> Self {
        Self::with(500, 10012, text)
    }

    pub(super) fn consumer_policy(text: impl Into<Cow<'static, str>>) -> Self {
        Self::with(400, 10094, text)
    }

    pub(super) fn store_failed(text: &'static str) -> Self {
        Self::with(503, 10077, text)
    }

    pub(super) fn rollup_failed(text: &'static str) -> Self {
        Self::with(500, 10111, text)
    }

    pub(super) fn delete_failed(text: &'static str) -> Self {
        Self::with(500, 10057, text)
    }

    pub(super) fn purge_failed(text: &'static str) -> Self {
        Self::with(500, 10110, text)
    }

    /// What a server can and this one does not.
    pub(super) fn absent(what: &str) -> Self {
        Self::with(501, 10003, format!("the in-process server has no {what}"))
    }

    fn with(code: u16, err_code: u16, description: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            err_code,
            description: description.into(),
        }
    }
}
