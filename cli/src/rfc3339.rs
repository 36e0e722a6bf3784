//! Times as people write them: RFC 3339, to and from milliseconds.

use std::time::{Duration, UNIX_EPOCH};

use brooklet_protocol::Timestamp;

/// `2013-03-08T19:40:00.000Z`; times before 1970 are shown as its beginning.
pub(crate) fn to_rfc3339(time: Timestamp) -> String {
    let since_epoch = Duration::from_millis(u64::try_from(time.0).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since_epoch).to_string()
}

/// Reads `2013-03-08T19:40:00Z`, with or without fractions of a second, from 1970 on; what is finer
/// than a millisecond is cut off. `None`: it is no such time.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let time = humantime::parse_rfc3339(text).ok()?;
    let since_epoch = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_and_written() {
        let time = Timestamp(1_362_771_600_123);
        assert_eq!(to_rfc3339(time), "2013-03-08T19:40:00.123Z");
        assert_eq!(parse_rfc3339("2013-03-08T19:40:00.123456Z"), Some(time));
        assert_eq!(parse_rfc3339("2013-02-30T19:40:00Z"), None);
        assert_eq!(parse_rfc3339("noon"), None);
    }
}
