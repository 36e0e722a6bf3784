//! The frames that Kafka's messages travel in: a length of 4 bytes, then that many bytes.
//!
//! ```text
//! ┌────────────┬──────────────────────────┬────────────┬───
//! │ length     │ one request or response  │ length     │ …
//! │ 4 bytes BE │ length bytes             │            │
//! └────────────┴──────────────────────────┴────────────┴───
//! ```
//!
//! A stream of bytes arrives in pieces of any size. The length is checked as soon as its four bytes
//! have arrived, and memory grows with the bytes that arrive, never with the length that is
//! claimed.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// Why a frame is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A negative length.
    #[error("frame length {0} is negative")]
    Negative(i32),
    /// A length beyond the limit.
    #[error("frame of {length} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// The length that the frame claims.
        length: usize,
        /// The limit.
        limit: usize,
    },
}

/// Takes one whole frame, without its 4-byte length, off the front of `buffer`; `None` if more
/// bytes are needed.
///
/// The frame shares the buffer's memory: nothing is copied.
///
/// # Errors
/// The length is negative or beyond `limit`.
pub fn split_frame(buffer: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(length) = buffer.first_chunk() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    let length = usize::try_from(length).map_err(|_| FrameError::Negative(length))?;
    if length > limit {
        return Err(FrameError::TooLarge { length, limit });
    }
    if buffer.len() - 4 < length {
        return Ok(None);
    }
    buffer.advance(4);
    Ok(Some(buffer.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_is_checked_before_its_bytes_arrive() {
        let check = |bytes: &[u8]| split_frame(&mut BytesMut::from(bytes), 100);
        assert_eq!(check(&[0, 0, 0]), Ok(None));
        assert_eq!(check(&[0, 0, 0, 100]), Ok(None));
        let too_large = FrameError::TooLarge {
            length: 101,
            limit: 100,
        };
        assert_eq!(check(&[0, 0, 0, 101]), Err(too_large));
        assert_eq!(check(&[255; 4]), Err(FrameError::Negative(-1)));
        assert_eq!(check(&[0; 4]), Ok(Some(Bytes::new())));
    }

    #[test]
    fn waiting_for_a_large_frame_reserves_nothing() {
        let mut buffer = BytesMut::from(&[0x06, 0, 0, 0, 1, 2, 3][..]);
        let capacity = buffer.capacity();
        assert_eq!(split_frame(&mut buffer, usize::MAX), Ok(None));
        assert_eq!(buffer.capacity(), capacity);
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..8),
            piece in 1_usize..40,
        ) {
            let mut stream = Vec::new();
            for frame in &frames {
                stream.extend((frame.len() as u32).to_be_bytes());
                stream.extend(frame);
            }
            let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
            for piece in stream.chunks(piece) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = split_frame(&mut buffer, 50).unwrap() {
                    found.push(frame.to_vec());
                }
            }
            prop_assert_eq!(found, frames);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn any_bytes_split_safely(bytes: Vec<u8>, limit in 0_usize..200) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(frame)) = split_frame(&mut buffer, limit) {
                prop_assert!(frame.len() <= limit);
            }
        }
    }
}
