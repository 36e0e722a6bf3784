//! More of other people's Kafka clients, against the real binary, with their bad cases.
//!
//! `.ci/ecosystem` brings them and says where they are; a client that is missing is skipped, and
//! named. Each program asks for what it needs of the broker, also to be killed, as
//! `brooklet_tests::program` describes.

use brooklet_tests::program::{Mortal, Program};

mod faust;
mod go;
mod node;
mod refused;
mod streams;

/// What `.ci/ecosystem` has put under this name; `None`, and a word on it, where it did not.
fn brought(name: &str) -> Option<String> {
    let found = std::env::var(name);
    if found.is_err() {
        eprintln!("skipped: {name} is not set; .ci/ecosystem sets it");
    }
    found.ok()
}

/// Runs a program to its end on a broker of its own; `BOOTSTRAP` among the arguments is replaced.
fn run(program: &str, args: &[&str], settings: &[&str]) -> Vec<String> {
    let mut broker = Mortal::start(settings);
    let kafka = broker.server().kafka().to_owned();
    let args: Vec<_> = args
        .iter()
        .map(|&arg| if arg == "BOOTSTRAP" { &kafka } else { arg })
        .collect();
    Program::start(program, &args).finish(&mut broker)
}
