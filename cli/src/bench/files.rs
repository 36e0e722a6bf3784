//! Files for measuring: a directory that is removed again, and loops without anything of ours.
//!
//! These loops are the limits, so none of the broker's code stands between them and the system.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::output::say;

/// A directory that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn create(parent: &Path) -> anyhow::Result<Self> {
        let path = parent.join(format!(".brooklet-bench-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            say(format!("cannot remove {}: {error}", self.0.display()));
        }
    }
}

/// A new file for appending.
pub(super) fn create(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .read(true)
        .create_new(true)
        .open(path);
    file.with_context(|| format!("cannot create {}", path.display()))
}

/// Writes a block until there are `bytes`, with `before` each write; then removes the file.
pub(super) fn write_blocks(
    path: &Path,
    block: &[u8],
    bytes: u64,
    mut before: impl FnMut(&[u8]),
) -> anyhow::Result<()> {
    let mut file = create(path)?;
    for _ in 0..bytes.div_ceil(block.len() as u64) {
        before(block);
        file.write_all(block)?;
    }
    Ok(())
}

pub(super) fn remove(path: &Path) -> anyhow::Result<()> {
    fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
}

/// Bytes of this process in memory, if the system reports them.
pub(super) fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// Bytes that the kernel still has to write, if the system reports them.
pub(super) fn dirty_bytes() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("Dirty:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}
