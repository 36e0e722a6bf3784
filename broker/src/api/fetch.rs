//! Fetch (1), versions 4 to 18: reads record batches, and waits for them.
//!
//! ```text
//!   read every partition ──▶ enough bytes, an error, or no time to wait? ──yes──▶ answer
//!          ▲                                   │ no
//!          └── a partition changed ◀── sleep ──┴──▶ max_wait_ms is over, or shutdown ──▶ read, answer
//! ```
//!
//! - Topics are named by name up to version 12, by id from 13 on.
//! - `max_bytes` and `partition_max_bytes` limit the response, except that the first partition that
//!   has data returns at least one whole batch, so that no consumer gets stuck. A fetch from the
//!   middle of a batch returns the whole batch.
//! - A fetch waits only while there are fewer than `min_bytes` and no partition has failed. A
//!   change wakes it; nothing is polled. If more is available than was read (beyond the end of a
//!   segment, say), it is answered at once.
//! - An offset outside the log is answered with OFFSET_OUT_OF_RANGE and the offsets of the log.
//! - Under read_committed the records end at the last stable offset, and the response lists the
//!   aborted transactions in them, for the client to filter (KIP-98).
//! - Records that may have to come from the disk are read on a thread that may block; those just
//!   written are read at once.
//! - `records` is never null, not even beside an error: clients stumble over it (KAFKA-18646).
//! - In an incremental session all of its partitions are read and those that changed are answered
//!   ([`super::fetch_sessions`]). It waits like any fetch; a change of offsets alone does not end
//!   the wait.
//!
//! Left out: followers, since a fetch with a replica's id is answered as a consumer's; diverging
//! epochs, since there is one leader forever.

use std::sync::Arc;
use std::time::Duration;

use brooklet_log::LogError;
use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::fetch_response::{
    AbortedTransaction, FetchableTopicResponse, PartitionData,
};
use brooklet_protocol::messages::kafka::{FetchRequest, FetchResponse};
use brooklet_protocol::{Isolation, Monotonic, Offset};
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::fetch_sessions::{Asked, Fetch, NO_SESSION, Naming, Reply, SessionRequest, TopicKey};
use super::response_memory::{Reservation, ResponseMemory};
use super::topics::{TopicRef, check_leader_epoch, find_state, find_topic, served};
use super::traffic::count_fetched;
use crate::controller::{MetadataImage, joined};
use crate::counters::Limit;
use crate::partition::{ChangeGuard, Partition, PartitionState};

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<FetchRequest>,
) -> FetchResponse {
    let session = SessionRequest {
        naming: Naming::of_version(version),
        id: request.session_id,
        epoch: request.session_epoch,
        topics: &request.topics,
        forgotten: &request.forgotten_topics_data,
    };
    let begun = ctx.fetch_sessions.begin(ctx.clock.monotonic(), &session);
    let fetch = match begun {
        Ok(fetch) => fetch,
        Err(code) => return FetchResponse::default().with_error_code(code.code()),
    };
    let fetching = Arc::new(Fetching::new(ctx, &request, fetch));
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Monotonic(ctx.clock.monotonic().0.saturating_add(wait));
    let answers = fetching.read_until(ctx, deadline).await;
    let now = ctx.clock.monotonic();
    match ctx.fetch_sessions.end(now, &fetching.fetch, &answers) {
        Ok(reply) => {
            let wanted = fetching.fetch.opens_session() && !answers.is_empty();
            if wanted && reply.session_id == NO_SESSION {
                ctx.counters.rejected(Limit::FetchSessions);
            }
            fetching.count(ctx, &reply, &answers);
            response(&fetching.fetch.asked, reply, answers)
        }
        Err(code) => FetchResponse::default().with_error_code(code.code()),
    }
}

/// The response with the answers that are sent. Neighbours of one topic share an entry.
fn response(asked: &[Asked], reply: Reply, answers: Vec<PartitionData>) -> FetchResponse {
    let mut topics: Vec<FetchableTopicResponse> = Vec::new();
    let mut topic_before: Option<&TopicKey> = None;
    let read = asked.iter().zip(answers).zip(reply.is_sent);
    for ((asked, answer), _) in read.filter(|(_, is_sent)| *is_sent) {
        match topics.last_mut() {
            Some(topic) if topic_before == Some(&asked.topic) => topic.partitions.push(answer),
            _ => topics.push(topic_response(&asked.topic).with_partitions(vec![answer])),
        }
        topic_before = Some(&asked.topic);
    }
    FetchResponse::default()
        .with_session_id(reply.session_id)
        .with_responses(topics)
}

