//! Checkpoint files: one offset per partition, in Kafka's text format.
//!
//! ```text
//!  0                                     version
//!  3                                     how many lines follow
//!  clicks 0 1234                         topic, partition, offset
//!  clicks 1 99
//!  __brooklet_crc32c 0 1432229744        CRC-32C of all above it: no partition, and Kafka skips it
//! ```
//!
//! They are replaced as a whole, so a reader finds the old content or the new. A line is known by
//! its topic's name alone; so a deleted topic's lines must be gone before a new topic of that name
//! has records, or they would speak of a log that they have never seen. [`CheckpointFile`] is for
//! the two who write: one from time to time, one at each deletion.
//!
//! An offset with one wrong digit is an offset, too, so the last line is a checksum. A file without
//! it is Kafka's, or an older version's, and is believed. What a start does
//! ([`Checkpoints::read_at_start`]) when a file is damaged, cut, empty or unreadable depends on
//! whether others know what it knew:
//!
//! | file | without it | done |
//! |---|---|---|
//! | `recovery-point-offset-checkpoint` | a torn tail cannot be told from damage | every log is scanned from its start, and one with a bad batch is offline, not cut ([`UNKNOWN`]) |
//! | `log-start-offset-checkpoint` | deleted records would come back | the start is refused: nothing else knows |
//! | `cleaner-offset-checkpoint` | a gap that compaction has left looks like damage | gaps are allowed everywhere, and the file is rewritten |
//! | `replication-offset-checkpoint` | nothing: it is not read | it is rewritten |
//! | `unchecked-offset-checkpoint` | whether a batch's max timestamp was computed from its records | timestamps of all logs are taken from the records once, and the file is rewritten |
//!
//! The first three are made before the first checkpoint ([`Checkpoints::make`]), in the order of
//! [`Checkpoints::all`], and stay. So one that is missing while a later one, or the mark of a clean
//! shutdown, is there is lost, and counts as damaged. (Not in a directory that Kafka or an older
//! version has written.) The last one is ours alone. Where it is missing, Kafka or an older version
//! has written the logs.

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

/// Up to where each log may hold batches that were not checked when they were appended.
pub const UNCHECKED_FILE: &str = "unchecked-offset-checkpoint";

const VERSION: &str = "0";
/// Stands instead of a topic's name; what follows is the checksum.
pub const CHECKSUM: &str = "__brooklet_crc32c";

/// Stands for an offset that is unknown. As a recovery point it has every batch checked and none
/// cut; as a cleaner offset it allows gaps everywhere; as an unchecked offset it means the log's
/// end.
pub const UNKNOWN: Offset = Offset(i64::MAX);

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
    /// It was there once.
    #[error("{path}: missing, though the checkpoints that are made after it are there")]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// Not the format, or not what was written.
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

    /// As [`CheckpointFile::read`]; of an empty file, as Kafka makes at its first start, nothing.
    fn read_kafkas(&self) -> Result<Checkpoint, CheckpointError> {
        match self.vfs.read(&self.path) {
            Ok(content) if content.is_empty() => Ok(Checkpoint::new()),
            Ok(_) | Err(_) => self.read(),
        }
    }

    fn make_if_missing(&self) -> Result<(), CheckpointError> {
        let _turn = self.turn.lock();
        if self.exists() {
            return Ok(());
        }
        write(&*self.vfs, &self.path, &Checkpoint::new())
    }

    /// Whether it can be read; if not, or if it is missing, it says nothing. Blocks.
    pub fn is_readable(&self) -> bool {
        self.exists() && self.read().is_ok()
    }

    /// Whether there is something under its name. Blocks.
    pub fn exists(&self) -> bool {
        self.vfs.exists(&self.path)
    }

    /// Writes an empty checkpoint into a file of no bytes, as Kafka creates at its first start.
    /// Blocks.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn fill_if_empty(&self) -> Result<(), CheckpointError> {
        let _turn = self.turn.lock();
        match self.vfs.read(&self.path) {
            Ok(content) if content.is_empty() => write(&*self.vfs, &self.path, &Checkpoint::new()),
            // The reader says what is wrong.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Replaces its content by what `offsets` returns. It is called while no other writer is at
    /// work, so that nothing comes back that another writer has taken out meanwhile. Blocks.
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

    /// Replaces its content, unless it is this already. Blocks.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn write_if_other(&self, offsets: &Checkpoint) -> Result<(), CheckpointError> {
        let _turn = self.turn.lock();
        if self.exists() && self.read().is_ok_and(|written| written == *offsets) {
            return Ok(());
        }
        write(&*self.vfs, &self.path, offsets)
    }

    /// Moves one line up to `offset`, or adds it, durably; one that is there or beyond stays.
    /// Blocks.
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
        self.retain_of(self.read()?, keep)
    }

    /// As [`CheckpointFile::retain`], for a file that is rewritten from time to time: of one that
    /// is damaged nothing is kept.
    fn retain_if_readable(
        &self,
        keep: impl Fn(&TopicPartition) -> bool,
    ) -> Result<(), CheckpointError> {
        let _turn = self.turn.lock();
        match self.read() {
            Ok(offsets) => self.retain_of(offsets, keep),
            Err(damaged) => {
                tracing::warn!("{damaged}; it will be rewritten");
                Ok(())
            }
        }
    }

    fn retain_of(
        &self,
        mut offsets: Checkpoint,
        keep: impl Fn(&TopicPartition) -> bool,
    ) -> Result<(), CheckpointError> {
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
    /// `replication-offset-checkpoint`: high watermarks, for people and tools. With one replica a
    /// log's high watermark is its end, so nothing here reads it.
    pub high_watermarks: CheckpointFile,
    /// `unchecked-offset-checkpoint`: see [`RecoveryStart::unchecked_below`](super::RecoveryStart).
    pub unchecked_offsets: CheckpointFile,
}

