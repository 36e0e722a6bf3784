//! For the old operator only: what it asks of windows, until the new one replaces it.

use brooklet_protocol::Timestamp;

use super::{Aligned, TimeWindows, Window};

/// The old name.
pub type Windows = TimeWindows;

impl TimeWindows {
    fn size_of(self) -> i64 {
        self.first(Timestamp(0)).end.0
    }
    pub(crate) fn open_from(self, stream_time: Timestamp) -> Timestamp {
        let closed = stream_time
            .0
            .saturating_sub(self.size_of())
            .saturating_sub(self.grace_ms());
        if stream_time == Timestamp::MAX {
            return Timestamp::MAX;
        }
        if closed < 0 {
            return Timestamp(0);
        }
        let hops = closed / self.advance_ms() + 1;
        Timestamp(hops.saturating_mul(self.advance_ms()))
    }
    pub(crate) fn window_at(self, start_ms: i64) -> Window {
        Window::of_millis(start_ms, start_ms.saturating_add(self.size_of()))
    }
    pub(crate) fn first_start(self, time_ms: i64) -> i64 {
        (time_ms - self.size_of() + self.advance_ms()).max(0) / self.advance_ms()
            * self.advance_ms()
    }
    pub(crate) fn last_start(self, time_ms: i64) -> i64 {
        time_ms / self.advance_ms() * self.advance_ms()
    }
    pub(crate) fn advance_ms(self) -> i64 {
        let first = self.first(Timestamp(0));
        if first.end == Timestamp::MAX {
            first.end.0
        } else {
            self.next(first).start.0
        }
    }
    pub(crate) fn slice_ms(self) -> i64 {
        fn gcd(a: i64, b: i64) -> i64 {
            if b == 0 { a } else { gcd(b, a % b) }
        }
        gcd(self.size_of(), self.advance_ms())
    }
}
