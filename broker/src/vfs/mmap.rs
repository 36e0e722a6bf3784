//! Maps files into memory. The only `unsafe` of the project lives here.
//!
//! A mapped file is read without a system call and without a copy: a fetch hands out slices of the
//! map. The price is that the operating system answers a page that cannot be read with a signal
//! (`SIGBUS`) and not with an error, and that Rust's rule "shared bytes do not change" is kept by
//! the file's owner and not by the compiler. Both are why only sealed files are mapped.

use std::fs::File;
use std::io;

use bytes::Bytes;
use memmap2::Mmap;

/// The content of `file` as it is now. An empty file cannot be mapped and needs no map.
pub(super) fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    map_nonempty(file).map(Bytes::from_owner)
}

#[expect(
    unsafe_code,
    reason = "mapping a file is unsafe: its bytes can change under us"
)]
fn map_nonempty(file: &File) -> io::Result<Mmap> {
    // SAFETY: the bytes must not change while the map lives. Callers map only sealed files inside
    // a data directory that this process has locked against a second broker, and nothing in the
    // broker writes to a sealed file or cuts it: deletion unlinks it, which leaves the mapped
    // pages alone. Somebody else who truncates the file ends this process with `SIGBUS`; that is
    // accepted and documented, as it is for every database that maps its files.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_slice_outlives_the_file_its_handle_and_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sealed");
        let mut file = File::create_new(&path).unwrap();
        file.write_all(b"0123456789").unwrap();
        let file = File::open(&path).unwrap();
        let slice = map(&file).unwrap().slice(3..6);
        drop(file);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(slice, "345");
    }

    #[test]
    fn an_empty_file_is_no_bytes() {
        assert!(map(&tempfile::tempfile().unwrap()).unwrap().is_empty());
    }
}
