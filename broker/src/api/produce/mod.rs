//! Produce (0), versions 3 to 13: appends record batches.
//!
//! ```text
//!   acks  0   appended; no response, and a failure closes the connection
//!         1   appended: in the page cache (survives kill -9), synced within a second
//!        -1   appended and synced ("all": with a single copy, only the disk counts)
//! ```
//!
//! For each partition these are checked, in this order: the topic (by name up to version 12, by id
//! from 13 on) and the partition exist; there is one batch in format 2, not larger than
//! `max.message.bytes`; its checksum, count and offsets are as a producer must set them; nothing
//! follows it; zstd only from version 7 on; a transactional batch only in a request with a
//! transactional id, and only if the coordinator knows of the partition ([`in_transaction`]). All
//! partitions are appended first, and then their syncs are awaited, so that the syncs overlap.
//!
//! A sync that outlasts the request's timeout is answered with REQUEST_TIMED_OUT; the records are
//! in the log nevertheless, as in Kafka.
//!
//! [`conversion`] walks the records, so that nothing is trusted that can be computed, and applies
//! the topic's settings. A batch that needs no change is stored byte for byte as it came.

use std::sync::Arc;
use std::time::Duration;

use brooklet_log::{Appended, LogConfig};
use brooklet_protocol::messages::kafka::ProduceRequest;
use brooklet_protocol::messages::kafka::ProduceResponse;
use brooklet_protocol::messages::kafka::produce_request::{PartitionProduceData, TopicProduceData};
use brooklet_protocol::messages::kafka::produce_response::{
    PartitionProduceResponse, TopicProduceResponse,
};
use brooklet_protocol::messages::{ErrorCode, Request, RequestKind, Response, ResponseKind};
use brooklet_protocol::records::{BatchError, Compression, RecordBatch};
use brooklet_protocol::{Monotonic, Offset, Timestamp};

mod conversion;
mod in_transaction;

pub use conversion::decompressed_bytes_max;
use conversion::{Converted, Refused, convert};
use in_transaction::{Held, Step};

use super::call::Call;
use super::context::ApiContext;
use super::error::ApiError;
use super::topics::{TopicRef, find_state, find_topic, served};
use super::traffic;
use crate::controller::{MetadataImage, Topic};
use crate::counters::Limit;
use crate::partition::{Durability, Partition, PartitionState, Unverified};

/// Whether the client does not wait for a response (`acks=0`).
pub fn expects_no_response(request: &Request) -> bool {
    matches!(&request.body, RequestKind::Produce(body) if body.acks == 0)
}

/// Whether any partition failed; a client that gets no response is disconnected then.
pub fn has_error(response: &Response) -> bool {
    let ResponseKind::Produce(response) = response else {
        return false;
    };
    let mut partitions = response
        .responses
        .iter()
        .flat_map(|t| &t.partition_responses);
    partitions.any(|partition| partition.error_code != 0)
}

pub(super) async fn handle(
    ctx: &ApiContext,
    Call {
        version, request, ..
    }: Call<ProduceRequest>,
) -> ProduceResponse {
    let image = ctx.controller.image();
    let producing = Producing {
        ctx,
        image: &image,
        version,
        durability: durability(ctx, request.acks),
        transactional_id: request.transactional_id.as_ref().map(|id| id.as_str()),
    };
    let topics = request.topic_data.into_iter();
    let mut appended: Vec<_> = topics.map(|topic| producing.append_topic(topic)).collect();
    producing.append_held(&mut appended).await;
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let deadline = Monotonic(ctx.clock.monotonic().0.saturating_add(timeout));
    let mut responses = Vec::with_capacity(appended.len());
    for (topic, partitions) in appended {
        let mut answers = Vec::with_capacity(partitions.len());
        for sent in partitions {
            let Step::Done(appended) = sent.step else {
                unreachable!("no batch is held any longer")
            };
            let committed = producing.commit(appended, deadline).await;
            if let Some(counted) = sent.counted {
                counted.count(ctx, committed.is_ok());
            }
            answers.push(answer(sent.index, committed));
        }
        responses.push(topic.with_partition_responses(answers));
    }
    ProduceResponse::default().with_responses(responses)
}

/// The durability that `acks` asks for.
fn durability(ctx: &ApiContext, acks: i16) -> Result<Durability, ApiError> {
    match acks {
        -1 if ctx.settings.acks_all_sync => Ok(Durability::Synced),
        -1..=1 => Ok(Durability::Written),
        _ => {
            let message = format!("acks is {acks}, expected 0, 1 or -1");
            Err(ApiError::new(ErrorCode::InvalidRequiredAcks, message))
        }
    }
}

