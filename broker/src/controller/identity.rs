//! Which topic a partition's directory belongs to: `partition.metadata`, and what is done if it is
//! missing or damaged.
//!
//! ```text
//!  version: 0
//!  topic_id: 3Jw2…        22 characters
//! ```
//!
//! The file ties a directory to a topic's id, so that a topic that was deleted and created again
//! under its old name never shows old records. It is Kafka's, and it has no checksum: one flipped
//! bit makes one valid id into another. So an id that does not match proves nothing, and a
//! directory is never set aside because of it.
//!
//! The proof comes from the order of events instead. When a topic is created, its id is new, and
//! nothing that is on the disk can belong to it: whatever has the name of one of its partitions is
//! set aside, durably, **before** the tree knows the topic. From then on the directory is the
//! topic's:
//!
//! | found for a topic that the tree has | meaning | action |
//! |---|---|---|
//! | the file names the topic's id | the topic's | opened |
//! | no directory, and no recovery point for it | creation was interrupted | created |
//! | a directory without the file and without anything that a log leaves behind | creation was interrupted | the file is written |
//! | no directory, but a recovery point | lost | offline |
//! | no file, but segments | lost | offline |
//! | the file is empty, cut, not text, or of another version | damaged | offline |
//! | the file names another id | damaged, or directories were moved by hand | offline |
//! | the file or the directory cannot be read, or is not what it should be | the disk | offline |
//!
//! "Offline" is this one partition: nothing is renamed, nothing is written, no offset is used
//! twice. `brooklet log repair` rewrites the file from the coordination log
//! ([`registered_topics`]).

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

use brooklet_log::vfs::Vfs;
use uuid::Uuid;

use super::{ControllerError, kafka_uuid};

/// The file that names the topic of a directory.
pub(super) const METADATA_FILE: &str = "partition.metadata";
/// The suffix of a file while it is being replaced.
const HALF_WRITTEN: &str = ".tmp";
/// How many bytes of a damaged file are shown.
const SHOWN_BYTES_MAX: usize = 60;

/// What a directory says about its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// It is a partition of this topic.
    Topic(Uuid),
    /// There is no directory.
    NoDirectory,
    /// The file is missing, and there is nothing that a log has written.
    Unfinished,
    /// The file is missing, beside the files of a log.
    Missing,
    /// The file is damaged; these are its first bytes.
    Damaged(Vec<u8>),
}

impl Identity {
    /// Reads the identity of a partition's directory. Blocks.
    ///
    /// # Errors
    /// The file or the directory exists, and cannot be read.
    pub fn read(vfs: &dyn Vfs, dir: &Path) -> io::Result<Self> {
        match vfs.read(&dir.join(METADATA_FILE)) {
            Ok(text) => Ok(parse(&text).map_or_else(|| Self::Damaged(text), Self::Topic)),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::without_file(vfs, dir),
            Err(error) => Err(error),
        }
    }

    fn without_file(vfs: &dyn Vfs, dir: &Path) -> io::Result<Self> {
        let entries = match vfs.read_dir(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::NoDirectory),
            entries => entries?,
        };
        let is_empty = entries
            .iter()
            .all(|entry| entry.name.ends_with(HALF_WRITTEN));
        Ok(if is_empty {
            Self::Unfinished
        } else {
            Self::Missing
        })
    }
}

/// What was found, as an error message says it.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(id) => write!(f, "topic_id {}", kafka_uuid::to_text(*id)),
            Self::NoDirectory => f.write_str("no directory"),
            Self::Unfinished => f.write_str("an empty directory"),
            Self::Missing => f.write_str("no such file, although there is a log"),
            Self::Damaged(text) if text.is_empty() => f.write_str("an empty file"),
            Self::Damaged(text) => {
                let shown = &text[..text.len().min(SHOWN_BYTES_MAX)];
                write!(f, "{:?}", String::from_utf8_lossy(shown))
            }
        }
    }
}

/// The error for a directory that does not name the topic.
pub(super) fn refusal(dir: &Path, topic_id: Uuid, found: impl fmt::Display) -> ControllerError {
    ControllerError::Identity {
        path: dir.join(METADATA_FILE),
        dir: dir.to_owned(),
        expected: kafka_uuid::to_text(topic_id),
        found: found.to_string(),
    }
}

/// Writes durably which topic `dir` belongs to. Blocks.
///
/// # Errors
/// The file system.
pub fn write_partition_id(vfs: &dyn Vfs, dir: &Path, id: Uuid) -> io::Result<()> {
    vfs.replace(&dir.join(METADATA_FILE), to_text(id).as_bytes())
}

pub(super) fn to_text(id: Uuid) -> String {
    format!("version: 0\ntopic_id: {}", kafka_uuid::to_text(id))
}

/// The topic's id, if the version is known.
fn parse(text: &[u8]) -> Option<Uuid> {
    let lines = str::from_utf8(text).ok()?.lines();
    let fields: BTreeMap<_, _> = lines.filter_map(|line| line.split_once(": ")).collect();
    match fields.get("version") {
        Some(&"0") => kafka_uuid::from_text(fields.get("topic_id")?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_metadata_is_kafkas_text() {
        let id = Uuid::from_u128(1);
        let text = to_text(id);
        assert_eq!(text, "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(parse(text.as_bytes()), Some(id));
        assert_eq!(parse(format!("{text}\n").as_bytes()), Some(id));
        for other in [
            "",
            "version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ",
            "version: 0",
        ] {
            assert_eq!(parse(other.as_bytes()), None, "{other:?}");
        }
    }
}
