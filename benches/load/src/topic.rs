//! The topic of a run, created for it and deleted after it; and what the broker says about syncing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context, bail};
use brooklet_client::transport::Node;
use brooklet_client::{Acks, Client};
use brooklet_protocol::TopicName;
use brooklet_protocol::messages::kafka::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use brooklet_protocol::messages::{Request, ResponseKind, StrBytes};

const DESCRIBE_CONFIGS_VERSION: i16 = 4;
/// Kafka's numbers for the kinds of resources that have settings.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
/// The pause between two looks for a topic that is being created.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const LOOKS_MAX: u32 = 500;
/// How long the deletion may take.
const DELETE_TIMEOUT: Duration = Duration::from_secs(10);

/// A topic that exists for one run.
#[derive(Debug)]
pub(crate) struct OwnTopic {
    client: Client,
    pub(crate) name: TopicName,
}

impl OwnTopic {
    /// Creates a topic with a name of its own.
    pub(crate) async fn create(
        client: Client,
        partitions: i32,
        configs: &BTreeMap<String, String>,
    ) -> anyhow::Result<Self> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let stamp = since
            .context("the system clock is before 1970; set it")?
            .as_millis();
        let name = format!("brooklet-bench-{}-{stamp}", std::process::id());
        let name = TopicName::new(&name)?;
        client
            .create_topic(&name, Some(partitions), configs)
            .await?;
        Ok(Self { client, name })
    }

    /// Waits until a client sees a leader for every partition.
    pub(crate) async fn await_leaders(&self, client: &Client) -> anyhow::Result<()> {
        for _ in 0..LOOKS_MAX {
            let seen = client.metadata(Some(&[self.name.as_str()])).await?;
            let is_led = |topic: &brooklet_client::TopicMetadata| {
                topic.error.is_none() && topic.partitions.iter().all(|p| p.leader >= 0)
            };
            if seen.topics.iter().any(is_led) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let waited = LOOK_INTERVAL * LOOKS_MAX;
        bail!(
            "expected a leader for every partition of the new topic '{}', found none after {waited:?}",
            self.name
        )
    }

    /// Deletes the topic.
    pub(crate) async fn delete(self) -> anyhow::Result<()> {
        let deleted = self.client.delete_topic(&self.name);
        match tokio::time::timeout(DELETE_TIMEOUT, deleted).await {
            Ok(deleted) => deleted.with_context(|| format!("cannot delete topic '{}'", self.name)),
            Err(_) => bail!(
                "cannot delete topic '{}': no answer after {DELETE_TIMEOUT:?}",
                self.name
            ),
        }
    }

    /// When acknowledged records are on the disk, in words, as far as the broker's settings say.
    pub(crate) async fn durability(&self, acks: Acks) -> anyhow::Result<String> {
        let topic = self.settings(TOPIC, self.name.as_str()).await?;
        let cluster = self.client.metadata(Some(&[])).await?;
        let id = cluster.brokers.first().map_or(0, |(id, _)| *id);
        let broker = self.settings(BROKER, &id.to_string()).await?;
        Ok(durability(acks, &topic, &broker))
    }

    async fn settings(&self, kind: i8, name: &str) -> anyhow::Result<HashMap<String, String>> {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_string(name.to_owned()))
            .with_configuration_keys(None);
        let request = Request {
            version: DESCRIBE_CONFIGS_VERSION,
            client_id: None,
            body: DescribeConfigsRequest::default()
                .with_resources(vec![resource])
                .into(),
        };
        let answer = self.client.transport().call(Node::Any, request).await?;
        let ResponseKind::DescribeConfigs(answer) = answer else {
            bail!("expected an answer to DescribeConfigs, found one of another kind");
        };
        let configs = answer.results.into_iter().flat_map(|result| result.configs);
        let pair = |(name, value): (StrBytes, StrBytes)| (name.to_string(), value.to_string());
        Ok(configs
            .filter_map(|config| Some(pair((config.name, config.value?))))
            .collect())
    }
}

/// Brooklet syncs before it answers `acks=all`; an ephemeral broker never syncs. A setting that
/// only Brooklet has identifies it, and the name of its directory an ephemeral one. For other
/// brokers, flush.messages and flush.ms decide.
fn durability(
    acks: Acks,
    topic: &HashMap<String, String>,
    broker: &HashMap<String, String>,
) -> String {
    let number = |name: &str| topic.get(name).and_then(|value| value.parse::<i64>().ok());
    let is_brooklet = broker.contains_key("log.dirty.bytes.max");
    if is_brooklet && broker.get("log.dirs").is_some_and(|dir| is_ephemeral(dir)) {
        return "never synced (ephemeral)".to_owned();
    }
    match (number("flush.messages"), number("flush.ms")) {
        _ if is_brooklet && acks == Acks::All => "synced before the answer".to_owned(),
        (Some(1), _) => "synced before the answer (flush.messages=1)".to_owned(),
        (Some(i64::MAX) | None, Some(i64::MAX) | None) => {
            "not synced: left to the operating system".to_owned()
        }
        (Some(messages), Some(i64::MAX) | None) => format!("synced every {messages} records"),
        (Some(i64::MAX) | None, Some(ms)) => format!("synced within {ms} ms"),
        (Some(messages), Some(ms)) => format!("synced every {messages} records, within {ms} ms"),
    }
}

/// Whether a directory is called `brooklet-PROCESS-NUMBER`, the number in hexadecimal digits.
fn is_ephemeral(dir: &str) -> bool {
    let name = dir.rsplit('/').next().unwrap_or_default();
    let parts = name
        .strip_prefix("brooklet-")
        .and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(process, number)| {
        process.bytes().all(|digit| digit.is_ascii_digit())
            && number.len() == 16
            && number.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_is_what_the_broker_says_about_it() {
        let settings = |pairs: &[(&str, &str)]| {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            pairs.iter().map(owned).collect::<HashMap<_, _>>()
        };
        let never = i64::MAX.to_string();
        let ours = settings(&[("log.dirty.bytes.max", "1"), ("log.dirs", "/brooklet-data")]);
        let own = "/tmp/brooklet-2623-3dd053af9ffd6b44";
        let ephemeral = settings(&[("log.dirty.bytes.max", "1"), ("log.dirs", own)]);
        let kafka = settings(&[("log.dirs", "/data")]);
        let second = settings(&[("flush.messages", &never), ("flush.ms", "1000")]);
        let none = settings(&[("flush.messages", &never), ("flush.ms", &never)]);
        let each = settings(&[("flush.messages", "1"), ("flush.ms", &never)]);
        let cases = [
            (Acks::All, &second, &ours, "synced before the answer"),
            (Acks::Leader, &second, &ours, "synced within 1000 ms"),
            (Acks::All, &second, &ephemeral, "never synced (ephemeral)"),
            (
                Acks::All,
                &none,
                &kafka,
                "not synced: left to the operating system",
            ),
            (
                Acks::Leader,
                &each,
                &kafka,
                "synced before the answer (flush.messages=1)",
            ),
        ];
        for (acks, topic, broker, words) in cases {
            assert_eq!(durability(acks, topic, broker), words);
        }
    }
}
