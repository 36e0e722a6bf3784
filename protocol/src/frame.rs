//! Skeleton: length-prefixed frames.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

/// Why a frame is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A negative length.
    #[error("frame length {0} is negative")]
    Negative(i32),
    /// Beyond the limit.
    #[error("frame of {length} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Claimed.
        length: usize,
        /// Allowed.
        limit: usize,
    },
}

/// Takes one whole frame (without its 4-byte length) off the front of `buffer`; `None` when more bytes are needed.
///
/// # Errors
/// The length is negative or beyond `limit`.
pub fn split_frame(buffer: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    let _ = (buffer, limit);
    todo!()
}
