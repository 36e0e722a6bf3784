//! Why a partition takes no records at the moment, although it is online.
//!
//! The disk is full, or no file can be opened. Neither puts stored records in doubt, so the
//! partition serves its readers, refuses its writers, and takes records again as soon as it can.
//! Meanwhile the reason is reported:
//!
//! ```text
//!  an append, or a sync, is refused ──▶ noted ──▶ /readyz names it, the log does once in a while
//!  the next one of its kind succeeds ─▶ over
//!  none was tried for a while ────────▶ over, once there is room
//! ```

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use brooklet_protocol::Monotonic;
use parking_lot::Mutex;

/// After this time without a refusal the disk is asked whether there is room.
const FRESH_FOR: Duration = Duration::from_secs(10);
/// Free bytes that count as room: enough for most requests and a segment's indexes.
const ROOM_BYTES_MIN: u64 = 4 << 20;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// An append: nothing was stored.
    Append,
    /// A sync: what was appended is not durable.
    Sync,
}

/// Why a partition takes no records at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What could not be done, where, and why.
    pub reason: String,
    /// How often it was refused.
    pub count: u64,
    /// Bytes that are free on its disk, if that is the reason.
    pub free_bytes: Option<u64>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match self.free_bytes {
            Some(bytes) => write!(f, "; {bytes} bytes are free on its disk"),
            None => Ok(()),
        }
    }
}

/// What was refused since something was last taken.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Beside the mutex, for those who succeed, which are nearly all.
    is_some: AtomicBool,
    noted: Mutex<Option<Noted>>,
}

#[derive(Debug)]
struct Noted {
    refused: Refused,
    reason: String,
    is_full: bool,
    count: u64,
    last: Monotonic,
}

impl Refusals {
    /// Something was refused; `is_full` if for want of room.
    pub(super) fn note(&self, refused: Refused, reason: String, is_full: bool, now: Monotonic) {
        let mut noted = self.noted.lock();
        let count = noted.as_ref().map_or(0, |noted| noted.count) + 1;
        *noted = Some(Noted {
            refused,
            reason,
            is_full,
            count,
            last: now,
        });
        self.is_some.store(true, Ordering::Release);
    }

    /// Something of this kind went well.
    pub(super) fn clear(&self, refused: Refused) {
        if self.is_some.load(Ordering::Acquire) {
            self.clear_if(|noted| noted.refused == refused);
        }
    }

    fn clear_if(&self, is_over: impl FnOnce(&Noted) -> bool) {
        let mut noted = self.noted.lock();
        if noted.as_ref().is_some_and(is_over) {
            *noted = None;
            self.is_some.store(false, Ordering::Release);
        }
    }

    /// What stands, if anything; `free_bytes` looks at the disk.
    pub(super) fn standing(
        &self,
        now: Monotonic,
        free_bytes: impl Fn() -> Option<u64>,
    ) -> Option<Refusal> {
        if !self.is_some.load(Ordering::Acquire) {
            return None;
        }
        self.clear_if(|noted| {
            let is_stale = now.0.saturating_sub(noted.last.0) >= FRESH_FOR;
            let has_room = || free_bytes().is_none_or(|free| free >= ROOM_BYTES_MIN);
            is_stale && (!noted.is_full || has_room())
        });
        let noted = self.noted.lock();
        noted.as_ref().map(|noted| Refusal {
            reason: noted.reason.clone(),
            count: noted.count,
            free_bytes: noted.is_full.then(free_bytes).flatten(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(Duration::from_secs(seconds))
    }

    #[test]
    fn a_refusal_stands_until_something_of_its_kind_goes_well() {
        let refusals = Refusals::default();
        let standing = || refusals.standing(at(3), || Some(7));
        assert_eq!(standing(), None);
        refusals.note(Refused::Append, "no space left".into(), true, at(1));
        refusals.note(Refused::Append, "no space left".into(), true, at(2));
        let expected = Refusal {
            reason: "no space left".into(),
            count: 2,
            free_bytes: Some(7),
        };
        assert_eq!(standing(), Some(expected.clone()));
        refusals.clear(Refused::Sync);
        assert_eq!(standing(), Some(expected));
        refusals.clear(Refused::Append);
        assert_eq!(standing(), None);
    }

    #[test]
    fn it_is_over_when_nobody_tries_any_more_and_there_is_room() {
        let refusals = Refusals::default();
        let stands = |second, free| refusals.standing(at(second), || free).is_some();
        refusals.note(Refused::Append, "no space left".into(), true, at(1));
        assert!(stands(10, Some(u64::MAX)), "a quota may be the reason");
        assert!(stands(11, Some(ROOM_BYTES_MIN - 1)));
        assert!(!stands(11, Some(ROOM_BYTES_MIN)));
        assert!(!stands(11, Some(0)), "over is over");
        refusals.note(Refused::Sync, "too many open files".into(), false, at(20));
        assert!(stands(29, None) && !stands(30, None));
    }
}
