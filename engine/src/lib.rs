//! A stream engine that reads the log: windowed analytics over event time, stragglers included.

pub mod client;
pub mod transport;

pub use client::Client;
