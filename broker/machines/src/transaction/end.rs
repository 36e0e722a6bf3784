//! EndTxn: whether a transaction may end the way its producer asks.
//!
//! | state | the same outcome | the other outcome |
//! |---|---|---|
//! | Ongoing | prepared | prepared |
//! | PrepareCommit, PrepareAbort | refused: `Ending` | refused: `State` |
//! | CompleteCommit, CompleteAbort | is done: the answer was lost | refused: `State`, but see below |
//! | Empty | refused: `State`, but see below | |
//!
//! With version 2 (KIP-890) the end raises the epoch, so a repeated request comes with the epoch
//! before: it is only ever answered "is done", or fenced. And an abort is prepared where no
//! transaction is open, too, since records of the producer may be on their way that nobody knows of
//! yet: the epoch fences them.

use super::command::{End, TransactionError};
use super::state::{Status, Transaction};

/// What to do about an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndAction {
    /// Nothing: it was done before.
    AlreadyDone,
    /// Prepare it.
    Prepare,
}

/// Checks an end against what is known of its id.
pub(super) fn check(known: &Transaction, end: End) -> Result<EndAction, TransactionError> {
    let has_succeeded = end.raises_epoch && known.has_succeeded(end.producer);
    if !has_succeeded {
        known.check(end.producer)?;
    }
    let is_same = match known.status {
        Status::PrepareCommit => end.committed,
        Status::PrepareAbort => !end.committed,
        status => status.outcome() == Some(end.committed),
    };
    match known.status {
        Status::Ongoing | Status::Empty if has_succeeded => Err(known.fences(end.producer)),
        // Somebody else aborted it, while its producer wanted to commit.
        _ if has_succeeded && !is_same => Err(known.fences(end.producer)),
        Status::Ongoing => Ok(EndAction::Prepare),
        Status::PrepareCommit | Status::PrepareAbort if is_same => Err(TransactionError::Ending),
        // The answer was lost on its way.
        Status::CompleteCommit | Status::CompleteAbort
            if is_same && (has_succeeded || !end.raises_epoch) =>
        {
            Ok(EndAction::AlreadyDone)
        }
        // Records of the producer may still be on their way: the epoch fences them.
        Status::Empty | Status::CompleteCommit | Status::CompleteAbort
            if end.raises_epoch && !end.committed && !has_succeeded =>
        {
            Ok(EndAction::Prepare)
        }
        _ => Err(known.refuses()),
    }
}
