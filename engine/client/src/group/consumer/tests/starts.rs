//! Where a member begins to read.

use std::sync::Arc;

use brooklet_protocol::BrokerId;
use brooklet_protocol::messages::{ApiKey, Request, RequestKind, Response};
use parking_lot::Mutex;

use super::*;
use crate::transport::{Embedded, Node, Transport, TransportError};

/// The way into a broker, which notes from where is fetched and what is looked up.
#[derive(Debug)]
struct Watched {
    broker: Embedded,
    fetched_from: Mutex<Vec<i64>>,
    looked_up: Mutex<Vec<ApiKey>>,
}

impl Transport for Watched {
    fn call(
        &self,
        node: Node,
        request: Request,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        match &request.body {
            RequestKind::Fetch(fetch) => {
                let partitions = fetch.topics.iter().flat_map(|topic| &topic.partitions);
                let offsets = partitions.map(|partition| partition.fetch_offset);
                self.fetched_from.lock().extend(offsets);
            }
            RequestKind::OffsetFetch(_) | RequestKind::ListOffsets(_) => {
                self.looked_up.lock().push(request.api());
            }
            _ => {}
        }
        self.broker.call(node, request)
    }

    fn learn(&self, _: &[(BrokerId, String)]) {}
}

#[tokio::test]
async fn a_partition_is_read_from_where_the_program_seeks_and_from_nowhere_before() {
    for start_at in [StartAt::Committed, StartAt::Sought] {
        let world = World::new(1).await;
        world.put(0..5).await;
        let watched = Arc::new(Watched {
            broker: Embedded::new(world.broker.clone(), "test"),
            fetched_from: Mutex::default(),
            looked_up: Mutex::default(),
        });
        let config = GroupConfig {
            start_at,
            // Without it a member that starts by itself would fail.
            offset_reset: match start_at {
                StartAt::Committed => OffsetReset::Earliest,
                StartAt::Sought => OffsetReset::None,
            },
            ..config(Assignor::CooperativeCopartitioned)
        };
        let client = Client::new(Arc::clone(&watched) as Arc<dyn Transport>);
        let mut reader = world.member(&client, config);
        poll_until([&mut reader], |[reader]| !reader.events.is_empty()).await;
        assert!(
            matches!(&reader.events[0], Polled::Assigned(new) if new.contains(&world.place(0)))
        );
        assert!(watched.fetched_from.lock().is_empty(), "{start_at:?}");
        reader.consumer.seek(&world.place(7), Offset(0));
        reader.consumer.seek(&world.place(0), Offset(3));
        poll_until([&mut reader], |[reader]| reader.read.len() == 2).await;
        assert_eq!(reader.read, [3, 4]);
        assert_eq!(watched.fetched_from.lock()[0], 3, "{start_at:?}");
        let looked_up = watched.looked_up.lock().len();
        assert_eq!(
            looked_up,
            if start_at == StartAt::Committed { 2 } else { 0 }
        );
    }
}

#[tokio::test]
async fn a_partition_waits_as_long_as_nobody_seeks_in_it() {
    let world = World::new(2).await;
    world.put(0..4).await;
    let config = GroupConfig {
        start_at: StartAt::Sought,
        ..config(Assignor::CooperativeSticky)
    };
    let mut reader = world.member(&world.client, config);
    poll_until([&mut reader], |[reader]| !reader.events.is_empty()).await;
    reader.consumer.seek(&world.place(0), Offset(1));
    poll_until([&mut reader], |[reader]| !reader.read.is_empty()).await;
    for _ in 0..3 {
        reader.poll().await.unwrap();
    }
    assert_eq!(reader.read, [2], "the other has no position");
    assert_eq!(reader.consumer.assignment(), [world.place(0)].into());
    // The event is long acknowledged.
    reader.consumer.seek(&world.place(1), Offset(0));
    poll_until([&mut reader], |[reader]| reader.read.len() == 3).await;
    assert_eq!(reader.read, [2, 1, 3]);
}
