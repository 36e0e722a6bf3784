//! What a reader of committed records sees, and the laws of it.
//!
//! ```text
//!  offset   0     1     2     3        4     5     6
//!           a     b     a     abort a  c     b     (end)
//!           aborted: 0 and 2          plain  open: from 1 on nothing is stable
//! ```
//!
//! - The last stable offset is where the oldest open transaction begins.
//! - A consumer that leaves out what the fetch's list of aborted transactions tells it to, as
//!   Kafka's clients do, is left with exactly the records that count.

use std::collections::{BTreeMap, HashSet};

use brooklet_log::LogReader;
use brooklet_protocol::records::{Batches, RecordBatch};
use brooklet_protocol::{Offset, ProducerId};

use crate::model::{Kind, Written, written};

/// How the transaction of a record went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Committed,
    Aborted,
    Open,
}

/// The transaction of each transactional record, by its offset.
pub(crate) type Fates = BTreeMap<i64, Fate>;

pub(crate) fn fates(records: &BTreeMap<i64, Written>) -> Fates {
    let mut open: BTreeMap<ProducerId, Vec<i64>> = BTreeMap::new();
    let mut fates = Fates::new();
    for (offset, record) in records {
        match record.kind {
            Kind::Plain => {}
            Kind::Transactional(id) => open.entry(id).or_default().push(*offset),
            Kind::Marker(id, committed) => {
                let fate = if committed {
                    Fate::Committed
                } else {
                    Fate::Aborted
                };
                let ended = open.remove(&id).unwrap_or_default();
                fates.extend(ended.into_iter().map(|offset| (offset, fate)));
            }
        }
    }
    fates.extend(
        open.into_values()
            .flatten()
            .map(|offset| (offset, Fate::Open)),
    );
    fates
}

/// Reads as a consumer of committed records does; `found` is what another consumer reads.
pub(crate) fn check(
    reader: &LogReader,
    (records, fates): (&BTreeMap<i64, Written>, &Fates),
    found: &BTreeMap<i64, Written>,
    bytes_max: usize,
) {
    let (start, end) = (reader.log_start_offset().0, reader.log_end_offset().0);
    let stable = reader.last_stable_offset(Offset(end)).0;
    let open = fates.iter().filter(|(_, fate)| **fate == Fate::Open);
    let open: Vec<_> = open.map(|(offset, _)| *offset).collect();
    // If a transaction began with records that are now deleted, the log may know either
    // where it began or its first record that is left.
    let at_least = open.first().map_or(end, |first| *first.max(&start));
    let at_most = open.iter().find(|offset| **offset >= start);
    let at_most = at_most.copied().unwrap_or(end);
    assert!(
        (at_least..=at_most).contains(&stable),
        "last stable offset {stable}, not in {at_least}..={at_most}"
    );

    let counts = |(offset, record): &(&i64, &Written)| match record.kind {
        Kind::Plain => true,
        Kind::Transactional(_) => fates[*offset] == Fate::Committed,
        Kind::Marker(..) => false,
    };
    let expected: BTreeMap<_, _> = found.range(..stable).filter(counts).collect();
    let seen = read_committed(reader, (start, stable), bytes_max);
    let seen: BTreeMap<_, _> = seen
        .iter()
        .map(|offset| (offset, &records[offset]))
        .collect();
    assert_eq!(seen, expected, "committed records below {stable}");
}

/// The offsets of the records that a consumer hands to its user, from one fetch to the next.
fn read_committed(reader: &LogReader, (start, stable): (i64, i64), bytes_max: usize) -> Vec<i64> {
    let (mut next, mut seen) = (Offset(start), Vec::new());
    loop {
        let read = reader.read(next, Offset(stable), bytes_max, true).unwrap();
        let batches: Vec<_> = Batches(read.bytes).map(Result::unwrap).collect();
        let Some(last) = batches.last() else {
            return seen;
        };
        let behind = last.header().next_offset();
        assert_eq!(read.next_offset, behind);
        let mut aborted = reader.aborted_transactions(next, behind).unwrap();
        aborted.sort_by_key(|transaction| std::cmp::Reverse(transaction.first_offset));
        let mut aborting = HashSet::new();
        for batch in &batches {
            let last_offset = batch.header().last_offset();
            while let Some(begun) = aborted.pop_if(|next| next.first_offset <= last_offset) {
                aborting.insert(begun.producer_id);
            }
            seen.extend(counting(batch, &mut aborting).filter(|offset| *offset >= next.0));
        }
        next = behind;
    }
}

/// The offsets of a batch's records, if they count.
fn counting(
    batch: &RecordBatch,
    aborting: &mut HashSet<ProducerId>,
) -> impl Iterator<Item = i64> + use<> {
    let header = batch.header();
    let is_aborted = header.is_transactional() && aborting.contains(&header.producer_id);
    if matches!(Kind::of(batch), Kind::Marker(_, false)) {
        aborting.remove(&header.producer_id);
    }
    let records = if header.is_control() || is_aborted {
        Vec::new()
    } else {
        written(batch, header.base_offset.0)
    };
    records.into_iter().map(|(offset, _)| offset)
}
