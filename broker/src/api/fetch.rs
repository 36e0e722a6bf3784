//! Fetch (1), versions 4 to 18: reads record batches, and waits for them.
//!
//! ```text
//!   read every partition ──▶ enough bytes, an error, or no time to wait? ──yes──▶ answer
//!          ▲                                   │ no
//!          └── a partition changed ◀── sleep ──┴──▶ max_wait_ms is over, or shutdown ──▶ read, answer
//! ```
//!
//! - Topics by name up to version 12, by id from 13 on.
//! - `max_bytes` and `partition_max_bytes` bound the answer, except that the first partition that
//!   has anything gives at least one whole batch, so that no consumer gets stuck. A fetch from the
//!   middle of a batch gets the whole batch.
//! - It sleeps only while fewer than `min_bytes` are there and no partition failed. A change wakes
//!   it; nothing is polled. An answer that stops short of what is there (at a segment's end, say)
//!   is given at once.
//! - An offset outside of the log answers OFFSET_OUT_OF_RANGE, with the offsets the log has.
//! - Under read_committed it ends at the last stable offset, and lists the aborted transactions whose
//!   records are in the answer, for the client to leave out (KIP-98).
//! - What may have to come from the disk is read on a thread that may wait for it; what was just
//!   written is read right here, without a hop.
//! - `records` is never null, also beside an error: clients trip on it (KAFKA-18646).
//!
//! Left out: incremental sessions (KIP-227). A request to open one gets a full answer with session
//! 0, which tells the client that there is none; a session that we do not know, FETCH_SESSION_ID_NOT_FOUND.
//! Followers: a fetch with a replica's id is answered as a consumer's. Diverging epochs: with one
//! leader for ever there are none.

use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::Offset;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::fetch_request::{FetchPartition, FetchTopic};
use brooklet_protocol::messages::kafka::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use brooklet_protocol::messages::kafka::{FetchRequest, FetchResponse};
use brooklet_protocol::records::Batches;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::context::ApiContext;
use super::error::ApiError;
use super::topics::{TopicRef, check_leader_epoch, find_partition, find_topic};
use crate::clock::Monotonic;
use crate::controller::joined;
use crate::log::{self, LogError};
use crate::partition::{ChangeGuard, Isolation, Partition};

/// The session epochs of a full fetch: "open a session", and "none".
const FULL_FETCH_EPOCHS: [i32; 2] = [0, -1];

pub(super) async fn handle(ctx: &ApiContext, version: i16, request: FetchRequest) -> FetchResponse {
    if !FULL_FETCH_EPOCHS.contains(&request.session_epoch) {
        let code = ErrorCode::FetchSessionIdNotFound.code();
        return FetchResponse::default().with_error_code(code);
    }
    let fetching = Arc::new(Fetching::new(ctx, version, &request));
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Monotonic(ctx.clock.monotonic().0.saturating_add(wait));
    let responses = fetching.read_until(ctx, deadline).await;
    FetchResponse::default().with_responses(responses)
}

/// One request, its partitions found.
struct Fetching {
    topics: Vec<(FetchTopic, Vec<Outcome<Arc<Partition>>>)>,
    bytes_max: usize,
    bytes_min: usize,
    isolation: Isolation,
}

type Outcome<T> = Result<T, ApiError>;

/// What one pass over the partitions has found.
#[derive(Default)]
struct Pass {
    responses: Vec<FetchableTopicResponse>,
    bytes: usize,
    /// Waiting longer would not give a better answer.
    complete: bool,
}

