//! Nexmark: the benchmark by which stream engines compare themselves.
//!
//! An auction house emits three kinds of events. Of every 50 there is one new *person*, three new
//! *auctions* and 46 *bids*:
//!
//! ```text
//!  number  0   1 2 3   4 … 49   50   51 52 53   54 … 99   …
//!          P   A A A   B … B    P    A  A  A    B  … B
//!
//!  Person  id, name, state, …              the seller of an auction, the bidder of a bid
//!  Auction id, seller, category, …         the auction of a bid
//!  Bid     auction, bidder, price, …
//! ```
//!
//! A set of queries asks about these events; each exercises one ability of an engine. Here are ten
//! of them, once as plain batch computations ([`batch`]) and once for the engine ([`queries`]). For
//! the same events both must find the same rows.
//!
//! ```text
//!  generator ──arrivals──┬──▶ batch ───▶ rows ─┐
//!                        │                     ├─ equal
//!                        └──▶ queries ─▶ rows ─┘
//! ```
//!
//! **Where it comes from.** Tucker, Tufte, Papadimos and Maier, "NEXMark: a benchmark for queries
//! over data streams" (2002), with queries 1 to 8. Apache Beam added queries and wrote the
//! generator that others have taken over; `github.com/nexmark/nexmark` holds the version for Flink
//! SQL, with queries 0 to 23. It is what we mean by "the published" generator and queries.
//!
//! **How ours differs.**
//! - The published generator draws from a source of randomness without a seed, so that each run has
//!   other events. Ours is seeded: event number `n` is a function of the seed and `n`
//!   ([`generator`]).
//! - It adds the first person's id twice to bidders, so that the bidders of bids are persons who do
//!   not exist. Ours adds it once.
//! - Time is computed in integers; the port to Rust (`nexmark-rs`) uses `f32`, which is wrong above
//!   2^24 events.
//! - An arrival has a time besides that of its event ([`generator::Arrival`]): it stands for the
//!   processing time that query 12 needs. So that query can be repeated, too.
//! - Rows name the window that they belong to, and ties have a rule. Each query says where it
//!   departs from the published one.
//!
//! **Left out**: the other queries; rates that change; several generators in parallel, for which
//! event numbers can be divided instead, as events do not depend on each other.
#![forbid(unsafe_code)]

pub mod model;

pub mod binary;

mod random;

pub mod generator;

pub mod batch;

pub mod queries;

/// FNV-1a with 64 bits: in tests it stands for bytes that are too many to write down.
#[cfg(test)]
fn fingerprint(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
