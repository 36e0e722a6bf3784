//! What every [`Vfs`] has to do, as one test that runs on each of them.

use std::io::{ErrorKind, IoSlice};
use std::path::Path;

use brooklet_protocol::Timestamp;

use super::{DirEntry, OpenMode, Vfs};

/// Walks through all promises inside the empty directory `dir`.
pub(super) fn check(vfs: &dyn Vfs, dir: &Path) {
    open_modes(vfs, &dir.join("modes"));
    appends_and_reads(vfs, &dir.join("appends"));
    directories(vfs, &dir.join("directories"));
    renames_and_removals(vfs, &dir.join("renames"));
    locks(vfs, &dir.join("locks"));
}

fn open_modes(vfs: &dyn Vfs, dir: &Path) {
    vfs.create_dir_all(dir).unwrap();
    let path = dir.join("f");
    let kind = |mode| vfs.open(&path, mode).unwrap_err().kind();
    assert_eq!(kind(OpenMode::Read), ErrorKind::NotFound);
    assert_eq!(kind(OpenMode::Write), ErrorKind::NotFound);
    let file = vfs.open(&path, OpenMode::CreateNew).unwrap();
    assert_eq!(kind(OpenMode::CreateNew), ErrorKind::AlreadyExists);
    file.append(&[IoSlice::new(b"abc")]).unwrap();
    drop(file);
    let file = vfs.open(&path, OpenMode::Create).unwrap();
    assert_eq!(file.append(&[IoSlice::new(b"d")]).unwrap(), 3);
    drop(file);
    let file = vfs.open(&path, OpenMode::Write).unwrap();
    assert_eq!(file.append(&[IoSlice::new(b"e")]).unwrap(), 4);
    assert_eq!(vfs.read(&path).unwrap(), b"abcde");
    drop(file);
    assert!(vfs.modified(&path).unwrap() >= Timestamp(0));
    let kind = vfs.modified(&dir.join("missing")).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::NotFound);
    let file = vfs.open(&path, OpenMode::Truncate).unwrap();
    assert!(file.is_empty().unwrap());
    assert_eq!(file.append(&[IoSlice::new(b"new")]).unwrap(), 0);
    let reading = vfs.open(&path, OpenMode::Read).unwrap();
    assert!(reading.append(&[IoSlice::new(b"x")]).is_err());
    assert!(reading.set_len(0).is_err());
    assert_eq!(vfs.read(&path).unwrap(), b"new");
    let nowhere = dir.join("missing").join("f");
    let kind = vfs.open(&nowhere, OpenMode::Create).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::NotFound);
}

fn appends_and_reads(vfs: &dyn Vfs, dir: &Path) {
    vfs.create_dir_all(dir).unwrap();
    let path = dir.join("f");
    let file = vfs.open(&path, OpenMode::Create).unwrap();
    file.read_exact_at(&mut [], 0).unwrap();
    let parts = [b"ab".as_slice(), b"", b"cde"].map(IoSlice::new);
    assert_eq!(file.append(&parts).unwrap(), 0);
    assert_eq!(file.append(&[]).unwrap(), 5);
    assert_eq!(file.append(&[IoSlice::new(b"fg")]).unwrap(), 5);
    assert_eq!(file.len().unwrap(), 7);
    let mut middle = [0; 3];
    file.read_exact_at(&mut middle, 3).unwrap();
    assert_eq!(&middle, b"def");
    let kind = file.read_exact_at(&mut middle, 5).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::UnexpectedEof);
    file.set_len(4).unwrap();
    assert_eq!(file.append(&[IoSlice::new(b"x")]).unwrap(), 4);
    file.allocate(1 << 20).unwrap();
    file.allocate(0).unwrap();
    assert_eq!(file.len().unwrap(), 5, "room is no length");
    file.set_len(7).unwrap();
    file.sync_data().unwrap();
    assert_eq!(vfs.read(&path).unwrap(), b"abcdx\0\0");
    let kind = file.read_exact_at(&mut [0], 7).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::UnexpectedEof);
    let reading = vfs.open(&path, OpenMode::Read).unwrap();
    file.set_len(2).unwrap();
    let kind = reading.read_exact_at(&mut middle, 0).unwrap_err().kind();
    assert_eq!(
        kind,
        ErrorKind::UnexpectedEof,
        "a file that is cut under a reader is an error"
    );
    file.set_len(7).unwrap();
    vfs.replace(&path, b"as a whole").unwrap();
    assert_eq!(vfs.read(&path).unwrap(), b"as a whole");
    assert!(!vfs.exists(&dir.join("f.tmp")));
    assert_eq!(
        file.len().unwrap(),
        7,
        "the old file lives on in its handle"
    );
}

