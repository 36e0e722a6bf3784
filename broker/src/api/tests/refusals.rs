//! A disk that is full and descriptors that are used up: appends are refused, reads go on, and so
//! does the partition, by itself.

use std::time::Duration;

use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind};

use super::fetch::{fetch_partitions, partition, request};
use super::{Fixture, batch, body, code, produce_request};

async fn produce(fixture: &Fixture, acks: i16) -> i16 {
    let request = produce_request("clicks", 0, acks, Some(batch(&["a", "b"])));
    let response = fixture.call(9, RequestKind::Produce(request)).await;
    let mut topic = body!(Produce, response).responses.remove(0);
    topic.partition_responses.remove(0).error_code
}

async fn high_watermark(fixture: &Fixture) -> i64 {
    let fetched = request("clicks", vec![partition(0, 0)]);
    let fetched = fetch_partitions(fixture, fetched).await;
    assert_eq!(fetched[0].error_code, 0);
    fetched[0].high_watermark
}

#[tokio::test]
async fn a_full_disk_is_told_to_who_asks_whether_the_broker_is_ready() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    assert_eq!(produce(&fixture, -1).await, 0);
    assert_eq!(fixture.broker.unready(), []);
    let vfs = &fixture.vfs.sim;
    vfs.set_capacity(Some(vfs.used_bytes()));
    for acks in [1, -1] {
        assert_eq!(
            produce(&fixture, acks).await,
            code(ErrorCode::KafkaStorageError)
        );
    }
    let reasons = fixture.broker.unready();
    let [reason] = &reasons[..] else {
        panic!("{reasons:?}");
    };
    let reason = &reason.text;
    assert!(
        reason.starts_with("clicks-0 accepts no records: /data/clicks-0/0"),
        "{reason}"
    );
    assert!(reason.contains("no space left") && reason.ends_with("0 bytes are free on its disk"));
    assert_eq!(high_watermark(&fixture).await, 2, "reads go on");
    vfs.set_capacity(None);
    assert_eq!(produce(&fixture, -1).await, 0);
    assert_eq!(fixture.broker.unready(), []);
    assert_eq!(high_watermark(&fixture).await, 4);

    // Nobody writes any more: then it is over when there is room.
    vfs.set_capacity(Some(vfs.used_bytes()));
    assert_ne!(produce(&fixture, 1).await, 0);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(fixture.broker.unready().len(), 1);
    vfs.set_capacity(None);
    assert_eq!(fixture.broker.unready(), []);
}

#[tokio::test]
async fn a_sync_that_could_not_be_tried_is_no_sync_that_failed() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 1).await;
    let vfs = &fixture.vfs.sim;
    // The segment is open from the append on; its directory has to be opened for the sync.
    assert_eq!(produce(&fixture, 1).await, 0);
    vfs.set_open_files_max(Some(vfs.open_files()));
    assert_eq!(
        produce(&fixture, -1).await,
        code(ErrorCode::KafkaStorageError)
    );
    let reasons = fixture.broker.unready();
    assert!(
        reasons.iter().any(|reason| reason
            .text
            .contains("clicks-0 accepts no records: /data/clicks-0: cannot open")),
        "{reasons:?}"
    );
    vfs.set_open_files_max(None);
    assert_eq!(produce(&fixture, -1).await, 0, "the partition is online");
    assert_eq!(fixture.broker.unready(), []);
    assert_eq!(high_watermark(&fixture).await, 6);
    let found = fixture.vfs.crash();
    let fixture = Fixture::start_on(found, |_| {}).await;
    assert_eq!(high_watermark(&fixture).await, 6, "and it was synced");
}

#[tokio::test]
async fn one_unreadable_partition_keeps_no_other_from_being_served() {
    let fixture = Fixture::start().await;
    fixture.create("clicks", 3).await;
    for number in 0..3 {
        let request = produce_request("clicks", number, -1, Some(batch(&["a", "b"])));
        fixture.call(9, RequestKind::Produce(request)).await;
    }
    let log = std::path::Path::new("/data/clicks-1/00000000000000000000.log");
    fixture.vfs.sim.make_unreadable(log, 70..71).unwrap();
    for _ in 0..3 {
        let fetched = request("clicks", (0..3).map(|n| partition(n, 0)).collect());
        let fetched = fetch_partitions(&fixture, fetched).await;
        let codes: Vec<i16> = fetched.iter().map(|answer| answer.error_code).collect();
        assert_eq!(codes, [0, code(ErrorCode::KafkaStorageError), 0]);
        let read = |index: usize| fetched[index].records.as_ref().map_or(0, bytes::Bytes::len);
        assert!(read(0) > 0 && read(1) == 0 && read(2) > 0);
    }
}
