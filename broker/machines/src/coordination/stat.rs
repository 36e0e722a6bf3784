//! What a znode counts, and how each kind of change moves it.
//!
//! | change | this znode | its parent |
//! |---|---|---|
//! | create | czxid = mzxid = pzxid, ctime = mtime, all versions 0 | pzxid, one more create, one more child |
//! | setData | mzxid, mtime, version + 1 | – |
//! | delete | gone | pzxid, one child less |
//!
//! A parent stores how many children were ever created in it: the next sequence number. The
//! `cversion` that clients see counts creates and deletes, and follows from that: of `c` creates
//! with `n` children left, `c - n` were deleted again, so it is `2c - n`.

use brooklet_protocol::Timestamp;

/// The stat of a znode, under ZooKeeper's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// The zxid that created it.
    pub czxid: i64,
    /// The zxid that last changed its data.
    pub mzxid: i64,
    /// The zxid that last created or deleted a child.
    pub pzxid: i64,
    /// When it was created, in milliseconds since the epoch.
    pub ctime: i64,
    /// When its data last changed, likewise.
    pub mtime: i64,
    /// How often its data has changed.
    pub version: i32,
    /// How often a child was created or deleted.
    pub cversion: i32,
    /// How often its access list has changed.
    pub aversion: i32,
    /// The session that owns an ephemeral znode, else 0.
    pub ephemeral_owner: i64,
    /// Bytes of data.
    pub data_length: i32,
    /// How many children it has now.
    pub num_children: i32,
}

/// What the tree stores of a stat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) czxid: i64,
    pub(super) mzxid: i64,
    pub(super) pzxid: i64,
    pub(super) ctime: i64,
    pub(super) mtime: i64,
    pub(super) version: i32,
    /// Children created so far; wraps around as the sequence numbers do.
    pub(super) creates: i32,
    pub(super) ephemeral_owner: i64,
    pub(super) data_length: i32,
    pub(super) num_children: i32,
}

impl Counters {
    /// The counters of a new znode.
    pub(super) fn created(
        zxid: i64,
        time: Timestamp,
        data: Option<&[u8]>,
        ephemeral_owner: i64,
    ) -> Self {
        Self {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time.0,
            mtime: time.0,
            ephemeral_owner,
            data_length: data_length(data),
            ..Self::default()
        }
    }

    pub(super) fn set_data(
        &mut self,
        zxid: i64,
        time: Timestamp,
        data: Option<&[u8]>,
        version: i32,
    ) {
        self.mzxid = zxid;
        self.mtime = time.0;
        self.version = version;
        self.data_length = data_length(data);
    }

    pub(super) fn child_created(&mut self, zxid: i64, creates: i32) {
        self.pzxid = zxid;
        self.creates = creates;
        self.num_children += 1;
    }

    pub(super) fn child_deleted(&mut self, zxid: i64) {
        self.pzxid = zxid;
        self.num_children -= 1;
    }

    /// The version after this one; never -1, which means any.
    pub(super) fn next_version(&self) -> i32 {
        match self.version.wrapping_add(1) {
            super::ANY_VERSION => 0,
            version => version,
        }
    }

    /// The stat that clients see.
    pub(super) fn stat(&self) -> Stat {
        let cversion = self.creates.wrapping_mul(2).wrapping_sub(self.num_children);
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            pzxid: self.pzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion,
            aversion: 0,
            ephemeral_owner: self.ephemeral_owner,
            data_length: self.data_length,
            num_children: self.num_children,
        }
    }
}

fn data_length(data: Option<&[u8]>) -> i32 {
    let length = data.map_or(0, <[u8]>::len);
    i32::try_from(length).expect("data is at most DATA_BYTES_MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_skips_the_one_that_means_any() {
        let at = |version| Counters {
            version,
            ..Counters::default()
        };
        assert_eq!(at(7).next_version(), 8);
        assert_eq!(at(i32::MAX).next_version(), i32::MIN);
        assert_eq!(at(-2).next_version(), 0);
    }

    #[test]
    fn the_cversion_counts_creates_and_deletes() {
        let mut parent = Counters::default();
        for zxid in 0..3 {
            parent.child_created(zxid, parent.creates + 1);
        }
        parent.child_deleted(3);
        assert_eq!(parent.stat().cversion, 4);
        assert_eq!(parent.stat().pzxid, 3);
        assert_eq!(parent.stat().num_children, 2);
    }
}
