//! The outer world of a broker: disk, time and chance.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use brooklet_log::clock::{Clock, SystemClock};
use brooklet_log::vfs::Vfs;
use brooklet_log::vfs::disk::DiskVfs;

/// Disk, time and chance. Tests and lessons bring their own.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The file system.
    pub vfs: Arc<dyn Vfs>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids are made from it; must differ at each start.
    pub seed: u128,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            vfs: Arc::new(DiskVfs),
            clock: Arc::new(SystemClock::new()),
            seed: random_u128(),
        }
    }
}

/// 128 random bits, from the keys that the standard library draws for its hash maps.
fn random_u128() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    half() << 64 | half()
}
