//! Checkpoint files: one offset per partition, in Kafka's text format.
//!
//! ```text
//!  0                 version
//!  2                 how many lines follow
//!  clicks 0 1234     topic, partition, offset
//!  clicks 1 99
//! ```
//!
//! They are replaced as a whole, so a reader finds the old content or the new. A line is known by
//! its topic's name alone; so a deleted topic's lines must be gone before a new topic of that name
//! has records, or they would speak of a log that they have never seen. [`CheckpointFile`] is for
//! the two who write: one from time to time, one at each deletion.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_protocol::{Offset, PartitionId, TopicName, TopicPartition};
use parking_lot::Mutex;
use thiserror::Error;

use crate::vfs::Vfs;

/// Everything below is synced.
pub const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
/// Where each log starts, if that is not where its first segment does.
pub const LOG_START_FILE: &str = "log-start-offset-checkpoint";
/// Up to where each log was compacted.
pub const CLEANER_FILE: &str = "cleaner-offset-checkpoint";
/// High watermarks.
pub const REPLICATION_FILE: &str = "replication-offset-checkpoint";

const VERSION: &str = "0";

/// The offsets in a checkpoint file.
pub type Checkpoint = BTreeMap<TopicPartition, Offset>;

/// Why a checkpoint cannot be read or written.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The disk.
    #[error("{path}: cannot {action} the checkpoint: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Not the format.
    #[error("{path}: line {line}: expected {expected}, found {found:?}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
}

/// A checkpoint file that has more than one writer.
#[derive(Debug)]
pub struct CheckpointFile {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    /// Held from the look at what is to be written until it is.
    turn: Mutex<()>,
}

impl CheckpointFile {
    /// The file at `path`, which need not exist.
    pub fn new(vfs: Arc<dyn Vfs>, path: PathBuf) -> Self {
        Self {
            vfs,
            path,
            turn: Mutex::new(()),
        }
    }

    /// Its content. Blocks.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&self) -> Result<Checkpoint, CheckpointError> {
        read(&*self.vfs, &self.path)
    }

    /// Replaces its content by what `offsets` gives, which is asked when it is our turn: so nothing
    /// that another writer has taken out meanwhile comes back. Blocks.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn write(
        &self,
        offsets: impl FnOnce() -> Checkpoint,
    ) -> Result<Checkpoint, CheckpointError> {
        let _turn = self.turn.lock();
        let offsets = offsets();
        write(&*self.vfs, &self.path, &offsets)?;
        Ok(offsets)
    }

    /// Moves one line up to `offset`, or adds it, durably; one that is there or beyond stays. Blocks.
    ///
    /// # Errors
    /// As [`read`] and [`write()`].
    pub fn raise(&self, id: &TopicPartition, offset: Offset) -> Result<(), CheckpointError> {
        let _turn = self.turn.lock();
        let mut offsets = self.read()?;
        if offsets.get(id).is_some_and(|there| *there >= offset) {
            return Ok(());
        }
        offsets.insert(id.clone(), offset);
        write(&*self.vfs, &self.path, &offsets)
    }

    /// Takes out the lines that are not to be kept, durably. Blocks.
    ///
    /// # Errors
    /// As [`read`] and [`write()`].
    pub fn retain(&self, keep: impl Fn(&TopicPartition) -> bool) -> Result<(), CheckpointError> {
        let _turn = self.turn.lock();
        let mut offsets = self.read()?;
        let before = offsets.len();
        offsets.retain(|id, _| keep(id));
        if offsets.len() == before {
            return Ok(());
        }
        write(&*self.vfs, &self.path, &offsets)
    }
}

