//! What a reader wants to see of transactions (KIP-98).

/// Whether records of open and aborted transactions are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All records below the high watermark.
    #[default]
    ReadUncommitted,
    /// Those below the last stable offset; the aborted ones among them are told apart.
    ReadCommitted,
}

impl Isolation {
    /// From a request: 1 is read_committed.
    pub fn of_level(level: i8) -> Self {
        if level == 1 {
            Self::ReadCommitted
        } else {
            Self::ReadUncommitted
        }
    }
}
