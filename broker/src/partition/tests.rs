//! Commits, the high watermark, and what readers and waiters see of them. Syncs are held up by a
//! [`GatedVfs`], so that each test decides what is durable when.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use brooklet_log::clock::{Clock, ManualClock};
use brooklet_log::{LogConfig, LogError, RecoveryStart};
use brooklet_protocol::records::{BatchBuilder, Batches, Compression, RecordBatch};
use brooklet_protocol::{Isolation, Offset, PartitionId, Timestamp, TopicName, TopicPartition};
use tokio::sync::Notify;

use super::testing::GatedVfs;
use super::{DirtyBudget, Durability, Partition, PartitionSetup};

fn open(vfs: &GatedVfs, sync: bool) -> Arc<Partition> {
    let id = TopicPartition::new(TopicName::new("clicks").unwrap(), PartitionId(0));
    let (partition, _) = Partition::open(PartitionSetup {
        vfs: Arc::new(vfs.clone()),
        clock: Arc::new(ManualClock::new(Timestamp(1000))),
        id,
        dir: Path::new("/clicks-0"),
        config: LogConfig::default(),
        start: RecoveryStart::default(),
        dirty: sync.then(|| DirtyBudget::new(1000)).as_ref(),
    })
    .unwrap();
    partition
}

fn batch(value: &str) -> RecordBatch {
    let mut batch = BatchBuilder::new(Compression::None);
    batch.append(Timestamp(7), None, Some(value.as_bytes()), &[]);
    batch.build()
}

/// One look at a future, as a runtime would take it.
async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
}

#[tokio::test]
async fn consumers_see_what_was_committed() {
    let partition = open(&GatedVfs::new(1), true);
    let appended = partition.append_written(&[batch("a"), batch("b")]).unwrap();
    assert_eq!(
        (appended.base_offset, appended.last_offset),
        (Offset(0), Offset(1))
    );
    assert_eq!(partition.high_watermark(), Offset(0));
    assert!(
        partition
            .read(Offset(0), Isolation::default(), 1000, true)
            .unwrap()
            .is_empty()
    );
    assert!(
        partition
            .read(Offset(1), Isolation::default(), 1000, true)
            .unwrap()
            .is_empty()
    );

    partition
        .commit(Offset(2), Durability::Written)
        .await
        .unwrap();
    let read = partition
        .read(Offset(0), Isolation::default(), 1000, true)
        .unwrap();
    assert_eq!(Batches(read.bytes).count(), 2);
    assert_eq!(read.next_offset, Offset(2));
    let beyond = partition.read(Offset(3), Isolation::default(), 1000, true);
    assert!(
        matches!(beyond, Err(LogError::OffsetOutOfRange { .. })),
        "{beyond:?}"
    );
}

#[tokio::test]
async fn the_high_watermark_never_goes_back() {
    let partition = open(&GatedVfs::new(1), true);
    partition.append_written(&[batch("a"), batch("b")]).unwrap();
    partition
        .commit(Offset(2), Durability::Written)
        .await
        .unwrap();
    partition
        .commit(Offset(1), Durability::Synced)
        .await
        .unwrap();
    assert_eq!(partition.high_watermark(), Offset(2));
}

#[tokio::test]
async fn appends_that_wait_share_one_sync() {
    let vfs = GatedVfs::new(1);
    let partition = open(&vfs, true);
    let before = vfs.sync_count();
    vfs.hold_syncs();
    let mut first = pin!(
        partition
            .append_written(&[batch("first")])
            .map(|appended| { partition.commit(appended.last_offset.plus(1), Durability::Synced) })
            .unwrap()
    );
    assert!(poll_once(&mut first).await.is_pending());
    vfs.sync_begun().await;
    // These come while the first sync runs, and cannot be sure that it covers them.
    let mut others = tokio::task::JoinSet::new();
    for n in 0..20 {
        let partition = Arc::clone(&partition);
        let appended = partition.append_written(&[batch(&n.to_string())]).unwrap();
        partition.begin_commit(appended.last_offset.plus(1));
        others.spawn(async move {
            let end = appended.last_offset.plus(1);
            partition.commit(end, Durability::Synced).await.unwrap();
        });
    }
    vfs.release_syncs();
    first.await.unwrap();
    others.join_all().await;
    assert_eq!(vfs.sync_count() - before, 2);
    assert_eq!(partition.high_watermark(), Offset(21));
}

#[tokio::test]
async fn a_sync_goes_on_when_its_waiter_is_gone() {
    let vfs = GatedVfs::new(1);
    let partition = open(&vfs, true);
    vfs.hold_syncs();
    {
        let end = partition
            .append_written(&[batch("a")])
            .unwrap()
            .last_offset
            .plus(1);
        let mut commit = pin!(partition.commit(end, Durability::Synced));
        assert!(poll_once(&mut commit).await.is_pending());
        vfs.sync_begun().await;
    }
    vfs.release_syncs();
    let changed = Arc::new(Notify::new());
    let _guard = partition.notify_on_change(&changed);
    while partition.high_watermark() < Offset(1) {
        changed.notified().await;
    }
    assert!(!partition.is_dirty());
}

#[tokio::test]
async fn a_failed_sync_takes_the_partition_offline_for_good() {
    let vfs = GatedVfs::new(1);
    let partition = open(&vfs, true);
    let changed = Arc::new(Notify::new());
    let _guard = partition.notify_on_change(&changed);
    vfs.sim.fail_next_sync();
    let failed = partition.append(&[batch("lost")], Durability::Synced).await;
    assert!(
        matches!(failed, Err(LogError::Offline { .. })),
        "{failed:?}"
    );
    changed.notified().await;
    assert!(partition.is_offline());
    assert_eq!(partition.high_watermark(), Offset(0));
    // The next sync would succeed, and must not be believed.
    for durability in [Durability::Written, Durability::Synced] {
        let refused = partition.append(&[batch("no")], durability).await;
        assert!(
            matches!(refused, Err(LogError::Offline { .. })),
            "{refused:?}"
        );
    }
    assert!(partition.flush().await.is_err());
    assert!(!partition.is_dirty());
}

