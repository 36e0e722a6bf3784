//! Query 5, hot items: counts in hops, and of each hop the maximum. See [`crate::batch::q5`].
//!
//! ```text
//!  bids ─ by auction ─▶ hops: count ─ by window ─▶ hops: max, ties ─▶ rows
//!                              (window, auction, bids)
//! ```
//!
//! The counts of one window must meet in the second stage. Their event times are those of the last
//! bids that they count, anywhere in the window, so that no tumbling window would hold them all; the
//! same hops do. Each of the counts is then in four more hops, whose maxima are of no use: only
//! the hop that begins where the counted window does is a result.
//!
//! The second stage needs no grace: the first waits for stragglers, and its results are never late.

use brooklet_engine::aggregate::{MaxBy, Ties};
use brooklet_engine::codec::json;
use brooklet_engine::time::{millis, seconds};
use brooklet_engine::{App, Final, Hopping};
use serde::{Deserialize, Serialize};

use super::input::{compact, events, of_bids};
use super::{GRACE, TEN_SECONDS, Topics};
use crate::batch::q5::{ADVANCE_MS, Row};

/// How many bids an auction has in a window.
#[derive(Clone, Serialize, Deserialize)]
struct Counted {
    window_start_ms: i64,
    auction: u64,
    bids: u64,
}

pub(super) fn declare(app: &App, topics: Topics<'_>) {
    let hops = || Hopping::of(TEN_SECONDS).advance(millis(ADVANCE_MS.unsigned_abs()));
    let counts = events(app, topics.events, of_bids(|bid| Ok(bid.auction)))
        .key_by("q5-by-auction", |auction| *auction, compact())
        .window(hops().grace(GRACE))
        .count("q5-count");
    let hottest = counts
        .finals()
        .map(|count| Counted {
            window_start_ms: count.window.start.0,
            auction: count.key,
            bids: count.value,
        })
        .key_by("q5-by-window", |count| count.window_start_ms, compact())
        .window(hops().grace(seconds(0)))
        .aggregate(
            "q5-max",
            MaxBy::of(usize::MAX, |count: &Counted| count.bids, |c| c.auction),
        );
    hottest
        .finals()
        .filter(|hot| hot.window.start.0 == hot.key)
        .flat_map(rows)
        .to(topics.rows, |_| None, json());
}

fn rows(hot: Final<i64, Ties<u64, u64>>) -> impl Iterator<Item = Row> {
    let (window_start_ms, bids) = (hot.key, hot.value.value);
    hot.value.items.into_iter().map(move |auction| Row {
        window_start_ms,
        auction,
        bids,
    })
}
