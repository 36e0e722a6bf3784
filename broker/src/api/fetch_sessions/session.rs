//! One fetch session: its partitions in their order, and what the client knows of them.

use std::collections::{BTreeMap, HashMap};

use brooklet_protocol::Monotonic;
use brooklet_protocol::messages::kafka::fetch_response::PartitionData;

use super::{Asked, Naming, SessionRequest, TopicKey};

/// The epoch of a request that opens a session.
pub(super) const INITIAL_EPOCH: i32 = 0;

/// One session. Partitions are read in the order of their positions, which only grow.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) naming: Naming,
    /// The epoch of the request that it awaits.
    pub(super) epoch: i32,
    pub(super) created: Monotonic,
    pub(super) last_used: Monotonic,
    /// The partitions by position.
    pub(super) partitions: BTreeMap<u64, Remembered>,
    positions: HashMap<(TopicKey, i32), u64>,
    position_next: u64,
}

/// What a session remembers of a partition.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) asked: Asked,
    /// What was sent last; `None` if nothing was, or an error.
    sent: Option<Offsets>,
}

/// The offsets in an answer, a change of which is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offsets {
    high_watermark: i64,
    last_stable: i64,
    log_start: i64,
}

impl Offsets {
    /// Those of an answer; `None` for an error.
    pub(super) fn of(answer: &PartitionData) -> Option<Self> {
        (answer.error_code == 0).then_some(Self {
            high_watermark: answer.high_watermark,
            last_stable: answer.last_stable_offset,
            log_start: answer.log_start_offset,
        })
    }
}

impl Session {
    pub(super) fn new(now: Monotonic, naming: Naming) -> Self {
        Self {
            naming,
            epoch: epoch_after(INITIAL_EPOCH),
            created: now,
            last_used: now,
            partitions: BTreeMap::new(),
            positions: HashMap::new(),
            position_next: 0,
        }
    }

    /// Drops the partitions that the request no longer wants.
    pub(super) fn forget(&mut self, request: &SessionRequest<'_>) {
        for topic in request.forgotten {
            let key = request.naming.key(&topic.topic, topic.topic_id);
            for partition in &topic.partitions {
                if let Some(position) = self.positions.remove(&(key.clone(), *partition)) {
                    self.partitions.remove(&position);
                }
            }
        }
    }

    /// Takes over what is asked; a partition that is known keeps its position.
    pub(super) fn remember(&mut self, asked: &[Asked]) {
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
            let known = self.positions.get(&(key.clone(), asked.partition));
            match known.and_then(|position| self.partitions.get_mut(position)) {
                Some(remembered) => remembered.asked = asked,
                None => self.append(Remembered { asked, sent: None }),
            }
        }
    }

    /// Puts a partition behind all others.
    fn append(&mut self, remembered: Remembered) {
        let (position, asked) = (self.position_next, &remembered.asked);
        let key = (asked.topic.clone(), asked.partition);
        self.positions.insert(key, position);
        self.partitions.insert(position, remembered);
        self.position_next += 1;
    }

    /// Returns which of the answers have to be sent, and remembers them as sent.
    pub(super) fn take_changed(&mut self, answers: &[PartitionData]) -> Vec<bool> {
        let mut with_records = Vec::new();
        let all = self.partitions.iter_mut().zip(answers);
        let is_sent = all.map(|((position, remembered), answer)| {
            let has_records = answer.records.as_ref().is_some_and(|r| !r.is_empty());
            let offsets = Offsets::of(answer);
            let has_changed = offsets.is_none() || offsets != remembered.sent;
            remembered.sent = offsets;
            with_records.extend(has_records.then_some(*position));
            has_records || has_changed
        });
        let is_sent = is_sent.collect();
        for position in with_records {
            if let Some(remembered) = self.partitions.remove(&position) {
                self.append(remembered);
            }
        }
        is_sent
    }
}

/// The epoch of the next request.
pub(super) fn epoch_after(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}
