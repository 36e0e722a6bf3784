//! Asking the leaders of partitions, each for its own, for one offset per partition.
//!
//! ```text
//!  t-0 t-1 t-2 ─▶ by leader ─▶ broker 1: t-0 t-2 ─▶ t-0 = 7, t-2 = 9
//!       ▲                  └─▶ broker 2: t-1     ─▶ "not the leader"
//!       └── a pause, a new look at the metadata ◀── t-1
//! ```
//!
//! Partitions that cannot be answered yet (the leader has moved) are asked for again; what the
//! others have answered is kept. So what is asked here must do no harm twice.

use std::collections::{BTreeMap, HashMap};

use brooklet_protocol::messages::{ErrorCode, kafka};
use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};

use super::backoff::Attempts;
use super::calls::Call;
use super::{Client, ClientError, MissingTopic};
use crate::transport::Node;

/// Offsets found, by partition.
pub(super) type Found = BTreeMap<TopicPartition, Offset>;

/// A leader's answer about one of its partitions.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) topic: kafka::TopicName,
    pub(super) index: i32,
    pub(super) error_code: i16,
    pub(super) offset: i64,
}

impl Client {
    /// Asks the leaders of `partitions` until every partition has an answer, or an error that
    /// stays; `what` is done, for messages.
    pub(super) async fn ask_leaders<R: Call>(
        &self,
        what: &str,
        partitions: &[TopicPartition],
        request: impl Fn(&[TopicPartition]) -> R,
        answers: impl Fn(R::Response) -> Vec<Answered>,
    ) -> Result<Found, ClientError> {
        let mut found = Found::new();
        let mut attempts = Attempts::default();
        loop {
            let missing = partitions.iter().filter(|p| !found.contains_key(*p));
            let missing: Vec<_> = missing.cloned().collect();
            if missing.is_empty() {
                return Ok(found);
            }
            let asked = async {
                for (node, partitions) in self.by_leader(&missing).await? {
                    let answer = self.call_again(node, request(&partitions)).await?;
                    note(what, &partitions, answers(answer), &mut found)?;
                }
                Ok(())
            };
            let Err(error) = asked.await else {
                continue;
            };
            attempts.pause(self, error).await?;
            for partition in &missing {
                self.forget(&partition.topic);
            }
        }
    }

    async fn by_leader(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<Node, Vec<TopicPartition>>, ClientError> {
        let mut by_leader = HashMap::<_, Vec<_>>::new();
        for partition in partitions {
            let topic = self.topic(&partition.topic, MissingTopic::Report).await?;
            let unknown = !(0..topic.partition_count()).contains(&partition.partition.0);
            let leader = topic.leader(partition.partition).ok_or_else(|| {
                let what = format!("look up the leader of {partition}");
                if unknown {
                    let words = format!("it has {} partitions", topic.partition_count());
                    let code = ErrorCode::InvalidPartitions;
                    ClientError::broker(what, code, Some(&words))
                } else {
                    ClientError::broker(what, ErrorCode::LeaderNotAvailable, None)
                }
            })?;
            by_leader.entry(leader).or_default().push(partition.clone());
        }
        Ok(by_leader)
    }
}

/// Notes what was found; fails with the first error that is in the answer, or with what is not.
fn note(
    what: &str,
    asked: &[TopicPartition],
    answers: Vec<Answered>,
    found: &mut Found,
) -> Result<(), ClientError> {
    let mut failure = None;
    for answered in answers {
        let Ok(topic) = TopicName::new(&answered.topic) else {
            continue;
        };
        let partition = TopicPartition::new(topic, PartitionId(answered.index));
        match ErrorCode::try_from_code(answered.error_code) {
            None => {
                found.insert(partition, Offset(answered.offset));
            }
            Some(code) => {
                let what = format!("{what} of {partition}");
                failure.get_or_insert(ClientError::broker(what, code, None));
            }
        }
    }
    let lacks = asked.iter().find(|p| !found.contains_key(*p));
    match (failure, lacks) {
        (Some(error), _) => Err(error),
        (None, Some(partition)) => Err(ClientError::Unexpected(format!(
            "the response to '{what}' lacks {partition}"
        ))),
        (None, None) => Ok(()),
    }
}
