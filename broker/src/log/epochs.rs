//! Which leader epoch began at which offset (KIP-101), as `leader-epoch-checkpoint` has it.
//!
//! ```text
//!  0           version
//!  2           how many lines follow
//!  0 0         epoch 0 began at offset 0,
//!  4 1200      epoch 4 at 1200: where epoch 0 ends, and whatever lies between the two
//! ```
//!
//! A client that has read up to some offset of some epoch asks where that epoch ends: if it ends earlier,
//! the log was cut since, and what the client has is not what the partition has.
//!
//! A log that was begun here has one epoch. One that Apache Kafka has written brings its own; the last of
//! them goes on, because an epoch that went back would be one that clients have seen end.
//!
//! Invariant: there is an epoch, and both epochs and offsets ascend.

use std::path::Path;

use brooklet_protocol::{LeaderEpoch, Offset};

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
    /// Those in the directory of a log that ends at `end`. Where no file says so, or one that cannot be
    /// understood, there is the first epoch. Blocks.
    pub fn read(vfs: &dyn Vfs, dir: &Path, end: Offset) -> Self {
        let path = dir.join(EPOCH_FILE);
        if !vfs.exists(&path) {
            return Self::default();
        }
        let content = vfs.read(&path).map_err(|error| error.to_string());
        let parsed = content.and_then(|content| {
            let parsed = Self::parse(&String::from_utf8_lossy(&content));
            parsed.ok_or_else(|| "expected rising epochs with rising offsets".to_owned())
        });
        let mut epochs = parsed.unwrap_or_else(|error| {
            tracing::warn!("{}: {error}; epoch 0 is assumed", path.display());
            Self::default()
        });
        // An epoch can be written down when its first records are lost: it begins where the log ends.
        for (_, start) in &mut epochs.begun {
            *start = (*start).min(end);
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

    /// Where an epoch ends in a log from `start` to `end`: the latest epoch that is not later, and the
    /// offset at which the next one begins. `None` for one that has not begun, and for -1, which is none.
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
    use super::*;
    use crate::vfs::sim::SimVfs;

    fn epochs(content: &str, end: i64) -> LeaderEpochs {
        let vfs = SimVfs::new(0);
        vfs.create_dir_all(Path::new("/p-0")).unwrap();
        vfs.replace(&Path::new("/p-0").join(EPOCH_FILE), content.as_bytes())
            .unwrap();
        LeaderEpochs::read(&vfs, Path::new("/p-0"), Offset(end))
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins() {
        let epochs = epochs("0\n3\n2 0\n5 10\n6 20\n", 30);
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
        let none = LeaderEpochs::read(&SimVfs::new(0), Path::new("/p-0"), Offset(3));
        assert_eq!(none, LeaderEpochs::default());
        assert_eq!(none.to_text(), "0\n1\n0 0\n");
        assert_eq!(epochs(&none.to_text(), 3), none);
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
            assert_eq!(epochs(malformed, 3), none, "{malformed:?}");
        }
    }

    #[test]
    fn an_epoch_whose_records_are_lost_begins_at_the_end() {
        let epochs = epochs("0\n2\n4 0\n5 100\n", 90);
        let end_of = |epoch, end| epochs.end_of(LeaderEpoch(epoch), (Offset(0), Offset(end)));
        assert_eq!(epochs.current(), LeaderEpoch(5));
        assert_eq!(end_of(4, 95), Some((LeaderEpoch(4), Offset(90))));
        assert_eq!(end_of(5, 95), Some((LeaderEpoch(5), Offset(95))));
    }
}
