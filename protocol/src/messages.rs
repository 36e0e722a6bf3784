//! Skeleton: Kafka's requests and responses (`kafka-protocol` behind one door).

use bytes::{Bytes, BytesMut};
use thiserror::Error;

pub use kafka_protocol::error::ResponseError as ErrorCode;
pub use kafka_protocol::messages as kafka;
pub use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
pub use kafka_protocol::protocol::StrBytes;

/// A request and what its header says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The version of the body.
    pub version: i16,
    /// Who asks, for logs and quotas.
    pub client_id: Option<StrBytes>,
    /// What is asked.
    pub body: RequestKind,
}

/// The answer's body.
pub type Response = ResponseKind;

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// No such API.
    #[error("api key {0} is unknown")]
    UnknownApi(i16),
    /// An API we know, in a version outside `kafka-protocol`'s range.
    #[error("{api:?} has no version {version}")]
    UnknownVersion {
        /// The API.
        api: ApiKey,
        /// The version asked for.
        version: i16,
        /// So that ApiVersions can be answered.
        correlation_id: i32,
    },
    /// The body does not follow its schema.
    #[error("malformed message: {0}")]
    Malformed(String),
}

/// Decodes one request frame into its correlation id and the request.
///
/// # Errors
/// See [`MessageError`].
pub fn decode_request(frame: Bytes) -> Result<(i32, Request), MessageError> {
    let _ = frame;
    todo!()
}

/// Appends a whole response frame, its 4-byte length included, to `out`.
///
/// # Errors
/// The body cannot be encoded in this version.
pub fn encode_response(
    out: &mut BytesMut,
    correlation_id: i32,
    version: i16,
    response: &Response,
) -> Result<(), MessageError> {
    let _ = (out, correlation_id, version, response);
    todo!()
}

/// Appends a whole request frame, its 4-byte length included, to `out`.
///
/// # Errors
/// The body cannot be encoded in this version.
pub fn encode_request(
    out: &mut BytesMut,
    correlation_id: i32,
    request: &Request,
) -> Result<(), MessageError> {
    let _ = (out, correlation_id, request);
    todo!()
}

/// Decodes one response frame, for the API and version that were asked.
///
/// # Errors
/// See [`MessageError`].
pub fn decode_response(
    frame: Bytes,
    api: ApiKey,
    version: i16,
) -> Result<(i32, Response), MessageError> {
    let _ = (frame, api, version);
    todo!()
}
