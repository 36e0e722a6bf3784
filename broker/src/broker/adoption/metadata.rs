//! The settings of topics, and which producer ids were given, from Kafka's metadata log.
//!
//! The log is a partition like any other: the newest snapshot, `OFFSET-EPOCH.checkpoint`, has
//! everything below its offset, and the segments what came after. Both are batches of records
//! ([`MetadataRecord`]). What follows a batch that is not whole was never committed by a single
//! node, and is left out, as Kafka itself would truncate it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use brooklet_log::vfs::Vfs;
use brooklet_protocol::metadata_record::MetadataRecord;
use brooklet_protocol::records::RecordBatch;
use brooklet_protocol::{Offset, TopicName};
use bytes::Bytes;
use uuid::Uuid;

use crate::controller::topic_config;

/// Kafka's number for a topic, among what has settings.
const TOPIC: i8 = 2;
/// The metadata log is written uncompressed and in batches of at most 8 MiB.
const BATCH_BYTES_MAX: usize = 64 << 20;

type Configs = BTreeMap<String, String>;

/// What Kafka knew beside what the partitions' directories say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KafkaMetadata {
    configs: BTreeMap<String, Configs>,
    names: BTreeMap<[u8; 16], String>,
    /// Producer ids below it were given to brokers.
    pub(super) producer_ids_end: i64,
}

impl KafkaMetadata {
    /// Reads the metadata log in `dir`; `None` if there is none.
    pub(super) fn read(vfs: &dyn Vfs, dir: &Path) -> io::Result<Option<Self>> {
        if !vfs.exists(dir) {
            return Ok(None);
        }
        let mut metadata = Self::default();
        let mut names: Vec<_> = vfs.read_dir(dir)?.into_iter().map(|e| e.name).collect();
        names.sort();
        let mut next = Offset::ZERO;
        let snapshots = names
            .iter()
            .filter_map(|name| Some((snapshot(name)?, name)));
        if let Some((offset, name)) = snapshots.max() {
            metadata.apply_file(vfs, &dir.join(name), Offset::ZERO)?;
            next = offset;
        }
        for name in names.iter().filter(|name| is_segment(name)) {
            if !metadata.apply_file(vfs, &dir.join(name), next)? {
                break;
            }
        }
        Ok(Some(metadata))
    }

    /// Applies the batches from offset `from` on; whether they were whole to the end.
    fn apply_file(&mut self, vfs: &dyn Vfs, path: &Path, from: Offset) -> io::Result<bool> {
        let mut rest = Bytes::from(vfs.read(path)?);
        while !rest.is_empty() {
            let batch = RecordBatch::split_from(&mut rest);
            let whole = batch.and_then(|batch| batch.verify_crc().map(|()| batch));
            let batch = match whole {
                Ok(batch) => batch,
                Err(error) => {
                    let path = path.display();
                    tracing::warn!("{path}: {error}; the rest of the file is not adopted");
                    return Ok(false);
                }
            };
            if batch.header().base_offset >= from && !batch.header().is_control() {
                let applied = self.apply_batch(&batch);
                applied.map_err(|reason| {
                    let reason = format!("{}: {reason}", path.display());
                    io::Error::new(io::ErrorKind::InvalidData, reason)
                })?;
            }
        }
        Ok(true)
    }

    fn apply_batch(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let records = batch.records(BATCH_BYTES_MAX).map_err(|e| e.to_string())?;
        for record in &records {
            let record = record.map_err(|e| e.to_string())?;
            let value = record.value.unwrap_or_default();
            self.apply(MetadataRecord::parse(value)?);
        }
        Ok(())
    }

    fn apply(&mut self, record: MetadataRecord<'_>) {
        match record {
            MetadataRecord::Topic { name, id } => {
                self.names.insert(id, name.to_owned());
            }
            MetadataRecord::RemoveTopic { id } => {
                if let Some(name) = self.names.remove(&id) {
                    self.configs.remove(&name);
                }
            }
            MetadataRecord::Config {
                resource_type: TOPIC,
                resource,
                name,
                value,
            } => {
                let configs = self.configs.entry(resource.to_owned()).or_default();
                match value {
                    Some(value) => drop(configs.insert(name.to_owned(), value.to_owned())),
                    None => drop(configs.remove(name)),
                }
            }
            MetadataRecord::ProducerIds { next } => self.producer_ids_end = next,
            MetadataRecord::Config { .. } | MetadataRecord::Other => {}
        }
    }

    /// The id of a topic.
    pub(super) fn id_of(&self, topic: &TopicName) -> Option<Uuid> {
        let mut ids = self
            .names
            .iter()
            .filter(|(_, name)| *name == topic.as_str());
        ids.next().map(|(id, _)| Uuid::from_bytes(*id))
    }

    /// The settings of a topic that are settings here, too.
    pub(super) fn take_configs(&mut self, topic: &TopicName) -> Configs {
        let mut configs = self.configs.remove(topic.as_str()).unwrap_or_default();
        configs.retain(|name, value| {
            let one = Configs::from([(name.clone(), value.clone())]);
            let valid = topic_config::validate(&one);
            if let Err(reason) = &valid {
                tracing::warn!("topic {topic}: setting not adopted: {reason}");
            }
            valid.is_ok()
        });
        configs
    }
}

