//! Fetch sessions (KIP-227): what a client reads is remembered, so that it says only what changes and
//! is told only what has changed.
//!
//! ```text
//!  client                                     broker
//!  id 0, epoch 0, all partitions       ──▶    answers all; opens session 7, which awaits epoch 1
//!  id 7, epoch 1, what has changed     ──▶    reads all of the session, answers what has changed
//!  id 7, epoch 2, …                    ──▶    …
//!  id 7, epoch -1 (or 0)               ──▶    closes it, answers all that this request names (and opens another)
//! ```
//!
//! A session is its own check: the epoch counts its requests, so that a request that was lost, or came
//! twice, is noticed and the client begins anew. Epochs go from 1 to 2³¹−1 and then to 1 again.
//!
//! A partition is in an answer when it has records or an error, and when its high watermark, last
//! stable offset or log start are not those that the client was told last. One that has given records
//! goes behind all others: answers have a size, and so each partition gets its turn.
//!
//! Sessions belong to the broker, not to a connection. When all slots are taken, a new session takes
//! the place of one that nobody has used for two minutes; or else of the smallest, if that is older than
//! two minutes and smaller than the new one; or there is none, which a client is told by the id 0.
//!
//! Invariants: no more sessions than slots; no more remembered partitions than [`PARTITIONS_MAX`], whose
//! topics have names that a topic can have, so that no client fills the memory.
//!
//! Pure: time is passed in, and chance is a seed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use brooklet_protocol::Monotonic;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::StrBytes;
use brooklet_protocol::messages::kafka::TopicName;
use brooklet_protocol::messages::kafka::fetch_request::{
    FetchPartition, FetchTopic, ForgottenTopic,
};
use brooklet_protocol::messages::kafka::fetch_response::PartitionData;
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// The epoch of a request that opens a session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that wants none.
const FINAL_EPOCH: i32 = -1;
/// The id of no session.
pub(super) const NO_SESSION: i32 = 0;
/// For so long a session keeps its slot whoever else comes, unless its client closes it.
const EVICTION_AGE_MIN: Duration = Duration::from_secs(120);
/// The most partitions in all sessions together; not in Kafka.
const PARTITIONS_MAX: usize = 1 << 20;
/// The longest name that a topic can have.
const NAME_BYTES_MAX: usize = 249;

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

/// What is asked of one partition.
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

/// What a request says of sessions.
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

/// What is to be read for a request, and how its answer is made.
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
    /// All is answered.
    Sessionless,
    /// All is answered, and a session is opened.
    Opening(Naming),
    /// What has changed is answered, if the session awaits this epoch then.
    Incremental { id: i32, epoch_next: i32 },
}

/// Which of the answers are sent, and in which session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) session_id: i32,
    /// One for each partition that was read.
    pub(super) is_sent: Vec<bool>,
}

/// All sessions of a broker.
#[derive(Debug)]
pub(super) struct SessionCache {
    slots: usize,
    chance: u64,
    sessions: HashMap<i32, Session>,
    /// In all sessions together.
    partition_count: usize,
    eviction_count: u64,
}

#[derive(Debug)]
struct Session {
    naming: Naming,
    /// Of the request that it awaits.
    epoch: i32,
    created: Monotonic,
    last_used: Monotonic,
    /// The partitions in their order, by places that only grow.
    partitions: BTreeMap<u64, Remembered>,
    places: HashMap<(TopicKey, i32), u64>,
    place_next: u64,
}

#[derive(Debug)]
struct Remembered {
    asked: Asked,
    /// `None` where the client has not been told, or was told of an error.
    told: Option<Offsets>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offsets {
    high_watermark: i64,
    last_stable: i64,
    log_start: i64,
}

impl Offsets {
    /// Those of an answer; none beside an error.
    fn of(answer: &PartitionData) -> Option<Self> {
        (answer.error_code == 0).then_some(Self {
            high_watermark: answer.high_watermark,
            last_stable: answer.last_stable_offset,
            log_start: answer.log_start_offset,
        })
    }
}

impl SessionCache {
    /// No sessions, and room for so many.
    pub(super) fn new(slots: usize, seed: u64) -> Self {
        Self {
            slots,
            chance: seed,
            sessions: HashMap::new(),
            partition_count: 0,
            eviction_count: 0,
        }
    }

