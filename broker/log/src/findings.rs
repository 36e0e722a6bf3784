//! Recovery's decision table as data: what may be found, and what is done about it.
//!
//! The table in [`recovery`](super::recovery) tells the reader why; this one tells the machine
//! what. Each [`Finding`] belongs to exactly one [`Row`], and each row has one [`Action`].
//! [`decide`] is pure: it looks at offsets only. The code that comes upon a finding carries the
//! action out where the files are: `recovery` for segments, `compaction/swaps` for swaps,
//! `snapshots` for snapshots.
//!
//! ```text
//!  files ──▶ Finding ──▶ decide ──▶ Row ─────▶ Action ──▶ carried out by the finder
//!                                    └──▶ RecoveryReport::rows, and the debug log
//! ```
//!
//! Invariants, which the tests walk through: every finding has a row, no two rows claim the same
//! finding, every row is reached, and the prose table names every row.

use std::fmt;

use brooklet_protocol::Offset;

/// What is known of a log before its segments are read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// Everything below was synced, as the recovery point or the log itself says.
    pub(super) synced: Offset,
    /// Records below were deleted. They were durable before.
    pub(super) log_start: Offset,
    /// Whether the recovery point is lost: then any damage may be to synced records.
    pub(super) is_point_unknown: bool,
}

/// What recovery comes upon. `end` is the offset behind the last good batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// There is no segment at all.
    NoSegment,
    /// The last shutdown was clean, and the last segment's headers were read.
    CleanEnd {
        end: Offset,
        /// Whether the segment ends with a whole batch.
        is_whole: bool,
    },
    /// A scan has come to the end of the last segment and met no damage.
    ScannedEnd { end: Offset },
    /// A scan has met a bad batch.
    BadBatch { end: Offset },
    /// The next segment begins behind the end of the one before.
    Hole { end: Offset },
    /// A segment behind a torn tail or a hole: its offsets do not continue the log.
    BehindEnd,
    /// A scan has met a sector that cannot be read.
    UnreadableSector,
    /// The first segment begins above the log start.
    LateBegin,
    /// An index is missing, cut, unreadable or inconsistent.
    UnusableIndex,
    /// A snapshot of the producers is damaged, newer than the log, or older than it.
    UnusableSnapshot,
    /// A temporary file, or an index without its segment.
    Leftover,
    /// The `.swap` of a compaction that a crash has interrupted.
    Swap {
        /// Whether it has everything that it replaces.
        is_whole: bool,
        /// Whether some of what it replaces is gone already.
        has_begun: bool,
    },
}

/// A row of recovery's decision table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// A log that has no segment and never had records that count.
    New,
    /// A clean shutdown, and the log is as it was left.
    Clean,
    /// Marked as clean, but the last segment does not end with a whole batch.
    NotClean,
    /// No mark, and every scanned batch is good.
    Whole,
    /// A bad batch that no sync has covered.
    TornTail,
    /// A segment behind a torn tail or a hole.
    Unreachable,
    /// A bad batch that was synced.
    Damage,
    /// A bad batch or a hole, and what was synced is unknown.
    PerhapsDamage,
    /// A hole in what was synced.
    MissingSegment,
    /// The first segment begins above the log start.
    BeginsLate,
    /// The log ends below its start.
    AllDeleted,
    /// The log ends below what was synced.
    EndsEarly,
    /// A sector that cannot be read.
    Unreadable,
    /// An index that is of no use.
    IndexIgnored,
    /// A snapshot that is of no use.
    SnapshotIgnored,
    /// A file that is not needed.
    Leftover,
    /// A swap that was interrupted and is whole.
    InterruptedSwap,
    /// A swap that is damaged and not needed.
    SwapIgnored,
    /// A swap that is damaged and needed.
    SwapDamaged,
}

/// What is done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Create an empty segment at the log start.
    Create,
    /// Serve the log as it is.
    Serve,
    /// Scan every batch from the recovery point on.
    Scan,
    /// Copy what is behind the good batches to a side file, then cut it off.
    Cut,
    /// Rename to a side file.
    SetAside,
    /// Set all segments aside, then create an empty one at the log start.
    StartOver,
    /// Rebuild it from the log.
    Rebuild,
    /// Remove the file.
    Remove,
    /// Finish it: the new segment replaces the old ones.
    Complete,
    /// Open nothing and change nothing: a person has to decide.
    Refuse,
}

