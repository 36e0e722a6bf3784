//! What survives, and what fails.

use super::*;
use crate::vfs::conformance;

const SEEDS: std::ops::Range<u64> = 0..200;

fn path() -> &'static Path {
    Path::new("dir/f")
}

/// A durable directory `dir`.
fn with_dir(seed: u64) -> SimVfs {
    let vfs = SimVfs::new(seed);
    vfs.create_dir_all(Path::new("dir")).unwrap();
    vfs.sync_dir(Path::new("")).unwrap();
    vfs
}

/// A durable file with the content `synced`.
fn with_file(seed: u64, synced: &[u8]) -> (SimVfs, Arc<dyn VfsFile>) {
    let vfs = with_dir(seed);
    let file = vfs.open(path(), OpenMode::Create).unwrap();
    file.append(&[IoSlice::new(synced)]).unwrap();
    file.sync_data().unwrap();
    vfs.sync_dir(Path::new("dir")).unwrap();
    (vfs, file)
}

#[test]
fn behaves_as_a_vfs_has_to() {
    conformance::check(&SimVfs::new(0), Path::new("/data"));
}

#[test]
fn the_same_seed_crashes_the_same_way() {
    let crashed = |seed| {
        let (vfs, file) = with_file(seed, b"synced");
        file.append(&[IoSlice::new(&[7; 5000])]).unwrap();
        vfs.crash().read(path()).unwrap()
    };
    assert_eq!(crashed(5), crashed(5));
    assert!(SEEDS.map(crashed).collect::<BTreeSet<_>>().len() > 50);
}

#[test]
fn synced_bytes_survive_and_others_survive_as_a_prefix_or_as_zeros() {
    let (mut lost, mut torn, mut whole) = (0, 0, 0);
    for seed in SEEDS {
        let (vfs, file) = with_file(seed, &[1; 700]);
        file.append(&[IoSlice::new(&[2; 1500])]).unwrap();
        let found = vfs.crash().read(path()).unwrap();
        assert_eq!(found[..700], [1; 700]);
        assert!(found[700..].iter().all(|byte| [0, 2].contains(byte)));
        lost += u32::from(found.len() == 700);
        torn += u32::from(found.contains(&0));
        whole += u32::from(found.ends_with(&[2; 1500]));
    }
    assert!(lost > 0 && torn > 0, "{lost} {torn} {whole}");
}

#[test]
fn a_cut_that_was_not_synced_may_come_undone() {
    let lengths = SEEDS.map(|seed| {
        let (vfs, file) = with_file(seed, b"0123456789");
        file.set_len(4).unwrap();
        vfs.crash().read(path()).unwrap().len()
    });
    assert_eq!(lengths.collect::<BTreeSet<_>>(), [4, 10].into());
}

#[test]
fn a_new_file_needs_the_sync_of_its_directory() {
    let survives = |sync_dir: bool| {
        SEEDS.map(move |seed| {
            let vfs = with_dir(seed);
            let file = vfs.open(path(), OpenMode::Create).unwrap();
            file.append(&[IoSlice::new(b"x")]).unwrap();
            file.sync_data().unwrap();
            if sync_dir {
                vfs.sync_dir(Path::new("dir")).unwrap();
            }
            vfs.crash().exists(path())
        })
    };
    assert!(survives(true).all(|survived| survived));
    assert!(survives(false).any(|survived| survived));
    assert!(!survives(false).all(|survived| survived));
}

#[test]
fn a_replaced_file_is_the_old_one_or_the_new_one_at_every_operation() {
    let mut found = BTreeSet::new();
    for seed in SEEDS {
        for operations in 0..5 {
            let (vfs, _file) = with_file(seed, b"old");
            vfs.cut_power_after(operations);
            vfs.replace(path(), b"new").unwrap_err();
            found.insert(vfs.crash().read(path()).unwrap());
        }
        let (vfs, _file) = with_file(seed, b"old");
        vfs.replace(path(), b"new").unwrap();
        assert_eq!(vfs.crash().read(path()).unwrap(), b"new");
    }
    assert_eq!(found, [b"old".to_vec(), b"new".to_vec()].into());
}

#[test]
fn a_failed_sync_is_final() {
    for seed in SEEDS {
        let (vfs, file) = with_file(seed, b"ab");
        file.append(&[IoSlice::new(b"cd")]).unwrap();
        vfs.fail_next_sync();
        file.sync_data().unwrap_err();
        assert_eq!(vfs.read(path()).unwrap(), b"abcd", "the cache shows it");
        file.sync_data().unwrap();
        assert_eq!(
            vfs.crash().read(path()).unwrap(),
            b"ab\0\0",
            "the medium does not"
        );
    }
}

#[test]
fn a_full_disk_takes_a_part_and_says_so() {
    let mut parts = BTreeSet::new();
    for seed in SEEDS {
        let (vfs, file) = with_file(seed, b"ab");
        vfs.set_capacity(Some(5));
        let error = file.append(&[IoSlice::new(b"cdef")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let found = vfs.read(path()).unwrap();
        assert!(b"abcde".starts_with(&found));
        parts.insert(found.len());
        file.set_len(2).unwrap();
        assert_eq!(file.append(&[IoSlice::new(b"cde")]).unwrap(), 2);
        vfs.set_capacity(None);
        file.append(&[IoSlice::new(b"f")]).unwrap();
        assert_eq!(vfs.used_bytes(), 6);
    }
    assert_eq!(parts, (2..=5).collect());
}

#[test]
fn rot_shows_at_once_and_after_a_crash() {
    let (vfs, _file) = with_file(0, b"\0\0");
    vfs.flip_bit(path(), 9).unwrap();
    assert_eq!(vfs.read(path()).unwrap(), [0, 2]);
    assert_eq!(vfs.crash().read(path()).unwrap(), [0, 2]);
    let error = vfs.flip_bit(path(), 16).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn without_power_nothing_changes() {
    let (vfs, file) = with_file(0, b"ab");
    vfs.cut_power_after(1);
    file.append(&[IoSlice::new(b"c")]).unwrap();
    file.append(&[IoSlice::new(b"d")]).unwrap_err();
    let found = vfs.read(path()).unwrap();
    file.append(&[IoSlice::new(b"e")]).unwrap_err();
    file.sync_data().unwrap_err();
    vfs.remove_file(path()).unwrap_err();
    assert_eq!(vfs.read(path()).unwrap(), found);
}