    pub(super) fn session_count(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn partition_count(&self) -> usize {
        self.partition_count
    }

    pub(super) fn eviction_count(&self) -> u64 {
        self.eviction_count
    }

    /// What a request asks for: what it names, or all of its session.
    ///
    /// # Errors
    /// The session is unknown, awaits another request, or names topics in the other way. The client
    /// begins anew upon each.
    pub(super) fn begin(
        &mut self,
        now: Monotonic,
        request: &SessionRequest<'_>,
    ) -> Result<Fetch, ErrorCode> {
        let kind = match request.epoch {
            FINAL_EPOCH => FetchKind::Sessionless,
            INITIAL_EPOCH => FetchKind::Opening(request.naming),
            _ => return self.go_on(now, request),
        };
        self.remove(request.id);
        Ok(Fetch {
            asked: request.asked(),
            kind,
        })
    }

    /// The next request of a session.
    fn go_on(&mut self, now: Monotonic, request: &SessionRequest<'_>) -> Result<Fetch, ErrorCode> {
        let (id, count) = (request.id, self.partition_count);
        let session = self.sessions.get_mut(&id);
        let session = session.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != request.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.naming != request.naming {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        let asked = request.asked();
        if !fits(&asked, count) {
            self.remove(id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        let others = count - session.partitions.len();
        session.remember(&asked);
        session.forget(request);
        self.partition_count = others + session.partitions.len();
        if session.partitions.is_empty() {
            self.remove(id);
            let kind = FetchKind::Sessionless;
            return Ok(Fetch { asked, kind });
        }
        session.last_used = now;
        session.epoch = epoch_after(session.epoch);
        let partitions = session.partitions.values();
        Ok(Fetch {
            asked: partitions
                .map(|remembered| remembered.asked.clone())
                .collect(),
            kind: FetchKind::Incremental {
                id,
                epoch_next: session.epoch,
            },
        })
    }

    /// Which of the answers, one for each partition asked, are sent.
    ///
    /// # Errors
    /// The session was closed, or used by another request, since [`SessionCache::begin`].
    pub(super) fn end(
        &mut self,
        now: Monotonic,
        fetch: &Fetch,
        answers: &[PartitionData],
    ) -> Result<Told, ErrorCode> {
        let (session_id, is_sent) = match fetch.kind {
            FetchKind::Sessionless => (NO_SESSION, vec![true; answers.len()]),
            FetchKind::Opening(naming) => {
                let id = self.open(now, naming, &fetch.asked, answers);
                (id, vec![true; answers.len()])
            }
            FetchKind::Incremental { id, epoch_next } => {
                let session = self.sessions.get_mut(&id);
                let session = session.ok_or(ErrorCode::FetchSessionIdNotFound)?;
                if session.epoch != epoch_next {
                    return Err(ErrorCode::InvalidFetchSessionEpoch);
                }
                (id, session.tell(answers))
            }
        };
        Ok(Told {
            session_id,
            is_sent,
        })
    }

    /// Opens a session of what was answered; [`NO_SESSION`] where there is no room.
    fn open(
        &mut self,
        now: Monotonic,
        naming: Naming,
        asked: &[Asked],
        answers: &[PartitionData],
    ) -> i32 {
        if !fits(asked, self.partition_count) || !self.make_room(now, asked.len()) {
            return NO_SESSION;
        }
        let mut session = Session::new(now, naming);
        session.remember(asked);
        // Who names a partition twice is told of it again.
        if session.partitions.len() == answers.len() {
            session.tell(answers);
        }
        self.partition_count += session.partitions.len();
        let id = self.id_next();
        self.sessions.insert(id, session);
        id
    }

    /// Frees a slot for a session of so many partitions, if one is to be had.
    fn make_room(&mut self, now: Monotonic, size: usize) -> bool {
        if self.sessions.len() < self.slots {
            return true;
        }
        let is_long = |since: Monotonic| now.0.saturating_sub(since.0) > EVICTION_AGE_MIN;
        let stalest = self
            .sessions
            .iter()
            .min_by_key(|(id, s)| (s.last_used, **id));
        let stale = stalest.filter(|(_, session)| is_long(session.last_used));
        let smallest = || {
            let old = self.sessions.iter().filter(|(_, s)| is_long(s.created));
            let smallest = old.min_by_key(|(id, s)| (s.partitions.len(), **id));
            smallest.filter(|(_, session)| session.partitions.len() < size)
        };
        let Some(id) = stale.or_else(smallest).map(|(id, _)| *id) else {
            return false;
        };
        self.remove(id);
        self.eviction_count += 1;
        true
    }

    fn remove(&mut self, id: i32) {
        if let Some(session) = self.sessions.remove(&id) {
            self.partition_count -= session.partitions.len();
        }
    }

    /// An id that cannot be guessed from another one, so that no client strays into a session.
    fn id_next(&mut self) -> i32 {
        loop {
            // SplitMix64.
            self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = self.chance;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let id = ((bits ^ (bits >> 31)) as i32) & i32::MAX;
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

/// Whether these may be remembered beside the `count` that are.
fn fits(asked: &[Asked], count: usize) -> bool {
    count + asked.len() <= PARTITIONS_MAX && asked.iter().all(|asked| asked.topic.can_exist())
}

fn epoch_after(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

impl Session {
    fn new(now: Monotonic, naming: Naming) -> Self {
        Self {
            naming,
            epoch: epoch_after(INITIAL_EPOCH),
            created: now,
            last_used: now,
            partitions: BTreeMap::new(),
            places: HashMap::new(),
            place_next: 0,
        }
    }

    fn forget(&mut self, request: &SessionRequest<'_>) {
        for topic in request.forgotten {
            let key = request.naming.key(&topic.topic, topic.topic_id);
            for partition in &topic.partitions {
                if let Some(place) = self.places.remove(&(key.clone(), *partition)) {
                    self.partitions.remove(&place);
                }
            }
        }
    }

    /// Takes what is asked; a partition that is known keeps its place.
    fn remember(&mut self, asked: &[Asked]) {
        // The partitions of a topic share one copy of its name.
        let mut topic: Option<TopicKey> = None;
        for asked in asked {
            let key = match &topic {
                Some(key) if *key == asked.topic => key.clone(),
                _ => topic.insert(asked.topic.detached()).clone(),
            };
            let asked = Asked {
                topic: key.clone(),
                ..asked.clone()
            };
            let known = self.places.get(&(key.clone(), asked.partition));
            match known.and_then(|place| self.partitions.get_mut(place)) {
                Some(remembered) => remembered.asked = asked,
                None => self.append(Remembered { asked, told: None }),
            }
        }
    }

    /// Puts a partition behind all others.
    fn append(&mut self, remembered: Remembered) {
        let (place, asked) = (self.place_next, &remembered.asked);
        let key = (asked.topic.clone(), asked.partition);
        self.places.insert(key, place);
        self.partitions.insert(place, remembered);
        self.place_next += 1;
    }

    /// Which partitions, in their order, the client has to be told of; then it has been.
    fn tell(&mut self, answers: &[PartitionData]) -> Vec<bool> {
        let mut with_records = Vec::new();
        let all = self.partitions.iter_mut().zip(answers);
        let is_sent = all.map(|((place, remembered), answer)| {
            let has_records = answer.records.as_ref().is_some_and(|r| !r.is_empty());
            let offsets = Offsets::of(answer);
            let has_changed = offsets.is_none() || offsets != remembered.told;
            remembered.told = offsets;
            with_records.extend(has_records.then_some(*place));
            has_records || has_changed
        });
        let is_sent = is_sent.collect();
        for place in with_records {
            if let Some(remembered) = self.partitions.remove(&place) {
                self.append(remembered);
            }
        }
        is_sent
    }
}
