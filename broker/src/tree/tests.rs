//! The tree on a simulated disk: its watchers.

use std::path::Path;

use brooklet_log::clock::ManualClock;
use brooklet_log::vfs::Vfs;
use brooklet_log::vfs::sim::SimVfs;
use brooklet_log::{LogConfig, RecoveryStart};
use brooklet_machines::coordination::ANY_VERSION;
use brooklet_protocol::{PartitionId, Timestamp, TopicName, TopicPartition};

use super::*;
use crate::partition::PartitionSetup;

fn tree() -> Arc<CoordinationTree> {
    let vfs = SimVfs::new(13);
    let dir = Path::new("/data/tree-0");
    vfs.create_dir_all(dir).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp(0)));
    let (log, _) = Partition::open(PartitionSetup {
        vfs: Arc::new(vfs),
        clock: Arc::clone(&clock),
        id: TopicPartition::new(TopicName::new("tree").unwrap(), PartitionId(0)),
        dir,
        config: LogConfig::default(),
        start: RecoveryStart::default(),
        dirty: None,
    })
    .unwrap();
    CoordinationTree::open(log, clock, Durability::Synced).unwrap()
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_cut_off_and_a_dropped_one_is_forgotten() {
    let tree = tree();
    let mut slow = tree.watcher();
    let mut seen = 0;
    for round in 0..1025 {
        tree.get("/zookeeper/config", Some(slow.id()))
            .await
            .unwrap();
        let data = Some(Bytes::from(round.to_string()));
        tree.set("/zookeeper/config", data, ANY_VERSION)
            .await
            .unwrap();
    }
    while slow.next().await.is_some() {
        seen += 1;
    }
    assert_eq!(
        seen, 1024,
        "what was delivered is still there, then comes the end"
    );

    let dropped = tree.watcher();
    let watch = Some(dropped.id());
    tree.children("/", watch).await.unwrap();
    drop(dropped);
    let listing = GetChildren {
        path: "/".into(),
        watch: None,
    };
    let answer = tree.submit(listing).await.unwrap();
    assert!(answer.result.is_ok());
}