/// The files that say of each log what its own files cannot.
#[derive(Debug)]
pub struct Checkpoints {
    /// `recovery-point-offset-checkpoint`.
    pub recovery_points: CheckpointFile,
    /// `log-start-offset-checkpoint`.
    pub log_starts: CheckpointFile,
    /// `cleaner-offset-checkpoint`: written before what it speaks of is done, so that a log has no
    /// gaps above.
    pub cleaner_offsets: CheckpointFile,
    /// `replication-offset-checkpoint`: high watermarks, for whoever looks. With one replica a log's
    /// high watermark is its end, so nothing here reads it.
    pub high_watermarks: CheckpointFile,
}

/// What is written down of one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// Below it everything was synced; `None` if nobody has said so.
    pub recovery_point: Option<Offset>,
    /// Below it everything was deleted.
    pub log_start: Offset,
    /// Below it compaction may have left gaps.
    pub cleaned_below: Offset,
    /// Below it batches may have a max timestamp that is not their records'.
    pub unchecked_below: Offset,
}

impl Checkpoints {
    /// Those in the data directory `dir`; none needs to exist.
    pub fn new(vfs: &Arc<dyn Vfs>, dir: &Path) -> Self {
        let file = |name| CheckpointFile::new(Arc::clone(vfs), dir.join(name));
        Self {
            recovery_points: file(RECOVERY_POINT_FILE),
            log_starts: file(LOG_START_FILE),
            cleaner_offsets: file(CLEANER_FILE),
            high_watermarks: file(REPLICATION_FILE),
        }
    }

    /// What they say. Blocks.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&self) -> Result<BTreeMap<TopicPartition, Positions>, CheckpointError> {
        let mut logs = BTreeMap::<_, Positions>::new();
        for (id, offset) in self.recovery_points.read()? {
            logs.entry(id).or_default().recovery_point = Some(offset);
        }
        for (id, offset) in self.log_starts.read()? {
            logs.entry(id).or_default().log_start = offset;
        }
        for (id, offset) in self.cleaner_offsets.read()? {
            logs.entry(id).or_default().cleaned_below = offset;
        }
        Ok(logs)
    }

    /// Takes out of all what is not to be kept, durably. Blocks.
    ///
    /// # Errors
    /// As [`read`] and [`write()`].
    pub fn retain(&self, keep: impl Fn(&TopicPartition) -> bool) -> Result<(), CheckpointError> {
        self.recovery_points.retain(&keep)?;
        self.log_starts.retain(&keep)?;
        self.cleaner_offsets.retain(&keep)?;
        self.high_watermarks.retain(&keep)
    }
}

/// Reads a checkpoint; a file that does not exist holds no offsets.
///
/// # Errors
/// The disk, or a malformed line.
pub fn read(vfs: &dyn Vfs, path: &Path) -> Result<Checkpoint, CheckpointError> {
    let content = match vfs.read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Checkpoint::new()),
        content => content.map_err(|source| CheckpointError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?,
    };
    parse(&String::from_utf8_lossy(&content)).map_err(|(line, expected, found)| {
        CheckpointError::Malformed {
            path: path.to_owned(),
            line,
            expected,
            found,
        }
    })
}