fn directories(vfs: &dyn Vfs, dir: &Path) {
    vfs.create_dir_all(&dir.join("b").join("c")).unwrap();
    vfs.create_dir_all(&dir.join("b").join("c")).unwrap();
    drop(vfs.open(&dir.join("a"), OpenMode::Create).unwrap());
    let entry = |name: &str, is_dir| DirEntry {
        name: name.into(),
        is_dir,
    };
    let found = vfs.read_dir(dir).unwrap();
    assert_eq!(found, [entry("a", false), entry("b", true)]);
    assert!(vfs.exists(&dir.join("b/c")) && vfs.exists(&dir.join("a")));
    assert!(!vfs.exists(&dir.join("b/d")));
    vfs.sync_dir(dir).unwrap();
    let opened = vfs.open_dir(dir).unwrap();
    opened.sync().unwrap();
    let missing = vfs.open_dir(&dir.join("missing")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(vfs.free_bytes(dir).unwrap() > 0);
    vfs.remove_dir_all(&dir.join("b")).unwrap();
    assert_eq!(vfs.read_dir(dir).unwrap(), [entry("a", false)]);
    let kind = vfs.read_dir(&dir.join("b")).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::NotFound);
}

fn renames_and_removals(vfs: &dyn Vfs, dir: &Path) {
    vfs.create_dir_all(&dir.join("old")).unwrap();
    let (a, b) = (dir.join("a"), dir.join("b"));
    let file = vfs.open(&a, OpenMode::Create).unwrap();
    file.append(&[IoSlice::new(b"a")]).unwrap();
    drop(vfs.open(&b, OpenMode::Create).unwrap());
    let id = vfs.identity(&a).unwrap();
    assert_ne!(vfs.identity(&b).unwrap(), id);
    vfs.rename(&a, &b).unwrap();
    assert_eq!(vfs.identity(&b).unwrap(), id, "whatever it is called");
    assert!(!vfs.exists(&a));
    assert_eq!(vfs.read(&b).unwrap(), b"a");
    file.append(&[IoSlice::new(b"b")]).unwrap();
    assert_eq!(vfs.read(&b).unwrap(), b"ab", "the handle follows the file");
    vfs.remove_file(&b).unwrap();
    file.append(&[IoSlice::new(b"c")]).unwrap();
    let mut content = [0; 3];
    file.read_exact_at(&mut content, 0).unwrap();
    assert_eq!(&content, b"abc", "the handle outlives the name");
    assert!(vfs.identity(&b).is_err() && !vfs.is_read_only(dir).unwrap());
    for missing in [vfs.remove_file(&b), vfs.rename(&b, &a)] {
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    }
    drop(vfs.open(&dir.join("old/f"), OpenMode::Create).unwrap());
    vfs.rename(&dir.join("old"), &dir.join("new")).unwrap();
    assert!(vfs.exists(&dir.join("new/f")) && !vfs.exists(&dir.join("old")));
}

fn locks(vfs: &dyn Vfs, dir: &Path) {
    vfs.create_dir_all(dir).unwrap();
    let path = dir.join(".lock");
    let guard = vfs.lock(&path).unwrap();
    assert_eq!(vfs.lock(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(guard);
    drop(vfs.lock(&path).unwrap());
}
