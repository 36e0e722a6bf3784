//! Query 8, *monitor new users*: persons who register and open an auction within the same ten
//! seconds. A join of two streams within a window.
//!
//! Windows tumble, and both events must be in the same one; which comes first does not matter. A
//! person is one row, however many auctions there are. The published query is the same.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{sorted, tumble};
use crate::generator::Arrival;
use crate::model::Event;

/// A new person who sells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// The person.
    pub id: u64,
    /// The person's name.
    pub name: String,
    /// The start of the window.
    pub window_start_ms: i64,
}

/// One row for each window and person who registered and opened an auction in it.
pub fn rows(arrivals: &[Arrival]) -> Vec<Row> {
    let (mut persons, mut sellers) = (BTreeSet::new(), BTreeSet::new());
    for Arrival { event, .. } in arrivals {
        let Some(start) = tumble(event.date_time_ms()) else {
            continue;
        };
        match event {
            Event::Person(person) => drop(persons.insert((start, person.id, &person.name))),
            Event::Auction(auction) => drop(sellers.insert((start, auction.seller))),
            Event::Bid(_) => {}
        }
    }
    let both = persons
        .into_iter()
        .filter(|(start, id, _)| sellers.contains(&(*start, *id)));
    sorted(both.map(|(window_start_ms, id, name)| Row {
        id,
        name: name.clone(),
        window_start_ms,
    }))
}
