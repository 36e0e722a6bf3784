//! The messages of a group's members to one another, through the coordinator, which does not read
//! them.
//!
//! ```text
//!  ConsumerProtocolSubscription, in JoinGroup, from each member to the leader
//!    version i16 = 3 | topics [string] | user data bytes
//!    from 1 on   owned [topic string, partitions [i32]]          (KIP-429)
//!    from 2 on   generation i32, -1 for none                     (KIP-792)
//!    from 3 on   rack string                                     (KIP-881)
//!
//!  ConsumerProtocolAssignment, in SyncGroup, from the leader to each member
//!    version i16 = 0 | assigned [topic string, partitions [i32]] | user data bytes
//!
//!  the user data of `sticky`              previous [topic string, partitions [i32]] | generation i32
//!  the user data of `cooperative-sticky`  generation i32
//! ```
//!
//! A count is an i32 and a string's length an i16; -1 is null. A later version adds fields at the
//! end, so that an older reader reads the fields that it knows.
//!
//! Invariants: reading any bytes returns, and nothing is allocated by a count that they claim. A
//! name that no topic can have is passed over: such a topic is not there.

use std::collections::{BTreeMap, BTreeSet};

use brooklet_protocol::{PartitionId, TopicName, TopicPartition};
use bytes::{Buf, BufMut, Bytes, BytesMut};

const SUBSCRIPTION_VERSION: i16 = 3;
/// All versions look alike, and everybody reads the first.
const ASSIGNMENT_VERSION: i16 = 0;

/// Partitions, each once.
pub(crate) type Partitions = BTreeSet<TopicPartition>;

/// What a member asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) topics: BTreeSet<TopicName>,
    /// For the assignor alone.
    pub(crate) user_data: Option<Bytes>,
    /// What it reads and has not given up.
    pub(crate) owned: Partitions,
    /// In which it was given that; -1 if it does not say.
    pub(crate) generation: i32,
    /// `client.rack`.
    pub(crate) rack: Option<String>,
}

impl Subscription {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_i16(SUBSCRIPTION_VERSION);
        out.put_i32(count(self.topics.len()));
        for topic in &self.topics {
            put_string(&mut out, topic.as_str());
        }
        put_bytes(&mut out, self.user_data.as_ref());
        put_partitions(&mut out, &self.owned);
        out.put_i32(self.generation);
        match &self.rack {
            Some(rack) => put_string(&mut out, rack),
            None => out.put_i16(-1),
        }
        out.freeze()
    }

    /// `None` if the bytes end too early.
    pub(crate) fn decode(mut bytes: Bytes) -> Option<Self> {
        let version = bytes.try_get_i16().ok()?;
        let mut topics = BTreeSet::new();
        for _ in 0..bytes.try_get_i32().ok()? {
            topics.extend(TopicName::new(&take_string(&mut bytes).ok()??).ok());
        }
        let mut subscription = Self {
            topics,
            user_data: take_bytes(&mut bytes).ok()?,
            owned: Partitions::new(),
            generation: -1,
            rack: None,
        };
        if version >= 1 {
            subscription.owned = take_partitions(&mut bytes)?;
        }
        if version >= 2 {
            subscription.generation = bytes.try_get_i32().ok()?;
        }
        if version >= 3 {
            subscription.rack = take_string(&mut bytes).ok()?;
        }
        Some(subscription)
    }
}

/// The partitions that the leader assigns to a member.
pub(crate) fn encode_assignment(assigned: &Partitions) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(ASSIGNMENT_VERSION);
    put_partitions(&mut out, assigned);
    put_bytes(&mut out, None);
    out.freeze()
}

/// `None` if the bytes end too early. No bytes at all are no partitions: so does a leader answer a
/// member that it has nothing for.
pub(crate) fn decode_assignment(mut bytes: Bytes) -> Option<Partitions> {
    if bytes.is_empty() {
        return Some(Partitions::new());
    }
    bytes.try_get_i16().ok()?;
    take_partitions(&mut bytes)
}

/// What `sticky` sends to its next leader.
pub(super) fn encode_sticky(previous: &Partitions, generation: i32) -> Bytes {
    let mut out = BytesMut::new();
    put_partitions(&mut out, previous);
    out.put_i32(generation);
    out.freeze()
}

/// What a member had and in which generation; the first version of it did not say which.
pub(super) fn decode_sticky(mut bytes: Bytes) -> Option<(Partitions, i32)> {
    let previous = take_partitions(&mut bytes)?;
    Some((previous, bytes.try_get_i32().unwrap_or(-1)))
}

fn count(len: usize) -> i32 {
    i32::try_from(len).expect("a member has fewer than 2^31 partitions")
}

fn put_string(out: &mut BytesMut, text: &str) {
    let text = &text.as_bytes()[..text.len().min(i16::MAX as usize)];
    out.put_i16(text.len() as i16);
    out.put_slice(text);
}

fn put_bytes(out: &mut BytesMut, bytes: Option<&Bytes>) {
    out.put_i32(bytes.map_or(-1, |bytes| count(bytes.len())));
    out.put_slice(bytes.map_or(&[], |bytes| bytes));
}

fn put_partitions(out: &mut BytesMut, partitions: &Partitions) {
    let mut topics = BTreeMap::<&TopicName, Vec<PartitionId>>::new();
    for TopicPartition { topic, partition } in partitions {
        topics.entry(topic).or_default().push(*partition);
    }
    out.put_i32(count(topics.len()));
    for (topic, partitions) in topics {
        put_string(out, topic.as_str());
        out.put_i32(count(partitions.len()));
        for partition in partitions {
            out.put_i32(partition.0);
        }
    }
}

