//! An answer on its way out: bytes that were encoded for it, and bytes that are lent to it.
//!
//! An answer is a row of pieces. Most have one, encoded into [`Output::buffer`]; a fetch has a
//! piece for each batch of records as well, which is the buffer that was read from the disk, not a
//! copy (decision 11). One system call takes many pieces.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The buffer is kept for the next answer unless it has grown beyond this.
const BUFFER_BYTES_KEPT: usize = 64 << 10;
/// Slices in one system call; Linux takes 1024.
const PIECES_AT_ONCE: usize = 64;

/// The answer that is being sent.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Where answers are encoded.
    buffer: BytesMut,
    pieces: VecDeque<Bytes>,
}

impl Output {
    /// Where to encode a piece; cut it off and [`push`](Self::push) it.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next piece.
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.pieces.push_back(piece);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The pieces are gone, so the memory that they were cut from is free again.
    pub(super) fn reset(&mut self) {
        if self.buffer.try_reclaim(BUFFER_BYTES_KEPT + 1) {
            self.buffer = BytesMut::new();
        }
    }

    /// Writes as much as the socket takes, many pieces with one system call; returns the number of
    /// bytes.
    pub(super) async fn write_to(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        let slices: Vec<_> = (self.pieces.iter().take(PIECES_AT_ONCE))
            .map(|piece| IoSlice::new(piece))
            .collect();
        let written = stream.write_vectored(&slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(written);
        Ok(written)
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if count < piece.len() {
                piece.advance(count);
                break;
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
    }
}
