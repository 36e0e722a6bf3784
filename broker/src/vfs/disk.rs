//! Skeleton: the real file system.

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskVfs;
