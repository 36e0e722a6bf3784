//! The files that the command line itself reads and writes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};

use crate::exit::io_words;

/// Something to read records from.
pub(crate) struct Input {
    /// The source of its bytes.
    pub(crate) reader: Box<dyn Read + Send>,
    /// Its size, if it is a regular file.
    pub(crate) bytes_total: Option<u64>,
}

/// Opens a file, or stdin when there is none or it is `-`.
pub(crate) fn open_input(path: Option<&Path>) -> anyhow::Result<Input> {
    let Some(path) = path.filter(|path| *path != Path::new("-")) else {
        return Ok(Input {
            reader: Box::new(io::stdin()),
            bytes_total: None,
        });
    };
    let fail = |e: io::Error| anyhow!("cannot read {}: {}", path.display(), io_words(&e));
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if metadata.is_dir() {
        return Err(fail(io::ErrorKind::IsADirectory.into()));
    }
    Ok(Input {
        reader: Box::new(file),
        bytes_total: metadata.is_file().then_some(metadata.len()),
    })
}

/// Removes a file that may be there from an earlier run.
pub(crate) fn remove_stale(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file under another name and renames it, so that a reader sees all of it or nothing.
pub(crate) fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary: PathBuf = path.with_file_name(name);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready");
        write_whole(&path, "kafka=127.0.0.1:1\n").unwrap();
        write_whole(&path, "kafka=127.0.0.1:2\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "kafka=127.0.0.1:2\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        remove_stale(&path).unwrap();
        remove_stale(&path).unwrap();
    }

    #[test]
    fn input_knows_its_size_and_a_missing_file_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lines");
        fs::write(&path, "a\nb\n").unwrap();
        assert_eq!(open_input(Some(&path)).unwrap().bytes_total, Some(4));
        assert!(open_input(Some(dir.path())).is_err());
        let missing = dir.path().join("none");
        let error = open_input(Some(&missing)).err().unwrap().to_string();
        assert_eq!(
            error,
            format!(
                "cannot read {}: no such file or directory",
                missing.display()
            )
        );
    }
}
