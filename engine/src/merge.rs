//! Puts the records of several senders into one order that every run repeats.
//!
//! The senders of a repartition topic write at their own pace, so the order in which their
//! records lie in the topic differs from run to run. Their *positions* do not. The receiver keeps
//! a queue per sender and releases the lowest head, by (arrival, sender), once nobody can still
//! come before it:
//!
//! ```text
//! sender 0   (8)  (11)            head 8: lowest. Sender 1 is at 9, sender 2 has said, by a marker,
//! sender 1   (9)                  that it is past 10: nobody can come before 8 → released.
//! sender 2   empty, past (10)     next 9: sender 0 has 11, sender 2 is past 10 → released.
//!                                 next 11: sender 2 may still send 10, sender 1 may send 9 → wait.
//! ```
//!
//! Time is merged alongside: stream time is the lowest of the senders' stream times, each as of
//! the last thing released from it. A sender that has not spoken holds time at its beginning.
//!
//! Invariants:
//! - what is released, and the stream time it is released with, depends on what the senders sent,
//!   not on how their records interleave or are cut into batches;
//! - stream time never goes back;
//! - a sender that has ended holds nobody up, but its last stream time stays in the minimum: time
//!   jumps to its end only when all have ended.
//!
//! Left out: idle senders. A sender that is silent without having ended holds all others, in memory,
//! until it speaks: leaving it out would make the result depend on the wall clock.

use std::collections::VecDeque;

use brooklet_protocol::Timestamp;

/// One thing a sender sent: a record, or (`None`) a marker.
#[derive(Debug)]
pub(crate) struct Sent<T> {
    /// How far the sender had read; see [`crate::origin`].
    pub(crate) arrival: Timestamp,
    /// The sender's stream time, this included.
    pub(crate) stream_time: Timestamp,
    /// The record.
    pub(crate) record: Option<T>,
}

/// A thing whose turn has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Released<T> {
    pub(crate) arrival: Timestamp,
    /// The receiver's stream time, this included.
    pub(crate) stream_time: Timestamp,
    pub(crate) record: Option<T>,
}

#[derive(Debug)]
struct Sender<T> {
    queue: VecDeque<Sent<T>>,
    /// The arrival of the last thing it sent: nothing earlier will come.
    past: Timestamp,
    /// As of the last thing released.
    stream_time: Timestamp,
    ended: bool,
}

/// The queues of all senders to one receiver.
#[derive(Debug)]
pub(crate) struct Merge<T> {
    senders: Vec<Sender<T>>,
    waiting: usize,
}

impl<T> Merge<T> {
    pub(crate) fn new(senders: i32) -> Self {
        let sender = |_| Sender {
            queue: VecDeque::new(),
            past: Timestamp::MIN,
            stream_time: Timestamp::MIN,
            ended: false,
        };
        Self {
            senders: (0..senders).map(sender).collect(),
            waiting: 0,
        }
    }

    /// Takes in what a sender sent, in its order.
    pub(crate) fn push(&mut self, sender: i32, mut sent: Sent<T>) {
        let sender = &mut self.senders[sender as usize];
        // A sender never goes back; whoever forged this header shall not break the order.
        sent.arrival = sent.arrival.max(sender.past);
        sender.past = sent.arrival;
        sender.queue.push_back(sent);
        self.waiting += 1;
    }

    /// Takes in that a sender will send no more.
    pub(crate) fn end(&mut self, sender: i32) {
        self.senders[sender as usize].ended = true;
    }

    /// The next thing, if it is certain that nothing comes before it.
    pub(crate) fn release(&mut self) -> Option<Released<T>> {
        let heads = self.senders.iter().enumerate();
        let heads = heads.filter_map(|(i, s)| s.queue.front().map(|head| (head.arrival, i)));
        let next = heads.min()?;
        let silent = self.senders.iter().enumerate();
        let mut silent = silent.filter(|(_, sender)| sender.queue.is_empty() && !sender.ended);
        if silent.any(|(i, sender)| (sender.past, i) < next) {
            return None;
        }
        let sender = &mut self.senders[next.1];
        let sent = sender.queue.pop_front()?;
        sender.stream_time = sender.stream_time.max(sent.stream_time);
        self.waiting -= 1;
        Some(Released {
            arrival: sent.arrival,
            stream_time: self.stream_time(),
            record: sent.record,
        })
    }

