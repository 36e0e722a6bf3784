//! Transactions through the one door, as clients before and after KIP-890 speak.

use std::time::Duration;

use brooklet_protocol::messages::kafka::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use brooklet_protocol::messages::kafka::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use brooklet_protocol::messages::kafka::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use brooklet_protocol::messages::kafka::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use brooklet_protocol::messages::kafka::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest,
    GroupId, InitProducerIdRequest, ListTransactionsRequest, OffsetFetchRequest, TransactionalId,
    TxnOffsetCommitRequest, WriteTxnMarkersRequest,
};
use brooklet_protocol::records::Batches;
use brooklet_protocol::{ProducerEpoch, ProducerId};

use super::fetch::{fetch_partitions, partition, request};
use super::*;

mod completion;

/// Versions of InitProducerId, Produce, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit,
/// EndTxn.
#[derive(Clone, Copy)]
struct Speaks {
    init: i16,
    produce: i16,
    adds: bool,
    offsets: i16,
    end: i16,
}

const BEFORE: Speaks = Speaks {
    init: 4,
    produce: 9,
    adds: true,
    offsets: 3,
    end: 3,
};
const SINCE: Speaks = Speaks {
    init: 5,
    produce: 12,
    adds: false,
    offsets: 5,
    end: 5,
};

fn id(name: &str) -> TransactionalId {
    TransactionalId(StrBytes::from_string(name.to_owned()))
}

/// A transactional producer.
struct Producer<'a> {
    fixture: &'a Fixture,
    speaks: Speaks,
    id: i64,
    epoch: i16,
    sequences: std::collections::BTreeMap<i32, i32>,
}

impl Fixture {
    async fn begin(&self, speaks: Speaks) -> Producer<'_> {
        let (code, id, epoch) = self.init(speaks.init, "tx", (-1, -1)).await;
        assert_eq!(code, 0);
        Producer {
            fixture: self,
            speaks,
            id,
            epoch,
            sequences: std::collections::BTreeMap::new(),
        }
    }

    async fn init(&self, version: i16, name: &str, known: (i64, i16)) -> (i16, i64, i16) {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(id(name)))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(kafka::ProducerId(known.0))
            .with_producer_epoch(known.1);
        let answer = body!(InitProducerId, self.call(version, request.into()).await);
        (
            answer.error_code,
            answer.producer_id.0,
            answer.producer_epoch,
        )
    }

    /// The values of `t-0` that count. Waits until there are as many records below the last stable
    /// offset, markers and aborted ones included.
    async fn values(&self, stable: i64) -> Vec<String> {
        let mut asked = request("t", vec![partition(0, stable - 1)]).with_isolation_level(1);
        asked.max_wait_ms = 1000;
        fetch_partitions(self, asked).await;
        let asked = request("t", vec![partition(0, 0)]).with_isolation_level(1);
        let data = fetch_partitions(self, asked).await.remove(0);
        // A marker may be there twice.
        assert!(data.last_stable_offset >= stable, "{data:?}");
        let mut aborted = data.aborted_transactions.unwrap_or_default();
        aborted.sort_by_key(|aborted| aborted.first_offset);
        let mut ended = std::collections::BTreeSet::new();
        let mut values = Vec::new();
        for batch in Batches(data.records.unwrap()).map(Result::unwrap) {
            let header = *batch.header();
            let producer = header.producer_id.0;
            if header.is_control() {
                ended.remove(&producer);
                continue;
            }
            for aborted in &aborted {
                if aborted.producer_id.0 == producer && aborted.first_offset == header.base_offset.0
                {
                    ended.insert(producer);
                }
            }
            if ended.contains(&producer) {
                continue;
            }
            let records = batch.records(1000).unwrap();
            let texts = records
                .iter()
                .map(|r| String::from_utf8(r.unwrap().value.unwrap().into()));
            values.extend(texts.map(Result::unwrap));
        }
        values
    }

    async fn committed_offset(&self, require_stable: bool) -> (i64, i16) {
        let named = OffsetFetchRequestTopics::default()
            .with_name(topic("t"))
            .with_partition_indexes(vec![0]);
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_topics(Some(vec![named]));
        let request = OffsetFetchRequest::default()
            .with_groups(vec![group])
            .with_require_stable(require_stable);
        let mut answer = body!(OffsetFetch, self.call(8, request.into()).await);
        let partition = answer
            .groups
            .remove(0)
            .topics
            .remove(0)
            .partitions
            .remove(0);
        (partition.committed_offset, partition.error_code)
    }

    async fn state(&self) -> (String, i16) {
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![id("tx")]);
        let mut answer = body!(DescribeTransactions, self.call(0, request.into()).await);
        let state = answer.transaction_states.remove(0);
        (state.transaction_state.to_string(), state.error_code)
    }
}

