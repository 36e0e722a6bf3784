//! Bad input and faults, against the real binary: each gets a clear message or Kafka's error code,
//! never a panic and never a hang.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Output;

mod applications;
mod crash;
mod crowd;
mod disk;
mod files;
mod sectors;
mod small;
mod start;
mod transactions;
mod wire;

/// Nothing in it panicked.
fn assert_calm(errors: &str) {
    assert!(!errors.contains("panicked"), "{errors}");
}

/// It ended with this code, and its message has all of these words.
fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert_calm(&errors);
    for word in words {
        assert!(errors.contains(word), "no {word:?} in: {errors}");
    }
}

/// So many numbered lines.
fn lines(count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        text.push_str("line ");
        text.push_str(&n.to_string());
        text.push('\n');
    }
    text
}