/// The bytes end too early, or are no text.
struct Malformed;

fn take_string(bytes: &mut Bytes) -> Result<Option<String>, Malformed> {
    let length = bytes.try_get_i16().map_err(|_| Malformed)?;
    let Ok(length) = usize::try_from(length) else {
        return Ok(None);
    };
    let text = cut(bytes, length)?;
    let text = str::from_utf8(&text).map_err(|_| Malformed)?;
    Ok(Some(text.to_owned()))
}

fn take_bytes(bytes: &mut Bytes) -> Result<Option<Bytes>, Malformed> {
    let length = bytes.try_get_i32().map_err(|_| Malformed)?;
    match usize::try_from(length) {
        Ok(length) => cut(bytes, length).map(Some),
        Err(_) => Ok(None),
    }
}

fn cut(bytes: &mut Bytes, length: usize) -> Result<Bytes, Malformed> {
    let is_there = length <= bytes.len();
    is_there.then(|| bytes.split_to(length)).ok_or(Malformed)
}

fn take_partitions(bytes: &mut Bytes) -> Option<Partitions> {
    let mut partitions = Partitions::new();
    for _ in 0..bytes.try_get_i32().ok()? {
        let topic = TopicName::new(&take_string(bytes).ok()??).ok();
        for _ in 0..bytes.try_get_i32().ok()? {
            let number = PartitionId(bytes.try_get_i32().ok()?);
            let partition = |topic: &TopicName| TopicPartition::new(topic.clone(), number);
            partitions.extend(topic.as_ref().map(partition));
        }
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(TopicName::new(topic).unwrap(), PartitionId(partition))
    }

    /// As Kafka documents the layout; put down by hand.
    const SUBSCRIPTION: &[u8] = b"\0\x03\0\0\0\x01\0\x01t\0\0\0\x04\0\0\0\x07\
        \0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\x03\0\0\0\x05\0\0\0\x07\xff\xff";

    fn subscription() -> Subscription {
        Subscription {
            topics: [TopicName::new("t").unwrap()].into(),
            user_data: Some(Bytes::from_static(b"\0\0\0\x07")),
            owned: [place("t", 3), place("t", 5)].into(),
            generation: 7,
            rack: None,
        }
    }

    #[test]
    fn a_subscription_is_laid_out_as_kafka_has_it() {
        assert_eq!(subscription().encode(), SUBSCRIPTION);
        let found = Subscription::decode(Bytes::from_static(SUBSCRIPTION));
        assert_eq!(found, Some(subscription()));
    }

    #[test]
    fn earlier_versions_say_less() {
        // The topics and the user data end at byte 17, what is owned at 36, the generation at 40.
        for (version, end) in [(0, 17), (1, 36), (2, 40)] {
            let mut bytes = SUBSCRIPTION[..end].to_vec();
            bytes[1] = version;
            let found = Subscription::decode(Bytes::from(bytes)).unwrap();
            assert_eq!(found.owned.is_empty(), version < 1);
            assert_eq!(found.generation, if version < 2 { -1 } else { 7 });
        }
    }

    #[test]
    fn later_versions_say_more() {
        let mut bytes = SUBSCRIPTION.to_vec();
        bytes[1] = 9;
        bytes.extend_from_slice(b"whatever comes");
        assert_eq!(Subscription::decode(bytes.into()), Some(subscription()));
    }

    #[test]
    fn what_ends_early_is_nothing() {
        for cut in 0..SUBSCRIPTION.len() {
            let bytes = Bytes::from_static(&SUBSCRIPTION[..cut]);
            assert_eq!(Subscription::decode(bytes), None, "{cut}");
        }
        let assignment = b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\x03\0\0\0\x05\xff\xff\xff\xff";
        let found = decode_assignment(Bytes::from_static(assignment));
        assert_eq!(found, Some([place("t", 3), place("t", 5)].into()));
        for cut in 1..assignment.len() - 4 {
            let bytes = Bytes::from_static(&assignment[..cut]);
            assert_eq!(decode_assignment(bytes), None, "{cut}");
        }
        assert_eq!(decode_assignment(Bytes::new()), Some(Partitions::new()));
    }

    #[test]
    fn a_name_that_no_topic_has_is_passed_over() {
        let bytes = Bytes::from_static(b"\0\0\0\0\0\x02\0\x02a/\0\x01b\xff\xff\xff\xff");
        let found = Subscription::decode(bytes).unwrap();
        assert_eq!(found.topics, [TopicName::new("b").unwrap()].into());
    }

    fn places() -> impl Strategy<Value = Partitions> {
        prop::collection::btree_set(("[a-c]{1,2}", 0..9).prop_map(|(t, p)| place(&t, p)), 0..9)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            owned in places(),
            generation in -1..9,
            rack in prop::option::of("[a-z]{0,3}"),
            user_data in prop::option::of(prop::collection::vec(any::<u8>(), 0..9)),
        ) {
            let topics = owned.iter().map(|place| place.topic.clone()).collect();
            let user_data = user_data.map(Bytes::from);
            let written = Subscription { topics, user_data, owned: owned.clone(), generation, rack };
            prop_assert_eq!(Subscription::decode(written.encode()), Some(written));
            prop_assert_eq!(decode_assignment(encode_assignment(&owned)), Some(owned.clone()));
            let sticky = decode_sticky(encode_sticky(&owned, generation));
            prop_assert_eq!(sticky, Some((owned, generation)));
        }

        #[test]
        fn any_bytes_are_read_safely(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            Subscription::decode(bytes.clone());
            decode_assignment(bytes.clone());
            decode_sticky(bytes);
        }
    }
}
