//! Puts the records of several senders into one order that every run repeats.
//!
//! The senders of a repartition topic write at their own pace, so the order of their records in the
//! topic differs from run to run. Their *positions* do not. The receiver keeps a queue per sender
//! and releases the lowest head, by (arrival, sender), once nobody can still come before it:
//!
//! ```text
//! sender 0   (8)  (11)            head 8: lowest. Sender 1 is at 9, sender 2 said, by a marker,
//! sender 1   (9)                  that it is past 10: nobody can come before 8 → released.
//! sender 2   empty, past (10)     next 9: sender 0 has 11, sender 2 is past 10 → released.
//!                                 next 11: sender 2 may still send 10, sender 1 may send 9 → wait.
//! ```
//!
//! Time is merged alongside: stream time is the lowest of the senders' stream times, each as of the
//! last thing released from it. A sender from which nothing has come holds time at its beginning.
//!
//! Invariants:
//! - what is released, and the stream time it is released with, depends on what the senders sent,
//!   not on how their records interleave or are cut into batches;
//! - stream time never goes back;
//! - a sender that has ended holds nobody up, but its last stream time stays in the minimum: time
//!   jumps to its end only when all have ended. One that ended without ever having had a stream
//!   time, as that of an empty partition, is not in the minimum.
//!
//! A sender that is silent without having ended holds back all others, in memory, until something
//! comes from it. The exception is one that has said that it is *idle*: nobody waits for it, and
//! its stream time is not in the minimum; if all are idle, the highest of theirs counts. What it
//! sends after that may come after its turn, when stream time has gone on. So with idle senders the
//! first invariant is weaker: the result depends on where among the others' records the idle mark
//! stands. It stands in the topic, so another reader of the topic finds the same; for that,
//! whatever can be released must be released before the next thing is pushed.

use std::collections::VecDeque;

use brooklet_protocol::{Offset, Timestamp};

use crate::branch::progress::{Progress, Standing};
use crate::codec::DecodeError;

/// One thing a sender sent: a record, or (`None`) a marker.
#[derive(Debug)]
pub(crate) struct Sent<T> {
    /// Its offset in the topic.
    pub(crate) offset: Offset,
    /// How far the sender had read; see [`super::origin`].
    pub(crate) arrival: Timestamp,
    /// The sender's stream time, this included.
    pub(crate) stream_time: Timestamp,
    /// The record.
    pub(crate) record: Option<T>,
}

/// A thing whose turn has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Released<T> {
    /// The highest arrival so far, this included.
    pub(crate) arrival: Timestamp,
    /// The receiver's stream time, this included.
    pub(crate) stream_time: Timestamp,
    pub(crate) record: Option<T>,
}

#[derive(Debug)]
struct Sender<T> {
    queue: VecDeque<Queued<T>>,
    /// What it sent before this offset has been released.
    released_to: Offset,
    /// The arrival of the last thing it sent: nothing earlier will come.
    past: Timestamp,
    /// As of the last thing released.
    stream_time: Timestamp,
    /// Whether the last that came from it was an idle mark.
    said_idle: bool,
    /// Whether its end was released.
    ended: bool,
}

#[derive(Debug)]
enum Queued<T> {
    Sent(Sent<T>),
    /// Has its turn like a record, at the sender's last arrival: so it is no matter of luck which
    /// of the others' records are released before it.
    End(Offset),
}

impl<T> Queued<T> {
    fn offset(&self) -> Offset {
        match self {
            Self::Sent(sent) => sent.offset,
            Self::End(offset) => *offset,
        }
    }
}

impl<T> Sender<T> {
    fn next_arrival(&self) -> Option<Timestamp> {
        match self.queue.front()? {
            Queued::Sent(sent) => Some(sent.arrival),
            Queued::End(_) => Some(self.past),
        }
    }

    /// Whether it has nothing to release and does not hold up the others.
    fn is_idle(&self) -> bool {
        self.said_idle && self.queue.is_empty()
    }

