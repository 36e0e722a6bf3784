//! Kafka's znodes: their paths, and how their values are written.
//!
//! ```text
//!  /cluster/id                        {"version":"1","id":…}
//!  /controller                        {"version":2,"brokerid":1,…}
//!  /controller_epoch                  3
//!  /brokers/ids/1                     {"version":5,"host":…,"port":…,"endpoints":[…],…}
//!  /brokers/topics/T                  {"version":3,"partitions":{"0":[1]},"topic_id":…,…}
//!  /brokers/topics/T/partitions/0/state   {"version":1,"leader":1,"leader_epoch":0,"isr":[1],…}
//!  /config/topics/T                   {"version":1,"config":{…}}
//!  /latest_producer_id_block          {"version":1,"broker":1,"block_start":"0","block_end":"999"}
//!  /feature                           {"version":2,"status":1,"features":{}}
//! ```
//!
//! Names, versions and values are those of Kafka 3.9, the last release that had a tree, so that
//! tools which know them find what they look for. Pure functions: values in, bytes out.

use std::collections::BTreeMap;

use brooklet_machines::coordination::{ANY_VERSION, Operation, SetData};
use brooklet_protocol::{BrokerId, Timestamp, TopicName};
use bytes::Bytes;
use serde_json::{Value, json};
use uuid::Uuid;

use super::kafka_uuid;

pub(super) const CLUSTER_ID: &str = "/cluster/id";
pub(super) const CONTROLLER: &str = "/controller";
pub(super) const CONTROLLER_EPOCH: &str = "/controller_epoch";
pub(super) const FEATURE: &str = "/feature";
pub(super) const PRODUCER_IDS: &str = "/latest_producer_id_block";
pub(super) const TOPICS: &str = "/brokers/topics";
pub(super) const TOPIC_CONFIGS: &str = "/config/topics";

/// The znodes that Kafka creates at its first start, without data; parents first.
pub(super) const PERSISTENT: [&str; 18] = [
    "/admin",
    "/admin/delete_topics",
    "/brokers",
    "/brokers/ids",
    "/brokers/seqid",
    TOPICS,
    "/cluster",
    "/config",
    "/config/brokers",
    "/config/changes",
    "/config/clients",
    "/config/ips",
    TOPIC_CONFIGS,
    "/config/users",
    // Groups live in `__consumer_offsets`; only clients from before 0.9 look here.
    "/consumers",
    "/isr_change_notification",
    PRODUCER_IDS,
    "/log_dir_event_notification",
];

pub(super) fn broker(id: BrokerId) -> String {
    format!("/brokers/ids/{id}")
}

pub(super) fn topic(name: &str) -> String {
    format!("{TOPICS}/{name}")
}

pub(super) fn topic_config(name: &str) -> String {
    format!("{TOPIC_CONFIGS}/{name}")
}

/// The topic of a znode below topics or below their settings.
pub(super) fn topic_of(path: &str) -> Option<&str> {
    let below = |parent: &str| path.strip_prefix(parent)?.strip_prefix('/');
    below(TOPICS).or_else(|| below(TOPIC_CONFIGS))
}

/// Creates a znode that stays, under exactly this path.
pub(super) fn create(path: &str, data: Option<Bytes>) -> Operation {
    Operation::Create {
        path: path.into(),
        data,
        sequential: false,
    }
}

/// The value of a topic's settings.
pub(super) fn config_value(configs: &BTreeMap<String, String>) -> Bytes {
    bytes(&json!({"version": 1, "config": configs}))
}

fn bytes(value: &Value) -> Bytes {
    value.to_string().into()
}

pub(super) fn cluster_id_value(id: &str) -> Bytes {
    bytes(&json!({"version": "1", "id": id}))
}

pub(super) fn controller_value(broker: BrokerId, now: Timestamp) -> Bytes {
    bytes(&json!({
        "version": 2,
        "brokerid": broker.0,
        "timestamp": now.to_string(),
        "kraftControllerEpoch": -1,
    }))
}

