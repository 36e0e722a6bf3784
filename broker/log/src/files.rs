//! The names of a log's files, as in Kafka: the base offset in 20 digits, and what it is.
//!
//! ```text
//!  00000000000000004096.log            batches from offset 4096 on
//!  00000000000000004096.index          where in it an offset is
//!  00000000000000004096.timeindex      where in it a time is
//!  00000000000000004096.txnindex       which transactions in it were aborted
//!  00000000000000004096.snapshot       the producers' state before it
//!  00000000000000004096.log.deleted    of a segment that is gone, removed a little later
//!  00000000000000004096.log.cut-1      what recovery cut off (ours; never read, never deleted)
//! ```

use std::path::{Path, PathBuf};

use brooklet_protocol::Offset;

use crate::vfs::Vfs;

pub(super) const LOG: &str = "log";
pub(super) const OFFSET_INDEX: &str = "index";
pub(super) const TIME_INDEX: &str = "timeindex";
pub(super) const TXN_INDEX: &str = "txnindex";
pub(super) const SNAPSHOT: &str = "snapshot";
/// A compacted segment that is being written.
pub(super) const CLEANED_LOG: &str = "log.cleaned";
/// A compacted segment that is whole and about to replace others.
pub(super) const SWAP_LOG: &str = "log.swap";
/// Added to the name of a file that will be removed.
const DELETED: &str = "deleted";

/// The highest offset a log can hold; the distance to the end of `i64` is more than a batch spans,
/// so that no sum of an offset and a batch's length overflows.
pub(super) const OFFSET_MAX: i64 = i64::MAX - (1 << 32);

/// What a name in a log's directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A segment.
    Segment(Offset),
    /// An index of the segment with this base offset.
    Index(Offset),
    /// The producers' state at this offset.
    Snapshot(Offset),
    /// A segment that is gone: its file is to be removed.
    Retired(Offset),
    /// Half-written or already deleted, and not needed.
    Leftover,
    /// A compacted segment whose swap was interrupted.
    Swap(Offset),
    /// Something else.
    Other,
}

/// What the file called `name` is.
pub(super) fn classify(name: &str) -> FileKind {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let swapped = stem.strip_suffix(".log").and_then(base_offset);
    match (extension, base_offset(stem)) {
        (DELETED, _) => swapped.map_or(FileKind::Leftover, FileKind::Retired),
        ("tmp" | "cleaned", _) => FileKind::Leftover,
        ("swap", _) => swapped.map_or(FileKind::Leftover, FileKind::Swap),
        (LOG, Some(base)) => FileKind::Segment(base),
        (OFFSET_INDEX | TIME_INDEX | TXN_INDEX, Some(base)) => FileKind::Index(base),
        (SNAPSHOT, Some(offset)) => FileKind::Snapshot(offset),
        _ => FileKind::Other,
    }
}

fn base_offset(stem: &str) -> Option<Offset> {
    let digits = stem.len() == 20 && stem.bytes().all(|byte| byte.is_ascii_digit());
    let base = digits.then(|| stem.parse().ok()).flatten()?;
    (base <= OFFSET_MAX).then_some(Offset(base))
}

/// The path of a segment's file.
pub(super) fn path(dir: &Path, base: Offset, extension: &str) -> PathBuf {
    dir.join(format!("{:020}.{extension}", base.0))
}

/// The offset in the name of a snapshot.
pub(super) fn snapshot_offset(name: &str) -> Option<Offset> {
    match classify(name) {
        FileKind::Snapshot(offset) => Some(offset),
        _ => None,
    }
}

/// All files that a segment may have; its `.log` first.
pub(super) fn of_segment(log: &Path) -> [PathBuf; 5] {
    [LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX, SNAPSHOT]
        .map(|extension| log.with_extension(extension))
}

/// The indexes that a segment may have.
pub(super) fn indexes_of(log: &Path) -> [PathBuf; 3] {
    [OFFSET_INDEX, TIME_INDEX, TXN_INDEX].map(|extension| log.with_extension(extension))
}

/// The next free name of a side file, for what is taken out of `log`.
pub(super) fn side_path(vfs: &dyn Vfs, log: &Path) -> PathBuf {
    let name = |number| log.with_extension(format!("{LOG}.cut-{number}"));
    let mut number = 1;
    while vfs.exists(&name(number)) {
        number += 1;
    }
    name(number)
}

/// What a file is called until it is removed.
pub(super) fn deleted(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(DELETED);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kafkas() {
        let path = path(Path::new("t-0"), Offset(4096), LOG);
        assert_eq!(path, Path::new("t-0/00000000000000004096.log"));
        let kind = |extension: &str| classify(&format!("00000000000000004096.{extension}"));
        assert_eq!(kind("log"), FileKind::Segment(Offset(4096)));
        assert_eq!(kind("index"), FileKind::Index(Offset(4096)));
        assert_eq!(kind("timeindex"), FileKind::Index(Offset(4096)));
        assert_eq!(kind("log.deleted"), FileKind::Retired(Offset(4096)));
        for leftover in ["index.deleted", "index.tmp", "log.cleaned"] {
            assert_eq!(kind(leftover), FileKind::Leftover);
        }
        assert_eq!(kind("log.swap"), FileKind::Swap(Offset(4096)));
        assert_eq!(kind("index.swap"), FileKind::Leftover);
        assert_eq!(kind("snapshot"), FileKind::Snapshot(Offset(4096)));
        for other in ["log.cut-1", "part"] {
            assert_eq!(kind(other), FileKind::Other);
        }
        for other in [
            "1.log",
            "+0000000000000000001.log",
            "99999999999999999999.log",
            "",
        ] {
            assert_eq!(classify(other), FileKind::Other);
        }
    }
}
