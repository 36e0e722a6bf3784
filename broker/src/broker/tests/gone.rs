//! The data directory goes while its broker runs.

use brooklet_protocol::TopicName;

use super::*;
use crate::controller::NewTopic;

/// Another topic, as a client asks for it.
async fn create(broker: &Broker, name: &str) -> Result<(), String> {
    let topic = NewTopic {
        name: TopicName::new(name).unwrap(),
        partition_count: Some(1),
        configs: std::collections::BTreeMap::default(),
    };
    let created = broker.controller().create_topic(topic).await;
    created.map(drop).map_err(|error| error.to_string())
}

/// Lets the background task look.
async fn until(broker: &Broker, clock: &ManualClock, is_ready: bool) {
    let noticed = async {
        while broker.unready().is_empty() != is_ready {
            clock.advance(Duration::from_millis(500));
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), noticed).await;
    in_time.expect("it looks every second");
}

async fn running() -> (SimVfs, ManualClock, Broker, Arc<Partition>) {
    let (vfs, clock) = (SimVfs::new(1), ManualClock::new(Timestamp(0)));
    let environment = environment(&vfs, &clock, 7);
    let broker = Broker::start_in(environment, config("/data"))
        .await
        .unwrap();
    let partition = partition(&broker).await;
    partition
        .append(&[batch()], Durability::Synced)
        .await
        .unwrap();
    assert_eq!(broker.unready(), []);
    (vfs, clock, broker, partition)
}

#[tokio::test]
async fn nothing_is_confirmed_in_a_directory_that_is_removed() {
    let (vfs, _clock, broker, partition) = running().await;
    vfs.remove_dir_all(Path::new("/data")).unwrap();
    // Nobody has looked yet: the sync does.
    let appended = partition.append(&[batch()], Durability::Synced).await;
    assert!(appended.is_err(), "{appended:?}");
    let error = create(&broker, "other").await.unwrap_err();
    assert!(
        error.contains("the data directory /data is gone"),
        "{error}"
    );
    assert!(
        !vfs.exists(Path::new("/data")),
        "nothing is put in its place"
    );
    assert!(
        broker.unready()[0]
            .text
            .starts_with("the data directory /data is gone")
    );
    assert!(broker.shutdown().await.is_err());
}

#[tokio::test]
async fn an_idle_broker_notices_that_its_directory_is_gone() {
    let (vfs, clock, broker, partition) = running().await;
    vfs.rename(Path::new("/data"), Path::new("/aside")).unwrap();
    until(&broker, &clock, false).await;
    let error = create(&broker, "other").await.unwrap_err();
    assert!(error.contains("/data is gone"), "{error}");
    let appended = partition.append(&[batch()], Durability::Written).await;
    let error = appended.unwrap_err().to_string();
    assert!(error.contains("/data is gone"), "{error}");
    // Moved back, it is the same again, and nothing has failed for good.
    vfs.rename(Path::new("/aside"), Path::new("/data")).unwrap();
    until(&broker, &clock, true).await;
    let appended = partition
        .append(&[batch()], Durability::Synced)
        .await
        .unwrap();
    assert_eq!(appended.base_offset, Offset(1));
    create(&broker, "other").await.unwrap();
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_file_system_that_became_read_only_is_noticed() {
    let (vfs, clock, broker, _partition) = running().await;
    vfs.set_read_only(true);
    until(&broker, &clock, false).await;
    let words = "the file system of /data is mounted read-only";
    assert_eq!(broker.unready()[0].text, words);
    let error = create(&broker, "other").await.unwrap_err();
    assert!(error.contains(words), "{error}");
    vfs.set_read_only(false);
    until(&broker, &clock, true).await;
    create(&broker, "other").await.unwrap();
}
