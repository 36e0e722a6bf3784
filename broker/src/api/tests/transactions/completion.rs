//! The last record of a transaction, which nobody waits for.

use brooklet_log::vfs::Vfs;

use super::*;

/// How many records the log of `tx` has, on the disk or not; and its path.
fn log_of_states(fixture: &Fixture) -> (i64, PathBuf) {
    let image = fixture.broker.controller().image();
    let states = image
        .partitions()
        .filter(|p| p.id().topic.as_str() == "__transaction_state");
    let written = states.filter(|p| p.log_end_offset().0 > 0).last().unwrap();
    let segment = written.log().segments().remove(0);
    (written.log_end_offset().0, segment.path)
}

async fn wait_for_states(fixture: &Fixture, count: i64) {
    while log_of_states(fixture).0 < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_transaction_takes_four_syncs() {
    let fixture = Fixture::start().await;
    fixture.create("t", 1).await;
    let mut producer = fixture.begin(BEFORE).await;
    producer.write(0, "first").await;
    assert_eq!(producer.end(true).await, 0);
    wait_for_states(&fixture, 4).await;
    let before = fixture.vfs.sync_count();
    for number in 1..=10 {
        // Its beginning, with the end of the one before; the record; the decision; the marker.
        producer.write(0, "a").await;
        assert_eq!(producer.end(true).await, 0);
        wait_for_states(&fixture, 4 + 3 * number).await;
    }
    assert_eq!(fixture.vfs.sync_count() - before, 40);
}

#[tokio::test]
async fn an_end_whose_completion_is_lost_is_completed_again() {
    let mut lost = 0;
    for (seed, speaks) in (0..16).zip([BEFORE, SINCE].into_iter().cycle()) {
        let fixture = Fixture::start_on(GatedVfs::new(seed), |_| {}).await;
        fixture.create("t", 1).await;
        let mut producer = fixture.begin(speaks).await;
        producer.write(0, "a").await;
        assert_eq!(producer.end(true).await, 0);
        wait_for_states(&fixture, 4).await;
        let (_, path) = log_of_states(&fixture);
        let whole = fixture.vfs.read(&path).unwrap();
        let left = fixture.vfs.crash();
        lost += usize::from(left.read(&path).unwrap() != whole);

        let fixture = Fixture::start_on(left, |_| {}).await;
        assert_eq!(fixture.values(2).await, ["a"]);
        let mut producer = Producer {
            fixture: &fixture,
            ..producer
        };
        producer.write(0, "b").await;
        assert_eq!(producer.end(false).await, 0);
        producer.write(0, "c").await;
        assert_eq!(producer.end(true).await, 0);
        assert_eq!(fixture.values(6).await, ["a", "c"], "seed {seed}");
    }
    assert!(lost > 0, "what is not synced is lost now and then");
}
