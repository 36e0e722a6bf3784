//! The topics that a run needs, and their settings.
//!
//! ```text
//! APP-NAME-repartition   records on their way to another key; deleted by nobody but us
//! APP-NAME-changelog     what changed in a store; compacted
//! APP-plan               the plan that the state belongs to; compacted, one partition
//! what `.to(…)` names    results
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_client::{Client, ClientError};
use brooklet_protocol::TopicName;
use brooklet_protocol::messages::ErrorCode;

use super::RunError;

/// How often, and how long apart, a topic that was just created is looked for.
const LOOKUPS_MAX: u32 = 50;
const LOOKUP_PAUSE: Duration = Duration::from_millis(100);

/// `max.message.bytes` where nobody sets it.
const MESSAGE_BYTES_MAX_DEFAULT: usize = 1_048_588;

/// How topics of `.to(…)` are created: where a source holds records of more than Kafka's default,
/// what is made of one may be as large, twice that with what is added.
pub(super) async fn sink_configs(
    client: &Client,
    sources: impl Iterator<Item = &TopicName>,
) -> BTreeMap<String, String> {
    let mut largest = 0;
    for topic in sources {
        // A broker may refuse to report it; then the default has to do.
        largest = largest.max(client.message_bytes_max(topic).await.unwrap_or(0));
    }
    if largest <= MESSAGE_BYTES_MAX_DEFAULT {
        return BTreeMap::new();
    }
    let bytes_max = largest.saturating_mul(2).min(i32::MAX as usize);
    BTreeMap::from([("max.message.bytes".to_owned(), bytes_max.to_string())])
}

/// What a repartition topic needs: no retention takes its records away before they are read; they
/// get the broker's clock, so that none is refused because ours is wrong; and whatever a source
/// holds fits.
const REPARTITION_CONFIGS: [(&str, &str); 5] = [
    ("cleanup.policy", "delete"),
    ("max.message.bytes", REPARTITION_MESSAGE_BYTES_MAX),
    ("message.timestamp.type", "LogAppendTime"),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
];

/// What a source may hold, with what we add to it: no other limit comes first.
const REPARTITION_MESSAGE_BYTES_MAX: &str = "2147483647";

/// Topics of results take any event time: bookings lie ahead of the clock.
const SINK_CONFIGS: [(&str, &str); 2] = [
    ("message.timestamp.after.max.ms", FOREVER_MS),
    ("message.timestamp.before.max.ms", FOREVER_MS),
];
const FOREVER_MS: &str = "9223372036854775807";

fn configs(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    of.iter().map(owned).collect()
}

pub(super) async fn create_repartition(
    client: &Client,
    topic: &TopicName,
    partitions: i32,
) -> Result<(), RunError> {
    create_inner(client, topic, partitions, &REPARTITION_CONFIGS).await
}

/// Creates one of our own topics unless it is there, and checks that it has the partitions that the
/// program needs.
async fn create_inner(
    client: &Client,
    topic: &TopicName,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<(), RunError> {
    create(client, topic, Some(partitions), &configs(settings)).await?;
    let found = wait_for(client, topic).await?;
    if found == partitions {
        return Ok(());
    }
    Err(RunError::Partitions {
        topic: topic.clone(),
        expected: partitions,
        found,
    })
}

/// Creates a topic of results unless it is there.
pub(super) async fn create_sink(
    client: &Client,
    topic: &TopicName,
    others: &BTreeMap<String, String>,
) -> Result<(), RunError> {
    let mut wanted = configs(&SINK_CONFIGS);
    wanted.extend(others.clone());
    match create(client, topic, None, &wanted).await {
        // Kafka knows these settings since 3.6 (KIP-937).
        Err(RunError::Client(ClientError::Broker {
            code: ErrorCode::InvalidConfig,
            ..
        })) => create(client, topic, None, others).await,
        created => created,
    }
}

/// Creates a topic unless it is there.
pub(super) async fn create(
    client: &Client,
    topic: &TopicName,
    partitions: Option<i32>,
    configs: &BTreeMap<String, String>,
) -> Result<(), RunError> {
    match client.create_topic(topic, partitions, configs).await {
        Ok(()) => Ok(wait_for(client, topic).await.map(drop)?),
        Err(ClientError::Broker {
            code: ErrorCode::TopicAlreadyExists,
            ..
        }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A cluster needs a moment until every broker knows a new topic.
async fn wait_for(client: &Client, topic: &TopicName) -> Result<i32, ClientError> {
    for _ in 1..LOOKUPS_MAX {
        match client.partition_count(topic).await {
            Err(ClientError::UnknownTopic(_)) => client.pause(LOOKUP_PAUSE).await,
            answer => return answer,
        }
    }
    client.partition_count(topic).await
}

/// What a changelog needs: the last row of each key stays, and the first rows may be deleted once
/// their slices are gone.
const CHANGELOG_CONFIGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact,delete"),
    ("max.message.bytes", REPARTITION_MESSAGE_BYTES_MAX),
    ("retention.bytes", "-1"),
    ("retention.ms", "-1"),
];

/// Creates a changelog unless it is there, with as many partitions as its operator has tasks.
pub(super) async fn create_changelog(
    client: &Client,
    topic: &TopicName,
    partitions: i32,
) -> Result<(), RunError> {
    create_inner(client, topic, partitions, &CHANGELOG_CONFIGS).await
}

/// Creates the topic of the plan unless it is there.
pub(super) async fn create_plan(client: &Client, topic: &TopicName) -> Result<(), RunError> {
    create_inner(client, topic, 1, &[("cleanup.policy", "compact")]).await
}
