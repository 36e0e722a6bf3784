//! Histories: a log on a simulated disk, driven at random, against a model.
//!
//! A seed determines one history: appends of all kinds, transactions, syncs, rolls, changed
//! settings, deletions, retention and compaction, with power cuts at any operation (also inside of
//! a recovery), kills, a full disk, failed syncs and bit rot between and within them. The laws that
//! have to hold are in `model.rs`. A failing seed prints its history and the command that replays
//! it.
//!
//! `BROOKLET_SIM_SEEDS=0..1000000 cargo test --release -p brooklet-tests --test sim` runs a
//! million.

#![expect(clippy::unwrap_used, reason = "a history fails where it unwraps")]

mod committed;
mod model;
mod random;
mod world;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use world::World;

const SEEDS_DEFAULT: Range<u64> = 0..2_000;

#[test]
fn every_history_keeps_the_laws() {
    let seeds = std::env::var("BROOKLET_SIM_SEEDS").map_or(SEEDS_DEFAULT, |text| parse(&text));
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let seeds = seeds.clone().filter(move |seed| seed % threads == thread);
            scope.spawn(move || seeds.for_each(replay));
        }
    });
}

/// Runs one history and prints it if it breaks a law.
fn replay(seed: u64) {
    let mut world = World::new(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    if let Err(panic) = outcome {
        let history = world.history().join("\n  ");
        eprintln!("history {seed}:\n  {history}");
        eprintln!(
            "replay it with: BROOKLET_SIM_SEEDS={seed} cargo test -p brooklet-tests --test sim"
        );
        std::panic::resume_unwind(panic);
    }
}

/// `FROM..TO` or one seed.
fn parse(text: &str) -> Range<u64> {
    let number = |text: &str| text.trim().parse::<u64>().expect("seeds are numbers");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(text)..number(text) + 1,
    }
}
