//! A response in pieces, so that its records are shared and not copied.
//!
//! The answer to a fetch is a few numbers per partition around records that are in a buffer
//! already. Copying them into one buffer would cost as much as a good part of sending them. So the
//! response is encoded without its records, walked by its shape to find where they belong, and cut
//! there:
//!
//! ```text
//!  encoded   length │ … partition 0 … ∅ … partition 1 … ∅ …
//!  pieces    length │ … partition 0 … n │ records │ … partition 1 … m │ records │ …
//! ```
//!
//! A writer that gathers sends the pieces with one system call.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, FetchResponse};

use super::shape::{Kind, Shape};
use super::{
    MessageError, Response, ResponseKind, encode_response, malformed, response_shape, walk,
};
use crate::wire::varint;

/// Fewer bytes are copied: a piece costs a reference count and an entry in the system call.
const LENT_BYTES_MIN: usize = 4 << 10;
/// Length and correlation id of a frame; a flexible header has a count of tags, which is 0.
const HEAD_BYTES: usize = 8;

/// A whole response frame, its 4-byte length included, in the pieces that make it up in order.
/// Small records and all but records are copied into `out`, which is empty afterwards; its memory
/// may be used again when the pieces are gone.
///
/// # Errors
/// The body cannot be encoded in this version.
pub fn encode_response_in_pieces(
    out: &mut BytesMut,
    correlation_id: i32,
    version: i16,
    mut response: Response,
) -> Result<Vec<Bytes>, MessageError> {
    let lent = match &mut response {
        ResponseKind::Fetch(fetch) => lend(fetch),
        _ => Vec::new(),
    };
    out.clear();
    encode_response(out, correlation_id, version, &response)?;
    let frame = out.split();
    if lent.iter().all(Option::is_none) {
        return Ok(vec![frame.freeze()]);
    }
    let shape = response_shape(ApiKey::Fetch).expect("responses to fetches have a shape");
    let flexible = shape.is_flexible(version);
    let positions = positions_of_records(&frame, shape, version)?;
    join(out, &frame, flexible, positions.into_iter().zip(lent))
}

/// Takes the large records out; one entry for each partition.
fn lend(fetch: &mut FetchResponse) -> Vec<Option<Bytes>> {
    let topics = fetch.responses.iter_mut();
    let partitions = topics.flat_map(|topic| &mut topic.partitions);
    let take = |records: &mut Bytes| {
        let is_large = records.len() >= LENT_BYTES_MIN;
        is_large.then(|| std::mem::take(records))
    };
    partitions
        .map(|partition| partition.records.as_mut().and_then(take))
        .collect()
}

/// The positions in the frame of the lengths of the partitions' records.
fn positions_of_records(
    frame: &[u8],
    shape: &Shape,
    version: i16,
) -> Result<Vec<usize>, MessageError> {
    let flexible = shape.is_flexible(version);
    let body = &frame[HEAD_BYTES + usize::from(flexible)..];
    let mut positions = Vec::new();
    let mut see = |field: &super::shape::Field, left: usize| {
        if field.name == "records" && matches!(field.kind, Kind::Bytes) {
            positions.push(frame.len() - left);
        }
    };
    let mut walk = walk::Walk::of_our_own(body, version, flexible);
    walk.fields(shape.fields, &mut see).map_err(malformed)?;
    Ok(positions)
}

/// Cuts the frame where records were taken out, and puts them back as pieces.
fn join(
    out: &mut BytesMut,
    frame: &[u8],
    flexible: bool,
    records: impl Iterator<Item = (usize, Option<Bytes>)>,
) -> Result<Vec<Bytes>, MessageError> {
    let mut pieces = Vec::new();
    let mut copied = 0;
    for (position, records) in records {
        let Some(records) = records else { continue };
        out.put_slice(&frame[copied..position]);
        // Instead of the length of no records.
        copied = position + put_length(out, records.len(), flexible);
        pieces.extend([out.split().freeze(), records]);
    }
    out.put_slice(&frame[copied..]);
    pieces.push(out.split().freeze());
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let length = i32::try_from(length - size_of::<i32>())
        .map_err(|_| malformed("the frame exceeds 2 GiB"))?;
    let mut first = BytesMut::from(&*pieces[0]);
    first[..size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
    pieces[0] = first.freeze();
    Ok(pieces)
}

/// Writes the length of bytes; returns how many bytes the length of none takes.
fn put_length(out: &mut BytesMut, length: usize, flexible: bool) -> usize {
    if !flexible {
        out.put_i32(length as i32);
        return size_of::<i32>();
    }
    // Counted from 1, because 0 is null. A frame stays below 2 GiB.
    varint::put_unsigned(out, length as u32 + 1);
    1
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
    use kafka_protocol::protocol::StrBytes;
    use proptest::prelude::*;

    use super::*;

    fn response(version: i16, sizes: &[Vec<Option<usize>>]) -> ResponseKind {
        let partition = |(index, size): (usize, &Option<usize>)| {
            PartitionData::default()
                .with_partition_index(index as i32)
                .with_high_watermark(7)
                .with_aborted_transactions(Some(Vec::new()))
                .with_records(size.map(|size| Bytes::from(vec![index as u8 + 1; size])))
        };
        let topic = |partitions: &Vec<Option<usize>>| {
            let partitions = partitions.iter().enumerate().map(partition);
            let topic = FetchableTopicResponse::default().with_partitions(partitions.collect());
            let name = if version < 13 { "clicks" } else { "" };
            topic.with_topic(TopicName(StrBytes::from_static_str(name)))
        };
        let topics = sizes.iter().map(topic).collect();
        FetchResponse::default().with_responses(topics).into()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_pieces_are_the_frame(
            version in 4..=18_i16,
            sizes in prop::collection::vec(
                prop::collection::vec(
                    prop::option::of(prop_oneof![0..20_usize, 4_090..4_100_usize, 16_380..16_390_usize]),
                    0..4,
                ),
                0..3,
            ),
        ) {
            let response = response(version, &sizes);
            let mut whole = BytesMut::new();
            encode_response(&mut whole, 42, version, &response).unwrap();
            let mut out = BytesMut::from(&b"left over"[..]);
            let pieces = encode_response_in_pieces(&mut out, 42, version, response).unwrap();
            let lent = sizes.iter().flatten().flatten().filter(|size| **size >= LENT_BYTES_MIN);
            prop_assert_eq!(pieces.len(), 2 * lent.count() + 1);
            prop_assert_eq!(pieces.concat(), whole.to_vec());
        }
    }

    #[test]
    fn large_records_are_lent() {
        let response = response(12, &[vec![Some(10_000)]]);
        let ResponseKind::Fetch(fetch) = &response else {
            panic!("it is a fetch");
        };
        let records = fetch.responses[0].partitions[0].records.clone().unwrap();
        let pieces = encode_response_in_pieces(&mut BytesMut::new(), 1, 12, response).unwrap();
        assert_eq!(pieces[1].as_ptr(), records.as_ptr());
    }
}