impl Producer<'_> {
    async fn add(&self, partitions: &[i32]) -> Vec<i16> {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(topic("t"))
            .with_partitions(partitions.to_vec());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id("tx"))
            .with_v3_and_below_producer_id(kafka::ProducerId(self.id))
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let mut answer = body!(
            AddPartitionsToTxn,
            self.fixture.call(3, request.into()).await
        );
        let results = answer
            .results_by_topic_v3_and_below
            .remove(0)
            .results_by_partition;
        results
            .iter()
            .map(|result| result.partition_error_code)
            .collect()
    }

    async fn send(&mut self, partition: i32, value: &str) -> i16 {
        let sequence = *self.sequences.entry(partition).or_default();
        let mut batch = BatchBuilder::new(Compression::None)
            .with_producer(ProducerId(self.id), ProducerEpoch(self.epoch), sequence)
            .with_transaction();
        batch.append(Timestamp(1), None, Some(value.as_bytes()), &[]);
        let records = batch.build().bytes().clone();
        let mut request = produce_request("t", partition, -1, Some(records));
        request.transactional_id = Some(id("tx"));
        let answer = self.fixture.call(self.speaks.produce, request.into()).await;
        let mut answer = body!(Produce, answer);
        let code = answer
            .responses
            .remove(0)
            .partition_responses
            .remove(0)
            .error_code;
        if code == 0 {
            self.sequences.insert(partition, sequence + 1);
        }
        code
    }

    /// Adds if it has to, and sends.
    async fn write(&mut self, partition: i32, value: &str) {
        if self.speaks.adds {
            assert_eq!(self.add(&[partition]).await, [0]);
        }
        assert_eq!(self.send(partition, value).await, 0);
    }

    async fn commit_offset(&self, offset: i64) -> i16 {
        if self.speaks.adds {
            let request = AddOffsetsToTxnRequest::default()
                .with_transactional_id(id("tx"))
                .with_producer_id(kafka::ProducerId(self.id))
                .with_producer_epoch(self.epoch)
                .with_group_id(GroupId(StrBytes::from_static_str("g")));
            let answer = body!(AddOffsetsToTxn, self.fixture.call(3, request.into()).await);
            assert_eq!(answer.error_code, 0);
        }
        self.commit_offset_unadded(offset).await
    }

    async fn commit_offset_unadded(&self, offset: i64) -> i16 {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(topic("t"))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(id("tx"))
            .with_group_id(GroupId(StrBytes::from_static_str("g")))
            .with_producer_id(kafka::ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_generation_id(-1)
            .with_topics(vec![topic]);
        let answer = self.fixture.call(self.speaks.offsets, request.into()).await;
        let mut answer = body!(TxnOffsetCommit, answer);
        answer.topics.remove(0).partitions.remove(0).error_code
    }

    async fn end(&mut self, committed: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(id("tx"))
            .with_producer_id(kafka::ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_committed(committed);
        let answer = body!(
            EndTxn,
            self.fixture.call(self.speaks.end, request.into()).await
        );
        if answer.error_code == 0 && self.speaks.end >= 5 {
            (self.id, self.epoch) = (answer.producer_id.0, answer.producer_epoch);
            self.sequences.clear();
        }
        answer.error_code
    }
}

#[tokio::test]
async fn a_transaction_counts_as_a_whole_or_not_at_all() {
    for speaks in [BEFORE, SINCE] {
        let fixture = Fixture::start().await;
        fixture.create("t", 2).await;
        let mut producer = fixture.begin(speaks).await;
        producer.write(0, "a").await;
        producer.write(1, "b").await;
        assert_eq!(producer.end(true).await, 0);
        assert_eq!(fixture.values(2).await, ["a"]);
        producer.write(0, "c").await;
        producer.write(0, "d").await;
        assert_eq!(producer.end(false).await, 0);
        assert_eq!(fixture.values(5).await, ["a"]);
        producer.write(0, "e").await;
        assert_eq!(producer.end(true).await, 0);
        assert_eq!(fixture.values(7).await, ["a", "e"]);
        assert_eq!(producer.epoch, if speaks.adds { 0 } else { 3 });
    }
}

#[tokio::test]
async fn offsets_count_with_their_transaction() {
    for speaks in [BEFORE, SINCE] {
        let fixture = Fixture::start().await;
        fixture.create("t", 1).await;
        let mut producer = fixture.begin(speaks).await;
        for (offset, committed, before, after) in
            [(5, true, -1, 5), (9, false, 5, 5), (7, true, 5, 7)]
        {
            producer.write(0, "a").await;
            assert_eq!(producer.commit_offset(offset).await, 0);
            let unstable = code(ErrorCode::UnstableOffsetCommit);
            assert_eq!(fixture.committed_offset(true).await, (-1, unstable));
            assert_eq!(fixture.committed_offset(false).await, (before, 0));
            assert_eq!(producer.end(committed).await, 0);
            // Whoever begins anew waits for the end of what was before.
            producer.write(0, "b").await;
            assert_eq!(fixture.committed_offset(true).await, (after, 0));
            assert_eq!(producer.end(true).await, 0);
        }
    }
}

#[tokio::test]
async fn who_comes_later_fences_who_was_there_before() {
    for speaks in [BEFORE, SINCE] {
        let fixture = Fixture::start().await;
        fixture.create("t", 1).await;
        let mut first = fixture.begin(speaks).await;
        first.write(0, "a").await;
        let mut second = fixture.begin(speaks).await;
        assert_eq!((second.id, second.epoch), (first.id, 2));
        assert_eq!(fixture.values(2).await, [""; 0]);
        assert_eq!(
            first.send(0, "b").await,
            code(ErrorCode::InvalidProducerEpoch)
        );
        assert_eq!(first.add(&[0]).await, [code(ErrorCode::ProducerFenced)]);
        assert_eq!(first.end(true).await, code(ErrorCode::ProducerFenced));
        let fenced = first.commit_offset_unadded(1).await;
        assert_eq!(fenced, code(ErrorCode::InvalidProducerEpoch));
        second.write(0, "c").await;
        assert_eq!(second.end(true).await, 0);
        assert_eq!(fixture.values(4).await, ["c"]);

        let known = (first.id, first.epoch);
        let fenced = fixture.init(speaks.init, "tx", known).await;
        assert_eq!(fenced, (code(ErrorCode::ProducerFenced), -1, -1));
        let fenced = fixture.init(3, "tx", known).await;
        assert_eq!(fenced, (code(ErrorCode::InvalidProducerEpoch), -1, -1));
        let half_known = fixture.init(speaks.init, "tx", (-1, 3)).await.0;
        assert_eq!(half_known, code(ErrorCode::InvalidRequest));
        assert_eq!(fixture.init(speaks.init, "", (-1, -1)).await.0, half_known);
    }
}

#[tokio::test]
async fn the_coordinator_has_to_know_of_a_partition_before_it_gets_a_record() {
    let fixture = Fixture::start().await;
    fixture.create("t", 2).await;
    let mut producer = fixture.begin(BEFORE).await;
    assert_eq!(
        producer.send(0, "a").await,
        code(ErrorCode::InvalidTxnState)
    );
    let refused = producer.commit_offset_unadded(1).await;
    assert_eq!(refused, code(ErrorCode::InvalidTxnState));
    producer.speaks.produce = 11;
    producer.speaks.offsets = 4;
    assert_eq!(
        producer.send(0, "a").await,
        code(ErrorCode::TransactionAbortable)
    );
    let refused = producer.commit_offset_unadded(1).await;
    assert_eq!(refused, code(ErrorCode::TransactionAbortable));
    producer.write(0, "a").await;
    assert_eq!(
        producer.send(1, "b").await,
        code(ErrorCode::TransactionAbortable)
    );
    assert_eq!(producer.end(true).await, 0);
    assert_eq!(fixture.values(2).await, ["a"]);
    while fixture.state().await.0 != "CompleteCommit" {
        tokio::task::yield_now().await;
    }
    // Late: nobody would ever end what it opens.
    assert_eq!(
        producer.send(0, "late").await,
        code(ErrorCode::TransactionAbortable)
    );
    let refused = producer.commit_offset_unadded(1).await;
    assert_eq!(refused, code(ErrorCode::TransactionAbortable));
    assert_eq!(fixture.values(2).await, ["a"]);
    // Sent again, because the answer got lost.
    producer.sequences.insert(0, 0);
    assert_eq!(producer.send(0, "a").await, 0);
    assert_eq!(fixture.values(2).await, ["a"]);

    let codes = producer.add(&[1, 7]).await;
    let unknown = code(ErrorCode::UnknownTopicOrPartition);
    assert_eq!(codes, [code(ErrorCode::OperationNotAttempted), unknown]);

    let mut batch = BatchBuilder::new(Compression::None)
        .with_producer(ProducerId(99), ProducerEpoch(0), 0)
        .with_transaction();
    batch.append(Timestamp(1), None, Some(b"a"), &[]);
    let nameless = batch.build().bytes().clone();
    let refused = fixture.produce(9, "t", -1, Some(nameless)).await.error_code;
    assert_eq!(refused, code(ErrorCode::TransactionalIdAuthorizationFailed));
}

#[tokio::test]
async fn a_transaction_that_is_open_too_long_is_aborted() {
    let fixture = Fixture::start().await;
    fixture.create("t", 1).await;
    let mut producer = fixture.begin(SINCE).await;
    producer.write(0, "a").await;
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(fixture.values(2).await, [""; 0]);
    assert_eq!(producer.end(true).await, code(ErrorCode::ProducerFenced));
}

#[tokio::test]
async fn what_was_decided_survives_the_loss_of_power() {
    for speaks in [BEFORE, SINCE] {
        let fixture = Fixture::start().await;
        fixture.create("t", 1).await;
        let mut producer = fixture.begin(speaks).await;
        producer.write(0, "a").await;
        assert_eq!(producer.commit_offset(5).await, 0);
        assert_eq!(producer.end(true).await, 0);
        let (id, epoch) = (producer.id, producer.epoch);
        // Nobody asks for it: the start itself brings it to its end.
        let fixture = fixture.restart_after_crash().await;
        assert_eq!(fixture.values(2).await, ["a"]);
        let mut producer = Producer {
            fixture: &fixture,
            speaks,
            id,
            epoch,
            sequences: [(0, i32::from(speaks.adds))].into(),
        };
        producer.write(0, "b").await;
        assert_eq!(fixture.committed_offset(true).await, (5, 0));

        // What was not decided is open, and may go on.
        let fixture = fixture.restart_after_crash().await;
        let mut producer = Producer {
            fixture: &fixture,
            ..producer
        };
        producer.write(0, "c").await;
        assert_eq!(producer.end(true).await, 0);
        let stable = fixture.values(5).await;
        assert_eq!(stable.len(), 3, "{stable:?}");
    }
}

#[tokio::test]
async fn transactions_are_described_and_listed() {
    let fixture = Fixture::start().await;
    fixture.create("t", 1).await;
    let unknown = code(ErrorCode::TransactionalIdNotFound);
    assert_eq!(fixture.state().await, (String::new(), unknown));
    let mut producer = fixture.begin(SINCE).await;
    assert_eq!(fixture.state().await, ("Empty".to_owned(), 0));
    producer.write(0, "a").await;
    assert_eq!(fixture.state().await, ("Ongoing".to_owned(), 0));
    fixture.init(5, "other", (-1, -1)).await;
    fixture.clock.advance(Duration::from_secs(10));

    let text = StrBytes::from_static_str;
    let all = ListTransactionsRequest::default().with_duration_filter(-1);
    let cases = [
        (all.clone(), vec!["other", "tx"]),
        (
            all.clone()
                .with_state_filters(vec![text("Ongoing"), text("?")]),
            vec!["tx"],
        ),
        (all.clone().with_state_filters(vec![text("?")]), vec![]),
        (
            all.clone()
                .with_producer_id_filters(vec![kafka::ProducerId(producer.id)]),
            vec!["tx"],
        ),
        (all.clone().with_duration_filter(9_999), vec!["tx"]),
        (all.with_duration_filter(10_000), vec![]),
    ];
    for (request, expected) in cases {
        let has_unknown = request.state_filters.contains(&text("?"));
        let answer = body!(ListTransactions, fixture.call(1, request.into()).await);
        let ids: Vec<_> = answer
            .transaction_states
            .iter()
            .map(|s| s.transactional_id.to_string())
            .collect();
        assert_eq!(ids, expected);
        assert_eq!(answer.unknown_state_filters.len(), usize::from(has_unknown));
    }
}

#[tokio::test]
async fn transactional_ids_are_listed_by_a_pattern_that_the_whole_id_matches() {
    let fixture = Fixture::start().await;
    for id in ["orders-1", "orders-12", "payments"] {
        fixture.init(5, id, (-1, -1)).await;
    }
    let invalid = code(ErrorCode::InvalidRegularExpression);
    let all = ["orders-1", "orders-12", "payments"];
    let cases = [
        (None, Ok(&all[..])),
        (Some(""), Ok(&all[..])),
        (Some("orders-\\d"), Ok(&all[..1])),
        (Some("orders-.*|pay"), Ok(&all[..2])),
        (Some("rders.*"), Ok(&[][..])),
        (Some("orders-(1"), Err(invalid)),
        (Some("a)|(.*"), Err(invalid)),
    ];
    for (pattern, expected) in cases {
        let request = ListTransactionsRequest::default()
            .with_duration_filter(-1)
            .with_transactional_id_pattern(pattern.map(StrBytes::from_static_str));
        let answer = body!(ListTransactions, fixture.call(2, request.into()).await);
        let ids: Vec<_> = (answer.transaction_states.iter())
            .map(|state| state.transactional_id.to_string())
            .collect();
        match expected {
            Ok(expected) => assert_eq!((ids, answer.error_code), (own(expected), 0)),
            Err(code) => assert_eq!((ids, answer.error_code), (vec![], code)),
        }
    }
}

fn own(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test]
async fn an_operator_ends_what_nobody_else_ends() {
    let fixture = Fixture::start().await;
    fixture.create("t", 1).await;
    let mut producer = fixture.begin(BEFORE).await;
    producer.write(0, "a").await;
    let mark_in = |name: &str, epoch: i16, partition| {
        let topic = WritableTxnMarkerTopic::default()
            .with_name(topic(name))
            .with_partition_indexes(vec![partition]);
        let marker = WritableTxnMarker::default()
            .with_producer_id(kafka::ProducerId(producer.id))
            .with_producer_epoch(epoch)
            .with_topics(vec![topic]);
        WriteTxnMarkersRequest::default().with_markers(vec![marker])
    };
    let internal = code(ErrorCode::InvalidTopicException);
    let codes = [
        (mark_in("t", 0, 3), code(ErrorCode::UnknownTopicOrPartition)),
        (mark_in("t", 0, 0), 0),
        (mark_in("t", -1, 0), code(ErrorCode::InvalidProducerEpoch)),
        // Its coordinator would not know of the record.
        (mark_in("__transaction_state", 0, 0), internal),
    ];
    for (request, expected) in codes {
        let mut answer = body!(WriteTxnMarkers, fixture.call(1, request.into()).await);
        let partition = answer
            .markers
            .remove(0)
            .topics
            .remove(0)
            .partitions
            .remove(0);
        assert_eq!(partition.error_code, expected);
    }
    assert_eq!(fixture.values(2).await, [""; 0]);
    fixture.begin(BEFORE).await;
}

#[tokio::test]
async fn other_brokers_may_ask_for_several_transactions() {
    let fixture = Fixture::start().await;
    fixture.create("t", 2).await;
    let producer = fixture.begin(BEFORE).await;
    assert_eq!(producer.add(&[0]).await, [0]);
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(topic("t"))
        .with_partitions(vec![0, 1, 2]);
    let asked = AddPartitionsToTxnTransaction::default()
        .with_transactional_id(id("tx"))
        .with_producer_id(kafka::ProducerId(producer.id))
        .with_producer_epoch(0)
        .with_verify_only(true)
        .with_topics(vec![topic]);
    for (version, not_part) in [
        (4, ErrorCode::InvalidTxnState),
        (5, ErrorCode::TransactionAbortable),
    ] {
        let request = AddPartitionsToTxnRequest::default().with_transactions(vec![asked.clone()]);
        let mut answer = body!(
            AddPartitionsToTxn,
            fixture.call(version, request.into()).await
        );
        let results = answer
            .results_by_transaction
            .remove(0)
            .topic_results
            .remove(0);
        let codes = results
            .results_by_partition
            .iter()
            .map(|r| r.partition_error_code);
        let unknown = code(ErrorCode::UnknownTopicOrPartition);
        assert_eq!(codes.collect::<Vec<_>>(), [0, code(not_part), unknown]);
    }
}
