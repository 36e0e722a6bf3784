//! The program of the demo: two windows over one stream, and the board they write to.
//!
//! ```text
//! flights ──event time: scheduled──key_by origin──┬─ 1 h windows, grace 45 min ─ fast
//!                                                 └─ 1 h windows, grace 6 h ──── patient
//! ```

use std::sync::Arc;
use std::time::Duration;

use brooklet_engine::aggregate::{Count, Sum};
use brooklet_engine::codec::json;
use brooklet_engine::time::{Timestamp, hours, minutes};
use brooklet_engine::{App, KeyedStream, Tumbling};
use parking_lot::Mutex;

use super::board::{Board, Cell, QueryBoard};
use super::flights::Flight;

/// The topic that the flights travel through.
pub(super) const TOPIC: &str = "flights";

/// The queries: their names and how long they wait for stragglers.
pub(super) fn queries() -> Vec<QueryBoard> {
    vec![
        QueryBoard::new("fast", minutes(45)),
        QueryBoard::new("patient", hours(6)),
    ]
}

/// Declares the program, which writes its results to `board`.
pub(super) fn program(board: &Arc<Mutex<Board>>) -> App {
    let app = App::new("brooklet-demo");
    let by_origin = app
        .stream(TOPIC, json::<Flight>())
        // A flight without a readable schedule has no event time; the engine skips and counts it.
        .event_time(|flight| flight.scheduled().unwrap_or(Timestamp::NONE))
        .key_by("by-origin", |flight| flight.origin.clone(), json());
    let waits: Vec<_> = board
        .lock()
        .queries
        .iter()
        .map(|q| (q.name, q.grace))
        .collect();
    for (index, (name, grace)) in waits.into_iter().enumerate() {
        attach(
            &by_origin,
            name,
            grace,
            Target {
                board: Arc::clone(board),
                index,
            },
        );
    }
    app
}

/// One query's place on the board.
#[derive(Clone)]
struct Target {
    board: Arc<Mutex<Board>>,
    index: usize,
}

impl Target {
    fn note(
        &self,
        window_start: Timestamp,
        origin: String,
        (count, sum): (u64, i128),
        closed: bool,
    ) {
        let cell = Cell {
            count: count.cast_signed(),
            delay_min_sum: i64::try_from(sum).unwrap_or(i64::MAX),
            closed,
        };
        self.board.lock().queries[self.index].note(window_start.0, origin, cell);
    }
}

fn attach(flights: &KeyedStream<String, Flight>, name: &str, grace: Duration, target: Target) {
    let delays = flights
        .window(Tumbling::of(hours(1)).grace(grace))
        .aggregate(name, (Count, Sum::of(|flight: &Flight| flight.delay_min)));
    let (on_update, on_final, on_late) = (target.clone(), target.clone(), target);
    delays.updates().for_each(move |u| {
        // Hours do not merge, so none is ever retracted.
        if let Some(value) = u.value {
            on_update.note(u.window.start, u.key, value, false);
        }
    });
    delays
        .finals()
        .for_each(move |f| on_final.note(f.window.start, f.key, f.value, true));
    delays
        .late()
        .for_each(move |_| on_late.board.lock().queries[on_late.index].late += 1);
}
