//! `kill -9` in the middle of transactions: what is read, written and noted as read counts
//! together, once.

use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_client::{
    Client, ClientError, Consumer, ConsumerConfig, GroupMetadata, Isolation, NewRecord, Producer,
    ProducerConfig, TransactionalProducer,
};
use brooklet_protocol::{Offset, PartitionId, TopicPartition};
use brooklet_tests::Server;
use bytes::Bytes;
use tokio::sync::watch;

use crate::assert_calm;
use crate::crash::{address_to_come_back_to, partitions_of};

const RECORDS: usize = 2000;
const BATCH: usize = 20;
const KILLS: usize = 5;
const GROUP: &str = "copier";
/// How long a transaction of the copier may be open before its offsets are looked up again.
const STABLE_WAIT: Duration = Duration::from_secs(4);

/// Copies `in` to `out` in transactions; each seventh is aborted and done again.
struct Copier {
    client: Client,
    producer: TransactionalProducer,
    consumer: Consumer,
    input: Vec<TopicPartition>,
    output: Vec<TopicPartition>,
    transactions: usize,
}

impl Copier {
    async fn new(client: Client) -> Result<Self, ClientError> {
        let config = ProducerConfig::transactional("copier");
        let producer = TransactionalProducer::new(client.clone(), config).await?;
        let consumer = Consumer::new(client.clone(), ConsumerConfig::default());
        Ok(Self {
            client,
            producer,
            consumer,
            input: partitions_of("in", 2),
            output: partitions_of("out", 2),
            transactions: 0,
        })
    }

    /// Goes on from what is committed.
    async fn rewind(&mut self) -> Result<(), ClientError> {
        let committed = self.client.stable_offsets(GROUP, None, STABLE_WAIT).await?;
        let from = |place: &TopicPartition| {
            let offset = committed.get(place).map(|committed| committed.offset);
            (place.clone(), offset.unwrap_or(Offset::ZERO))
        };
        self.consumer.assign(self.input.iter().map(from));
        Ok(())
    }

    /// One transaction; tells how many records it has copied.
    async fn step(&mut self) -> Result<usize, ClientError> {
        let mut read = BTreeMap::new();
        let mut count = 0;
        self.producer.begin()?;
        for fetched in self.consumer.poll().await? {
            let number = fetched.partition.partition.0 as usize;
            for (offset, value) in values(&fetched.batches, fetched.position) {
                if count == BATCH {
                    break;
                }
                let record = NewRecord {
                    partition: Some(PartitionId(number as i32)),
                    value: Some(value),
                    ..NewRecord::default()
                };
                self.producer
                    .send(&self.output[number].topic, record)
                    .await?;
                read.insert(fetched.partition.clone(), Offset(offset + 1).into());
                count += 1;
            }
        }
        self.producer
            .send_offsets(&read, &GroupMetadata::of(GROUP))
            .await?;
        self.transactions += 1;
        if self.transactions.is_multiple_of(7) {
            self.producer.abort().await?;
            count = 0;
        } else {
            self.producer.commit().await?;
        }
        Ok(count)
    }

    /// Copies everything, and says how far it is. The broker may be killed meanwhile.
    async fn run(mut self, copied: watch::Sender<usize>) {
        let mut at_least = 0;
        while at_least < RECORDS {
            let stepped = match self.rewind().await {
                Ok(()) => self.step().await,
                Err(error) => Err(error),
            };
            match stepped {
                Ok(count) => at_least += count,
                Err(error) => {
                    eprintln!("copier: {error}");
                    // What has failed is aborted; and if that fails, another process takes over.
                    if self.producer.abort().await.is_err() {
                        self = restarted(&self.client).await;
                    }
                    // It may have been committed all the same.
                    at_least = committed(&self.client).await;
                }
            }
            copied.send_replace(at_least);
        }
    }
}

async fn restarted(client: &Client) -> Copier {
    loop {
        if let Ok(copier) = Copier::new(client.clone()).await {
            return copier;
        }
    }
}

/// How many records of the input count as read.
async fn committed(client: &Client) -> usize {
    loop {
        if let Ok(offsets) = client.stable_offsets(GROUP, None, STABLE_WAIT).await {
            let offsets = offsets
                .values()
                .map(|committed| committed.offset.0 as usize);
            return offsets.sum();
        }
    }
}

fn values(
    batches: &[brooklet_protocol::records::RecordBatch],
    position: Offset,
) -> Vec<(i64, Bytes)> {
    let mut found = Vec::new();
    for batch in batches {
        for record in &batch.records(1 << 24).unwrap() {
            let record = record.unwrap();
            if record.offset >= position {
                let value = Bytes::copy_from_slice(record.value.unwrap());
                found.push((record.offset.0, value));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_transactions_is_exact_after_five_times_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let address = address_to_come_back_to();
    let mut server = Server::on_at(dir.path(), &address);
    for topic in ["in", "out"] {
        server.stdout_of(&["topic", "create", topic, "-p", "2"], b"");
    }
    let client = Client::connect(&address, "test").await.unwrap();
    let feed = Producer::new(client.clone(), ProducerConfig::default())
        .await
        .unwrap();
    let input = partitions_of("in", 2);
    for number in 0..RECORDS {
        let record = NewRecord {
            partition: Some(PartitionId(number as i32 % 2)),
            value: Some(number.to_string().into()),
            ..NewRecord::default()
        };
        feed.send(&input[0].topic, record).await.unwrap();
    }
    feed.flush().await.unwrap();

    let (copied, mut progress) = watch::channel(0);
    let copying = tokio::spawn(restarted(&client).await.run(copied));
    for kill in 1..=KILLS {
        let far = RECORDS * kill / (KILLS + 1);
        progress.wait_for(|copied| *copied >= far).await.unwrap();
        server.kill();
        server = Server::on_at(dir.path(), &address);
    }
    copying.await.unwrap();
    server.kill();

    let server = Server::on_at(dir.path(), &address);
    assert_eq!(committed(&client).await, RECORDS);
    let config = ConsumerConfig {
        isolation: Isolation::ReadCommitted,
        ..ConsumerConfig::default()
    };
    let mut reader = Consumer::new(client.clone(), config);
    let output = partitions_of("out", 2);
    reader.assign(output.iter().map(|place| (place.clone(), Offset::ZERO)));
    let mut found: Vec<usize> = Vec::new();
    while !output.iter().all(|place| reader.is_caught_up(place)) {
        for fetched in reader.poll().await.unwrap() {
            let values = values(&fetched.batches, fetched.position);
            found.extend(
                values
                    .iter()
                    .map(|(_, v)| str::from_utf8(v).unwrap().parse::<usize>().unwrap()),
            );
        }
    }
    found.sort_unstable();
    assert_eq!(found, (0..RECORDS).collect::<Vec<_>>());
    assert_calm(&server.errors());
}
