//! Lines in the log about clients: one per kind of trouble and client address in a minute.
//!
//! A client that is set up wrongly tries again for ever, and someone who wants to fill the log has many
//! addresses. So a line that was there less than a minute ago is left out, and so is every line once
//! [`LINES_MAX`] have been written in that minute; the next minute says how many there were.

use std::collections::HashSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use brooklet_protocol::Monotonic;
use parking_lot::Mutex;

/// How long a line counts for those like it.
const WINDOW: Duration = Duration::from_secs(60);
/// The most lines in that time, and the most that are remembered.
const LINES_MAX: usize = 64;

/// Decides which lines are written.
#[derive(Debug, Default)]
pub struct Notices {
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    ends: Monotonic,
    written: HashSet<(&'static str, IpAddr)>,
    left_out: u64,
}

impl Notices {
    /// Writes `text` as a warning, unless a line of this kind about a client at this address was
    /// written less than a minute ago, or too many others were.
    pub fn warn(&self, now: Monotonic, kind: &'static str, client: IpAddr, text: impl Display) {
        match self.admit(now, kind, client.to_canonical()) {
            Some(0) => tracing::warn!("{text}"),
            Some(left_out) => {
                tracing::warn!("{text} ({left_out} lines about clients were left out before)");
            }
            None => {}
        }
    }

    /// How many lines were left out before this one; `None` if this one is left out, too.
    fn admit(&self, now: Monotonic, kind: &'static str, client: IpAddr) -> Option<u64> {
        let mut window = self.window.lock();
        let mut left_out = 0;
        if now >= window.ends {
            window.ends = Monotonic(now.0.saturating_add(WINDOW));
            window.written.clear();
            left_out = std::mem::take(&mut window.left_out);
        }
        let is_full = window.written.len() >= LINES_MAX;
        if is_full || !window.written.insert((kind, client)) {
            window.left_out += 1;
            return None;
        }
        Some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic(Duration::from_secs(seconds))
    }

    fn client(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[test]
    fn a_client_is_named_once_a_minute_for_each_kind() {
        let notices = Notices::default();
        let rows = [
            (5, "tls", 1, Some(0)),
            (6, "tls", 1, None),
            (6, "http", 1, Some(0)),
            (7, "tls", 2, Some(0)),
            (64, "tls", 1, None),
            (65, "tls", 1, Some(2)),
            (66, "tls", 2, Some(0)),
            (1000, "tls", 1, Some(0)),
        ];
        for (now, kind, from, expected) in rows {
            let admitted = notices.admit(at(now), kind, client(from));
            assert_eq!(admitted, expected, "{now} {kind} {from}");
        }
    }

    #[test]
    fn many_addresses_do_not_fill_the_log_or_the_memory() {
        let notices = Notices::default();
        let lines = (0..=u8::MAX).filter_map(|n| notices.admit(at(0), "tls", client(n)));
        assert_eq!(lines.count(), LINES_MAX);
        assert_eq!(notices.window.lock().written.len(), LINES_MAX);
        let left_out = 256 - LINES_MAX as u64;
        assert_eq!(notices.admit(at(60), "tls", client(1)), Some(left_out));
    }
}