impl Row {
    /// The row that a finding belongs to.
    fn of(finding: Finding, known: &Known) -> Self {
        let ended = |end, or| match end {
            end if end < known.synced => Self::EndsEarly,
            end if end < known.log_start => Self::AllDeleted,
            _ => or,
        };
        let broken = |end, damage, or| match end {
            // What was deleted was durable before, whatever the recovery point says.
            end if end < known.synced.max(known.log_start) => damage,
            _ if known.is_point_unknown => Self::PerhapsDamage,
            _ => or,
        };
        match finding {
            Finding::NoSegment => ended(known.log_start, Self::New),
            Finding::CleanEnd { is_whole, .. } if !is_whole => Self::NotClean,
            Finding::CleanEnd { end, .. } => ended(end, Self::Clean),
            Finding::ScannedEnd { end } => ended(end, Self::Whole),
            Finding::BadBatch { end } => broken(end, Self::Damage, Self::TornTail),
            Finding::Hole { end } => broken(end, Self::MissingSegment, Self::Unreachable),
            Finding::BehindEnd => Self::Unreachable,
            Finding::UnreadableSector => Self::Unreadable,
            Finding::LateBegin => Self::BeginsLate,
            Finding::UnusableIndex => Self::IndexIgnored,
            Finding::UnusableSnapshot => Self::SnapshotIgnored,
            Finding::Leftover => Self::Leftover,
            Finding::Swap { is_whole: true, .. } => Self::InterruptedSwap,
            Finding::Swap { has_begun, .. } if !has_begun => Self::SwapIgnored,
            Finding::Swap { .. } => Self::SwapDamaged,
        }
    }

