//! Where to start reading: the argument of `consume -o`, and what it means in a partition.
//!
//! ```text
//!   beginning                    -3          end
//!       ▼                         ▼           ▼
//!       │ 100 │ 101 │ ... │ 115 │ 116 │ 117 │ 118     offsets of the partition
//! ```

use std::str::FromStr;

use brooklet_protocol::{Offset, Timestamp};
use thiserror::Error;

use crate::time;

/// Where to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartOffset {
    /// At the first record that the partition still has.
    Beginning,
    /// After the last record.
    End,
    /// At this offset.
    At(Offset),
    /// This many records before the end.
    BeforeEnd(i64),
    /// At the first record with this timestamp or a later one.
    Time(Timestamp),
}

/// A start that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "expected beginning, end, an offset, -N (N records before the end), or @TIME \
     (milliseconds since 1970, or RFC 3339 with an offset, such as @2013-03-08T19:40:00Z)"
)]
pub(crate) struct InvalidStartOffset;

impl FromStr for StartOffset {
    type Err = InvalidStartOffset;

    fn from_str(text: &str) -> Result<Self, InvalidStartOffset> {
        match text {
            "beginning" | "earliest" | "start" => return Ok(Self::Beginning),
            "end" | "latest" => return Ok(Self::End),
            _ => {}
        }
        // kcat writes a start as s@ and a stop as e@; we have no stop.
        if let Some(time) = text.strip_prefix("s@").or(text.strip_prefix('@')) {
            let time = time::parse(time).map(Self::Time);
            return time.ok_or(InvalidStartOffset);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidStartOffset);
        }
        let number = digits.parse().map_err(|_| InvalidStartOffset)?;
        if text.starts_with('-') {
            Ok(Self::BeforeEnd(number))
        } else {
            Ok(Self::At(Offset(number)))
        }
    }
}

/// The offsets of a partition, `start..end`, when the broker was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetRange {
    /// The first offset that it still has.
    pub(crate) start: Offset,
    /// The offset of the next record.
    pub(crate) end: Offset,
}

impl OffsetRange {
    /// The offset that a start means in this partition: never before its start, never past its end.
    /// `at_time` is the offset that the broker found for [`StartOffset::Time`].
    pub(crate) fn resolve(self, start: StartOffset, at_time: Option<Offset>) -> Offset {
        let wanted = match start {
            StartOffset::Beginning => self.start,
            StartOffset::End => self.end,
            StartOffset::At(offset) => offset,
            StartOffset::BeforeEnd(count) => Offset(self.end.0.saturating_sub(count)),
            StartOffset::Time(_) => at_time.unwrap_or(self.end),
        };
        wanted.min(self.end).max(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read() {
        for (text, start) in [
            ("beginning", StartOffset::Beginning),
            ("end", StartOffset::End),
            ("0", StartOffset::At(Offset(0))),
            ("117", StartOffset::At(Offset(117))),
            ("-3", StartOffset::BeforeEnd(3)),
            (
                "@1362771600000",
                StartOffset::Time(Timestamp(1_362_771_600_000)),
            ),
            (
                "s@1362771600000",
                StartOffset::Time(Timestamp(1_362_771_600_000)),
            ),
            (
                "@2013-03-08T19:40:00Z",
                StartOffset::Time(Timestamp(1_362_771_600_000)),
            ),
            (
                "@2013-03-08 14:40:00.000-05:00",
                StartOffset::Time(Timestamp(1_362_771_600_000)),
            ),
            ("@-5", StartOffset::Time(Timestamp(-5))),
        ] {
            assert_eq!(text.parse(), Ok(start), "{text}");
        }
    }

    #[test]
    fn what_is_no_start_is_refused() {
        for text in [
            "",
            "-",
            "--3",
            "+3",
            "1.5",
            "stored",
            "@",
            "@noon",
            "e@5",
            "9223372036854775808",
        ] {
            assert_eq!(
                text.parse::<StartOffset>(),
                Err(InvalidStartOffset),
                "{text}"
            );
        }
    }

    #[test]
    fn a_start_is_placed_inside_the_partition() {
        let range = OffsetRange {
            start: Offset(100),
            end: Offset(118),
        };
        for (start, at_time, placed) in [
            (StartOffset::Beginning, None, 100),
            (StartOffset::End, None, 118),
            (StartOffset::At(Offset(115)), None, 115),
            (StartOffset::At(Offset(3)), None, 100),
            (StartOffset::At(Offset(500)), None, 118),
            (StartOffset::BeforeEnd(3), None, 115),
            (StartOffset::BeforeEnd(i64::MAX), None, 100),
            (StartOffset::Time(Timestamp(5)), Some(Offset(104)), 104),
            (StartOffset::Time(Timestamp(5)), None, 118),
        ] {
            assert_eq!(range.resolve(start, at_time), Offset(placed), "{start:?}");
        }
    }
}
