//! The driver, with the smallest machine there is: a sum that can be reset by a deadline.

use std::error::Error;
use std::time::Duration;

use brooklet_log::clock::ManualClock;
use brooklet_protocol::{Monotonic, Timestamp};
use bytes::Bytes;

use super::testing::MemoryLog;
use super::*;

#[derive(Debug, Default)]
struct Sum {
    total: i64,
    /// Soft: when to go back to zero.
    reset_at: Option<Monotonic>,
}

#[derive(Clone, Copy, Debug)]
struct Add(i64);
#[derive(Clone, Copy, Debug)]
struct AddBoth(i64, i64);
#[derive(Clone, Copy, Debug)]
struct Read;
#[derive(Clone, Copy, Debug)]
struct ResetAt(Monotonic);

impl Sum {
    fn log(&self, added: &[i64]) -> Decision<i64, (Offset, i64)> {
        let records = added.iter().copied().map(record).collect();
        Decision::write(records, self.total + added.iter().sum::<i64>())
    }
}

impl Command<Sum> for Add {
    type Answer = i64;

    fn decide(self, sum: &mut Sum, _: Moment) -> Decision<i64, (Offset, i64)> {
        sum.log(&[self.0])
    }
}

impl Command<Sum> for AddBoth {
    type Answer = i64;

    fn decide(self, sum: &mut Sum, _: Moment) -> Decision<i64, (Offset, i64)> {
        sum.log(&[self.0, self.1])
    }
}

impl Command<Sum> for Read {
    type Answer = i64;

    fn decide(self, sum: &mut Sum, _: Moment) -> Decision<i64, (Offset, i64)> {
        Decision::read(sum.total)
    }
}

impl Command<Sum> for ResetAt {
    type Answer = i64;

    fn decide(self, sum: &mut Sum, _: Moment) -> Decision<i64, (Offset, i64)> {
        sum.reset_at = Some(self.0);
        Decision::read(sum.total)
    }
}

impl StateMachine for Sum {
    type Effect = (Offset, i64);

    fn replay(
        &mut self,
        offset: Offset,
        record: &LogRecord,
    ) -> Result<Vec<(Offset, i64)>, Box<dyn Error + Send + Sync>> {
        let value = record.value.as_deref().ok_or("no value")?;
        self.total += str::from_utf8(value)?.parse::<i64>()?;
        Ok(vec![(offset, self.total)])
    }

    fn deadline(&self) -> Option<Monotonic> {
        self.reset_at
    }

    fn tick(&mut self, _: Moment) -> Decision<(), (Offset, i64)> {
        self.reset_at = None;
        Decision::write(vec![record(-self.total)], ())
    }
}

fn record(n: i64) -> LogRecord {
    LogRecord {
        key: None,
        value: Some(Bytes::from(n.to_string())),
        ..LogRecord::default()
    }
}

struct Fixture {
    log: MemoryLog,
    clock: ManualClock,
    delivered: Arc<Mutex<Vec<(i64, i64)>>>,
    driver: Arc<Driver<Sum, MemoryLog>>,
}

fn open(log: &MemoryLog) -> Fixture {
    let clock = ManualClock::new(Timestamp(1000));
    let delivered = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&delivered);
    let sink: Sink<(Offset, i64)> = Box::new(move |(at, sum)| to.lock().push((at.0, sum)));
    let driver = Driver::open(
        Sum::default(),
        log.clone(),
        Arc::new(clock.clone()),
        Durability::Synced,
        sink,
    );
    Fixture {
        log: log.clone(),
        clock,
        delivered,
        driver: driver.unwrap(),
    }
}

/// Whether the future is ready now.
async fn is_ready<F: Future + Unpin>(future: &mut F) -> bool {
    // Lets the tasks that have something to do run first.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    tokio::select! { biased; _ = future => true, () = std::future::ready(()) => false }
}

#[tokio::test]
async fn replaying_the_log_gives_the_live_state() {
    let live = open(&MemoryLog::default());
    assert_eq!(live.driver.submit(Add(3)).await.unwrap(), 3);
    assert_eq!(live.driver.submit(AddBoth(4, -1)).await.unwrap(), 6);
    assert_eq!(*live.delivered.lock(), [(0, 3), (1, 7), (2, 6)]);

    let again = open(&live.log);
    assert_eq!(again.driver.inspect(|sum| sum.total), 6);
    assert_eq!(
        *again.delivered.lock(),
        [],
        "effects of the past are not delivered"
    );
    assert_eq!(again.driver.submit(Add(1)).await.unwrap(), 7);
    assert_eq!(*again.delivered.lock(), [(3, 7)]);
}