    /// The lowest of the senders' stream times.
    pub(crate) fn stream_time(&self) -> Timestamp {
        let times = self.senders.iter().map(|sender| sender.stream_time);
        times.min().unwrap_or(Timestamp::MIN)
    }

    /// How many records and markers wait for a silent sender.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether nothing is left and nothing will come.
    pub(crate) fn is_finished(&self) -> bool {
        self.waiting == 0 && self.senders.iter().all(|sender| sender.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(arrival: i64, stream_time: i64, record: Option<&'static str>) -> Sent<&'static str> {
        Sent {
            arrival: Timestamp(arrival),
            stream_time: Timestamp(stream_time),
            record,
        }
    }

    fn drain(merge: &mut Merge<&'static str>) -> Vec<(&'static str, i64)> {
        let released = std::iter::from_fn(|| merge.release());
        let released = released.map(|r| (r.record.unwrap_or("-"), r.stream_time.0));
        released.collect()
    }

    #[test]
    fn the_lowest_head_waits_for_the_silent() {
        let mut merge = Merge::new(3);
        merge.push(0, sent(8, 80, Some("a")));
        merge.push(0, sent(11, 110, Some("c")));
        merge.push(1, sent(9, 70, Some("b")));
        assert_eq!(drain(&mut merge), [], "sender 2 has not spoken");
        merge.push(2, sent(10, 90, None));
        let min = i64::MIN;
        assert_eq!(drain(&mut merge), [("a", min), ("b", min)]);
        merge.push(1, sent(12, 120, None));
        assert_eq!(drain(&mut merge), [("-", 70)], "sender 2 may still send 10");
        merge.end(2);
        assert_eq!(drain(&mut merge), [("c", 70)]);
        merge.end(0);
        assert_eq!(
            drain(&mut merge),
            [("-", 90)],
            "who ended stays in the minimum"
        );
        assert!(!merge.is_finished());
        merge.end(1);
        assert!(merge.is_finished());
    }

    #[test]
    fn at_the_same_arrival_the_lower_sender_goes_first() {
        let mut merge = Merge::new(2);
        merge.push(1, sent(5, 1, Some("one")));
        merge.push(0, sent(5, 1, Some("zero")));
        assert_eq!(drain(&mut merge)[0].0, "zero");
        // Sender 0 may send another at 5, and it would go before sender 1.
        assert_eq!(drain(&mut merge), []);
        merge.push(0, sent(6, 1, None));
        assert_eq!(drain(&mut merge)[0].0, "one");
    }

    proptest! {
        #[test]
        fn the_order_does_not_depend_on_the_interleaving(
            gaps in proptest::collection::vec((0i32..3, 0i64..4, 0i64..9), 0..40),
            picks in proptest::collection::vec(0usize..3, 0..60),
        ) {
            let mut of_sender: [Vec<(i64, i64)>; 3] = Default::default();
            for (sender, gap, time) in gaps {
                let last = of_sender[sender as usize].last().copied().unwrap_or((0, 0));
                of_sender[sender as usize].push((last.0 + gap, last.1.max(time)));
            }
            // The model: sort all by (arrival, sender); stream time is the minimum of the latest.
            let mut all: Vec<(i64, usize, i64)> = Vec::new();
            for (i, things) in of_sender.iter().enumerate() {
                all.extend(things.iter().map(|(arrival, time)| (*arrival, i, *time)));
            }
            all.sort_by_key(|(arrival, sender, _)| (*arrival, *sender));
            let mut latest = [i64::MIN; 3];
            let model: Vec<_> = all.iter().map(|(arrival, sender, time)| {
                latest[*sender] = *time;
                (*arrival, *latest.iter().min().unwrap(), *sender)
            }).collect();

            let mut merge = Merge::new(3);
            let mut found = Vec::new();
            let mut next = [0; 3];
            for sender in picks.into_iter().chain((0..3).cycle().take(130)) {
                if let Some((arrival, time)) = of_sender[sender].get(next[sender]) {
                    let record = Some(sender);
                    merge.push(sender as i32, Sent { arrival: Timestamp(*arrival), stream_time: Timestamp(*time), record });
                } else {
                    merge.end(sender as i32);
                }
                next[sender] += 1;
                found.extend(std::iter::from_fn(|| merge.release())
                    .map(|r| (r.arrival.0, r.stream_time.0, r.record.unwrap())));
            }
            prop_assert!(merge.is_finished());
            prop_assert_eq!(found, model);
        }
    }
}