/// The files that must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is unknown.
    Unknown,
    /// Those that are made before one that is there.
    InOrder,
    /// All.
    All,
}

/// What is written down of one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// Below it everything was synced; `None` if it is not in the file.
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
            unchecked_offsets: file(UNCHECKED_FILE),
        }
    }

    /// Those whose lack has a meaning, in the order in which they are made.
    pub fn all(&self) -> [&CheckpointFile; 4] {
        [
            &self.log_starts,
            &self.cleaner_offsets,
            &self.recovery_points,
            &self.high_watermarks,
        ]
    }

    /// What they say, be they ours or Kafka's. Blocks.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&self) -> Result<BTreeMap<TopicPartition, Positions>, CheckpointError> {
        let cleaned = self.cleaner_offsets.read_kafkas()?;
        let starts = self.log_starts.read_kafkas()?;
        let points = self.recovery_points.read_kafkas()?;
        Ok(merged(points, starts, cleaned, Checkpoint::new()))
    }

    /// Makes those that are missing and say something by being there, without lines. Blocks.
    ///
    /// # Errors
    /// As [`write()`].
    pub fn make(&self) -> Result<(), CheckpointError> {
        for file in [&self.log_starts, &self.cleaner_offsets] {
            file.make_if_missing()?;
        }
        Ok(())
    }

    /// What a start may believe of what they say, by the table above. `partitions` are those on the
    /// disk. Blocks.
    ///
    /// # Errors
    /// The log starts are damaged, lost, or cannot be read.
    pub fn read_at_start(
        &self,
        partitions: &[TopicPartition],
        made: Made,
    ) -> Result<BTreeMap<TopicPartition, Positions>, CheckpointError> {
        let [starts, cleaned, points, _] = self.read_all(made);
        let unknown = || partitions.iter().map(|id| (id.clone(), UNKNOWN)).collect();
        let points = points.unwrap_or_else(|damaged| {
            tracing::warn!("{damaged}; every log is checked from its start, and none is cut");
            unknown()
        });
        let cleaned = cleaned.unwrap_or_else(|damaged| {
            tracing::warn!("{damaged}; gaps are allowed in every log, and the file is rewritten");
            unknown()
        });
        let unchecked = match self.unchecked_offsets.read() {
            Ok(offsets) if self.unchecked_offsets.exists() => offsets,
            Ok(_) => unknown(),
            Err(damaged) => {
                tracing::warn!("{damaged}; timestamps are taken from the records of every log");
                unknown()
            }
        };
        Ok(merged(points, starts?, cleaned, unchecked))
    }

    /// Each one's lines, in their order, where those are not lost.
    fn read_all(&self, made: Made) -> [Result<Checkpoint, CheckpointError>; 4] {
        let files = self.all();
        let last_there = match made {
            Made::Unknown => None,
            Made::InOrder => files.iter().rposition(|file| file.exists()),
            Made::All => Some(files.len()),
        };
        let mut index = 0;
        files.map(|file| {
            let is_lost = last_there.is_some_and(|last| index < last) && !file.exists();
            index += 1;
            if is_lost {
                return Err(CheckpointError::Lost {
                    path: file.path.clone(),
                });
            }
            file.read()
        })
    }

    /// Takes out of all what is not to be kept, durably. Blocks.
    ///
    /// # Errors
    /// As [`read`] and [`write()`].
    pub fn retain(&self, keep: impl Fn(&TopicPartition) -> bool) -> Result<(), CheckpointError> {
        self.recovery_points.retain_if_readable(&keep)?;
        self.log_starts.retain(&keep)?;
        self.cleaner_offsets.retain_if_readable(&keep)?;
        self.unchecked_offsets.retain_if_readable(&keep)?;
        self.high_watermarks.retain_if_readable(&keep)
    }
}

/// What the files say, by partition.
fn merged(
    points: Checkpoint,
    starts: Checkpoint,
    cleaned: Checkpoint,
    unchecked: Checkpoint,
) -> BTreeMap<TopicPartition, Positions> {
    let mut logs = BTreeMap::<_, Positions>::new();
    for (id, offset) in points {
        logs.entry(id).or_default().recovery_point = Some(offset);
    }
    for (id, offset) in starts {
        logs.entry(id).or_default().log_start = offset;
    }
    for (id, offset) in cleaned {
        logs.entry(id).or_default().cleaned_below = offset;
    }
    for (id, offset) in unchecked {
        logs.entry(id).or_default().unchecked_below = offset;
    }
    logs
}

