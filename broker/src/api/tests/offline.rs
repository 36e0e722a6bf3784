//! A broker that starts with one damaged partition serves all others, and leaves the damage alone.

use std::path::Path;
use std::time::Duration;

use brooklet_log::vfs::Vfs;
use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind};

use super::fetch::{fetch_partitions, partition, request};
use super::offsets_and_ids::{asked, list};
use super::topics::metadata;
use super::{Fixture, batch, body, code, produce_request};
use crate::partition::testing::GatedVfs;

const LOG: &str = "/data/clicks-0/00000000000000000000.log";
const POINTS: &str = "/data/recovery-point-offset-checkpoint";
const CLEAN: &str = "/data/.kafka_cleanshutdown";

fn text(vfs: &GatedVfs, path: &str) -> String {
    let bytes = vfs.read(Path::new(path)).unwrap_or_default();
    String::from_utf8(bytes).unwrap()
}

async fn produce(fixture: &Fixture, partition: i32, acks: i16) -> i16 {
    let request = produce_request("clicks", partition, acks, Some(batch(&["a", "b"])));
    let response = fixture.call(9, RequestKind::Produce(request)).await;
    let mut topic = body!(Produce, response).responses.remove(0);
    topic.partition_responses.remove(0).error_code
}

/// Two partitions with records that are known to be synced; then the power goes, and a bit of the
/// first one's first batch.
pub(super) async fn damaged() -> GatedVfs {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 2).await;
    for partition in [0, 0, 1] {
        assert_eq!(produce(&fixture, partition, -1).await, 0);
    }
    loop {
        let vfs = fixture.vfs.crash();
        if text(&vfs, POINTS).contains("clicks 0 4") {
            flip(&vfs);
            return vfs;
        }
        fixture.clock.advance(Duration::from_millis(500));
        tokio::task::yield_now().await;
    }
}

fn flip(vfs: &GatedVfs) {
    vfs.sim.flip_bit(Path::new(LOG), 70 * 8).unwrap();
}

#[tokio::test]
async fn a_damaged_partition_is_offline_and_the_others_are_served() {
    let fixture = Fixture::start_on(damaged().await, |_| {}).await;
    let storage_error = code(ErrorCode::KafkaStorageError);
    for acks in [-1, 1] {
        assert_eq!(produce(&fixture, 0, acks).await, storage_error);
    }
    let fetched = request("clicks", vec![partition(0, 0), partition(1, 0)]);
    let fetched = fetch_partitions(&fixture, fetched).await;
    assert_eq!(
        (fetched[0].error_code, fetched[0].high_watermark),
        (storage_error, -1)
    );
    assert!(fetched[0].records.as_ref().unwrap().is_empty());
    assert_eq!((fetched[1].error_code, fetched[1].high_watermark), (0, 2));
    let listed = list(&fixture, 7, "clicks", vec![asked(0, -1), asked(1, -1)]).await;
    assert_eq!(
        (listed[0].error_code, listed[0].offset),
        (storage_error, -1)
    );
    assert_eq!((listed[1].error_code, listed[1].offset), (0, 2));

    let known = metadata(&fixture, 12, Some(&["clicks"]), false).await;
    let clicks = &known.topics[0];
    assert_eq!((clicks.error_code, clicks.partitions.len()), (0, 2));
    let row = |index: usize| {
        let partition = &clicks.partitions[index];
        let replicas = partition.replica_nodes.len();
        let offline = partition.offline_replicas.len();
        (
            partition.error_code,
            partition.leader_id.0,
            replicas,
            offline,
        )
    };
    assert_eq!(row(0), (code(ErrorCode::LeaderNotAvailable), -1, 1, 1));
    assert_eq!(row(1), (0, 1, 1, 0));
    assert_eq!(produce(&fixture, 1, -1).await, 0);
    fixture.create("later", 1).await;
}

#[tokio::test]
async fn no_shutdown_hides_the_damage_and_a_repair_brings_the_partition_back() {
    let vfs = damaged().await;
    let found = vfs.read(Path::new(LOG)).unwrap();
    for _ in 0..2 {
        let fixture = Fixture::start_on(vfs.clone(), |_| {}).await;
        let image = fixture.broker.controller().image();
        assert_eq!(image.offline_partitions().count(), 1);
        assert_eq!(produce(&fixture, 1, 1).await, 0);
        fixture.broker.shutdown().await.unwrap();
        let points = text(&vfs, POINTS);
        assert!(points.contains("clicks 0 4\n"), "{points}");
        assert!(!vfs.exists(Path::new(CLEAN)), "the mark would vouch for it");
        assert_eq!(vfs.read(Path::new(LOG)).unwrap(), found);
    }
    flip(&vfs);
    let fixture = Fixture::start_on(vfs.clone(), |_| {}).await;
    assert_eq!(produce(&fixture, 0, -1).await, 0);
    let listed = list(&fixture, 7, "clicks", vec![asked(0, -1), asked(1, -1)]).await;
    assert_eq!((listed[0].offset, listed[1].offset), (6, 6));
    fixture.broker.shutdown().await.unwrap();
    assert!(vfs.exists(Path::new(CLEAN)));
}
