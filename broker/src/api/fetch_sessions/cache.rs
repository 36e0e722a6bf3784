//! All sessions of a broker: they are found by id, opened while there is room, and evicted.
//!
//! ```text
//!  begin(request)                                        end(answers)
//!   epoch -1   ── closes session id ──▶ Sessionless       all are sent
//!   epoch  0   ── closes session id ──▶ Opening           all are sent; a session is opened, if there
//!                                                         is room, which remembers what was sent
//!   epoch  n   ── session id awaits n ──▶ Incremental     those that changed are sent, if the session
//!                 now awaits n + 1                        still awaits n + 1
//! ```
//!
//! Between `begin` and `end` the partitions are read, which may take as long as the client waits.
//! Nothing is locked meanwhile: another request may use the session, close it, or take its slot. So
//! `end` checks the epoch again, and an answer that comes too late is an error.
//!
//! A full cache makes room for a new session by Kafka's rules: first the session that has been
//! unused for longest goes, if that is longer than `EVICTION_AGE_MIN`; otherwise the smallest of
//! those older than that, if it is smaller than the new one.
//!
//! Invariant: `partition_count` is the sum over all sessions, at most [`PARTITIONS_MAX`].

use std::collections::HashMap;
use std::time::Duration;

use brooklet_protocol::Monotonic;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::fetch_response::PartitionData;

use super::session::{INITIAL_EPOCH, Session, epoch_after};
use super::{Asked, Fetch, FetchKind, NO_SESSION, Naming, Reply, SessionRequest};

/// The epoch of a request that wants no session.
pub(super) const FINAL_EPOCH: i32 = -1;
/// A session younger than this is never evicted.
const EVICTION_AGE_MIN: Duration = Duration::from_secs(120);
/// The limit of partitions in all sessions together; Kafka has none.
pub(super) const PARTITIONS_MAX: usize = 1 << 20;

/// The sessions behind the lock.
#[derive(Debug)]
pub(super) struct SessionCache {
    slots: usize,
    random_state: u64,
    pub(super) sessions: HashMap<i32, Session>,
    /// The partitions of all sessions together.
    pub(super) partition_count: usize,
    pub(super) eviction_count: u64,
}

impl SessionCache {
    /// No sessions, and room for `slots`.
    pub(super) fn new(slots: usize, seed: u64) -> Self {
        Self {
            slots,
            random_state: seed,
            sessions: HashMap::new(),
            partition_count: 0,
            eviction_count: 0,
        }
    }

    /// What a request asks for: what it names, or all of its session.
    ///
    /// # Errors
    /// The session is unknown, awaits another request, or names topics the other way. On each of
    /// these the client starts over.
    pub(super) fn begin(
        &mut self,
        now: Monotonic,
        request: &SessionRequest<'_>,
    ) -> Result<Fetch, ErrorCode> {
        let kind = match request.epoch {
            FINAL_EPOCH => FetchKind::Sessionless,
            INITIAL_EPOCH => FetchKind::Opening(request.naming),
            _ => return self.resume(now, request),
        };
        self.remove(request.id);
        Ok(Fetch {
            asked: request.asked(),
            kind,
        })
    }

    /// Applies the next request of a session.
    fn resume(&mut self, now: Monotonic, request: &SessionRequest<'_>) -> Result<Fetch, ErrorCode> {
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
    ) -> Result<Reply, ErrorCode> {
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
                (id, session.take_changed(answers))
            }
        };
        Ok(Reply {
            session_id,
            is_sent,
        })
    }

    /// Opens a session for what was answered; returns [`NO_SESSION`] if there is no room.
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
        // A partition that is named twice is sent again.
        if session.partitions.len() == answers.len() {
            session.take_changed(answers);
        }
        self.partition_count += session.partitions.len();
        let id = self.id_next();
        self.sessions.insert(id, session);
        id
    }

    /// Frees a slot for a session of `size` partitions; returns whether there is one.
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

    /// An id that cannot be guessed from another, so that no client gets into a foreign session.
    fn id_next(&mut self) -> i32 {
        loop {
            // SplitMix64.
            self.random_state = self.random_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = self.random_state;
            bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let id = ((bits ^ (bits >> 31)) as i32) & i32::MAX;
            if id != NO_SESSION && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

/// Whether these may be remembered beside the `count` that already are.
fn fits(asked: &[Asked], count: usize) -> bool {
    count + asked.len() <= PARTITIONS_MAX && asked.iter().all(|asked| asked.topic.can_exist())
}
