//! The ten queries as programs of the engine.
//!
//! Each is to find the rows that its batch computation finds ([`crate::batch`]), for the same
//! arrivals and a grace that is longer than they are out of order. None is here yet.
