//! The meaning of records that brokers write for themselves: groups and their offsets, transactions
//! and their markers.

use std::path::Path;

use brooklet_machines::LogRecord;
use brooklet_machines::group::record::{GroupRecord, StoredGroup};
use brooklet_machines::transaction::record::TransactionRecord;
use brooklet_protocol::records::{EndTxnMarker, Record, RecordBatch};
use bytes::Bytes;

/// The kind of records in a directory, by its name.
const KINDS: [(&str, Kind); 2] = [
    ("__consumer_offsets-", Kind::Groups),
    ("__transaction_state-", Kind::Transactions),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Groups,
    Transactions,
}

/// What the records of a segment, or of a partition's directory, are about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meaning {
    kind: Option<Kind>,
}

impl Meaning {
    /// By the name of the directory.
    pub(super) fn of(path: &Path) -> Self {
        let names = path.ancestors().take(2).filter_map(Path::file_name);
        let kind = |name: &std::ffi::OsStr| {
            let name = name.to_string_lossy();
            let found = KINDS.iter().find(|(start, _)| name.starts_with(start));
            found.map(|(_, kind)| *kind)
        };
        Self {
            kind: names.into_iter().find_map(kind),
        }
    }

    /// A record in words; `None` for a user's record.
    pub(super) fn words(self, batch: &RecordBatch, record: &Record<'_>) -> Option<String> {
        if batch.header().is_control() {
            let marker = EndTxnMarker::read(batch).ok().flatten()?;
            let kind = if marker.committed { "commit" } else { "abort" };
            return Some(format!(
                "{kind} marker of coordinator epoch {}",
                marker.coordinator_epoch
            ));
        }
        let kind = self.kind?;
        let record = LogRecord {
            key: record.key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            ..LogRecord::default()
        };
        Some(match kind {
            Kind::Groups => match GroupRecord::decode(&record) {
                Ok(Some(record)) => group_words(record),
                Ok(None) => "a record of an unsupported group protocol".to_owned(),
                Err(error) => error.to_string(),
            },
            Kind::Transactions => match TransactionRecord::decode(&record) {
                Ok(Some(record)) => transaction_words(&record),
                Ok(None) => "a record of an unknown version".to_owned(),
                Err(error) => error.to_string(),
            },
        })
    }
}

fn transaction_words(record: &TransactionRecord) -> String {
    let id = &record.id;
    let Some(known) = &record.known else {
        return format!("transactional id {id}: deleted");
    };
    let (status, producer) = (known.status.name(), known.producer);
    let partitions: Vec<_> = known.partitions.iter().map(ToString::to_string).collect();
    let places = if partitions.is_empty() {
        String::new()
    } else {
        format!(", in {}", partitions.join(", "))
    };
    format!(
        "transactional id {id}: {status}, producer {} epoch {}{places}",
        producer.id, producer.epoch
    )
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
                None => format!("{place} deleted"),
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
        for (path, kind) in [
            ("data/__consumer_offsets-0", Some(Kind::Groups)),
            (
                "data/__transaction_state-12/00000000000000000000.log",
                Some(Kind::Transactions),
            ),
            ("data/clicks-0", None),
            (
                "__consumer_offsets-0/data/clicks-0/00000000000000000000.log",
                None,
            ),
        ] {
            assert_eq!(Meaning::of(Path::new(path)).kind, kind, "{path}");
        }
    }
}
