//! Applications as they lie on a cluster: what they have left there, and how to remove it.
//!
//! ```text
//! APP-plan                       the plan; its text names the application's other topics
//! offsets of the group APP       how far each task has come, with its standing
//! APP-NAME-changelog             the state of each operator
//! APP-NAME-repartition           records on their way to another key
//! ```
//!
//! Only the plan says which topics are an application's: names alone would not tell `a`'s operator
//! `b-c` from `a-b`'s operator `c`.

use std::collections::BTreeMap;

use brooklet_client::{Client, ClientError, ProducerConfig, TransactionalProducer};
use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName, TopicPartition};

use super::{RunError, restore};
use crate::task::memory;
use crate::topology::describe::topics_of;

/// An application that has run on a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its id.
    pub id: String,
    /// The plan that its state belongs to.
    pub plan: String,
    /// How far its tasks have come, by the partitions that they read.
    pub tasks: BTreeMap<TopicPartition, TaskStanding>,
}

/// How far a task has come, as of its last commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskStanding {
    /// The offset of the next record to be read.
    pub offset: Offset,
    /// Its stream time; `None` before the first record.
    pub stream_time: Option<Timestamp>,
}

/// The rows of one partition of a changelog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSize {
    /// Keys that have a row: of a window, one per key and slice. Rows of slices that have closed
    /// count until they are deleted.
    pub rows: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl Application {
    /// The ids of all applications on the cluster, in order.
    ///
    /// # Errors
    /// No answer.
    pub async fn list(client: &Client) -> Result<Vec<String>, RunError> {
        let topics = client.metadata(None).await?.topics;
        let named = topics
            .iter()
            .filter_map(|topic| topic.name.strip_suffix("-plan"));
        let mut found = Vec::new();
        for id in named {
            // Somebody else's topic may have such a name.
            if stored_plan(client, id).await?.is_some() {
                found.push(id.to_owned());
            }
        }
        found.sort();
        Ok(found)
    }

    /// The plan that an application's state belongs to; `None` if it has none.
    pub(super) async fn find_plan(client: &Client, id: &str) -> Result<Option<String>, RunError> {
        stored_plan(client, id).await
    }

    /// What the cluster knows of an application; `None` if it has never committed.
    ///
    /// # Errors
    /// No answer.
    pub async fn find(client: &Client, id: &str) -> Result<Option<Self>, RunError> {
        let Some(plan) = stored_plan(client, id).await? else {
            return Ok(None);
        };
        let committed = restore::committed(client, id).await?;
        let standing = |(partition, committed): (_, brooklet_client::OffsetAndMetadata)| {
            let standing = TaskStanding {
                offset: committed.offset,
                stream_time: memory::stream_time(&committed.metadata),
            };
            (partition, standing)
        };
        Ok(Some(Self {
            id: id.to_owned(),
            plan,
            tasks: committed.into_iter().map(standing).collect(),
        }))
    }

    /// The application's own topics: plan, changelogs and repartitions. Topics of results are not
    /// among them.
    pub fn topics(&self) -> Vec<TopicName> {
        let mut topics = topics_of(&self.plan);
        topics.extend(plan_topic(&self.id));
        topics
    }

    /// What is in its changelogs, partition by partition.
    ///
    /// # Errors
    /// No answer; a changelog is gone.
    pub async fn state(
        &self,
        client: &Client,
    ) -> Result<BTreeMap<TopicPartition, StateSize>, RunError> {
        let mut sizes = BTreeMap::new();
        let topics = topics_of(&self.plan).into_iter();
        for topic in topics.filter(|topic| topic.as_str().ends_with("-changelog")) {
            for partition in 0..client.partition_count(&topic).await? {
                let partition = TopicPartition::new(topic.clone(), PartitionId(partition));
                sizes.insert(partition.clone(), size(client, &partition).await?);
            }
        }
        Ok(sizes)
    }

    /// Removes the application: a worker that still runs is stopped, committed offsets and the
    /// application's own topics are deleted. Its results stay.
    ///
    /// # Errors
    /// No answer; what is left can be removed by calling it again, as long as the plan is there: it
    /// goes last.
    pub async fn remove(&self, client: &Client) -> Result<(), RunError> {
        let id = format!("{}-0", self.id);
        drop(TransactionalProducer::new(client.clone(), ProducerConfig::transactional(&id)).await?);
        match client.delete_group(&self.id).await {
            Ok(()) | Err(ClientError::UnknownGroup(_)) => {}
            Err(error) => return Err(error.into()),
        }
        for topic in self.topics() {
            match client.delete_topic(&topic).await {
                Ok(()) | Err(ClientError::UnknownTopic(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn plan_topic(id: &str) -> Option<TopicName> {
    TopicName::new(&format!("{id}-plan")).ok()
}

async fn stored_plan(client: &Client, id: &str) -> Result<Option<String>, RunError> {
    let Some(topic) = plan_topic(id) else {
        return Ok(None);
    };
    match client.partition_count(&topic).await {
        Err(ClientError::UnknownTopic(_)) => return Ok(None),
        counted => counted?,
    };
    let topic = TopicPartition::new(topic, PartitionId(0));
    restore::stored_plan(client, &topic).await
}

async fn size(client: &Client, changelog: &TopicPartition) -> Result<StateSize, RunError> {
    let mut rows: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let read = restore::read_all(client, changelog, |key, value| {
        match value {
            Some(value) => drop(rows.insert(key.to_vec(), value.len())),
            None => drop(rows.remove(key)),
        }
        Ok(())
    });
    // It takes any bytes.
    drop(read.await?);
    let bytes = rows.iter().map(|(key, value)| key.len() + value);
    Ok(StateSize {
        bytes: bytes.sum::<usize>() as u64,
        rows: rows.len() as u64,
    })
}
