//! What the records say that brokers write for themselves: groups and their offsets, ends of transactions.

use std::path::Path;

use brooklet_broker::driver::LogRecord;
use brooklet_broker::group::record::{GroupRecord, StoredGroup};
use brooklet_protocol::records::{EndTxnMarker, Record, RecordBatch};
use bytes::Bytes;

const OFFSETS_TOPIC: &str = "__consumer_offsets-";

/// How the records of a segment, or of a partition's directory, are to be understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning {
    is_offsets: bool,
}

impl Meaning {
    /// By the name of the directory.
    pub(super) fn of(path: &Path) -> Self {
        let names = path.ancestors().take(2).filter_map(Path::file_name);
        let is_offsets = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(OFFSETS_TOPIC);
        Self {
            is_offsets: names.into_iter().any(is_offsets),
        }
    }

    /// A record in words; `None` for one of users.
    pub(super) fn words(self, batch: &RecordBatch, record: &Record<'_>) -> Option<String> {
        if batch.header().is_control() {
            let marker = EndTxnMarker::read(batch).ok().flatten()?;
            let kind = if marker.committed { "commit" } else { "abort" };
            return Some(format!(
                "{kind} marker of coordinator epoch {}",
                marker.coordinator_epoch
            ));
        }
        if !self.is_offsets {
            return None;
        }
        let record = LogRecord {
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
        };
        Some(match GroupRecord::decode(&record) {
            Ok(Some(record)) => group_words(record),
            Ok(None) => "a record of another group protocol".to_owned(),
            Err(error) => error.to_string(),
        })
    }
}

fn group_words(record: GroupRecord) -> String {
    match record {
        GroupRecord::Offset {
            group,
            topic,
            partition,
            committed,
        } => {
            let place = format!("group {group}: {topic}-{}", partition.0);
            match committed {
                Some(committed) => format!("{place} read up to {}", committed.offset),
                None => format!("{place} forgotten"),
            }
        }
        GroupRecord::Group {
            group,
            stored: None,
        } => format!("group {group}: deleted"),
        GroupRecord::Group {
            group,
            stored: Some(stored),
        } => format!("group {group}: {}", stored_words(&stored)),
    }
}

fn stored_words(stored: &StoredGroup) -> String {
    let protocol = stored.protocol.as_deref().unwrap_or("none");
    let members: Vec<_> = stored.members.iter().map(|member| &*member.id).collect();
    let members = if members.is_empty() {
        "nobody".to_owned()
    } else {
        members.join(", ")
    };
    format!(
        "generation {}, assignor {protocol}, {members}",
        stored.generation
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_says_what_its_records_are() {
        for (path, is_offsets) in [
            ("data/__consumer_offsets-0", true),
            ("data/__consumer_offsets-12/00000000000000000000.log", true),
            ("data/clicks-0", false),
            (
                "__consumer_offsets-0/data/clicks-0/00000000000000000000.log",
                false,
            ),
        ] {
            assert_eq!(
                Meaning::of(Path::new(path)).is_offsets,
                is_offsets,
                "{path}"
            );
        }
    }
}
