//! Read buffers, pooled.
//!
//! Each fetch needs a buffer for what is read from a segment. A new one of a mebibyte costs more
//! than the read itself: the kernel clears its pages, maps them at the first touch, and takes them
//! back once the answer is sent. So buffers are pooled:
//!
//! ```text
//!  fill ──▶ take from the pool, or allocate ──▶ read into it ──▶ Bytes, shared by slices of it
//!             ▲                                                      │ last slice dropped
//!             └──────────────── idle, by size class ◀────────────────┘
//!                                    │ unused between two trims
//!                                    └──▶ freed
//! ```
//!
//! Sizes are powers of two from 64 KiB to 1 MiB. Smaller buffers are cheap anyway, and larger ones
//! are rare, so neither is pooled.
//!
//! Invariants: at most 16 MiB are idle; a buffer is in the pool or lent out, never both; a buffer
//! that nobody has needed between two calls of [`trim_read_buffers`] is freed by the second.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

/// Smaller ones are cheap anyway.
const SIZE_MIN: usize = 64 << 10;
/// Larger ones are rare: `max.partition.fetch.bytes` is 1 MiB, unless a client says otherwise.
const SIZE_MAX: usize = 1 << 20;
/// Sizes are powers of two, so that one buffer does for many reads.
const CLASSES: usize = 1 + (SIZE_MAX / SIZE_MIN).ilog2() as usize;
/// Idle bytes at most.
const IDLE_BYTES_MAX: usize = 16 << 20;

/// One for the process: what matters is the idle memory in total.
static IDLE: Idle = Idle::new();

#[derive(Debug)]
struct Idle {
    classes: [Mutex<Class>; CLASSES],
    bytes: AtomicUsize,
}

/// The idle buffers of one size.
#[derive(Debug)]
struct Class {
    buffers: Vec<Vec<u8>>,
    /// At least this many have been idle since the last trim.
    unused: usize,
}

impl Idle {
    const fn new() -> Self {
        Self {
            classes: [const {
                Mutex::new(Class {
                    buffers: Vec::new(),
                    unused: 0,
                })
            }; CLASSES],
            bytes: AtomicUsize::new(0),
        }
    }

    /// A buffer of this class. Its content is whatever was read into it last.
    fn take(&self, class: usize) -> Vec<u8> {
        let size = SIZE_MIN << class;
        let mut waiting = self.classes[class].lock();
        let taken = waiting.buffers.pop();
        waiting.unused = waiting.unused.min(waiting.buffers.len());
        drop(waiting);
        match taken {
            Some(buffer) => {
                self.bytes.fetch_sub(size, Ordering::Relaxed);
                buffer
            }
            None => vec![0; size],
        }
    }

    fn give_back(&self, class: usize, buffer: Vec<u8>) {
        let size = buffer.len();
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > IDLE_BYTES_MAX {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
            return;
        }
        self.classes[class].lock().buffers.push(buffer);
    }