/// Reads a checkpoint; a file that does not exist holds no offsets.
///
/// # Errors
/// The disk, a malformed line, or a wrong checksum.
pub fn read(vfs: &dyn Vfs, path: &Path) -> Result<Checkpoint, CheckpointError> {
    let content = match vfs.read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Checkpoint::new()),
        content => content.map_err(|source| io_error("read", path, source))?,
    };
    let malformed = |(line, expected, found)| CheckpointError::Malformed {
        path: path.to_owned(),
        line,
        expected,
        found,
    };
    let not_text = |_| malformed((1, "text", "bytes that are none".to_owned()));
    let content = str::from_utf8(&content).map_err(not_text)?;
    parse(content).map_err(malformed)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Io {
        action,
        path: path.to_owned(),
        source,
    }
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
    let content = format!("{VERSION}\n{}\n{lines}", offsets.len() + 1);
    let checksum = brooklet_protocol::crc32c(content.as_bytes());
    let content = format!("{content}{CHECKSUM} 0 {checksum}\n");
    let written = vfs.replace(path, content.as_bytes());
    written.map_err(|source| io_error("write", path, source))
}

/// Line number, what was expected, what was found.
type Complaint = (usize, &'static str, String);

/// The offsets in a file that is not empty.
fn parse(content: &str) -> Result<Checkpoint, Complaint> {
    let mut lines = (1..).zip(content.lines());
    let mut line = |expected| lines.next().ok_or_else(|| (1, expected, String::new()));
    let (number, version) = line("the version")?;
    if version != VERSION {
        return Err((number, "version 0", version.into()));
    }
    let (number, count) = line("a count")?;
    let expected: usize = (count.parse()).map_err(|_| (number, "a count", count.to_owned()))?;
    let mut offsets = Checkpoint::new();
    let mut checksum = None;
    for (number, text) in lines {
        let complaint = || {
            let expected = "a new topic, its partition and an offset";
            (number, expected, text.to_owned())
        };
        if checksum.is_some() {
            return Err(complaint());
        }
        if let Some(value) = text.strip_prefix(CHECKSUM) {
            checksum = Some((number, value));
            continue;
        }
        let (partition, offset) = parse_entry(text).ok_or_else(complaint)?;
        if offsets.insert(partition, offset).is_some() {
            return Err(complaint());
        }
    }
    if let Some((number, value)) = checksum {
        check_sum(content, number, value)?;
    }
    let count = offsets.len() + usize::from(checksum.is_some());
    if count == expected {
        Ok(offsets)
    } else {
        Err((
            number,
            "as many lines as the count says",
            format!("{count} lines"),
        ))
    }
}

/// Checks the checksum's line, without its name, against what comes before it.
fn check_sum(content: &str, number: usize, value: &str) -> Result<(), Complaint> {
    let summed = content.rfind(CHECKSUM).map_or("", |end| &content[..end]);
    let expected = format!(" 0 {}", brooklet_protocol::crc32c(summed.as_bytes()));
    if value == expected {
        return Ok(());
    }
    Err((
        number,
        "the checksum of the lines above",
        value.trim().into(),
    ))
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
    use crate::vfs::OpenMode;
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
            String::from_utf8(vfs.read(path).unwrap()).unwrap(),
            "0\n3\nclicks 0 1234\nclicks 1 99\n__brooklet_crc32c 0 1432229744\n"
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
        assert_eq!(complaint("").1, "the version");
        assert_eq!(complaint("\n").1, "version 0");
    }

    /// What a disk can do to a file that was written whole: each flipped bit, each cut.
    #[test]
    fn no_damage_is_taken_for_another_offset() {
        let (vfs, path) = (SimVfs::new(0), Path::new(RECOVERY_POINT_FILE));
        let offsets = Checkpoint::from([
            (partition("clicks", 0), Offset(1234)),
            (partition("__consumer_offsets", 7), Offset(99)),
        ]);
        write(&vfs, path, &offsets).unwrap();
        let whole = vfs.read(path).unwrap();
        let read_back = |content: &[u8]| {
            let file = vfs.open(path, OpenMode::Truncate).unwrap();
            file.append(&[io::IoSlice::new(content)]).unwrap();
            read(&vfs, path)
        };
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Damage to the name of the checksum leaves a line of a partition that is none.
            if let Ok(mut found) = read_back(&flipped) {
                found.retain(|id, _| !id.topic.as_str().starts_with("__brooklet"));
                assert!(
                    offsets
                        .iter()
                        .all(|(id, offset)| found.get(id) == Some(offset)),
                    "{bit}"
                );
            }
        }
        for length in 0..whole.len() - 1 {
            assert!(
                read_back(&whole[..length]).is_err(),
                "cut to {length} bytes"
            );
        }
    }
}