pub(super) fn broker_value(advertised: Option<&(String, u16)>, now: Timestamp) -> Bytes {
    let endpoints = advertised.map(|(host, port)| format!("PLAINTEXT://{host}:{port}"));
    bytes(&json!({
        "version": 5,
        "host": advertised.map(|(host, _)| host),
        "port": advertised.map_or(-1, |(_, port)| i32::from(*port)),
        "endpoints": endpoints.as_slice(),
        "listener_security_protocol_map": {"PLAINTEXT": "PLAINTEXT"},
        "features": {},
        "jmx_port": -1,
        "timestamp": now.to_string(),
    }))
}

pub(super) fn feature_value() -> Bytes {
    bytes(&json!({"version": 2, "status": 1, "features": {}}))
}

/// A topic, as `/brokers/topics/T` and `/config/topics/T` describe it together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopicSpec {
    pub(super) name: TopicName,
    pub(super) id: Uuid,
    pub(super) partition_count: i32,
    pub(super) configs: BTreeMap<String, String>,
}

impl TopicSpec {
    /// The multi that creates the topic.
    pub(super) fn creation(&self, broker: BrokerId, controller_epoch: i32) -> Vec<Operation> {
        let topic = topic(self.name.as_str());
        let mut operations = vec![
            create(&topic, Some(self.topic_value(broker))),
            create(
                &topic_config(self.name.as_str()),
                Some(config_value(&self.configs)),
            ),
            create(&format!("{topic}/partitions"), None),
        ];
        operations.extend(self.partitions(0, broker, controller_epoch));
        operations
    }

    /// The multi that adds partitions to the topic, which has `before` of them.
    pub(super) fn growth(
        &self,
        before: i32,
        broker: BrokerId,
        controller_epoch: i32,
    ) -> Vec<Operation> {
        let mut operations = vec![self.replacement(broker)];
        operations.extend(self.partitions(before, broker, controller_epoch));
        operations
    }

    /// The multi that undoes a growth to `after` partitions.
    pub(super) fn shrinking(&self, after: i32, broker: BrokerId) -> Vec<Operation> {
        let topic = topic(self.name.as_str());
        let delete = |path: String| Operation::Delete {
            path,
            version: ANY_VERSION,
        };
        let mut operations = vec![self.replacement(broker)];
        for partition in self.partition_count..after {
            let path = format!("{topic}/partitions/{partition}");
            operations.extend([delete(format!("{path}/state")), delete(path)]);
        }
        operations
    }

    fn replacement(&self, broker: BrokerId) -> Operation {
        Operation::SetData(SetData {
            path: topic(self.name.as_str()),
            data: Some(self.topic_value(broker)),
            version: ANY_VERSION,
        })
    }

    fn partitions(
        &self,
        first: i32,
        broker: BrokerId,
        controller_epoch: i32,
    ) -> impl Iterator<Item = Operation> {
        let topic = topic(self.name.as_str());
        let state = bytes(&json!({
            "version": 1,
            "leader": broker.0,
            "leader_epoch": 0,
            "controller_epoch": controller_epoch,
            "isr": [broker.0],
        }));
        (first..self.partition_count).flat_map(move |partition| {
            let path = format!("{topic}/partitions/{partition}");
            let state = create(&format!("{path}/state"), Some(state.clone()));
            [create(&path, None), state]
        })
    }

    fn topic_value(&self, broker: BrokerId) -> Bytes {
        let replicas = |partition: i32| (partition.to_string(), json!([broker.0]));
        let partitions: serde_json::Map<_, _> = (0..self.partition_count).map(replicas).collect();
        bytes(&json!({
            "version": 3,
            "partitions": partitions,
            "adding_replicas": {},
            "removing_replicas": {},
            "topic_id": kafka_uuid::to_text(self.id),
        }))
    }