    /// Frees the buffers that were not needed since the last call.
    fn trim(&self) {
        for (class, waiting) in self.classes.iter().enumerate() {
            let mut waiting = waiting.lock();
            let unused = waiting.unused;
            let freed: Vec<_> = waiting.buffers.drain(..unused).collect();
            waiting.unused = waiting.buffers.len();
            drop(waiting);
            let bytes = freed.len() * (SIZE_MIN << class);
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

/// A buffer that returns to the pool when it is dropped.
#[derive(Debug)]
struct Lent {
    idle: &'static Idle,
    class: usize,
    buffer: Vec<u8>,
    length: usize,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.idle
            .give_back(self.class, std::mem::take(&mut self.buffer));
    }
}

/// Returns the `length` bytes that `read` fills in.
///
/// # Errors
/// Those of `read`.
pub(super) fn fill(
    length: usize,
    read: impl FnOnce(&mut [u8]) -> io::Result<()>,
) -> io::Result<Bytes> {
    fill_from(&IDLE, length, read)
}

/// Frees the buffers that were not needed since the last call. Call it every few seconds, so that
/// the memory of a rush of readers is returned.
pub fn trim_read_buffers() {
    IDLE.trim();
}

fn fill_from(
    idle: &'static Idle,
    length: usize,
    read: impl FnOnce(&mut [u8]) -> io::Result<()>,
) -> io::Result<Bytes> {
    let Some(class) = class_of(length) else {
        let mut buffer = vec![0; length];
        read(&mut buffer)?;
        return Ok(buffer.into());
    };
    let mut lent = Lent {
        idle,
        class,
        buffer: idle.take(class),
        length,
    };
    read(&mut lent.buffer[..length])?;
    Ok(Bytes::from_owner(lent))
}

/// The size class for `length` bytes; `None` if buffers of that size are not pooled.
fn class_of(length: usize) -> Option<usize> {
    // As with all other sizes, at most half of the smallest one is wasted.
    let is_kept = (SIZE_MIN / 2 + 1..=SIZE_MAX).contains(&length);
    is_kept.then(|| (length.max(SIZE_MIN).next_power_of_two() / SIZE_MIN).ilog2() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle() -> &'static Idle {
        Box::leak(Box::new(Idle::new()))
    }

    fn filled(idle: &'static Idle, length: usize, with: u8) -> Bytes {
        let read = |buffer: &mut [u8]| {
            assert_eq!(buffer.len(), length);
            buffer.fill(with);
            Ok(())
        };
        fill_from(idle, length, read).unwrap()
    }

    #[test]
    fn every_length_has_a_size_that_holds_it() {
        for (length, class) in [
            (0, None),
            (SIZE_MIN / 2, None),
            (SIZE_MIN / 2 + 1, Some(0)),
            (SIZE_MIN, Some(0)),
            (SIZE_MIN + 1, Some(1)),
            (SIZE_MAX - 1, Some(CLASSES - 1)),
            (SIZE_MAX, Some(CLASSES - 1)),
            (SIZE_MAX + 1, None),
        ] {
            assert_eq!(class_of(length), class, "{length}");
        }
    }

    #[test]
    fn a_buffer_comes_back_once_the_last_slice_of_it_is_gone() {
        let idle = idle();
        let first = filled(idle, 100_000, 1);
        let at = first.as_ptr();
        let slice = first.slice(5..10);
        drop(first);
        let second = filled(idle, 100_000, 2);
        assert_ne!(second.as_ptr(), at, "it is still read");
        assert_eq!(slice, [1; 5][..]);
        drop(slice);
        let third = filled(idle, 70_000, 3);
        assert_eq!(third.as_ptr(), at, "used again");
        assert!(third.iter().all(|byte| *byte == 3) && third.len() == 70_000);
    }

    #[test]
    fn what_nobody_needs_goes_with_the_second_trim() {
        let idle = idle();
        let many: Vec<_> = (0..8).map(|_| filled(idle, SIZE_MAX, 0)).collect();
        drop(many);
        let waiting = || idle.bytes.load(Ordering::Relaxed) / SIZE_MAX;
        idle.trim();
        assert_eq!(waiting(), 8, "they were needed a moment ago");
        let few = (filled(idle, SIZE_MAX, 0), filled(idle, SIZE_MAX, 0));
        drop(few);
        idle.trim();
        assert_eq!(waiting(), 2);
        idle.trim();
        assert_eq!(waiting(), 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let idle = idle();
        let many: Vec<_> = (0..40).map(|_| filled(idle, SIZE_MAX, 0)).collect();
        drop(many);
        assert_eq!(idle.bytes.load(Ordering::Relaxed), IDLE_BYTES_MAX);
        let taken = filled(idle, SIZE_MAX, 0);
        assert_eq!(
            idle.bytes.load(Ordering::Relaxed),
            IDLE_BYTES_MAX - SIZE_MAX
        );
        drop(taken);
        let failed = fill_from(idle, SIZE_MAX, |_| Err(io::ErrorKind::Other.into()));
        assert!(failed.is_err());
        assert_eq!(idle.bytes.load(Ordering::Relaxed), IDLE_BYTES_MAX);
    }
}
