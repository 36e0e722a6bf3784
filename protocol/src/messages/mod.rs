//! Kafka's requests and responses: `kafka-protocol` behind one door.
//!
//! The crate `kafka-protocol` knows every message of Kafka in every version; this module is the
//! only place that encodes and decodes with it, and adds what it lacks: frames, headers, and
//! distrust. A frame holds
//!
//! ```text
//!  request: │ api key │ version │ correlation id │ client id │ tags  │ body
//!           │ 2 bytes │ 2       │ 4              │ string    │ (v2)  │ by api key and version
//! response: │ correlation id │ tags │ body
//!           │ 4 bytes        │ (v1) │ by the request's api key and version
//! ```
//!
//! A response does not say what it is: only the order of the requests does. Flexible versions of a
//! message have the headers with tags, except that a response to ApiVersions never has them, so
//! that a client can read it before it knows what the broker speaks (KIP-511).
//!
//! Invariants:
//! - a message is walked by its [`Shape`] before it is decoded, so its counts allocate nothing that
//!   its bytes do not back;
//! - bytes in a decoded message are slices of the frame, not copies;
//! - what the walk accepts, the decoder uses up to the last byte, or it is an error.
//!
//! What is served stands in one table, `apis/table.rs`: a row per API, from which shapes, request
//! and response types, the broker's dispatch and its documentation are made.
//!
//! Left out: an API that Brooklet does not serve has no row and is refused by name.

mod shape;
mod walk;

mod apis;
mod kinds;

mod pieces;

#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable};
use thiserror::Error;

pub use apis::{APIS, Api, find_api, request_shape, response_shape};
pub use kafka_protocol::error::ResponseError as ErrorCode;
pub use kafka_protocol::messages as kafka;
pub use kafka_protocol::messages::ApiKey;
pub use kafka_protocol::protocol::StrBytes;
pub use kinds::{ApiRequest, RequestKind, ResponseKind};
pub use pieces::encode_response_in_pieces;
pub use shape::{Field, Kind, Shape};

use crate::wire::varint::{Reader, Reason};
use shape::field;
use walk::Walk;

/// Before every request: version 1, and 2 with tagged fields.
const REQUEST_HEADER: &[Field] = &[
    field("request_api_key", Kind::Int16),
    field("request_api_version", Kind::Int16),
    field("correlation_id", Kind::Int32),
    field("client_id", Kind::HeaderString).nullable(),
];

/// Before every response: version 0, and 1 with tagged fields.
const RESPONSE_HEADER: &[Field] = &[field("correlation_id", Kind::Int32)];

/// A request, with the parts of its header that matter.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The version of the body.
    pub version: i16,
    /// The name that the client goes by, for logs.
    pub client_id: Option<StrBytes>,
    /// The body.
    pub body: RequestKind,
}

/// The answer's body.
pub type Response = ResponseKind;

/// Why bytes are not a message, or a message cannot become bytes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// No such API.
    #[error("unknown api key {0}")]
    UnknownApi(i16),
    /// An API of Kafka that Brooklet does not serve.
    #[error("{api:?} is not served")]
    Unsupported {
        /// The API.
        api: ApiKey,
    },
    /// An API that is served, in a version that does not exist.
    #[error("{api:?} has no version {version}")]
    UnknownVersion {
        /// The API.
        api: ApiKey,
        /// The version asked for.
        version: i16,
        /// The correlation id, so that ApiVersions can be answered.
        correlation_id: i32,
    },
    /// The message does not follow its schema.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// A value that the version has no field for.
    #[error("cannot encode in version {version}: {reason}")]
    Unencodable {
        /// The version asked for.
        version: i16,
        /// The reason.
        reason: String,
    },
}

impl Request {
    /// The API that is asked.
    pub fn api(&self) -> ApiKey {
        self.body.api()
    }
}

/// The first and the last version of `api` that can be decoded.
///
/// For an API that is not served, those that `kafka-protocol` knows.
pub fn api_versions(api: ApiKey) -> (i16, i16) {
    let known = api.valid_versions();
    request_shape(api).map_or((known.min, known.max), |shape| shape.versions)
}

