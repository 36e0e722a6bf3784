//! Entries of one size, one behind the other, in memory or in a file.
//!
//! The index of a segment that is written is in memory. That of a sealed one stays in its file and
//! is searched there, with positional reads: some for the steps of the binary search, and one for
//! the page that they lead to. So a log of a thousand segments keeps no index in memory, and a
//! sector that cannot be read is an error of one search.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::vfs::VfsFile;

/// A search reads the last entries at once when no more than this many are left.
const PAGE_ENTRIES: usize = 256;

/// Entries of `N` bytes.
#[derive(Debug)]
pub(super) enum Entries<'a, const N: usize> {
    /// In memory.
    Memory(&'a [[u8; N]]),
    /// In a file; the number is how many of its entries count.
    File(Arc<dyn VfsFile>, usize),
}

impl<const N: usize> Entries<'_, N> {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Memory(entries) => entries.len(),
            Self::File(_, count) => *count,
        }
    }

    /// The first `count` of them.
    pub(super) fn first(&self, count: usize) -> Entries<'_, N> {
        match self {
            Self::Memory(entries) => Entries::Memory(&entries[..count]),
            Self::File(file, _) => Entries::File(Arc::clone(file), count),
        }
    }

    /// The entry at `index`, if there is one.
    pub(super) fn get(&self, index: usize) -> io::Result<Option<[u8; N]>> {
        match self {
            Self::Memory(entries) => Ok(entries.get(index).copied()),
            Self::File(..) if index >= self.len() => Ok(None),
            Self::File(file, _) => {
                let mut entry = [0; N];
                file.read_exact_at(&mut entry, (index * N) as u64)?;
                Ok(Some(entry))
            }
        }
    }

    /// The first entry and the last.
    pub(super) fn ends(&self) -> io::Result<Option<[[u8; N]; 2]>> {
        let last = match self.len().checked_sub(1) {
            Some(last) => self.get(last)?,
            None => None,
        };
        Ok(self.get(0)?.zip(last).map(<[_; 2]>::from))
    }

    /// How many entries are before the first for which `is_before` is false; it has to be false for
    /// all behind that one.
    pub(super) fn partition_point(
        &self,
        is_before: impl Fn(&[u8; N]) -> bool,
    ) -> io::Result<usize> {
        let file = match self {
            Self::Memory(entries) => return Ok(entries.partition_point(is_before)),
            Self::File(file, _) => file,
        };
        let (mut from, mut to) = (0, self.len());
        while to - from > PAGE_ENTRIES {
            let middle = from + (to - from) / 2;
            match self.get(middle)? {
                Some(entry) if is_before(&entry) => from = middle + 1,
                Some(_) | None => to = middle,
            }
        }
        let page = read(&**file, from..to)?;
        Ok(from + page.partition_point(is_before))
    }

    /// The index of the last entry that is not all zeros.
    pub(super) fn last_real(&self) -> io::Result<Option<usize>> {
        let is_real = |entry: &[u8; N]| *entry != [0; N];
        let file = match self {
            Self::Memory(entries) => return Ok(entries.iter().rposition(is_real)),
            Self::File(file, _) => file,
        };
        // Nearly always it is the last; but a file may end with the zeros of a preallocation.
        let (mut to, mut count) = (self.len(), 1);
        while to > 0 {
            let from = to.saturating_sub(count);
            if let Some(at) = read(&**file, from..to)?.iter().rposition(is_real) {
                return Ok(Some(from + at));
            }
            (to, count) = (from, PAGE_ENTRIES * 16);
        }
        Ok(None)
    }
}

fn read<const N: usize>(file: &dyn VfsFile, range: Range<usize>) -> io::Result<Vec<[u8; N]>> {
    let mut entries = vec![[0; N]; range.len()];
    file.read_exact_at(entries.as_flattened_mut(), (range.start * N) as u64)?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::vfs::sim::SimVfs;
    use crate::vfs::{OpenMode, Vfs};

    fn file(vfs: &SimVfs, numbers: &[u32]) -> Arc<dyn VfsFile> {
        let file = vfs.open(Path::new("index"), OpenMode::Truncate).unwrap();
        for number in numbers {
            file.append(&[IoSlice::new(&number.to_be_bytes())]).unwrap();
        }
        file
    }

    proptest! {
        #[test]
        fn a_file_is_searched_as_memory_is(
            mut numbers in prop::collection::vec(0_u32..2000, 0..1500),
            zeros in 0_usize..5000,
            wanted in 0_u32..2000,
        ) {
            numbers.sort_unstable();
            let count = numbers.len();
            let file = file(&SimVfs::new(0), &[&numbers[..], &vec![0; zeros]].concat());
            let raw: Vec<_> = numbers.iter().map(|number| number.to_be_bytes()).collect();
            let memory = Entries::Memory(&raw);
            let entries = Entries::<4>::File(Arc::clone(&file), count);
            let is_before = |raw: &[u8; 4]| u32::from_be_bytes(*raw) < wanted;
            let point = entries.partition_point(is_before).unwrap();
            prop_assert_eq!(point, memory.partition_point(is_before).unwrap());
            prop_assert_eq!(point, numbers.partition_point(|number| *number < wanted));
            prop_assert_eq!(entries.ends().unwrap(), memory.ends().unwrap());
            prop_assert_eq!(entries.get(count).unwrap(), None);
            let whole = Entries::<4>::File(file, count + zeros);
            let real = numbers.iter().rposition(|number| *number != 0);
            prop_assert_eq!(whole.last_real().unwrap(), real);
            prop_assert_eq!(memory.last_real().unwrap(), real);
        }
    }

    #[test]
    fn an_unreadable_sector_fails_only_the_searches_that_touch_it() {
        let vfs = SimVfs::new(0);
        let numbers: Vec<u32> = (0..2000).collect();
        let entries = Entries::<4>::File(file(&vfs, &numbers), 2000);
        let find = |wanted| entries.partition_point(|raw| u32::from_be_bytes(*raw) < wanted);
        vfs.make_unreadable(Path::new("index"), 512..1024).unwrap();
        assert_eq!(find(1500).unwrap(), 1500);
        assert_eq!(find(200).unwrap_err().raw_os_error(), Some(5));
    }
}
