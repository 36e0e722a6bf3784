//! Which leader epoch began at which offset (KIP-101), as `leader-epoch-checkpoint` has it.
//!
//! ```text
//!  0           version
//!  2           how many lines follow
//!  0 0         epoch 0 began at offset 0,
//!  4 1200      epoch 4 at 1200: where epoch 0 ends, and whatever lies between the two
//! ```
//!
//! A client that has read up to some offset of some epoch asks where that epoch ends: if it ends
//! earlier, the log was cut since, and what the client has is not what the partition has.
//!
//! Every batch has its epoch in its header, outside of the checksum as Kafka has it, and the file
//! has no checksum at all: so the two are held against each other when the log is opened. Where the
//! file says what cannot be, or is missing or unreadable though there were several epochs, it is
//! rebuilt from the headers.
//!
//! | found | done |
//! |---|---|
//! | the last batch and those at each border are of epochs in the file, on the right side of the border | believed |
//! | no file, and the last batch is of epoch 0 | epoch 0 from the start: epochs ascend |
//! | anything else | every header is read once, and the file rewritten |
//!
//! A log that was begun here has one epoch. One that Apache Kafka has written brings its own; the
//! last of them goes on, because an epoch that went back would be one that clients have seen end.
//!
//! Invariant: there is an epoch, and both epochs and offsets ascend.

use std::io::ErrorKind;
use std::path::Path;

use brooklet_protocol::{LeaderEpoch, Offset};

use super::Maintenance;
use crate::vfs::Vfs;

/// The file, in the partition's directory.
pub const EPOCH_FILE: &str = "leader-epoch-checkpoint";

const VERSION: &str = "0";

/// The leader epochs of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderEpochs {
    begun: Vec<(LeaderEpoch, Offset)>,
}

/// Those of a log that is begun here.
impl Default for LeaderEpochs {
    fn default() -> Self {
        Self {
            begun: vec![(LeaderEpoch(0), Offset::ZERO)],
        }
    }
}

impl LeaderEpochs {
    /// Those of the log in `dir`, which was just opened. Blocks.
    pub fn read(vfs: &dyn Vfs, dir: &Path, log: &Maintenance) -> Self {
        let found = Self::read_file(vfs, dir);
        let (_, end) = log.offsets();
        let fits = |epochs: &Self| epochs.fits(log);
        let mut epochs = match found {
            Ok(Some(epochs)) if fits(&epochs) => epochs,
            Ok(None) if fits(&Self::default()) => Self::default(),
            found => {
                let why = found
                    .err()
                    .unwrap_or_else(|| "it does not fit the log".to_owned());
                Self::remade(vfs, dir, log, &why)
            }
        };
        // An epoch can be written down when its first records are lost: it begins where the log
        // ends.
        for (_, start) in &mut epochs.begun {
            *start = (*start).min(end);
        }
        epochs
    }

