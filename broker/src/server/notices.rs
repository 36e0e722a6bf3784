//! Log lines about clients: one per minute for each kind of trouble and client address.
//!
//! A misconfigured client retries forever, and an attacker who wants to fill the log has many
//! addresses. So a line that was written less than a minute ago is suppressed, and so is every line
//! once [`LINES_MAX`] have been written in that minute; the first line after it says how many were
//! suppressed.

use std::collections::HashSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::time::Duration;

use brooklet_protocol::Monotonic;
use parking_lot::Mutex;

/// How long a line suppresses those like it.
const WINDOW: Duration = Duration::from_secs(60);
/// At most this many lines are written, and remembered, in that time.
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
    suppressed: u64,
}

impl Notices {
    /// Logs `text` as a warning, unless a line of this kind about a client at this address was
    /// logged less than a minute ago, or too many others were.
    pub fn warn(&self, now: Monotonic, kind: &'static str, client: IpAddr, text: impl Display) {
        match self.admit(now, kind, client.to_canonical()) {
            Some(0) => tracing::warn!("{text}"),
            Some(suppressed) => {
                tracing::warn!("{text} ({suppressed} similar lines about clients were suppressed)");
            }
            None => {}
        }
    }

    /// How many lines were suppressed before this one; `None` if this one is suppressed, too.
    fn admit(&self, now: Monotonic, kind: &'static str, client: IpAddr) -> Option<u64> {
        let mut window = self.window.lock();
        let mut suppressed = 0;
        if now >= window.ends {
            window.ends = Monotonic(now.0.saturating_add(WINDOW));
            window.written.clear();
            suppressed = std::mem::take(&mut window.suppressed);
        }
        let is_full = window.written.len() >= LINES_MAX;
        if is_full || !window.written.insert((kind, client)) {
            window.suppressed += 1;
            return None;
        }
        Some(suppressed)
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
        let suppressed = 256 - LINES_MAX as u64;
        assert_eq!(notices.admit(at(60), "tls", client(1)), Some(suppressed));
    }
}