fn topic_response(topic: &TopicKey) -> FetchableTopicResponse {
    let response = FetchableTopicResponse::default();
    match topic {
        TopicKey::Name(name) => response.with_topic(name.clone()),
        TopicKey::Id(id) => response.with_topic_id(*id),
    }
}

/// One request, with its partitions looked up.
struct Fetching {
    fetch: Fetch,
    /// One entry for each partition asked for.
    partitions: Vec<Outcome<Arc<Partition>>>,
    /// The same partitions if they are open, even those that may not be read: errors count, too.
    counted: Vec<Option<Arc<Partition>>>,
    bytes_max: usize,
    bytes_min: usize,
    isolation: Isolation,
    /// The memory for responses; `None` for a client within this process.
    memory: Option<Arc<ResponseMemory>>,
}

type Outcome<T> = Result<T, ApiError>;

/// The result of one pass over the partitions.
#[derive(Default)]
struct Pass {
    /// One entry for each partition asked for.
    answers: Vec<PartitionData>,
    bytes: usize,
    /// The limit of `bytes`, which only the first batch may exceed.
    bytes_max: usize,
    /// Whether waiting longer would not improve the response.
    complete: bool,
}

fn find<'a>(image: &'a MetadataImage, asked: &Asked) -> Outcome<&'a PartitionState> {
    let topic_ref = match &asked.topic {
        TopicKey::Name(name) => TopicRef::Name(name),
        TopicKey::Id(id) => TopicRef::Id(*id),
    };
    find_state(find_topic(image, topic_ref)?, asked.partition)
}

/// The partition, if it may be read.
fn readable(state: &PartitionState, asked: &Asked) -> Outcome<Arc<Partition>> {
    let partition = served(state)?;
    check_leader_epoch(partition, asked.leader_epoch)?;
    Ok(Arc::clone(partition))
}