    /// What the file says; nothing if there is none.
    fn read_file(vfs: &dyn Vfs, dir: &Path) -> Result<Option<Self>, String> {
        let content = match vfs.read(&dir.join(EPOCH_FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            content => content.map_err(|error| error.to_string())?,
        };
        let parsed = Self::parse(&String::from_utf8_lossy(&content));
        let expected = "expected rising epochs with rising offsets";
        parsed.map(Some).ok_or_else(|| expected.to_owned())
    }

    /// Whether the log may be of these epochs, by its last batch and those at the borders.
    fn fits(&self, log: &Maintenance) -> bool {
        let (start, end) = log.offsets();
        // The reader of a damaged batch finds it; those of old have no epoch.
        let epoch_at = |offset| {
            let epoch = log.header_at(offset).ok()??.leader_epoch;
            (epoch >= LeaderEpoch(0)).then_some(epoch)
        };
        let begun_at = |epoch| self.begun.iter().find(|(known, _)| *known == epoch);
        let last = (start < end).then(|| epoch_at(end.plus(-1))).flatten();
        // The file may know of elections behind which nothing was written; an epoch that goes up
        // takes nothing from anybody.
        if last.is_none_or(|last| last < self.begun[0].0) {
            return true;
        }
        if last.is_some_and(|last| begun_at(last).is_none_or(|(_, begun)| *begun >= end)) {
            return false;
        }
        // Epochs ascend, so the last batch speaks for all.
        if *self == Self::default() {
            return true;
        }
        self.begun.iter().all(|(epoch, begun)| {
            let at = (*begun < end)
                .then(|| epoch_at((*begun).max(start)))
                .flatten();
            let is_above = *begun < end && *begun > start;
            let before = is_above.then(|| epoch_at(begun.plus(-1))).flatten();
            at.is_none_or(|at| at >= *epoch && begun_at(at).is_some())
                && before.is_none_or(|before| before < *epoch && begun_at(before).is_some())
        })
    }

    /// What the headers say; written down for the next start.
    fn remade(vfs: &dyn Vfs, dir: &Path, log: &Maintenance, why: &str) -> Self {
        let path = dir.join(EPOCH_FILE);
        let mut begun: Vec<(LeaderEpoch, Offset)> = Vec::new();
        let walked = log.each_header(|header| {
            let epoch = header.leader_epoch;
            if epoch >= LeaderEpoch(0) && begun.last().is_none_or(|(last, _)| *last < epoch) {
                begun.push((epoch, header.base_offset));
            }
        });
        if let Err(damage) = walked {
            tracing::warn!(
                "{}: the epochs behind it are not known: {damage}",
                path.display()
            );
        }
        let epochs = if begun.is_empty() {
            Self::default()
        } else {
            Self { begun }
        };
        tracing::warn!("{}: {why}; rebuilt from the log", path.display());
        if let Err(error) = vfs.replace(&path, epochs.to_text().as_bytes()) {
            tracing::warn!("{}: cannot write: {error}", path.display());
        }
        epochs
    }

    /// `None` if it is not the format.
    fn parse(content: &str) -> Option<Self> {
        // Kafka creates its files empty.
        if content.is_empty() {
            return Some(Self::default());
        }
        let mut lines = content.lines();
        if lines.next()? != VERSION {
            return None;
        }
        let count: usize = lines.next()?.parse().ok()?;
        let entry = |line: &str| {
            let (epoch, start) = line.split_once(' ')?;
            let (epoch, start) = (epoch.parse().ok()?, start.parse().ok()?);
            (epoch >= 0 && start >= 0).then_some((LeaderEpoch(epoch), Offset(start)))
        };
        let begun: Vec<_> = lines.map(entry).collect::<Option<_>>()?;
        let ascends = begun.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        if begun.is_empty() && count == 0 {
            return Some(Self::default());
        }
        (ascends && begun.len() == count).then_some(Self { begun })
    }

    /// As the file has it.
    pub fn to_text(&self) -> String {
        let line = |(epoch, start): &(LeaderEpoch, Offset)| format!("{epoch} {start}\n");
        let lines: String = self.begun.iter().map(line).collect();
        format!("{VERSION}\n{}\n{lines}", self.begun.len())
    }

    /// The last one, in which records are written.
    pub fn current(&self) -> LeaderEpoch {
        self.begun.last().expect("there is an epoch").0
    }

    /// Where an epoch ends in a log from `start` to `end`: the latest epoch that is not later, and
    /// the offset at which the next one begins. `None` for one that has not begun, and for -1,
    /// which is none.
    pub fn end_of(
        &self,
        epoch: LeaderEpoch,
        (start, end): (Offset, Offset),
    ) -> Option<(LeaderEpoch, Offset)> {
        if epoch == self.current() {
            return Some((epoch, end));
        }
        if epoch < LeaderEpoch(0) {
            return None;
        }
        let next = self.begun.iter().position(|(begun, _)| *begun > epoch);
        // What lies wholly below the log start is forgotten, and the rest begins there.
        let (next, (_, next_start)) = (next?, self.begun[next?]);
        let is_known = next > 0 && next_start > start;
        let floor = if is_known {
            self.begun[next - 1].0
        } else {
            epoch
        };
        Some((floor, next_start.max(start)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use brooklet_protocol::Timestamp;
    use brooklet_protocol::records::{BatchBuilder, Compression};

    use super::*;
    use crate::vfs::sim::SimVfs;
    use crate::{Log, LogConfig, RecoveryStart};

    const DIR: &str = "/p-0";

    /// A log with so many records in each of these epochs, a batch each.
    fn log(written: &[(i32, i64)]) -> (SimVfs, Log) {
        let vfs = SimVfs::new(0);
        let config = LogConfig::default();
        let shared: Arc<dyn Vfs> = Arc::new(vfs.clone());
        let opened = Log::open(shared, Path::new(DIR), config, RecoveryStart::default());
        let (mut log, _) = opened.unwrap();
        for (epoch, records) in written {
            for _ in 0..*records {
                let mut batch = BatchBuilder::new(Compression::None);
                batch.append(Timestamp(1), None, Some(b"a"), &[]);
                let (batch, epoch) = (batch.build(), LeaderEpoch(*epoch));
                log.append(&batch, epoch, Timestamp(1)).unwrap();
            }
        }
        (vfs, log)
    }

    /// What is read where the file has this content.
    fn epochs(content: &str, written: &[(i32, i64)]) -> LeaderEpochs {
        let (vfs, log) = log(written);
        let path = Path::new(DIR).join(EPOCH_FILE);
        vfs.replace(&path, content.as_bytes()).unwrap();
        LeaderEpochs::read(&vfs, Path::new(DIR), &log.maintenance())
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let epochs = epochs("0\n3\n2 0\n5 10\n6 20\n", &[(2, 10), (5, 10), (6, 10)]);
        assert_eq!(epochs.current(), LeaderEpoch(6));
        let end_of = |epoch, start| {
            let found = epochs.end_of(LeaderEpoch(epoch), (Offset(start), Offset(30)));
            found.map(|(epoch, end)| (epoch.0, end.0))
        };
        // Epoch asked, log start, answer.
        for (epoch, start, expected) in [
            (-1, 0, None),
            (0, 0, Some((0, 0))),
            (2, 0, Some((2, 10))),
            (3, 0, Some((2, 10))),
            (5, 0, Some((5, 20))),
            (6, 0, Some((6, 30))),
            (7, 0, None),
            // Records below 12 are deleted, and with them the epoch that ended at 10.
            (2, 12, Some((2, 12))),
            (3, 12, Some((3, 12))),
            (5, 12, Some((5, 20))),
            (5, 20, Some((5, 20))),
            (6, 25, Some((6, 30))),
        ] {
            assert_eq!(end_of(epoch, start), expected, "epoch {epoch} from {start}");
        }
    }

    #[test]
    fn a_log_without_a_file_has_the_first_epoch() {
        let (vfs, of_three) = log(&[(0, 3)]);
        let none = LeaderEpochs::read(&vfs, Path::new(DIR), &of_three.maintenance());
        assert_eq!(none, LeaderEpochs::default());
        assert_eq!(none.to_text(), "0\n1\n0 0\n");
        assert_eq!(epochs(&none.to_text(), &[(0, 3)]), none);
        for malformed in [
            "",
            "0\n0\n",
            "1\n1\n7 0\n",
            "0\n2\n7 0\n",
            "0\n1\n7\n",
            "0\n1\n7 -1\n",
            "0\n1\n-7 1\n",
            "0\n2\n7 0\n7 1\n",
            "0\n2\n7 1\n8 0\n",
            "0\n1\n",
        ] {
            assert_eq!(epochs(malformed, &[(0, 3)]), none, "{malformed:?}");
        }
    }

    #[test]
    fn an_epoch_whose_records_are_lost_begins_at_the_end() {
        let epochs = epochs("0\n2\n4 0\n5 100\n", &[(4, 90)]);
        let end_of = |epoch, end| epochs.end_of(LeaderEpoch(epoch), (Offset(0), Offset(end)));
        assert_eq!(epochs.current(), LeaderEpoch(5));
        assert_eq!(end_of(4, 95), Some((LeaderEpoch(4), Offset(90))));
        assert_eq!(end_of(5, 95), Some((LeaderEpoch(5), Offset(95))));
    }

    /// The batches know as well: no damage to the file makes an epoch go back, or end elsewhere.
    #[test]
    fn what_the_file_gets_wrong_is_read_from_the_log() {
        let written = [(2, 10), (5, 10), (6, 10)];
        let whole = "0\n3\n2 0\n5 10\n6 20\n";
        let right = epochs(whole, &written);
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.as_bytes().to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let flipped = String::from_utf8_lossy(&flipped);
            let found = epochs(&flipped, &written);
            // An epoch that nobody wrote in may have been begun.
            assert_eq!(found.begun[..3], right.begun, "{flipped:?}");
        }
        for length in 0..whole.len() - 1 {
            assert_eq!(epochs(&whole[..length], &written), right, "{length} bytes");
        }
        let (vfs, log) = log(&written);
        let found = LeaderEpochs::read(&vfs, Path::new(DIR), &log.maintenance());
        assert_eq!(found, right, "without a file");
        let remade = vfs.read(&Path::new(DIR).join(EPOCH_FILE)).unwrap();
        assert_eq!(remade, whole.as_bytes());
    }
}
