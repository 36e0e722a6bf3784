//! InitProducerId: which incarnation of a producer follows.
//!
//! | what is known | the producer expects | next |
//! |---|---|---|
//! | an end is under way | anything | refused: `Ending` |
//! | state Empty | the incarnation before, whose answer was lost | the same as before |
//! | any other state | the incarnation before | refused: `Fenced` |
//! | anything | another incarnation than the current one | refused: `Fenced` |
//! | Ongoing | nothing, or the current one | abort first |
//! | epochs used up | nothing, or the current one | another producer id |
//! | otherwise | nothing, or the current one | the next epoch |

use brooklet_protocol::{Producer, ProducerEpoch, ProducerId};

use super::command::{Init, TransactionError};
use super::state::{Status, Transaction, after};

/// The producer of an id after an init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The current one: it has not received the answer.
    Same,
    /// The current one with the next epoch.
    Raised,
    /// One with another producer id.
    Replaced,
    /// None, until the open transaction is aborted.
    Abort,
}

/// Which incarnation follows `known`; `before` is the epoch before the last init.
pub(super) fn next_incarnation(
    known: &Transaction,
    init: Init,
    before: Option<ProducerEpoch>,
) -> Result<Next, TransactionError> {
    if known.status.is_ending() {
        return Err(TransactionError::Ending);
    }
    if let Some(expected) = init.expected {
        let is_replaced = Some(expected.id) == known.previous_id && known.has_succeeded(expected);
        if is_replaced || (expected.id == known.producer.id && Some(expected.epoch) == before) {
            // A transaction was opened after the answer, so the answer was received.
            let was_received = known.status != Status::Empty;
            return if was_received {
                Err(known.fences(expected))
            } else {
                Ok(Next::Same)
            };
        }
        if expected != known.producer {
            return Err(known.fences(expected));
        }
    }
    Ok(if known.status == Status::Ongoing {
        Next::Abort
    } else if known.is_used_up() {
        Next::Replaced
    } else {
        Next::Raised
    })
}

/// The producer that `next` stands for; `unused` is a producer id that was never used.
pub(super) fn successor(known: &Transaction, next: Next, unused: Option<ProducerId>) -> Producer {
    match unused {
        Some(id) if next == Next::Replaced => Producer {
            id,
            epoch: ProducerEpoch(0),
        },
        _ => Producer {
            epoch: after(known.producer.epoch),
            ..known.producer
        },
    }
}