#[tokio::test]
async fn a_write_is_committed_with_the_promised_durability() {
    let f = open(&MemoryLog::default());
    f.driver.submit(AddBoth(1, 2)).await.unwrap();
    assert_eq!(f.log.committed(), [(Offset(2), Durability::Synced)]);
}

#[tokio::test]
async fn a_failed_append_changes_nothing() {
    let f = open(&MemoryLog::default());
    f.driver.submit(Add(3)).await.unwrap();
    f.log.fail_appends(true);
    assert!(f.driver.submit(Add(4)).await.is_err());
    f.log.fail_appends(false);
    assert_eq!(f.driver.submit(Read).await.unwrap(), 3);
    assert_eq!(f.log.records().len(), 1);
    assert_eq!(*f.delivered.lock(), [(0, 3)]);
}

#[tokio::test]
async fn a_failed_commit_gives_no_answer_and_no_effect() {
    let f = open(&MemoryLog::default());
    f.log.fail_commits(true);
    assert!(f.driver.submit(Add(4)).await.is_err());
    assert!(f.driver.submit(Read).await.is_err(), "it rests on the 4");
    assert_eq!(*f.delivered.lock(), []);
}

#[tokio::test]
async fn a_read_waits_for_what_it_rests_on() {
    let f = open(&MemoryLog::default());
    f.log.hold_commits(true);
    let mut write = Box::pin(f.driver.submit(Add(5)));
    assert!(!is_ready(&mut write).await);
    let mut read = Box::pin(f.driver.submit(Read));
    assert!(!is_ready(&mut read).await);
    assert_eq!(*f.delivered.lock(), []);
    f.log.hold_commits(false);
    assert_eq!(read.await.unwrap(), 5);
    assert_eq!(*f.delivered.lock(), [(0, 5)], "effects come before answers");
    assert_eq!(write.await.unwrap(), 5);
}

#[tokio::test]
async fn what_was_only_written_is_committed_with_what_is_asked_next() {
    let f = open(&MemoryLog::default());
    assert_eq!(f.driver.write(Add(5)).unwrap(), 5);
    assert_eq!(f.log.committed(), []);
    assert_eq!(*f.delivered.lock(), []);
    assert_eq!(f.driver.submit(Read).await.unwrap(), 5);
    assert_eq!(f.log.committed(), [(Offset(1), Durability::Synced)]);
    assert_eq!(*f.delivered.lock(), [(0, 5)]);
    f.log.fail_appends(true);
    assert!(f.driver.write(Add(1)).is_err());
    assert_eq!(f.driver.submit(Read).await.unwrap(), 5);
}

#[tokio::test]
async fn a_command_goes_on_when_its_caller_has_gone() {
    let f = open(&MemoryLog::default());
    f.log.hold_commits(true);
    let mut write = Box::pin(f.driver.submit(Add(5)));
    assert!(!is_ready(&mut write).await);
    drop(write);
    f.log.hold_commits(false);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*f.delivered.lock(), [(0, 5)]);
}

#[tokio::test]
async fn what_an_earlier_run_may_not_have_synced_is_committed_before_the_first_answer() {
    let f = open(&MemoryLog::default());
    f.driver.submit(Add(1)).await.unwrap();
    let again = open(&f.log);
    again.driver.submit(Read).await.unwrap();
    assert_eq!(f.log.committed().len(), 2);
    again.driver.submit(Read).await.unwrap();
    assert_eq!(f.log.committed().len(), 2, "once is enough");
}

#[tokio::test]
async fn a_log_of_something_else_is_refused() {
    let log = MemoryLog::default();
    let records = [record(1), LogRecord::default()];
    log.append(&records, Timestamp(0)).unwrap();
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let opened = Driver::open(
        Sum::default(),
        log,
        clock,
        Durability::Synced,
        Box::new(drop),
    );
    let error = opened.unwrap_err().to_string();
    assert_eq!(error, "memory: record at offset 1: no value");
}

#[tokio::test]
async fn the_machine_is_woken_at_its_deadline() {
    let f = open(&MemoryLog::default());
    let driver = Arc::clone(&f.driver);
    let deadlines = tokio::spawn(async move { driver.run_deadlines().await });
    f.driver.submit(Add(9)).await.unwrap();
    let at = Monotonic(Duration::from_millis(20));
    assert_eq!(f.driver.soft(ResetAt(at)), 9);

    f.clock.advance(Duration::from_millis(19));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(f.driver.submit(Read).await.unwrap(), 9);
    f.clock.advance(Duration::from_millis(1));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(f.driver.submit(Read).await.unwrap(), 0);
    deadlines.abort();
}