/// A batch in the log, not yet committed.
struct Uncommitted {
    partition: Arc<Partition>,
    durability: Durability,
    base_offset: Offset,
    end: Offset,
    /// The broker's clock, if the records carry it.
    log_append_time: Option<Timestamp>,
}

type Outcome<T> = Result<T, ApiError>;
type Produced<T> = Result<T, Refused>;
/// A topic of the response, and the batches of its partitions.
type Appending = (TopicProduceResponse, Vec<Sent>);

/// A batch that was sent to a partition.
struct Sent {
    index: i32,
    /// Counts the batch; `None` if there is no open partition.
    counted: Option<traffic::Produced>,
    step: Step<Uncommitted>,
}

/// One request while it is processed.
struct Producing<'a> {
    ctx: &'a ApiContext,
    image: &'a MetadataImage,
    version: i16,
    durability: Outcome<Durability>,
    transactional_id: Option<&'a str>,
}

impl Producing<'_> {
    fn append_topic(&self, data: TopicProduceData) -> Appending {
        let topic_ref = match self.version {
            ..13 => TopicRef::Name(&data.name),
            13.. => TopicRef::Id(data.topic_id),
        };
        let topic = find_topic(self.image, topic_ref);
        let partitions = data
            .partition_data
            .into_iter()
            .map(|partition| match &topic {
                Ok(topic) => self.append_to(topic, &partition),
                Err(error) => Sent {
                    index: partition.index,
                    counted: None,
                    step: Step::Done(Err(error.clone().into())),
                },
            });
        let partitions = partitions.collect();
        let response = TopicProduceResponse::default()
            .with_name(data.name)
            .with_topic_id(data.topic_id);
        (response, partitions)
    }

    fn append_to(&self, topic: &Topic, data: &PartitionProduceData) -> Sent {
        let state = find_state(topic, data.index);
        let open = state.as_ref().ok().and_then(|state| state.open());
        let counted = open.map(|open| traffic::Produced::new(open, data.records.as_ref()));
        let step = self.append(topic, state, data);
        Sent {
            index: data.index,
            counted,
            step: step.unwrap_or_else(|error| Step::Done(Err(error))),
        }
    }

    fn append(
        &self,
        topic: &Topic,
        state: Outcome<&PartitionState>,
        data: &PartitionProduceData,
    ) -> Produced<Step<Uncommitted>> {
        let durability = self.durability.clone()?;
        if topic.is_internal {
            let message = format!(
                "topic '{}' is internal, clients cannot write to it",
                topic.name
            );
            return Err(ApiError::new(ErrorCode::InvalidTopicException, message).into());
        }
        let partition = served(state?)?;
        let config = partition.log().config();
        let batch = self.check(&config, data)?;
        let now = self.ctx.clock.wall();
        let Converted {
            batch,
            log_append_time,
        } = convert(batch, &config, now).inspect_err(|refused| {
            if refused.error.code == ErrorCode::MessageTooLarge {
                self.ctx.counters.rejected(Limit::DecompressedBytes);
            }
        })?;
        // Recompression may have made it larger.
        self.check_size(batch.bytes().len(), &config)?;
        let partition = Arc::clone(partition);
        if batch.header().is_transactional() {
            let held = Held {
                partition,
                batch,
                durability,
                log_append_time,
                unverified: Unverified(0),
            };
            return append_transactional(held, None);
        }
        let appended = partition.append_written(std::slice::from_ref(&batch));
        let appended = appended.map_err(ApiError::from)?;
        let appended = uncommitted(partition, durability, appended, log_append_time);
        Ok(Step::Done(Ok(appended)))
    }

    /// Appends the batches that wait for the coordinator, if it approves of them.
    async fn append_held(&self, topics: &mut [Appending]) {
        loop {
            let steps = topics.iter().flat_map(|(_, partitions)| partitions);
            let mut held = steps.filter_map(|sent| match &sent.step {
                Step::Held(held) => Some(held),
                Step::Done(_) => None,
            });
            let (Some(first), Some(id)) = (held.next(), self.transactional_id) else {
                return;
            };
            let held = std::iter::once(first).chain(held);
            let verified = in_transaction::verify(self.ctx, self.version, id, held).await;
            let steps = topics.iter_mut().flat_map(|(_, partitions)| partitions);
            for Sent { step, .. } in steps {
                let waiting = std::mem::replace(step, Step::Done(Err(not_asked().into())));
                *step = match waiting {
                    Step::Done(done) => Step::Done(done),
                    Step::Held(held) => {
                        let partition = held.partition.id();
                        let outcome = verified
                            .get(partition)
                            .cloned()
                            .unwrap_or_else(|| Err(not_asked()));
                        let asked_at = held.unverified;
                        let appended = outcome
                            .map_err(Refused::from)
                            .and_then(|()| append_transactional(held, Some(asked_at)));
                        appended.unwrap_or_else(|error| Step::Done(Err(error)))
                    }
                };
            }
        }
    }

    fn check_size(&self, size: usize, config: &LogConfig) -> Outcome<()> {
        let bytes_max = config.message_bytes_max;
        if size <= bytes_max {
            return Ok(());
        }
        self.ctx.counters.rejected(Limit::MessageBytes);
        let message = format!("record batch of {size} bytes exceeds max.message.bytes={bytes_max}");
        Err(ApiError::new(ErrorCode::MessageTooLarge, message))
    }

    /// Returns the one batch, if it may be appended.
    fn check(&self, config: &LogConfig, data: &PartitionProduceData) -> Outcome<RecordBatch> {
        let mut bytes = data.records.clone().unwrap_or_default();
        if bytes.is_empty() {
            return Err(invalid_record("no record batch, expected exactly one"));
        }
        let batch = RecordBatch::split_from(&mut bytes);
        if let Err(BatchError::Truncated { expected, .. }) = &batch {
            self.check_size(*expected, config)?;
        }
        let batch = batch?;
        self.check_size(batch.bytes().len(), config)?;
        batch.validate_for_produce()?;
        // Checked after the checksum, so that a wrong length is not taken for a second batch.
        if !bytes.is_empty() {
            return Err(invalid_record(
                "more than one record batch, expected exactly one",
            ));
        }
        if self.version < 7 && batch.header().compression()? == Compression::Zstd {
            let message = format!(
                "Produce version {} cannot carry zstd, expected version 7 or higher",
                self.version
            );
            return Err(ApiError::new(
                ErrorCode::UnsupportedCompressionType,
                message,
            ));
        }
        if batch.header().is_transactional() && self.transactional_id.is_none() {
            let message = "transactional batch in a request without a transactional id";
            let code = ErrorCode::TransactionalIdAuthorizationFailed;
            return Err(ApiError::new(code, message));
        }
        Ok(batch)
    }

    /// Waits for the durability that was asked for, at most until `deadline`.
    async fn commit(
        &self,
        appended: Produced<Uncommitted>,
        deadline: Monotonic,
    ) -> Produced<Uncommitted> {
        let appended = appended?;
        let commit = appended.partition.commit(appended.end, appended.durability);
        tokio::select! {
            biased;
            committed = commit => committed.map_err(ApiError::from)?,
            () = self.ctx.clock.sleep_until(deadline) => {
                let message = "the records are appended, but were not synced within the request's timeout";
                return Err(ApiError::new(ErrorCode::RequestTimedOut, message).into());
            }
        }
        Ok(appended)
    }
}