/// Replaces a checkpoint, durably.
///
/// # Errors
/// The disk.
pub fn write(vfs: &dyn Vfs, path: &Path, offsets: &Checkpoint) -> Result<(), CheckpointError> {
    let entry = |(TopicPartition { topic, partition }, offset): (&TopicPartition, &Offset)| {
        format!("{topic} {partition} {offset}\n")
    };
    let lines: String = offsets.iter().map(entry).collect();
    let content = format!("{VERSION}\n{}\n{lines}", offsets.len());
    (vfs.replace(path, content.as_bytes())).map_err(|source| CheckpointError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// Line number, what was expected, what was found.
type Complaint = (usize, &'static str, String);

/// An empty file says nothing of any partition: Kafka creates its files so, at its first start.
fn parse(content: &str) -> Result<Checkpoint, Complaint> {
    if content.is_empty() {
        return Ok(Checkpoint::new());
    }
    let mut lines = (1..).zip(content.lines());
    let mut line = |expected| lines.next().ok_or_else(|| (0, expected, String::new()));
    let (number, version) = line("the version")?;
    if version != VERSION {
        return Err((number, "version 0", version.into()));
    }
    let (number, count) = line("a count")?;
    let expected: usize = (count.parse()).map_err(|_| (number, "a count", count.to_owned()))?;
    let mut offsets = Checkpoint::new();
    for (number, text) in lines {
        let complaint = || {
            (
                number,
                "a new topic, its partition and an offset",
                text.to_owned(),
            )
        };
        let (partition, offset) = parse_entry(text).ok_or_else(complaint)?;
        if offsets.insert(partition, offset).is_some() {
            return Err(complaint());
        }
    }
    if offsets.len() == expected {
        Ok(offsets)
    } else {
        let found = format!("{} lines", offsets.len());
        Err((number, "as many lines as the count says", found))
    }
}

fn parse_entry(text: &str) -> Option<(TopicPartition, Offset)> {
    let mut words = text.split(' ');
    let mut word = || words.next();
    let topic = TopicName::new(word()?).ok()?;
    let partition: u32 = word()?.parse().ok()?;
    let partition = PartitionId(i32::try_from(partition).ok()?);
    let offset: u64 = word()?.parse().ok()?;
    let offset = Offset(i64::try_from(offset).ok()?);
    let end = word().is_none();
    end.then(|| (TopicPartition::new(topic, partition), offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::sim::SimVfs;

    fn partition(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition::new(TopicName::new(topic).unwrap(), PartitionId(partition))
    }

    #[test]
    fn a_checkpoint_is_kafkas_text() {
        let (vfs, path) = (SimVfs::new(0), Path::new(RECOVERY_POINT_FILE));
        assert_eq!(read(&vfs, path).unwrap(), Checkpoint::new());
        let offsets = Checkpoint::from([
            (partition("clicks", 1), Offset(99)),
            (partition("clicks", 0), Offset(1234)),
        ]);
        write(&vfs, path, &offsets).unwrap();
        assert_eq!(
            vfs.read(path).unwrap(),
            b"0\n2\nclicks 0 1234\nclicks 1 99\n"
        );
        assert_eq!(read(&vfs, path).unwrap(), offsets);
    }

    #[test]
    fn what_is_taken_out_does_not_come_back() {
        let vfs = SimVfs::new(0);
        let file = CheckpointFile::new(Arc::new(vfs.clone()), RECOVERY_POINT_FILE.into());
        let offsets = || Checkpoint::from([(partition("a", 0), Offset(1))]);
        file.retain(|_| false).unwrap();
        assert!(!vfs.exists(Path::new(RECOVERY_POINT_FILE)));
        assert_eq!(file.write(offsets).unwrap(), offsets());
        file.retain(|id| id.topic.as_str() == "a").unwrap();
        assert_eq!(file.read().unwrap(), offsets());
        file.retain(|id| id.topic.as_str() != "a").unwrap();
        assert_eq!(file.read().unwrap(), Checkpoint::new());
    }

    #[test]
    fn what_is_malformed_is_named_with_its_line() {
        let complaint = |content: &str| parse(content).unwrap_err();
        assert_eq!(complaint("1\n0\n"), (1, "version 0", "1".into()));
        assert_eq!(complaint("0\n-1\n"), (2, "a count", "-1".into()));
        assert_eq!(complaint("0\n2\na 0 1\n").2, "1 lines");
        let bad = ["a 0", "a 0 1 2", "a -1 1", "a 0 -1", "a/b 0 1", "", "a 0 x"];
        for text in bad {
            assert_eq!(complaint(&format!("0\n2\na 7 1\n{text}\n")).0, 4, "{text}");
        }
        assert_eq!(complaint("0\n2\na 0 1\na 0 2\n").0, 4);
        assert_eq!(parse(""), Ok(Checkpoint::new()));
        assert_eq!(complaint("\n").1, "version 0");
    }
}