    fn is_in_minimum(&self) -> bool {
        let had_no_time = self.ended && self.stream_time == Timestamp::MIN;
        !self.is_idle() && !had_no_time
    }
}

/// The queues of all senders to one receiver.
#[derive(Debug)]
pub(crate) struct Merge<T> {
    senders: Vec<Sender<T>>,
    waiting: usize,
    /// Highest so far.
    arrival: Timestamp,
    stream_time: Timestamp,
    /// Everything before this offset has been pushed.
    pushed_to: Offset,
}

impl<T> Merge<T> {
    pub(crate) fn new(senders: i32) -> Self {
        let sender = |_| Sender {
            queue: VecDeque::new(),
            released_to: Offset(0),
            past: Timestamp::MIN,
            stream_time: Timestamp::MIN,
            said_idle: false,
            ended: false,
        };
        Self {
            senders: (0..senders).map(sender).collect(),
            waiting: 0,
            arrival: Timestamp::MIN,
            stream_time: Timestamp::MIN,
            pushed_to: Offset(0),
        }
    }

    /// Whether what is at this offset was pushed before the merge was restored: it must be pushed
    /// again, because what waits is not part of the standing, and that changes nothing else.
    pub(crate) fn is_replay(&self, offset: Offset) -> bool {
        offset < self.pushed_to
    }

    fn replay(&mut self, sender: i32, again: Queued<T>) {
        let sender = &mut self.senders[sender as usize];
        if again.offset() >= sender.released_to {
            sender.queue.push_back(again);
            self.waiting += 1;
        }
    }

    /// The offset of the first thing that waits.
    pub(crate) fn waits_from(&self) -> Option<Offset> {
        let heads = self
            .senders
            .iter()
            .filter_map(|sender| sender.queue.front());
        heads.map(Queued::offset).min()
    }

    /// Queues what a sender sent, in its order. The sender is no longer idle.
    pub(crate) fn push(&mut self, sender: i32, mut sent: Sent<T>) {
        if self.is_replay(sent.offset) {
            return self.replay(sender, Queued::Sent(sent));
        }
        self.pushed_to = sent.offset.plus(1);
        let sender = &mut self.senders[sender as usize];
        // A sender never goes back; a forged header must not break the order.
        sent.arrival = sent.arrival.max(sender.past);
        sender.past = sent.arrival;
        sender.said_idle = false;
        sender.ended = false;
        sender.queue.push_back(Queued::Sent(sent));
        self.waiting += 1;
    }

    /// A sender has ended: it will send nothing more.
    pub(crate) fn end(&mut self, sender: i32, offset: Offset) {
        if self.is_replay(offset) {
            return self.replay(sender, Queued::End(offset));
        }
        self.pushed_to = offset.plus(1);
        let sender = &mut self.senders[sender as usize];
        sender.said_idle = false;
        sender.queue.push_back(Queued::End(offset));
        self.waiting += 1;
    }

    /// A sender has nothing to send for now.
    pub(crate) fn idle(&mut self, sender: i32, offset: Offset) {
        if self.is_replay(offset) {
            return;
        }
        self.pushed_to = offset.plus(1);
        self.senders[sender as usize].said_idle = true;
        self.advance();
    }