fn uncommitted(
    partition: Arc<Partition>,
    durability: Durability,
    appended: Appended,
    log_append_time: Option<Timestamp>,
) -> Uncommitted {
    let end = appended.last_offset.plus(1);
    if durability == Durability::Synced {
        partition.begin_commit(end);
    }
    Uncommitted {
        partition,
        durability,
        base_offset: appended.base_offset,
        end,
        log_append_time,
    }
}

/// Appends a transactional batch, unless the coordinator has to be asked first, or again.
fn append_transactional(
    held: Held,
    verified_at: Option<Unverified>,
) -> Produced<Step<Uncommitted>> {
    let appended = held
        .partition
        .append_transactional(&held.batch, verified_at);
    Ok(match appended.map_err(ApiError::from)? {
        Err(unverified) => Step::Held(Held { unverified, ..held }),
        Ok(appended) => Step::Done(Ok(uncommitted(
            held.partition,
            held.durability,
            appended,
            held.log_append_time,
        ))),
    })
}

fn not_asked() -> ApiError {
    ApiError::new(
        ErrorCode::UnknownServerError,
        "the transaction coordinator was not asked",
    )
}

fn invalid_record(message: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidRecord, message)
}

fn answer(index: i32, committed: Produced<Uncommitted>) -> PartitionProduceResponse {
    let response = PartitionProduceResponse::default()
        .with_index(index)
        .with_log_append_time_ms(-1);
    match committed {
        Ok(appended) => response
            .with_base_offset(appended.base_offset.0)
            .with_log_append_time_ms(appended.log_append_time.map_or(-1, |time| time.0))
            .with_log_start_offset(appended.partition.log_start_offset().0),
        Err(Refused { error, records }) => response
            .with_record_errors(records)
            .with_error_code(error.code.code())
            .with_error_message(error.message_bytes())
            .with_base_offset(-1)
            .with_log_start_offset(-1),
    }
}
