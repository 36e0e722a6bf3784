//! Applications: killed at every request, and going on as if nothing had happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use brooklet_client::transport::{Node, Transport, TransportError};
use brooklet_protocol::BrokerId;
use brooklet_protocol::messages::{Request, Response};
use tokio::sync::Notify;

use super::*;

/// A transport that stops at one request, before or after the broker has carried it out.
#[derive(Debug)]
struct Killed {
    inner: Arc<dyn Transport>,
    /// How many more requests there are until then.
    left: AtomicU32,
    is_carried_out: bool,
    stopped: Notify,
}

impl Transport for Killed {
    fn call(
        &self,
        node: Node,
        request: Request,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        let left = self.left.fetch_sub(1, Relaxed);
        if left > 1 {
            return self.inner.call(node, request);
        }
        Box::pin(async move {
            // Requests that come after the last one are never sent.
            if left == 1 && self.is_carried_out {
                drop(self.inner.call(node, request).await);
            }
            self.left.store(0, Relaxed);
            self.stopped.notify_one();
            std::future::pending().await
        })
    }

    fn learn(&self, brokers: &[(BrokerId, String)]) {
        self.inner.learn(brokers);
    }
}

fn options() -> RunOptions {
    RunOptions {
        commits: Some(Commits {
            interval: millis(1000),
            records: 30,
        }),
        consumer: ConsumerConfig {
            // Small fetches, so that there are several commits.
            partition_bytes_max: 600,
            fetch_wait_max: millis(5),
            ..ConsumerConfig::default()
        },
        ..RunOptions::default()
    }
}

/// Runs the program until its request number `kill_at`, and then kills it; `false` if it ended
/// before.
async fn run_and_kill(client: &Client, kill_at: u32, is_carried_out: bool) -> bool {
    let transport = Arc::new(Killed {
        inner: Arc::clone(client.transport()),
        left: AtomicU32::new(kill_at),
        is_carried_out,
        stopped: Notify::new(),
    });
    let killed = Client::new(Arc::clone(&transport) as Arc<dyn Transport>);
    tokio::select! {
        ended = program().run(&killed, options()) => {
            ended.unwrap();
            false
        }
        () = transport.stopped.notified() => true,
    }
}

#[tokio::test]
async fn an_application_killed_at_any_request_goes_on_as_if_nothing_had_happened() {
    for is_carried_out in [false, true] {
        for kill_at in 1.. {
            let client = prepared().await;
            produce_in_batches(&client).await;
            let from = ends(&client, "results").await;
            if !run_and_kill(&client, kill_at, is_carried_out).await {
                assert!(kill_at > 40, "the run has {kill_at} requests");
                break;
            }
            let report = program().run(&client, options()).await.unwrap();
            assert_eq!(report.malformed(), 0);
            assert_eq!(
                results(&client, &from).await,
                expected(),
                "killed at {kill_at}"
            );
        }
    }
}

/// Several batches, so that a run has several fetches.
async fn produce_in_batches(client: &Client) {
    for records in input().chunks(10) {
        produce(client, "in", records).await;
    }
}

#[tokio::test]
async fn an_application_goes_on_with_what_came_since_its_end() {
    let client = prepared().await;
    let from = ends(&client, "results").await;
    produce(&client, "in", &[(0, 1, 3), (1, 2, 27)]).await;
    let report = program().run(&client, options()).await.unwrap();
    assert_eq!(report.records_in(), 2);
    assert_eq!(results(&client, &from).await.len(), 2);
    // What the end has closed stays closed.
    produce(&client, "in", &[(0, 3, 28), (1, 4, 40), (0, 5, 41)]).await;
    let report = program().run(&client, options()).await.unwrap();
    assert_eq!(report.records_in(), 3);
    let count = report.windows["count"].counts;
    assert_eq!((count.late_records, count.finals), (1, 2));
    assert_eq!(results(&client, &from).await.len(), 4);
    let report = program().run(&client, options()).await.unwrap();
    assert_eq!(report.records_in(), 0);
    assert_eq!(results(&client, &from).await.len(), 4);
}

#[tokio::test]
async fn what_was_read_beyond_the_end_is_not_lost() {
    let client = prepared().await;
    let from = ends(&client, "results").await;
    produce(&client, "in", &input()).await;
    let all = ends(&client, "in").await;
    // The end lies in the middle of a batch.
    let middle = all
        .into_iter()
        .map(|(partition, end)| (partition, Offset(end.0 / 2)));
    let (_say, heard) = watch::channel(Some(middle.collect()));
    let until_middle = RunOptions {
        stop: Bound::Signalled(heard),
        ..options()
    };
    let first = program().run(&client, until_middle).await.unwrap();
    let second = program().run(&client, options()).await.unwrap();
    assert_eq!(first.records_in() + second.records_in(), 100);
    let finals = first.windows["count"].counts.finals + second.windows["count"].counts.finals;
    assert_eq!(results(&client, &from).await.len() as u64, finals);
}

#[tokio::test]
async fn an_application_whose_offsets_are_gone_does_not_start_over_by_itself() {
    let client = prepared().await;
    produce(&client, "in", &input()).await;
    program().run(&client, options()).await.unwrap();
    client.delete_group("app").await.unwrap();
    let error = program().run(&client, options()).await.unwrap_err();
    assert!(matches!(error, RunError::OffsetsLost(_)), "{error}");
    let application = Application::find(&client, "app").await.unwrap().unwrap();
    application.remove(&client).await.unwrap();
    assert_eq!(Application::list(&client).await.unwrap(), [""; 0]);
    program().run(&client, options()).await.unwrap();
}

#[tokio::test]
async fn another_plan_is_refused_with_both_sides_shown() {
    let client = prepared().await;
    produce(&client, "in", &input()).await;
    program().run(&client, options()).await.unwrap();
    let other = App::new("app");
    other
        .stream("in", json::<i64>())
        .filter(|time| *time > 5)
        .to("results", |_| None, json());
    let error = other.run(&client, options()).await.unwrap_err().to_string();
    let was = "where it has \"in, event time from the value\"";
    let is = "this one has \"in, event time from the record's timestamp\"";
    assert!(error.contains(was) && error.contains(is), "{error}");
}

#[tokio::test]
async fn a_second_run_takes_over_and_the_first_says_so() {
    let client = prepared().await;
    produce(&client, "in", &input()).await;
    let live = RunOptions {
        stop: Bound::Never,
        ..options()
    };
    let app = program();
    let metrics = app.metrics();
    let first = tokio::spawn({
        let (client, live) = (client.clone(), live.clone());
        async move { app.run(&client, live).await }
    });
    while metrics.snapshot().records_in() < 100 {
        assert!(!first.is_finished());
        tokio::task::yield_now().await;
    }
    let from = Ends::from([0, 1].map(|partition| {
        (
            TopicPartition::new(topic("results"), PartitionId(partition)),
            Offset(0),
        )
    }));
    program().run(&client, options()).await.unwrap();
    produce(&client, "in", &[(0, 200, 300)]).await;
    let error = first.await.unwrap().unwrap_err();
    assert!(matches!(error, RunError::TakenOver(_)), "{error}");
    assert_eq!(results(&client, &from).await, expected());
}
