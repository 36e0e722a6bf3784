//! Where the event time of a value comes from.

use std::fmt;

use brooklet_protocol::Timestamp;

/// Where a value's event time comes from.
pub trait EventTime<T>: Clone + Send + 'static {
    /// Where, for a plan.
    const FROM: &'static str;
    /// The value's event time, given its record's timestamp.
    ///
    /// # Errors
    /// It has none; why, in words.
    fn of(&mut self, value: &T, record: Timestamp) -> Result<Timestamp, String>;
}

/// Event time is the record's timestamp.
#[derive(Clone, Copy, Debug)]
pub struct ByRecord;

impl<T> EventTime<T> for ByRecord {
    const FROM: &'static str = "the record's timestamp";
    fn of(&mut self, _: &T, record: Timestamp) -> Result<Timestamp, String> {
        Ok(record)
    }
}

/// Event time is in the value, and a closure takes it out.
#[derive(Clone, Copy)]
pub struct ByEvent<F>(pub(crate) F);

impl<F> fmt::Debug for ByEvent<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByEvent")
    }
}

impl<T, F: FnMut(&T) -> Timestamp + Clone + Send + 'static> EventTime<T> for ByEvent<F> {
    const FROM: &'static str = "the value";
    fn of(&mut self, value: &T, _: Timestamp) -> Result<Timestamp, String> {
        Ok((self.0)(value))
    }
}

/// Event time is what a closure makes of the value and its record's timestamp, if it makes any.
#[derive(Clone, Copy)]
pub struct ByBoth<F>(pub(crate) F);

impl<F> fmt::Debug for ByBoth<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByBoth")
    }
}

impl<T, F> EventTime<T> for ByBoth<F>
where
    F: FnMut(&T, Timestamp) -> Result<Timestamp, String> + Clone + Send + 'static,
{
    const FROM: &'static str = "the value and the record's timestamp";
    fn of(&mut self, value: &T, record: Timestamp) -> Result<Timestamp, String> {
        (self.0)(value, record)
    }
}

/// Whether a record can have this event time: not before the epoch, and not the end of time, which
/// stands for the end of the input.
pub(crate) fn is_possible(event_time: Timestamp) -> bool {
    event_time.0 >= 0 && event_time != Timestamp::MAX
}
