//! Query 8, new persons who sell: a join within windows. See [`crate::batch::q8`].
//!
//! ```text
//!  persons ──┐
//!            ├─ by person ─▶ tumbling: name, sold ─ if both ─▶ rows
//!  auctions ─┘
//! ```
//!
//! Both kinds are in one stream with one key: the person who registers, and the seller. What is kept
//! of a key and a window is one side of the join each, so neither has to wait for the other.
//!
//! A person registers once. If two registered with one id, the batch computation would have a row
//! for each name; this has one.

use brooklet_engine::aggregate::Max;
use brooklet_engine::codec::json;
use brooklet_engine::{App, Final, Tumbling};
use serde::{Deserialize, Serialize};

use super::input::{compact, events};
use super::{GRACE, TEN_SECONDS, Topics};
use crate::batch::q8::Row;
use crate::binary::{DecodeError, EventView, text};

/// What a person did.
#[derive(Clone, Serialize, Deserialize)]
struct Did {
    person: u64,
    /// The name, if the person registered; if not, the person opened an auction.
    registered_as: Option<String>,
}

pub(super) fn declare(app: &App, topics: Topics<'_>) {
    // A name is greater than none, and true than false.
    let both_sides = (
        Max::of(|did: &Did| did.registered_as.clone()),
        Max::of(|did: &Did| did.registered_as.is_none()),
    );
    events(app, topics.events, taken)
        .key_by("q8-by-person", |did| did.person, compact())
        .window(Tumbling::of(TEN_SECONDS).grace(GRACE))
        .aggregate("q8-both", both_sides)
        .finals()
        .flat_map(row)
        .to(topics.rows, |_| None, json());
}

fn taken(event: &EventView<'_>) -> Result<Option<Did>, DecodeError> {
    let (person, registered_as) = match event {
        EventView::Person(person) => (person.id, Some(text(person.name)?)),
        EventView::Auction(auction) => (auction.seller, None),
        EventView::Bid(_) => return Ok(None),
    };
    Ok(Some(Did {
        person,
        registered_as,
    }))
}

fn row(both: Final<u64, (Option<String>, bool)>) -> Option<Row> {
    let (name, has_sold) = both.value;
    name.filter(|_| has_sold).map(|name| Row {
        id: both.key,
        name,
        window_start_ms: both.window.start.0,
    })
}
