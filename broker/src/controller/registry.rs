//! The topics of a data directory, for a tool that repairs it while no broker runs.
//!
//! The coordination log is read and replayed as at a start, but not opened: nothing is written, and
//! a torn tail stays as it is.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use brooklet_log::LogError;
use brooklet_log::inspect::{SegmentFiles, SegmentScan};
use brooklet_log::vfs::Vfs;
use brooklet_machines::coordination::{Coordination, GetChildren, GetData};
use brooklet_machines::{Command, Moment, StateMachine};
use brooklet_protocol::{Monotonic, Offset, Timestamp, TopicName};
use uuid::Uuid;

use super::COORDINATION_TOPIC;
use super::znodes::{self, TOPICS, TopicSpec};
use crate::driver::{ReplayError, replay_batches};

/// The topics in the coordination log of `data_dir`, with their ids; none where there is no such
/// log, as in a directory of Kafka's. Blocks.
///
/// # Errors
/// The log cannot be read, or is not a coordination log.
pub fn registered_topics(
    vfs: &dyn Vfs,
    data_dir: &Path,
) -> Result<BTreeMap<TopicName, Uuid>, ReplayError> {
    let dir = data_dir.join(format!("{COORDINATION_TOPIC}-0"));
    let failed = |source: io::Error| LogError::Io {
        action: "read",
        path: dir.clone(),
        source,
    };
    let mut tree = Coordination::default();
    if !vfs.exists(&dir) {
        return Ok(topics(&mut tree, Offset::ZERO));
    }
    let mut next = Offset::ZERO;
    for segment in SegmentFiles::in_dir(vfs, &dir).map_err(failed)? {
        let mut scan = SegmentScan::open(vfs, &segment.log).map_err(failed)?;
        while let Ok(batch) = scan.next_batch().map_err(failed)? {
            // What follows damage was never acknowledged, or the next start refuses the log.
            if batch.crc.is_err() {
                return Ok(topics(&mut tree, next));
            }
            let each = &mut |offset, record: &_| tree.replay(offset, record).map(drop);
            next = replay_batches(COORDINATION_TOPIC, next, batch.bytes, each)?;
        }
    }
    Ok(topics(&mut tree, next))
}

fn topics(tree: &mut Coordination, end: Offset) -> BTreeMap<TopicName, Uuid> {
    let at = Moment {
        wall: Timestamp(0),
        monotonic: Monotonic(Duration::ZERO),
        offset: end,
    };
    let list = GetChildren {
        path: TOPICS.into(),
        watch: None,
    };
    let listed = list.decide(tree, at).answer.result;
    let names = listed.map(|found| found.names).unwrap_or_default();
    let mut id_of = |name: &str| {
        let path = znodes::topic(name);
        let name = TopicName::new(name).ok()?;
        let get = GetData { path, watch: None };
        let found = get.decide(tree, at).answer.result.ok()?;
        let spec = TopicSpec::read(name, found.data.as_deref(), None).ok()?;
        Some((spec.name, spec.id))
    };
    names.iter().filter_map(|name| id_of(name)).collect()
}