    /// Reads the two znodes. The error says what was expected.
    pub(super) fn read(
        name: TopicName,
        topic: Option<&[u8]>,
        config: Option<&[u8]>,
    ) -> Result<Self, String> {
        let topic = parsed(topic)?;
        let id = topic["topic_id"].as_str().and_then(kafka_uuid::from_text);
        let partitions = topic["partitions"].as_object();
        let partitions = partitions.ok_or("expected partitions, an object")?;
        let dense = (0..partitions.len()).all(|p| partitions.contains_key(&p.to_string()));
        let partition_count = i32::try_from(partitions.len())
            .ok()
            .filter(|count| dense && *count > 0);
        Ok(Self {
            name,
            id: id.ok_or("expected topic_id, 22 characters of base64")?,
            partition_count: partition_count.ok_or("expected partitions 0, 1, 2 …")?,
            configs: config.map_or(Ok(BTreeMap::new()), configs)?,
        })
    }
}

fn configs(config: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let config = parsed(Some(config))?;
    let config = config["config"].as_object();
    let config = config.ok_or("expected config, an object")?;
    let pair = |(name, value): (&String, &Value)| {
        let value = value.as_str().ok_or("expected strings in config")?;
        Ok((name.clone(), value.to_owned()))
    };
    config.iter().map(pair).collect()
}

fn parsed(data: Option<&[u8]>) -> Result<Value, String> {
    let data = data.ok_or("expected JSON, found null")?;
    serde_json::from_slice(data).map_err(|error| format!("expected JSON: {error}"))
}

/// The multi that deletes the topic. `partitions` are the children of its znode for them; that one
/// and the settings may be missing when another program created the topic.
pub(super) fn deletion(
    name: &TopicName,
    partitions: Option<&[String]>,
    has_config: bool,
) -> Vec<Operation> {
    let topic = topic(name.as_str());
    let delete = |path: String| Operation::Delete {
        path,
        version: ANY_VERSION,
    };
    let of_partition = |partition: &String| {
        let path = format!("{topic}/partitions/{partition}");
        [delete(format!("{path}/state")), delete(path)]
    };
    let of_partitions = partitions.unwrap_or_default().iter();
    let mut operations: Vec<_> = of_partitions.flat_map(of_partition).collect();
    if partitions.is_some() {
        operations.push(delete(format!("{topic}/partitions")));
    }
    if has_config {
        operations.push(delete(topic_config(name.as_str())));
    }
    operations.push(delete(topic));
    operations
}

/// `/cluster/id`.
pub(super) fn read_cluster_id(data: Option<&[u8]>) -> Result<String, String> {
    let value = parsed(data)?;
    let id = value["id"].as_str();
    Ok(id.ok_or("expected id, a string")?.into())
}

/// `/controller_epoch`.
pub(super) fn read_controller_epoch(data: Option<&[u8]>) -> Result<i32, String> {
    let text = str::from_utf8(data.unwrap_or_default()).ok();
    let epoch = text.and_then(|text| text.trim().parse().ok());
    epoch.ok_or_else(|| "expected a whole number".into())
}

/// The block of producer ids after the one in `data`; half-open.
pub(super) fn next_producer_ids(
    data: Option<&[u8]>,
    size: i64,
) -> Result<std::ops::Range<i64>, String> {
    let start = match data {
        None => 0,
        Some(data) => {
            let value = parsed(Some(data))?;
            let end = value["block_end"].as_str().and_then(|end| end.parse().ok());
            let end: i64 = end.ok_or("expected block_end, a number in a string")?;
            end.checked_add(1).ok_or("no producer ids are left")?
        }
    };
    let end = start.checked_add(size).filter(|_| start >= 0);
    Ok(start..end.ok_or("no producer ids are left")?)
}

