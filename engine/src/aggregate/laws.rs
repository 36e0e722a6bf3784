//! The laws of aggregates, for the property tests of each.
//!
//! Accumulators are compared by the bytes that would be written of them: two that write the same are
//! the same, NaN or not.

use bincode::config::standard;
use bincode::serde::{decode_from_slice, encode_to_vec};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::Aggregate;
use crate::time::Timestamp;

/// Records in order of arrival, with their event times.
pub(super) type Records<V> = [(V, Timestamp)];

/// At least three records, of few event times, so that some are equal.
pub(super) fn records<S: Strategy>(value: S) -> impl Strategy<Value = Vec<(S::Value, Timestamp)>> {
    proptest::collection::vec((value, (0i64..8).prop_map(Timestamp)), 3..40)
}

/// The values as records of one event time each.
pub(super) fn timed<V: Clone>(values: &[V]) -> Vec<(V, Timestamp)> {
    let times = (0..).map(Timestamp);
    values.iter().cloned().zip(times).collect()
}

/// The result of all records, added one by one.
pub(super) fn fold<V, A: Aggregate<V>>(aggregate: &A, records: &Records<V>) -> A::Out {
    aggregate.lower(&added(aggregate, records))
}

/// All laws, with the records in three parts.
pub(super) fn assert_laws<V, A: Aggregate<V>>(
    aggregate: &A,
    records: &Records<V>,
) -> Result<(), TestCaseError> {
    let third = records.len() / 3;
    let parts = [
        &records[..third],
        &records[third..2 * third],
        &records[2 * third..],
    ];
    let [a, b, c] = parts.map(|part| added(aggregate, part));
    let left = combined(aggregate, &combined(aggregate, &a, &b), &c);
    let right = combined(aggregate, &a, &combined(aggregate, &b, &c));
    prop_assert_eq!(bytes::<V, A>(&left), bytes::<V, A>(&right));
    prop_assert_eq!(
        bytes::<V, A>(&left),
        bytes::<V, A>(&added(aggregate, records))
    );
    if aggregate.retracts() {
        let mut rest = combined(aggregate, &a, &b);
        aggregate.retract(&mut rest, &a);
        prop_assert_eq!(bytes::<V, A>(&rest), bytes::<V, A>(&b));
    }
    assert_float_laws(aggregate, records)
}

/// The laws that also hold where the parentheses matter.
pub(super) fn assert_float_laws<V, A: Aggregate<V>>(
    aggregate: &A,
    records: &Records<V>,
) -> Result<(), TestCaseError> {
    let all = added(aggregate, records);
    // Not called where it retracts nothing; it still must not panic.
    aggregate.retract(&mut all.clone(), &all);
    let mut lifted = records.iter().map(|(v, time)| aggregate.lift(v, *time));
    let first = lifted.next().expect("a record");
    let one_by_one = lifted.fold(first, |acc, later| combined(aggregate, &acc, &later));
    prop_assert_eq!(bytes::<V, A>(&all), bytes::<V, A>(&one_by_one));
    let written = bytes::<V, A>(&all);
    let (read, length): (A::Acc, usize) = decode_from_slice(&written, standard()).unwrap();
    prop_assert_eq!(length, written.len());
    prop_assert_eq!(bytes::<V, A>(&read), written);
    survive_damage(aggregate, &all);
    Ok(())
}

/// Whatever a damaged accumulator can be read as, it must not panic.
fn survive_damage<V, A: Aggregate<V>>(aggregate: &A, acc: &A::Acc) {
    let mut written = bytes::<V, A>(acc);
    // Some bytes of each; their places differ from case to case.
    for index in (written.len() % 7..written.len()).step_by(7) {
        written[index] ^= 0xff;
        if let Ok((read, _)) = decode_from_slice::<A::Acc, _>(&written, standard()) {
            aggregate.lower(&read);
            aggregate.lower(&combined(aggregate, acc, &read));
            let mut all = combined(aggregate, &read, acc);
            aggregate.retract(&mut all, &read);
            aggregate.lower(&all);
        }
        written[index] ^= 0xff;
    }
}

fn added<V, A: Aggregate<V>>(aggregate: &A, records: &Records<V>) -> A::Acc {
    let ((first, time), rest) = records.split_first().expect("a record");
    let mut acc = aggregate.lift(first, *time);
    for (value, time) in rest {
        aggregate.add(&mut acc, value, *time);
    }
    acc
}

fn combined<V, A: Aggregate<V>>(aggregate: &A, earlier: &A::Acc, later: &A::Acc) -> A::Acc {
    let mut all = earlier.clone();
    aggregate.combine(&mut all, later);
    all
}

fn bytes<V, A: Aggregate<V>>(acc: &A::Acc) -> Vec<u8> {
    encode_to_vec(acc, standard()).unwrap()
}