/// Decodes one request frame into its correlation id and the request.
///
/// # Errors
/// See [`MessageError`]. Each closes the connection, except for an unknown version of ApiVersions,
/// which is answered in version 0 (KIP-511).
pub fn decode_request(frame: Bytes) -> Result<(i32, Request), MessageError> {
    let (key, version, correlation_id) = request_prefix(&frame).map_err(malformed)?;
    let api = ApiKey::try_from(key).map_err(|()| MessageError::UnknownApi(key))?;
    let shape = request_shape(api).ok_or(MessageError::Unsupported { api })?;
    if !shape.has_version(version) {
        return Err(MessageError::UnknownVersion {
            api,
            version,
            correlation_id,
        });
    }
    let header_version = api.request_header_version(version);
    let header = (REQUEST_HEADER, header_version >= 2);
    let left =
        walk_message(&frame, header, shape, version).map_err(|e| in_message(api, version, e))?;

    let mut rest = frame;
    let header = RequestHeader::decode(&mut rest, header_version).map_err(malformed)?;
    let body = RequestKind::decode(api, &mut rest, version)
        .ok_or(MessageError::Unsupported { api })?
        .map_err(MessageError::Malformed)?;
    agree(left, &rest)?;
    let request = Request {
        version,
        client_id: header.client_id,
        body,
    };
    Ok((correlation_id, request))
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
    let shape = response_shape(api).ok_or(MessageError::Unsupported { api })?;
    if !shape.has_version(version) {
        return Err(MessageError::UnknownVersion {
            api,
            version,
            correlation_id: -1,
        });
    }
    let header_version = api.response_header_version(version);
    let header = (RESPONSE_HEADER, header_version >= 1);
    let left =
        walk_message(&frame, header, shape, version).map_err(|e| in_message(api, version, e))?;

    let mut rest = frame;
    let header = ResponseHeader::decode(&mut rest, header_version).map_err(malformed)?;
    let body = ResponseKind::decode(api, &mut rest, version)
        .ok_or(MessageError::Unsupported { api })?
        .map_err(MessageError::Malformed)?;
    agree(left, &rest)?;
    Ok((header.correlation_id, body))
}

/// Appends a whole request frame, its 4-byte length included, to `out`.
///
/// # Errors
/// The body cannot be encoded in this version; `out` is as before.
pub fn encode_request(
    out: &mut BytesMut,
    correlation_id: i32,
    request: &Request,
) -> Result<(), MessageError> {
    let version = request.version;
    let api = request.api();
    let header = RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(request.client_id.clone());
    encode_frame(out, version, |out| {
        header
            .encode(out, api.request_header_version(version))
            .map_err(|error| format!("{error:#}"))
            .and_then(|()| request.body.encode(out, version))
    })
}

/// Appends a whole response frame, its 4-byte length included, to `out`.
///
/// # Errors
/// The body cannot be encoded in this version; `out` is as before.
pub fn encode_response(
    out: &mut BytesMut,
    correlation_id: i32,
    version: i16,
    response: &Response,
) -> Result<(), MessageError> {
    let api = response.api();
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    encode_frame(out, version, |out| {
        header
            .encode(out, api.response_header_version(version))
            .map_err(|error| format!("{error:#}"))
            .and_then(|()| response.encode(out, version))
    })
}

/// Api key, version and correlation id, which are at the same position in every version of the
/// header.
fn request_prefix(frame: &[u8]) -> Result<(i16, i16, i32), Reason> {
    let mut reader = Reader { rest: frame };
    Ok((
        i16::from_be_bytes(reader.array()?),
        i16::from_be_bytes(reader.array()?),
        i32::from_be_bytes(reader.array()?),
    ))
}

/// Walks the header, which may have tags, and then the body; returns how many bytes follow.
///
/// Bytes after the last field are not an error: Kafka ignores them, and librdkafka 2.0 sends some.
fn walk_message(
    frame: &[u8],
    (header, header_has_tags): (&[Field], bool),
    shape: &Shape,
    version: i16,
) -> Result<usize, walk::Fault> {
    let mut unseen = |_: &Field, _| ();
    let mut walk = Walk::new(frame, version, header_has_tags);
    walk.fields(header, &mut unseen)?;
    let body = &frame[frame.len() - walk.bytes_left()..];
    let mut walk = Walk::new(body, version, shape.is_flexible(version));
    walk.fields(shape.fields, &mut unseen)?;
    Ok(walk.bytes_left())
}

/// Checks that the decoder stopped where the walk did; if not, one of them misread the message.
fn agree(walked: usize, decoded: &Bytes) -> Result<(), MessageError> {
    match decoded.len() {
        left if left == walked => Ok(()),
        left => Err(malformed(format!(
            "{walked} bytes follow the last field, but the decoder left {left}"
        ))),
    }
}

/// Writes a frame: the length is known once the rest is written.
fn encode_frame(
    out: &mut BytesMut,
    version: i16,
    write: impl FnOnce(&mut BytesMut) -> Result<(), String>,
) -> Result<(), MessageError> {
    let start = out.len();
    out.put_i32(0);
    let length = write(out).and_then(|()| {
        i32::try_from(out.len() - start - 4).map_err(|_| "the frame exceeds 2 GiB".into())
    });
    match length {
        Ok(length) => {
            out[start..start + 4].copy_from_slice(&length.to_be_bytes());
            Ok(())
        }
        Err(reason) => {
            out.truncate(start);
            Err(MessageError::Unencodable { version, reason })
        }
    }
}

fn in_message(api: ApiKey, version: i16, fault: walk::Fault) -> MessageError {
    malformed(format!("{api:?} version {version}: {fault}"))
}

fn malformed(reason: impl std::fmt::Display) -> MessageError {
    MessageError::Malformed(format!("{reason:#}"))
}