    /// The next thing, if it is certain that nothing comes before it.
    pub(crate) fn release(&mut self) -> Option<Released<T>> {
        let heads = self.senders.iter().enumerate();
        let heads = heads.filter_map(|(i, sender)| Some((sender.next_arrival()?, i)));
        let next = heads.min()?;
        let is_silent =
            |sender: &Sender<T>| sender.queue.is_empty() && !sender.ended && !sender.said_idle;
        let mut senders = self.senders.iter().enumerate();
        if senders.any(|(i, sender)| is_silent(sender) && (sender.past, i) < next) {
            return None;
        }
        let sender = &mut self.senders[next.1];
        let released = sender.queue.pop_front()?;
        sender.released_to = released.offset().plus(1);
        let record = match released {
            Queued::Sent(sent) => {
                sender.stream_time = sender.stream_time.max(sent.stream_time);
                sent.record
            }
            Queued::End(_) => {
                sender.ended = true;
                None
            }
        };
        self.waiting -= 1;
        // What a sender sends at its end comes last of all, and if there is more in another run,
        // that begins where its input ended.
        let is_at_end = next.0 == Timestamp::MAX;
        if !is_at_end {
            self.arrival = self.arrival.max(next.0);
        }
        self.advance();
        Some(Released {
            arrival: if is_at_end { next.0 } else { self.arrival },
            stream_time: self.stream_time,
            record,
        })
    }

    /// Stream time: the lowest of those in the minimum, or else the highest of the idle.
    fn advance(&mut self) {
        let time_if = |is_meant: fn(&Sender<T>) -> bool| {
            let senders = self.senders.iter().filter(move |sender| is_meant(sender));
            senders.map(|sender| sender.stream_time)
        };
        let lowest = time_if(Sender::is_in_minimum).min();
        let time = lowest.or_else(|| time_if(Sender::is_idle).max());
        self.stream_time = self.stream_time.max(time.unwrap_or(Timestamp::MIN));
    }

    /// Stream time, which a sender that falls idle may advance with nothing released.
    pub(crate) fn stream_time(&self) -> Timestamp {
        self.stream_time
    }

    /// How many records and markers wait for a silent sender.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether nothing is left and nothing will come for now.
    pub(crate) fn is_idle(&self) -> bool {
        let mut senders = self.senders.iter().filter(|sender| !sender.ended);
        !self.is_finished() && senders.all(Sender::is_idle)
    }

    /// Whether nothing is left and nothing will come.
    pub(crate) fn is_finished(&self) -> bool {
        self.senders.iter().all(|sender| sender.ended)
    }
}

/// Positions and times, without what waits: that is read again.
impl<T> Standing for Merge<T> {
    fn save(&self, to: &mut Progress) {
        to.put_time(self.arrival);
        to.put_time(self.stream_time);
        to.put_count(self.pushed_to.0.unsigned_abs());
        to.put_count(self.senders.len() as u64);
        for sender in &self.senders {
            to.put_time_near(sender.past, self.arrival);
            to.put_time_near(sender.stream_time, self.stream_time);
            let behind = self.pushed_to.0 - sender.released_to.0;
            // A sender that ended may go on in another run, and if not it says so again.
            to.put_count(behind.unsigned_abs() << 1 | u64::from(sender.said_idle));
        }
    }