pub(super) fn producer_ids_value(broker: BrokerId, block: &std::ops::Range<i64>) -> Bytes {
    bytes(&json!({
        "version": 1,
        "broker": broker.0,
        "block_start": block.start.to_string(),
        "block_end": (block.end - 1).to_string(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> TopicSpec {
        TopicSpec {
            name: TopicName::new("clicks").unwrap(),
            id: Uuid::from_u128(1),
            partition_count: 2,
            configs: BTreeMap::from([("segment.bytes".to_owned(), "300".to_owned())]),
        }
    }

    #[test]
    fn a_topic_is_written_as_kafka_writes_it() {
        let creation = spec().creation(BrokerId(7), 3);
        let row = |operation: &Operation| match operation {
            Operation::Create { path, data, .. } => {
                let data = data.as_ref().map_or("null", |d| str::from_utf8(d).unwrap());
                format!("{path} {data}")
            }
            other => panic!("{other:?}"),
        };
        let rows: Vec<_> = creation.iter().map(row).collect();
        let state = r#"{"controller_epoch":3,"isr":[7],"leader":7,"leader_epoch":0,"version":1}"#;
        let expected = [
            concat!(
                r#"/brokers/topics/clicks {"adding_replicas":{},"partitions":{"0":[7],"1":[7]},"#,
                r#""removing_replicas":{},"topic_id":"AAAAAAAAAAAAAAAAAAAAAQ","version":3}"#
            ),
            r#"/config/topics/clicks {"config":{"segment.bytes":"300"},"version":1}"#,
            "/brokers/topics/clicks/partitions null",
            "/brokers/topics/clicks/partitions/0 null",
            &format!("/brokers/topics/clicks/partitions/0/state {state}"),
            "/brokers/topics/clicks/partitions/1 null",
            &format!("/brokers/topics/clicks/partitions/1/state {state}"),
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_topic_reads_back_and_anything_else_is_named() {
        let spec = spec();
        let value = spec.topic_value(BrokerId(1));
        let config = br#"{"version":1,"config":{"segment.bytes":"300"}}"#;
        let name = || spec.name.clone();
        let read = TopicSpec::read(name(), Some(&value), Some(config));
        assert_eq!(read, Ok(spec.clone()));
        let bad: [Option<&[u8]>; 5] = [
            None,
            Some(b""),
            Some(b"[]"),
            Some(br#"{"partitions":{"1":[1]},"topic_id":"AAAAAAAAAAAAAAAAAAAAAQ"}"#),
            Some(br#"{"partitions":{"0":[1]},"topic_id":"short"}"#),
        ];
        for value in bad {
            assert!(TopicSpec::read(name(), value, None).is_err(), "{value:?}");
        }
        let bad_config = br#"{"config":{"segment.bytes":300}}"#;
        assert!(TopicSpec::read(name(), Some(&value), Some(bad_config)).is_err());
    }

    #[test]
    fn blocks_of_producer_ids_follow_each_other() {
        let first = next_producer_ids(None, 1000).unwrap();
        assert_eq!(first, 0..1000);
        let value = producer_ids_value(BrokerId(1), &first);
        let expected = r#"{"block_end":"999","block_start":"0","broker":1,"version":1}"#;
        assert_eq!(value, expected);
        assert_eq!(next_producer_ids(Some(&value), 1000), Ok(1000..2000));
        let last = format!(r#"{{"block_end":"{}"}}"#, i64::MAX);
        assert!(next_producer_ids(Some(last.as_bytes()), 1000).is_err());
        assert!(next_producer_ids(Some(br#"{"block_end":"-9"}"#), 1000).is_err());
    }

    #[test]
    fn a_broker_that_listens_nowhere_says_so() {
        let value = broker_value(None, Timestamp(5));
        let value = parsed(Some(&value)).unwrap();
        assert_eq!(value["endpoints"], json!([]));
        assert_eq!(value["port"], -1);
        let here = ("localhost".to_owned(), 9092);
        let value = parsed(Some(&broker_value(Some(&here), Timestamp(5)))).unwrap();
        assert_eq!(value["endpoints"], json!(["PLAINTEXT://localhost:9092"]));
        assert_eq!(value["timestamp"], "5");
    }
}