fn is_segment(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "log")
}

/// The offset below which a snapshot has everything.
fn snapshot(name: &str) -> Option<Offset> {
    let (offset, _epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
    offset.parse().ok().map(Offset)
}

#[cfg(test)]
mod tests {
    use brooklet_log::vfs::sim::SimVfs;
    use brooklet_protocol::Timestamp;
    use brooklet_protocol::records::{BatchBuilder, Compression};

    use super::*;

    const DIR: &str = "/k/__cluster_metadata-0";

    fn config(topic: &str, name: &str, value: Option<&str>) -> Vec<u8> {
        let text = |text: &str| [&[text.len() as u8 + 1], text.as_bytes()].concat();
        let value = value.map_or(vec![0], text);
        [vec![1, 4, 0, 2], text(topic), text(name), value, vec![0]].concat()
    }

    fn topic(name: &str, id: u8) -> Vec<u8> {
        let length = name.len() as u8 + 1;
        [&[1, 2, 0, length], name.as_bytes(), &[id; 16], &[0]].concat()
    }

    fn removed(id: u8) -> Vec<u8> {
        [&[1, 9, 0][..], &[id; 16], &[0]].concat()
    }

    fn batches(first: i64, values: &[Vec<u8>]) -> Vec<u8> {
        let batches = (first..).zip(values).map(|(offset, value)| {
            let mut batch = BatchBuilder::new(Compression::None);
            batch.append(Timestamp(1), None, Some(value), &[]);
            let mut bytes = batch.build().bytes().to_vec();
            bytes[..8].copy_from_slice(&offset.to_be_bytes());
            bytes
        });
        batches.flatten().collect()
    }

    fn taken(files: &[(&str, Vec<u8>)], topic: &str) -> Configs {
        let vfs = SimVfs::new(0);
        vfs.create_dir_all(Path::new(DIR)).unwrap();
        for (name, content) in files {
            vfs.replace(&Path::new(DIR).join(name), content).unwrap();
        }
        let metadata = KafkaMetadata::read(&vfs, Path::new(DIR)).unwrap();
        let name = TopicName::new(topic).unwrap();
        metadata.unwrap().take_configs(&name)
    }

    #[test]
    fn without_a_metadata_log_nothing_is_known() {
        let vfs = SimVfs::new(0);
        assert_eq!(KafkaMetadata::read(&vfs, Path::new(DIR)).unwrap(), None);
    }

    #[test]
    fn the_newest_snapshot_comes_first_and_then_the_log() {
        let retention = |value| config("clicks", "retention.ms", Some(value));
        let files = [
            ("0000-00.checkpoint", batches(0, &[retention("1")])),
            ("0005-02.checkpoint", batches(0, &[retention("2")])),
            ("0000.log", batches(3, &[retention("3")])),
        ];
        assert_eq!(taken(&files, "clicks")["retention.ms"], "2");
        let later = ("0006.log", batches(6, &[retention("4")]));
        let files = [&files[..], &[later]].concat();
        assert_eq!(taken(&files, "clicks")["retention.ms"], "4");
        assert_eq!(taken(&files, "other"), Configs::new());
    }

    #[test]
    fn what_was_unset_or_deleted_or_is_unknown_here_is_not_taken_over() {
        let log = [
            topic("clicks", 1),
            config("clicks", "segment.ms", Some("5")),
            removed(1),
            topic("clicks", 2),
            config("clicks", "retention.ms", Some("7")),
            config("clicks", "retention.bytes", Some("8")),
            config("clicks", "retention.bytes", None),
            config("clicks", "remote.storage.enable", Some("true")),
        ];
        let expected = Configs::from([("retention.ms".into(), "7".into())]);
        assert_eq!(taken(&[("0.log", batches(0, &log))], "clicks"), expected);
    }

    #[test]
    fn the_producer_ids_of_the_last_block_are_given() {
        let block = |next: i64| {
            let end = next.to_be_bytes();
            [
                &b"\x01\x0f\x00\0\0\0\x01\0\0\0\0\0\0\0\x09"[..],
                &end,
                b"\0",
            ]
            .concat()
        };
        let vfs = SimVfs::new(0);
        vfs.create_dir_all(Path::new(DIR)).unwrap();
        let log = batches(0, &[block(1000), block(2000)]);
        vfs.replace(&Path::new(DIR).join("0.log"), &log).unwrap();
        let metadata = KafkaMetadata::read(&vfs, Path::new(DIR)).unwrap();
        assert_eq!(metadata.unwrap().producer_ids_end, 2000);
    }

    #[test]
    fn a_torn_end_is_left_out() {
        let log = ["7", "8"].map(|value| config("clicks", "retention.ms", Some(value)));
        let mut torn = batches(0, &log);
        torn.pop();
        let files = [("0.log", torn)];
        assert_eq!(taken(&files, "clicks")["retention.ms"], "7");
    }
}