impl Fetching {
    fn new(ctx: &ApiContext, request: &FetchRequest, fetch: Fetch) -> Self {
        let image = ctx.controller.image();
        let found = fetch.asked.iter().map(|asked| match find(&image, asked) {
            Ok(state) => (readable(state, asked), state.open().cloned()),
            Err(error) => (Err(error), None),
        });
        let (partitions, counted) = found.unzip();
        let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0);
        Self {
            partitions,
            counted,
            fetch,
            bytes_max: bytes_max.min(ctx.settings.fetch_max_bytes),
            bytes_min: usize::try_from(request.min_bytes).unwrap_or(0),
            isolation: Isolation::of_level(request.isolation_level),
            memory: ctx.peer.map(|_| Arc::clone(&ctx.response_memory)),
        }
    }

    /// Counts the answers that are sent.
    fn count(&self, ctx: &ApiContext, reply: &Reply, answers: &[PartitionData]) {
        let all = self.counted.iter().zip(answers).zip(&reply.is_sent);
        for ((partition, answer), _) in all.filter(|(_, is_sent)| **is_sent) {
            if let Some(partition) = partition {
                count_fetched(ctx, partition, answer);
            }
        }
    }

    /// Reads, and reads again at each change, until the response is complete or the time is up.
    async fn read_until(
        self: &Arc<Self>,
        ctx: &ApiContext,
        deadline: Monotonic,
    ) -> Vec<PartitionData> {
        let pass = self.pass().await;
        if pass.complete || ctx.clock.monotonic() >= deadline {
            return pass.answers;
        }
        let changed = Arc::new(Notify::new());
        let _registered = self.register(&changed);
        let mut time_is_up = ctx.clock.sleep_until(deadline);
        loop {
            // Read after registering: an earlier change is seen, a later one wakes.
            let pass = self.pass().await;
            if pass.complete {
                return pass.answers;
            }
            // It is read again for the response; until then the bytes need not be held.
            drop(pass);
            tokio::select! {
                () = changed.notified() => {}
                () = &mut time_is_up => return self.pass().await.answers,
                () = ctx.shut_down() => return self.pass().await.answers,
            }
        }
    }

    fn register(&self, changed: &Arc<Notify>) -> Vec<ChangeGuard> {
        let found = self.partitions.iter().flatten();
        found.map(|p| p.notify_on_change(changed)).collect()
    }

    /// Reads every partition once, on a thread that may block if one has to wait for the disk.
    async fn pass(self: &Arc<Self>) -> Pass {
        if !self.may_block() {
            return self.read_all();
        }
        let fetching = Arc::clone(self);
        joined(spawn_blocking(move || fetching.read_all()).await)
    }

    fn may_block(&self) -> bool {
        let mut asked = self.fetch.asked.iter().zip(&self.partitions);
        asked.any(|(asked, partition)| {
            let from = Offset(asked.offset);
            let may_block = |p: &Arc<Partition>| p.read_may_block(from, self.isolation);
            partition.as_ref().is_ok_and(may_block)
        })
    }

    fn read_all(&self) -> Pass {
        let reservation = self.reserve();
        let mut pass = Pass {
            bytes_max: (reservation.as_ref()).map_or(self.bytes_max, Reservation::bytes),
            ..Pass::default()
        };
        for (asked, partition) in self.fetch.asked.iter().zip(&self.partitions) {
            let answer = self.read(asked, partition, &mut pass);
            pass.answers.push(answer);
        }
        pass.complete |= pass.answers.is_empty() || pass.bytes >= self.bytes_min;
        if let Some(reservation) = reservation {
            let records = pass.answers.iter_mut();
            reservation.bind(
                records
                    .filter_map(|answer| answer.records.as_mut())
                    .collect(),
            );
        }
        pass
    }

    /// Reserves memory for as much as the client asks for, or for as much as is free.
    fn reserve(&self) -> Option<Reservation> {
        let memory = self.memory.as_ref()?;
        let asked = self.fetch.asked.iter();
        let wanted = asked.fold(0_usize, |sum, asked| {
            sum.saturating_add(usize::try_from(asked.bytes_max).unwrap_or(0))
        });
        Some(memory.reserve(wanted.min(self.bytes_max)))
    }

    fn read(
        &self,
        asked: &Asked,
        partition: &Outcome<Arc<Partition>>,
        pass: &mut Pass,
    ) -> PartitionData {
        let read = partition.clone().and_then(|partition| {
            let room = pass.bytes_max.saturating_sub(pass.bytes);
            let bytes_max = room.min(usize::try_from(asked.bytes_max).unwrap_or(0));
            let from = Offset(asked.offset);
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
                // More is there than was read: waiting would add nothing.
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
        let read = partition.read(from, self.isolation, bytes_max, at_least_one)?;
        let next = (!read.is_empty()).then_some(read.next_offset);
        // Null unless the client asked for committed records only.
        let aborted = match (self.isolation, next) {
            (Isolation::ReadUncommitted, _) => None,
            (Isolation::ReadCommitted, None) => Some(Vec::new()),
            (Isolation::ReadCommitted, Some(next)) => {
                let aborted = partition.log().aborted_transactions(from, next)?;
                Some(aborted.into_iter().map(to_wire).collect())
            }
        };
        Ok(Read {
            records: read.bytes,
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

/// Records that were read from a partition.
struct Read {
    records: Bytes,
    aborted: Option<Vec<AbortedTransaction>>,
    /// The offset after the last record, if there is one.
    next: Option<Offset>,
}

fn to_wire(aborted: brooklet_log::AbortedTransaction) -> AbortedTransaction {
    AbortedTransaction::default()
        .with_producer_id(aborted.producer_id.0.into())
        .with_first_offset(aborted.first_offset.0)
}

/// Logs errors of the disk, each once in a while. The client gets only a code, and retries; the
/// file and the position are for the operator.
fn report(partition: &Partition, error: &LogError) {
    match error {
        LogError::Corrupt { .. } | LogError::Unreadable { .. } | LogError::Io { .. } => {
            let message = error.to_string();
            if partition.is_news(&message) {
                tracing::error!("{}: cannot read the partition: {message}", partition.id());
            }
        }
        // Reported when they happened, intended, or the client's mistake.
        LogError::NotSynced { .. }
        | LogError::Offline { .. }
        | LogError::Closed { .. }
        | LogError::OffsetOutOfRange { .. }
        | LogError::Producer(_) => {}
    }
}
