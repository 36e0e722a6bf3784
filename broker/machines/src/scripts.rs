//! Scripts for machines: the commands, and after `---` the answers. Each is a file.
//!
//! `BROOKLET_REGENERATE=1 cargo test -p brooklet-machines script` writes the answers into the
//! files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Plays a script, line by line; returns it with the answers.
pub(crate) fn play(script: &str, mut line: impl FnMut(&str, &mut String)) -> String {
    let mut played = String::new();
    let blocks = script.split("\n\n").map(str::trim);
    for block in blocks.filter(|block| !block.is_empty()) {
        let asked = block.split_once("---").map_or(block, |(asked, _)| asked);
        let asked = asked.trim_end();
        let mut said = String::new();
        for asked in asked.lines().filter(|line| !line.starts_with('#')) {
            line(asked, &mut said);
        }
        if !played.is_empty() {
            played.push('\n');
        }
        writeln!(played, "{asked}").unwrap();
        if asked.lines().any(|line| !line.starts_with('#')) {
            write!(played, "---\n{said}").unwrap();
        }
    }
    played
}

/// Plays every script of a folder in `broker/machines/src`, and compares.
pub(crate) fn check_all(folder: &str, play: impl Fn(&str) -> String) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src")
        .join(folder);
    let entries = std::fs::read_dir(dir).unwrap();
    let scripts: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(scripts.len() > 3);
    for path in scripts {
        let written = std::fs::read_to_string(&path).unwrap();
        let played = play(&written);
        if std::env::var_os("BROOKLET_REGENERATE").is_some() {
            std::fs::write(&path, played).unwrap();
        } else {
            assert_eq!(written, played, "{}", path.display());
        }
    }
}