    /// What is done about its findings.
    pub(super) fn action(self) -> Action {
        match self {
            Self::New => Action::Create,
            Self::Clean | Self::Whole | Self::BeginsLate => Action::Serve,
            Self::NotClean => Action::Scan,
            Self::TornTail => Action::Cut,
            Self::Unreachable | Self::SwapIgnored => Action::SetAside,
            Self::AllDeleted => Action::StartOver,
            Self::IndexIgnored => Action::Rebuild,
            Self::SnapshotIgnored | Self::Leftover => Action::Remove,
            Self::InterruptedSwap => Action::Complete,
            Self::Damage
            | Self::PerhapsDamage
            | Self::MissingSegment
            | Self::EndsEarly
            | Self::Unreadable
            | Self::SwapDamaged => Action::Refuse,
        }
    }

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Clean => "clean",
            Self::NotClean => "not clean",
            Self::Whole => "whole",
            Self::TornTail => "torn tail",
            Self::Unreachable => "unreachable",
            Self::Damage => "damage",
            Self::PerhapsDamage => "perhaps damage",
            Self::MissingSegment => "missing segment",
            Self::BeginsLate => "begins late",
            Self::AllDeleted => "all deleted",
            Self::EndsEarly => "ends early",
            Self::Unreadable => "unreadable",
            Self::IndexIgnored => "index ignored",
            Self::SnapshotIgnored => "snapshot ignored",
            Self::Leftover => "leftover",
            Self::InterruptedSwap => "interrupted swap",
            Self::SwapIgnored => "swap ignored",
            Self::SwapDamaged => "swap damaged",
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The row of a finding, and what to do about it.
pub(super) fn decide(finding: Finding, known: &Known) -> (Row, Action) {
    let row = Row::of(finding, known);
    (row, row.action())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every finding with every end below 4.
    fn findings() -> Vec<Finding> {
        let mut all = vec![
            Finding::NoSegment,
            Finding::BehindEnd,
            Finding::UnreadableSector,
            Finding::LateBegin,
            Finding::UnusableIndex,
            Finding::UnusableSnapshot,
            Finding::Leftover,
        ];
        for end in (0..4).map(Offset) {
            all.extend([
                Finding::ScannedEnd { end },
                Finding::BadBatch { end },
                Finding::Hole { end },
            ]);
            all.extend([true, false].map(|is_whole| Finding::CleanEnd { end, is_whole }));
        }
        for (is_whole, has_begun) in [(true, true), (true, false), (false, true), (false, false)] {
            all.push(Finding::Swap {
                is_whole,
                has_begun,
            });
        }
        all
    }

    fn known() -> impl Iterator<Item = Known> {
        (0..4 * 4 * 2).map(|number| Known {
            synced: Offset(number / 8),
            log_start: Offset(number / 2 % 4),
            is_point_unknown: number % 2 == 1,
        })
    }

    /// The table again, each row by itself: what a finding has to be to belong to it.
    fn belongs(row: Row, finding: Finding, known: &Known) -> bool {
        use Finding as F;
        let (synced, start) = (known.synced, known.log_start);
        let durable = synced.max(start);
        let unknown = known.is_point_unknown;
        match row {
            Row::New => finding == F::NoSegment && start >= synced,
            Row::Clean => {
                matches!(finding, F::CleanEnd { end, is_whole: true } if end >= durable)
            }
            Row::NotClean => matches!(
                finding,
                F::CleanEnd {
                    is_whole: false,
                    ..
                }
            ),
            Row::Whole => matches!(finding, F::ScannedEnd { end } if end >= durable),
            Row::TornTail => {
                matches!(finding, F::BadBatch { end } if end >= durable && !unknown)
            }
            Row::Unreachable => match finding {
                F::Hole { end } => end >= durable && !unknown,
                other => other == F::BehindEnd,
            },
            Row::Damage => matches!(finding, F::BadBatch { end } if end < durable),
            Row::PerhapsDamage => matches!(
                finding,
                F::BadBatch { end } | F::Hole { end } if end >= durable && unknown
            ),
            Row::MissingSegment => matches!(finding, F::Hole { end } if end < durable),
            Row::BeginsLate => finding == F::LateBegin,
            Row::AllDeleted => matches!(
                finding,
                F::CleanEnd { end, is_whole: true } | F::ScannedEnd { end }
                    if end >= synced && end < start
            ),
            Row::EndsEarly => match finding {
                F::NoSegment => start < synced,
                F::CleanEnd {
                    end,
                    is_whole: true,
                }
                | F::ScannedEnd { end } => end < synced,
                _ => false,
            },
            Row::Unreadable => finding == F::UnreadableSector,
            Row::IndexIgnored => finding == F::UnusableIndex,
            Row::SnapshotIgnored => finding == F::UnusableSnapshot,
            Row::Leftover => finding == F::Leftover,
            Row::InterruptedSwap => matches!(finding, F::Swap { is_whole: true, .. }),
            Row::SwapIgnored => matches!(
                finding,
                F::Swap {
                    is_whole: false,
                    has_begun: false
                }
            ),
            Row::SwapDamaged => matches!(
                finding,
                F::Swap {
                    is_whole: false,
                    has_begun: true
                }
            ),
        }
    }

    const ROWS: [Row; 19] = [
        Row::New,
        Row::Clean,
        Row::NotClean,
        Row::Whole,
        Row::TornTail,
        Row::Unreachable,
        Row::Damage,
        Row::PerhapsDamage,
        Row::MissingSegment,
        Row::BeginsLate,
        Row::AllDeleted,
        Row::EndsEarly,
        Row::Unreadable,
        Row::IndexIgnored,
        Row::SnapshotIgnored,
        Row::Leftover,
        Row::InterruptedSwap,
        Row::SwapIgnored,
        Row::SwapDamaged,
    ];

    #[test]
    fn every_finding_belongs_to_one_row_and_every_row_has_a_finding() {
        let mut reached = BTreeSet::new();
        for known in known() {
            for finding in findings() {
                let rows = ROWS
                    .into_iter()
                    .filter(|row| belongs(*row, finding, &known));
                let rows: Vec<_> = rows.collect();
                assert_eq!(
                    rows,
                    [decide(finding, &known).0],
                    "{finding:?} with {known:?}"
                );
                reached.extend(rows);
            }
        }
        assert_eq!(reached, BTreeSet::from(ROWS));
    }

    #[test]
    fn what_was_synced_or_may_have_been_is_never_taken_away() {
        for known in known() {
            for finding in findings() {
                let (Finding::ScannedEnd { end }
                | Finding::BadBatch { end }
                | Finding::Hole { end }
                | Finding::CleanEnd { end, .. }) = finding
                else {
                    continue;
                };
                let is_bad = matches!(finding, Finding::BadBatch { .. } | Finding::Hole { .. });
                let action = decide(finding, &known).1;
                let takes = matches!(action, Action::Cut | Action::SetAside | Action::StartOver);
                if end < known.synced || (is_bad && known.is_point_unknown) {
                    assert!(!takes, "{finding:?} with {known:?}: {action:?}");
                }
            }
        }
    }

    #[test]
    fn the_prose_names_every_row() {
        let prose = include_str!("recovery/mod.rs");
        let called: BTreeSet<_> = prose
            .lines()
            .filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").nth(1))
            .filter(|name| *name != "called")
            .collect();
        let names = ROWS.iter().map(|row| row.name()).collect();
        assert_eq!(called, names);
    }
}