#[tokio::test]
async fn a_change_wakes_who_waits_and_nobody_else_stays_registered() {
    let partition = open(&GatedVfs::new(1), true);
    let (stays, leaves) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let guard = partition.notify_on_change(&stays);
    drop(partition.notify_on_change(&leaves));
    assert_eq!(partition.waiter_count(), 1);
    partition
        .append(&[batch("a")], Durability::Written)
        .await
        .unwrap();
    stays.notified().await;
    let mut other = pin!(leaves.notified());
    assert!(poll_once(&mut other).await.is_pending());
    drop(guard);
    assert_eq!(partition.waiter_count(), 0);
}

#[tokio::test]
async fn a_flush_makes_written_records_durable() {
    let vfs = GatedVfs::new(1);
    let partition = open(&vfs, true);
    assert!(!partition.is_dirty());
    partition
        .append(&[batch("a")], Durability::Written)
        .await
        .unwrap();
    assert!(partition.is_dirty());
    partition.flush().await.unwrap();
    assert!(!partition.is_dirty());
    assert_eq!(partition.log().recovery_point(), Offset(1));
}

#[tokio::test]
async fn an_ephemeral_partition_syncs_nothing() {
    let vfs = GatedVfs::new(1);
    let partition = open(&vfs, false);
    let before = vfs.sync_count();
    partition
        .append(&[batch("a")], Durability::Synced)
        .await
        .unwrap();
    assert!(!partition.is_dirty());
    partition.close().unwrap();
    assert_eq!(vfs.sync_count(), before);
}

#[tokio::test]
async fn a_closed_partition_takes_nothing_and_opens_with_everything() {
    let vfs = GatedVfs::new(1);
    let partition = open(&vfs, true);
    partition
        .append(&[batch("a"), batch("b")], Durability::Written)
        .await
        .unwrap();
    assert_eq!(partition.close().unwrap(), Offset(2));
    let refused = partition.append(&[batch("c")], Durability::Written).await;
    assert!(refused.unwrap_err().to_string().contains("closed"));
    assert!(partition.is_offline());
    drop(partition);
    let again = open(&vfs, true);
    assert_eq!(again.high_watermark(), Offset(2));
}

#[tokio::test]
async fn times_are_looked_up_below_the_high_watermark() {
    let partition = open(&GatedVfs::new(1), true);
    partition.append_written(&[batch("a")]).unwrap();
    assert_eq!(
        partition
            .offset_for_timestamp(Timestamp(7), Isolation::default())
            .unwrap(),
        None
    );
    assert_eq!(partition.max_timestamp(Isolation::default()).unwrap(), None);
    partition
        .commit(Offset(1), Durability::Written)
        .await
        .unwrap();
    let found = Some((Offset(0), Timestamp(7)));
    assert_eq!(
        partition
            .offset_for_timestamp(Timestamp(3), Isolation::default())
            .unwrap(),
        found
    );
    assert_eq!(
        partition.max_timestamp(Isolation::default()).unwrap(),
        found
    );
    assert_eq!(
        partition
            .offset_for_timestamp(Timestamp(8), Isolation::default())
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn what_is_deleted_was_durable_and_is_not_served() {
    let partition = open(&GatedVfs::new(1), true);
    let batches = [batch("a"), batch("b"), batch("c")];
    partition
        .append(&batches, Durability::Written)
        .await
        .unwrap();
    let beyond = partition.delete_records(Offset(4)).await;
    assert!(
        matches!(beyond, Err(LogError::OffsetOutOfRange { .. })),
        "{beyond:?}"
    );
    assert_eq!(
        partition.delete_records(Offset(2)).await.unwrap(),
        Offset(2)
    );
    assert!(partition.log().recovery_point() >= Offset(2));
    assert_eq!(
        partition.delete_records(Offset(1)).await.unwrap(),
        Offset(2)
    );
    assert!(
        partition
            .read(Offset(1), Isolation::default(), 1000, true)
            .is_err()
    );
    assert!(
        !partition
            .read(Offset(2), Isolation::default(), 1000, true)
            .unwrap()
            .is_empty()
    );

    partition.delete_records(Offset(3)).await.unwrap();
    partition.roll_if_filled().unwrap();
    let now = ManualClock::new(Timestamp(0)).monotonic();
    let taken = partition
        .maintenance()
        .retire_segments_below(Offset(3), now);
    assert_eq!(taken.unwrap().segments, 1);
}

#[tokio::test]
async fn what_is_written_is_synced_behind_before_it_is_too_much() {
    let vfs = GatedVfs::new(1);
    let partition = open(&vfs, true);
    vfs.hold_syncs();
    // Nobody asks for a sync; the budget is 1000 bytes.
    let half = [batch(&"x".repeat(450))];
    partition.append(&half, Durability::Written).await.unwrap();
    vfs.sync_begun().await;
    let mut second = pin!(partition.append(&half, Durability::Written));
    assert!(
        poll_once(&mut second).await.is_pending(),
        "it waits for the disk"
    );
    assert_eq!(partition.high_watermark(), Offset(1));
    vfs.release_syncs();
    second.await.unwrap();
    assert_eq!(partition.log().recovery_point(), Offset(2));
    partition
        .append(&[batch("little")], Durability::Written)
        .await
        .unwrap();
    assert!(partition.is_dirty());
}