impl Fetching {
    fn new(ctx: &ApiContext, version: i16, request: &FetchRequest) -> Self {
        let image = ctx.controller.image();
        let topics = request.topics.iter().map(|topic| {
            let topic_ref = match version {
                ..13 => TopicRef::Name(&topic.topic),
                13.. => TopicRef::Id(topic.topic_id),
            };
            let found = find_topic(&image, topic_ref);
            let partitions = topic.partitions.iter().map(|asked| {
                let topic = found.as_ref().map_err(ApiError::clone)?;
                let partition = find_partition(topic, asked.partition)?;
                check_leader_epoch(partition, asked.current_leader_epoch)?;
                Ok(Arc::clone(partition))
            });
            (topic.clone(), partitions.collect())
        });
        let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0);
        Self {
            topics: topics.collect(),
            bytes_max: bytes_max.min(ctx.settings.fetch_max_bytes),
            bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
            isolation: Isolation::of_level(request.isolation_level),
        }
    }

    /// Reads, and reads again at each change, until the answer is good or time is up.
    async fn read_until(
        self: &Arc<Self>,
        ctx: &ApiContext,
        deadline: Monotonic,
    ) -> Vec<FetchableTopicResponse> {
        let pass = self.pass().await;
        if pass.complete || ctx.clock.monotonic() >= deadline {
            return pass.responses;
        }
        let changed = Arc::new(Notify::new());
        let _registered = self.register(&changed);
        let mut time_is_up = ctx.clock.sleep_until(deadline);
        loop {
            // Read after registering: what came before is seen, what comes later wakes.
            let pass = self.pass().await;
            if pass.complete {
                return pass.responses;
            }
            // Read again when it is answered: meanwhile nobody needs to hold the bytes.
            drop(pass);
            tokio::select! {
                () = changed.notified() => {}
                () = &mut time_is_up => return self.pass().await.responses,
                () = ctx.shut_down() => return self.pass().await.responses,
            }
        }
    }

    fn register(&self, changed: &Arc<Notify>) -> Vec<ChangeGuard> {
        let partitions = self.topics.iter().flat_map(|(_, found)| found).flatten();
        partitions.map(|p| p.notify_on_change(changed)).collect()
    }

    /// Reads every partition once, on a thread that may wait for the disk if one has to.
    async fn pass(self: &Arc<Self>) -> Pass {
        if !self.may_block() {
            return self.read_all();
        }
        let fetching = Arc::clone(self);
        joined(spawn_blocking(move || fetching.read_all()).await)
    }

    fn may_block(&self) -> bool {
        let mut asked = self.topics.iter().flat_map(|(topic, partitions)| {
            let offsets = topic
                .partitions
                .iter()
                .map(|asked| Offset(asked.fetch_offset));
            offsets.zip(partitions)
        });
        asked.any(|(from, partition)| {
            let may_block = |p: &Arc<Partition>| p.read_may_block(from, self.isolation);
            partition.as_ref().is_ok_and(may_block)
        })
    }

    fn read_all(&self) -> Pass {
        let mut pass = Pass::default();
        let mut is_empty = true;
        for (topic, partitions) in &self.topics {
            let mut answers = Vec::with_capacity(partitions.len());
            for (asked, partition) in topic.partitions.iter().zip(partitions) {
                is_empty = false;
                answers.push(self.read(asked, partition, &mut pass));
            }
            let response = FetchableTopicResponse::default()
                .with_topic(topic.topic.clone())
                .with_topic_id(topic.topic_id)
                .with_partitions(answers);
            pass.responses.push(response);
        }
        pass.complete |= is_empty || pass.bytes >= self.bytes_min;
        pass
    }

    fn read(
        &self,
        asked: &FetchPartition,
        partition: &Outcome<Arc<Partition>>,
        pass: &mut Pass,
    ) -> PartitionData {
        let read = partition.clone().and_then(|partition| {
            let room = self.bytes_max.saturating_sub(pass.bytes);
            let bytes_max = room.min(usize::try_from(asked.partition_max_bytes).unwrap_or(0));
            let from = Offset(asked.fetch_offset);
            let read = self.read_records(&partition, from, (bytes_max, pass.bytes == 0));
            let read = read.inspect_err(|error| report(&partition, error))?;
            Ok((partition, read))
        });
        let answer = PartitionData::default().with_partition_index(asked.partition);
        match read {
            Ok((
                partition,
                Read {
                    records,
                    aborted,
                    next,
                },
            )) => {
                pass.bytes += records.len();
                // Waiting for more than was read would be waiting for nothing.
                let stops_short = next.is_some_and(|next| next < partition.end_for(self.isolation));
                pass.complete |= pass.bytes < self.bytes_min && stops_short;
                self.with_offsets(answer, &partition)
                    .with_aborted_transactions(aborted)
                    .with_records(Some(records))
            }
            Err(error) => {
                pass.complete = true;
                let answer = answer.with_error_code(error.code.code());
                match partition {
                    Ok(partition) if error.code == ErrorCode::OffsetOutOfRange => {
                        self.with_offsets(answer, partition)
                    }
                    Ok(_) | Err(_) => answer.with_high_watermark(-1),
                }
            }
        }
    }

    fn read_records(
        &self,
        partition: &Partition,
        from: Offset,
        (bytes_max, at_least_one): (usize, bool),
    ) -> Result<Read, LogError> {
        let records = partition.read(from, self.isolation, bytes_max, at_least_one)?;
        let last = Batches(records.clone()).map_while(Result::ok).last();
        let next = last.map(|last| last.header().next_offset());
        // Null to whoever did not ask for committed records only.
        let aborted = match (self.isolation, next) {
            (Isolation::ReadUncommitted, _) => None,
            (Isolation::ReadCommitted, None) => Some(Vec::new()),
            (Isolation::ReadCommitted, Some(next)) => {
                let aborted = partition.log().aborted_transactions(from, next)?;
                Some(aborted.into_iter().map(to_wire).collect())
            }
        };
        Ok(Read {
            records,
            aborted,
            next,
        })
    }

    fn with_offsets(&self, answer: PartitionData, partition: &Partition) -> PartitionData {
        let is_committed = self.isolation == Isolation::ReadCommitted;
        answer
            .with_high_watermark(partition.high_watermark().0)
            .with_last_stable_offset(partition.last_stable_offset().0)
            .with_log_start_offset(partition.log_start_offset().0)
            .with_aborted_transactions(is_committed.then(Vec::new))
    }
}

/// What was read of a partition.
struct Read {
    records: Bytes,
    aborted: Option<Vec<AbortedTransaction>>,
    /// The offset behind the last record, if there is one.
    next: Option<Offset>,
}

fn to_wire(aborted: log::AbortedTransaction) -> AbortedTransaction {
    AbortedTransaction::default()
        .with_producer_id(aborted.producer_id.0.into())
        .with_first_offset(aborted.first_offset.0)
}

/// The client learns only a code; file and position are for whoever owns the disk.
fn report(partition: &Partition, error: &LogError) {
    let partition = partition.id();
    match error {
        LogError::Corrupt { .. } | LogError::Io { .. } => {
            tracing::error!("{partition}: cannot be read: {error}");
        }
        // Was reported when it happened; and a client's mistake.
        LogError::Offline { .. } | LogError::OffsetOutOfRange { .. } | LogError::Producer(_) => {}
    }
}
