//! Fetch sessions (KIP-227): the broker remembers what a client reads, so that requests say only
//! what changes, and answers carry only what has changed.
//!
//! ```text
//!  client                                     broker
//!  id 0, epoch 0, all partitions       ──▶    answers all; opens session 7, which awaits epoch 1
//!  id 7, epoch 1, what has changed     ──▶    reads all of the session, answers what has changed
//!  id 7, epoch 2, …                    ──▶    …
//!  id 7, epoch -1 (or 0)               ──▶    closes it, answers all that this request names (and opens another)
//! ```
//!
//! The epoch counts the requests of a session, so that a lost or repeated request is noticed, and
//! the client starts over. Epochs go from 1 to 2³¹−1 and then back to 1.
//!
//! A partition is in an answer when it has records or an error, and when its high watermark, last
//! stable offset or log start differ from those that were sent last. A partition that had records
//! moves behind all others: the size of an answer is limited, and so each partition gets its turn.
//!
//! Sessions belong to the broker, not to a connection. When all slots are taken, a new session
//! replaces one that has not been used for two minutes; failing that the smallest, if it is older
//! than two minutes and smaller than the new one; failing that none is opened, and the client gets
//! the id 0.
//!
//! Invariants: there are no more sessions than slots; they remember no more partitions than
//! `PARTITIONS_MAX`, whose topics have names that a topic can have, so that no client fills the
//! memory.
//!
//! Duties of the caller: each [`FetchSessions::begin`] that succeeds is followed by one
//! [`FetchSessions::end`] with an answer for each partition of the [`Fetch`], in its order.
//!
//! Pure: time is passed in, and randomness is a seed.

use brooklet_protocol::Monotonic;
use brooklet_protocol::messages::kafka::TopicName;
use brooklet_protocol::messages::kafka::fetch_request::{
    FetchPartition, FetchTopic, ForgottenTopic,
};
use brooklet_protocol::messages::kafka::fetch_response::PartitionData;
use brooklet_protocol::messages::{ErrorCode, StrBytes};
use parking_lot::Mutex;
use uuid::Uuid;

mod cache;

mod session;

#[cfg(test)]
mod tests;

use cache::SessionCache;

/// The id of no session.
pub(super) const NO_SESSION: i32 = 0;
/// The longest name that a topic can have.
const NAME_BYTES_MAX: usize = 249;

/// The sessions of a broker, for all its connections.
#[derive(Debug)]
pub struct FetchSessions {
    cache: Mutex<SessionCache>,
}

impl FetchSessions {
    /// No sessions, and at most `slots` of them; their ids follow from the seed.
    pub fn new(slots: usize, seed: u64) -> Self {
        Self {
            cache: Mutex::new(SessionCache::new(slots, seed)),
        }
    }

    /// How many there are.
    pub fn session_count(&self) -> usize {
        self.cache.lock().sessions.len()
    }

    /// How many partitions they remember together.
    pub fn partition_count(&self) -> usize {
        self.cache.lock().partition_count
    }

    /// How many were evicted for others since the start.
    pub fn eviction_count(&self) -> u64 {
        self.cache.lock().eviction_count
    }

    /// See [`SessionCache::begin`].
    pub(super) fn begin(
        &self,
        now: Monotonic,
        request: &SessionRequest<'_>,
    ) -> Result<Fetch, ErrorCode> {
        self.cache.lock().begin(now, request)
    }

    /// See [`SessionCache::end`].
    pub(super) fn end(
        &self,
        now: Monotonic,
        fetch: &Fetch,
        answers: &[PartitionData],
    ) -> Result<Reply, ErrorCode> {
        self.cache.lock().end(now, fetch, answers)
    }
}

/// A topic as requests name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum TopicKey {
    /// Up to version 12.
    Name(TopicName),
    /// From version 13 on.
    Id(Uuid),
}

/// How the requests of a session name topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    Names,
    Ids,
}

impl Naming {
    pub(super) fn of_version(version: i16) -> Self {
        if version < 13 { Self::Names } else { Self::Ids }
    }

    pub(super) fn of_topic(self, topic: &FetchTopic) -> TopicKey {
        self.key(&topic.topic, topic.topic_id)
    }

    fn key(self, name: &TopicName, id: Uuid) -> TopicKey {
        match self {
            Self::Names => TopicKey::Name(name.clone()),
            Self::Ids => TopicKey::Id(id),
        }
    }
}

impl TopicKey {
    fn can_exist(&self) -> bool {
        match self {
            Self::Name(name) => name.len() <= NAME_BYTES_MAX,
            Self::Id(_) => true,
        }
    }

    /// A copy that does not keep the request's frame in memory.
    fn detached(&self) -> Self {
        match self {
            Self::Name(name) => {
                Self::Name(TopicName(StrBytes::from_string(name.as_str().to_owned())))
            }
            Self::Id(id) => Self::Id(*id),
        }
    }
}

/// What a request asks of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) topic: TopicKey,
    pub(super) partition: i32,
    pub(super) leader_epoch: i32,
    pub(super) offset: i64,
    pub(super) bytes_max: i32,
}

impl Asked {
    fn new(topic: TopicKey, partition: &FetchPartition) -> Self {
        Self {
            topic,
            partition: partition.partition,
            leader_epoch: partition.current_leader_epoch,
            offset: partition.fetch_offset,
            bytes_max: partition.partition_max_bytes,
        }
    }
}

/// The part of a request that concerns its session.
#[derive(Debug)]
pub(super) struct SessionRequest<'a> {
    pub(super) naming: Naming,
    pub(super) id: i32,
    pub(super) epoch: i32,
    pub(super) topics: &'a [FetchTopic],
    pub(super) forgotten: &'a [ForgottenTopic],
}

impl SessionRequest<'_> {
    fn asked(&self) -> Vec<Asked> {
        let topics = self.topics.iter().flat_map(|topic| {
            let key = self.naming.of_topic(topic);
            let partitions = topic.partitions.iter();
            partitions.map(move |partition| Asked::new(key.clone(), partition))
        });
        topics.collect()
    }
}

/// What to read for a request, and how to answer it.
#[derive(Debug)]
pub(super) struct Fetch {
    /// In the order in which they are read and answered.
    pub(super) asked: Vec<Asked>,
    kind: FetchKind,
}

impl Fetch {
    /// Whether its answer opens a session, if there is room for one.
    pub(super) fn opens_session(&self) -> bool {
        matches!(self.kind, FetchKind::Opening(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FetchKind {
    /// Everything is answered.
    Sessionless,
    /// Everything is answered, and a session is opened.
    Opening(Naming),
    /// What has changed is answered, if the session still awaits this epoch.
    Incremental { id: i32, epoch_next: i32 },
}

/// Which of the answers are sent, and in which session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) session_id: i32,
    /// One entry for each partition that was read.
    pub(super) is_sent: Vec<bool>,
}
