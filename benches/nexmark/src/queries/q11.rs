//! Query 11, user sessions: a count in session windows. See [`crate::batch::q11`].
//!
//! The engine's sessions reach to their last bid, itself included; those of the published query
//! 10 s further. That a pause of exactly 10 s does not end a session is the same in both.

use brooklet_engine::codec::json;
use brooklet_engine::time::millis;
use brooklet_engine::{App, Final, Sessions};

use super::input::{compact, events, of_bids};
use super::{GRACE, Topics};
use crate::batch::q11::{GAP_MS, Row};

pub(super) fn declare(app: &App, topics: Topics<'_>) {
    events(app, topics.events, of_bids(|bid| Ok(bid.bidder)))
        .key_by("q11-by-bidder", |bidder| *bidder, compact())
        .window(Sessions::gap(millis(GAP_MS.unsigned_abs())).grace(GRACE))
        .count("q11-count")
        .finals()
        .map(row)
        .to(topics.rows, |_| None, json());
}

fn row(session: Final<u64, u64>) -> Row {
    let last_ms = session.window.end.0 - 1;
    Row {
        bidder: session.key,
        bids: session.value,
        start_ms: session.window.start.0,
        end_ms: last_ms.saturating_add(GAP_MS),
    }
}