    fn load(&mut self, from: &mut Progress) -> Result<(), DecodeError> {
        self.arrival = from.time()?;
        self.stream_time = from.time()?;
        self.pushed_to = Offset(from.count()?.cast_signed().max(0));
        let senders = from.count()?;
        if senders != self.senders.len() as u64 {
            let expected = self.senders.len();
            return Err(DecodeError(format!(
                "expected {expected} senders, found {senders}"
            )));
        }
        for sender in &mut self.senders {
            let past = from.time_near(self.arrival)?;
            let has_ended = past == Timestamp::MAX;
            sender.past = if has_ended { Timestamp::MIN } else { past };
            sender.stream_time = from.time_near(self.stream_time)?;
            let word = from.count()?;
            sender.said_idle = word & 1 != 0;
            let behind = (word >> 1).cast_signed();
            sender.released_to = Offset((self.pushed_to.0 - behind).max(0));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(arrival: i64, stream_time: i64, record: Option<&'static str>) -> Sent<&'static str> {
        Sent {
            offset: Offset(0),
            arrival: Timestamp(arrival),
            stream_time: Timestamp(stream_time),
            record,
        }
    }

    fn sent_by(arrival: i64, stream_time: i64, record: Option<usize>) -> Sent<usize> {
        Sent {
            offset: Offset(0),
            arrival: Timestamp(arrival),
            stream_time: Timestamp(stream_time),
            record,
        }
    }

    /// A topic that the senders write, and its receiver.
    struct Topic<T> {
        merge: Merge<T>,
        log: Vec<(i32, Said<T>)>,
    }

    #[derive(Clone)]
    enum Said<T> {
        Sent(Timestamp, Timestamp, Option<T>),
        Idle,
        End,
    }

    impl<T: Clone> Topic<T> {
        fn new(senders: i32) -> Self {
            let (merge, log) = (Merge::new(senders), Vec::new());
            Self { merge, log }
        }
        fn push(&mut self, sender: i32, sent: Sent<T>) {
            self.say(
                sender,
                Said::Sent(sent.arrival, sent.stream_time, sent.record),
            );
        }
        fn end(&mut self, sender: i32) {
            self.say(sender, Said::End);
        }
        fn idle(&mut self, sender: i32) {
            self.say(sender, Said::Idle);
        }
        fn say(&mut self, sender: i32, said: Said<T>) {
            self.log.push((sender, said));
            self.read(self.log.len() - 1);
        }
        fn read(&mut self, at: usize) {
            let (offset, (sender, said)) = (Offset(at as i64), self.log[at].clone());
            match said {
                Said::Sent(arrival, stream_time, record) => {
                    let sent = Sent {
                        offset,
                        arrival,
                        stream_time,
                        record,
                    };
                    self.merge.push(sender, sent);
                }
                Said::Idle => self.merge.idle(sender, offset),
                Said::End => self.merge.end(sender, offset),
            }
        }
        /// Loses the merge, and makes it again from its standing and what waits in the topic.
        fn crash(&mut self) {
            let mut progress = Progress::new();
            self.merge.save(&mut progress);
            let from = self
                .merge
                .waits_from()
                .map_or(self.log.len(), |offset| offset.0 as usize);
            let ended = self.merge.senders.iter().map(|sender| sender.ended);
            let ended: Vec<_> = ended.collect();
            self.merge = Merge::new(self.merge.senders.len() as i32);
            self.merge
                .load(&mut Progress::of(progress.into_bytes()))
                .unwrap();
            (from..self.log.len()).for_each(|at| self.read(at));
            // Who had ended says so again.
            for (sender, _) in ended.iter().enumerate().filter(|(_, ended)| **ended) {
                self.end(sender as i32);
            }
        }
    }

    impl<T> std::ops::Deref for Topic<T> {
        type Target = Merge<T>;
        fn deref(&self) -> &Merge<T> {
            &self.merge
        }
    }

    fn drain(topic: &mut Topic<&'static str>) -> Vec<(&'static str, i64)> {
        let released = std::iter::from_fn(|| topic.merge.release());
        let released = released.map(|r| (r.record.unwrap_or("-"), r.stream_time.0));
        released.collect()
    }

    #[test]
    fn the_lowest_head_waits_for_the_silent() {
        let mut merge = Topic::new(3);
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
        assert_eq!(drain(&mut merge), [("-", 70), ("c", 70)]);
        merge.end(0);
        assert_eq!(
            drain(&mut merge),
            [("-", 70), ("-", 90)],
            "who ended stays in the minimum"
        );
        assert!(!merge.is_finished());
        merge.end(1);
        assert_eq!(drain(&mut merge), [("-", 90)]);
        assert!(merge.is_finished());
    }

    #[test]
    fn who_ended_without_a_time_is_not_in_the_minimum() {
        let mut merge = Topic::new(3);
        merge.push(0, sent(8, 80, Some("a")));
        merge.push(2, sent(7, i64::MIN, None));
        assert_eq!(drain(&mut merge), [], "sender 1 has not spoken");
        merge.end(1);
        let min = i64::MIN;
        assert_eq!(drain(&mut merge), [("-", min), ("-", min)]);
        // Sender 2 has read up to 7 and found nothing that has a time.
        merge.end(2);
        assert_eq!(drain(&mut merge), [("-", min), ("a", 80)]);
    }

    #[test]
    fn nobody_waits_for_the_idle() {
        let mut merge = Topic::new(3);
        merge.push(0, sent(8, 80, Some("a")));
        merge.push(1, sent(9, 70, Some("b")));
        merge.idle(2);
        let min = i64::MIN;
        assert_eq!(
            drain(&mut merge),
            [("a", min)],
            "sender 1 counts as of its last"
        );
        assert_eq!(merge.stream_time().0, min);
        merge.push(0, sent(10, 95, None));
        assert_eq!(drain(&mut merge), [("b", 70)]);

        merge.push(2, sent(5, 50, Some("c")));
        assert_eq!(drain(&mut merge), [("c", 70)], "after its turn; time stays");
        merge.push(0, sent(20, 200, Some("d")));
        merge.push(1, sent(21, 210, Some("e")));
        assert_eq!(drain(&mut merge), [], "sender 2 is waited for again");
        merge.idle(2);
        assert_eq!(drain(&mut merge), [("-", 70), ("d", 70)]);
    }

    #[test]
    fn when_all_are_idle_the_highest_time_counts() {
        let mut merge = Topic::new(2);
        merge.push(0, sent(8, 80, None));
        merge.push(1, sent(9, 70, Some("b")));
        assert_eq!(drain(&mut merge), [("-", i64::MIN)]);
        merge.idle(1);
        assert_eq!(
            drain(&mut merge),
            [],
            "idle, but its record waits for sender 0"
        );
        assert!(!merge.is_idle());
        merge.idle(0);
        assert_eq!(drain(&mut merge), [("b", 80)]);
        assert!(merge.is_idle());
        merge.push(1, sent(10, 75, Some("c")));
        assert!(!merge.is_idle());
        assert_eq!(drain(&mut merge), [("c", 80)], "time never goes back");
        merge.end(1);
        assert_eq!(drain(&mut merge), [("-", 80)]);
        assert!(
            merge.is_idle() && !merge.is_finished(),
            "sender 0 may yet speak"
        );
    }

    #[test]
    fn at_the_same_arrival_the_lower_sender_goes_first() {
        let mut merge = Topic::new(2);
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
        fn the_order_depends_neither_on_the_interleaving_nor_on_crashes(
            gaps in proptest::collection::vec((0i32..3, 0i64..4, 0i64..9), 0..40),
            picks in proptest::collection::vec(0usize..3, 0..60),
            mut crashes in proptest::collection::vec(0usize..40, 0..4),
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
            let mut latest = of_sender.each_ref().map(|all| if all.is_empty() { i64::MAX } else { i64::MIN });
            let model: Vec<_> = all.iter().map(|(arrival, sender, time)| {
                latest[*sender] = *time;
                (*arrival, *latest.iter().min().unwrap(), *sender)
            }).collect();

            let mut merge = Topic::new(3);
            let mut found = Vec::new();
            let mut next = [0; 3];
            for sender in picks.into_iter().chain((0..3).cycle().take(150)) {
                if let Some((arrival, time)) = of_sender[sender].get(next[sender]) {
                    let record = Some(sender);
                    merge.push(sender as i32, sent_by(*arrival, *time, record));
                } else if next[sender] == of_sender[sender].len() {
                    merge.end(sender as i32);
                }
                next[sender] += 1;
                let released = std::iter::from_fn(|| merge.merge.release());
                let records = released.filter_map(|r| Some((r.arrival.0, r.stream_time.0, r.record?)));
                found.extend(records);
                if let Some(at) = crashes.iter().position(|count| *count == found.len()) {
                    crashes.swap_remove(at);
                    merge.crash();
                }
            }
            prop_assert!(merge.is_finished());
            prop_assert_eq!(found, model);
        }
    }
}
