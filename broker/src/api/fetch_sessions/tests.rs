use std::collections::BTreeMap;
use std::time::Duration;

use brooklet_protocol::messages::kafka::fetch_request::FetchPartition;
use bytes::Bytes;
use proptest::prelude::*;

use super::cache::{FINAL_EPOCH, PARTITIONS_MAX};
use super::session::{INITIAL_EPOCH, Offsets, epoch_after};
use super::*;

fn name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn at(seconds: u64) -> Monotonic {
    Monotonic(Duration::from_secs(seconds))
}

/// Topics by their names and ids, with partitions and their offsets.
fn topics(asked: &[(&str, i32, i64)]) -> Vec<FetchTopic> {
    let topic = |(topic, partition, offset): &(&str, i32, i64)| {
        let partition = FetchPartition::default()
            .with_partition(*partition)
            .with_fetch_offset(*offset);
        FetchTopic::default()
            .with_topic(name(topic))
            .with_topic_id(id_of(topic))
            .with_partitions(vec![partition])
    };
    asked.iter().map(topic).collect()
}

fn forgotten(partitions: &[(&str, i32)]) -> Vec<ForgottenTopic> {
    let topic = |(topic, partition): &(&str, i32)| {
        ForgottenTopic::default()
            .with_topic(name(topic))
            .with_topic_id(id_of(topic))
            .with_partitions(vec![*partition])
    };
    partitions.iter().map(topic).collect()
}

fn id_of(topic: &str) -> Uuid {
    Uuid::from_u128(topic.bytes().fold(0, |id, byte| id << 8 | u128::from(byte)))
}

fn request<'a>(
    (id, epoch): (i32, i32),
    topics: &'a [FetchTopic],
    forgotten: &'a [ForgottenTopic],
) -> SessionRequest<'a> {
    SessionRequest {
        naming: Naming::Names,
        id,
        epoch,
        topics,
        forgotten,
    }
}

/// An answer without records.
fn answer(high_watermark: i64, last_stable: i64, log_start: i64) -> PartitionData {
    PartitionData::default()
        .with_high_watermark(high_watermark)
        .with_last_stable_offset(last_stable)
        .with_log_start_offset(log_start)
        .with_records(Some(Bytes::new()))
}

fn with_records(answer: PartitionData) -> PartitionData {
    answer.with_records(Some(Bytes::from_static(b"records")))
}

fn failed() -> PartitionData {
    answer(-1, -1, -1).with_error_code(3)
}

/// A cache with time, for requests that are answered at once.
struct Cache {
    cache: SessionCache,
    now: Monotonic,
}

impl Cache {
    fn new(slots: usize) -> Self {
        Self {
            cache: SessionCache::new(slots, 7),
            now: at(1000),
        }
    }

    fn begin(&mut self, request: &SessionRequest<'_>) -> Result<Fetch, ErrorCode> {
        self.cache.begin(self.now, request)
    }

    fn end(&mut self, fetch: &Fetch, answers: &[PartitionData]) -> Result<Reply, ErrorCode> {
        self.cache.end(self.now, fetch, answers)
    }

    /// Opens a session of `size` partitions, all without records; 0 where there is no room.
    fn open(&mut self, size: usize) -> i32 {
        let asked: Vec<_> = (0..).take(size).map(|p| ("clicks", p, 0)).collect();
        let topics = topics(&asked);
        let fetch = self.begin(&request((0, 0), &topics, &[])).unwrap();
        let answers = vec![answer(0, 0, 0); size];
        self.end(&fetch, &answers).unwrap().session_id
    }

    /// The next fetch of a session, without changes; which of the answers are sent.
    fn fetch(&mut self, session: (i32, i32), answers: &[PartitionData]) -> Vec<bool> {
        let fetch = self.begin(&request(session, &[], &[])).unwrap();
        let reply = self.end(&fetch, answers).unwrap();
        assert_eq!(reply.session_id, session.0);
        reply.is_sent
    }

    fn is_known(&mut self, id: i32) -> bool {
        let error = self.begin(&request((id, 99), &[], &[])).unwrap_err();
        error == ErrorCode::InvalidFetchSessionEpoch
    }
}

fn partitions(fetch: &Fetch) -> Vec<(i32, i64)> {
    let asked = fetch.asked.iter();
    asked.map(|asked| (asked.partition, asked.offset)).collect()
}

#[test]
fn a_session_remembers_what_is_asked() {
    let mut cache = Cache::new(1);
    let all = topics(&[("clicks", 0, 10), ("clicks", 1, 20), ("views", 0, 30)]);
    let opening = cache.begin(&request((0, 0), &all, &[])).unwrap();
    assert_eq!(partitions(&opening), [(0, 10), (1, 20), (0, 30)]);
    let reply = cache.end(&opening, &vec![answer(1, 1, 0); 3]).unwrap();
    assert_eq!(reply.is_sent, [true; 3]);
    let id = reply.session_id;
    assert!(id > 0);

    let changed = topics(&[("clicks", 1, 21), ("clicks", 7, 0)]);
    let gone = forgotten(&[("views", 0), ("nowhere", 5)]);
    let next = cache.begin(&request((id, 1), &changed, &gone)).unwrap();
    assert_eq!(partitions(&next), [(0, 10), (1, 21), (7, 0)]);
    assert_eq!(cache.cache.partition_count, 3);
    let reply = cache.end(&next, &vec![answer(1, 1, 0); 3]).unwrap();
    assert_eq!(
        (reply.session_id, reply.is_sent),
        (id, vec![false, false, true])
    );
}

#[test]
fn what_does_not_fit_the_session_is_refused_and_leaves_it_alone() {
    let mut cache = Cache::new(2);
    let id = cache.open(1);
    let begin = |cache: &mut Cache, naming, id, epoch| {
        let request = SessionRequest {
            naming,
            ..request((id, epoch), &[], &[])
        };
        cache.begin(&request).map(|fetch| fetch.asked.len())
    };
    for (naming, id, epoch, expected) in [
        (
            Naming::Names,
            id + 1,
            1,
            Err(ErrorCode::FetchSessionIdNotFound),
        ),
        (Naming::Names, 0, 1, Err(ErrorCode::FetchSessionIdNotFound)),
        (
            Naming::Names,
            id,
            2,
            Err(ErrorCode::InvalidFetchSessionEpoch),
        ),
        (Naming::Ids, id, 1, Err(ErrorCode::FetchSessionTopicIdError)),
        (Naming::Names, id, 1, Ok(1)),
        (
            Naming::Names,
            id,
            1,
            Err(ErrorCode::InvalidFetchSessionEpoch),
        ),
        (Naming::Names, id, 2, Ok(1)),
    ] {
        assert_eq!(begin(&mut cache, naming, id, epoch), expected, "{epoch}");
    }
}

#[test]
fn epochs_begin_again_at_one() {
    assert_eq!(epoch_after(INITIAL_EPOCH), 1);
    assert_eq!(epoch_after(i32::MAX), 1);
    let mut cache = Cache::new(1);
    let id = cache.open(1);
    cache.cache.sessions.get_mut(&id).unwrap().epoch = i32::MAX;
    assert_eq!(cache.fetch((id, i32::MAX), &[answer(0, 0, 0)]), [false]);
    assert_eq!(cache.fetch((id, 1), &[answer(0, 0, 0)]), [false]);
}

#[test]
fn a_full_fetch_closes_the_session_that_it_names() {
    let mut cache = Cache::new(9);
    let all = topics(&[("clicks", 0, 0)]);
    for (epoch, sessions_after) in [(FINAL_EPOCH, 0), (INITIAL_EPOCH, 1)] {
        let id = cache.open(1);
        let fetch = cache.begin(&request((id, epoch), &all, &[])).unwrap();
        let reply = cache.end(&fetch, &[answer(0, 0, 0)]).unwrap();
        assert_eq!(reply.is_sent, [true]);
        assert_ne!(reply.session_id, id);
        assert_eq!(reply.session_id != NO_SESSION, epoch == INITIAL_EPOCH);
        assert_eq!(cache.cache.sessions.len(), sessions_after);
        assert_eq!(cache.cache.partition_count, sessions_after);
    }
}

#[test]
fn a_session_without_partitions_is_closed() {
    let mut cache = Cache::new(9);
    let id = cache.open(2);
    let gone = forgotten(&[("clicks", 0), ("clicks", 1)]);
    let fetch = cache.begin(&request((id, 1), &[], &gone)).unwrap();
    let reply = cache.end(&fetch, &[]).unwrap();
    assert_eq!((reply.session_id, reply.is_sent), (NO_SESSION, vec![]));
    assert_eq!(
        (cache.cache.sessions.len(), cache.cache.partition_count),
        (0, 0)
    );
}

#[test]
fn only_what_has_changed_is_sent() {
    let mut cache = Cache::new(1);
    let id = cache.open(1);
    let steps = [
        ("nothing", answer(0, 0, 0), false),
        ("the high watermark", answer(3, 0, 0), true),
        ("nothing again", answer(3, 0, 0), false),
        ("the last stable offset", answer(3, 2, 0), true),
        ("the log start", answer(3, 2, 1), true),
        ("records", with_records(answer(3, 2, 1)), true),
        ("the same records", with_records(answer(3, 2, 1)), true),
        ("none of the three", answer(3, 2, 1), false),
        ("an error", failed(), true),
        ("an error is told each time", failed(), true),
        ("that it is over", answer(3, 2, 1), true),
        ("once", answer(3, 2, 1), false),
    ];
    for (epoch, (what, answer, is_sent)) in (1..).zip(steps) {
        assert_eq!(cache.fetch((id, epoch), &[answer]), [is_sent], "{what}");
    }
}

#[test]
fn a_partition_that_had_records_goes_behind_the_others() {
    let mut cache = Cache::new(1);
    let all = topics(&[("clicks", 0, 0), ("clicks", 1, 0), ("clicks", 2, 0)]);
    let full = cache.begin(&request((0, 0), &all, &[])).unwrap();
    let (empty, filled) = (answer(0, 0, 0), with_records(answer(0, 0, 0)));
    let answers = [filled.clone(), empty.clone(), empty.clone()];
    let id = cache.end(&full, &answers).unwrap().session_id;
    let order = |fetch: &Fetch| fetch.asked.iter().map(|a| a.partition).collect::<Vec<_>>();

    let fetch = cache.begin(&request((id, 1), &[], &[])).unwrap();
    assert_eq!(order(&fetch), [1, 2, 0]);
    let answers = [filled.clone(), empty.clone(), filled];
    cache.end(&fetch, &answers).unwrap();
    // A partition that is asked for again keeps its position.
    let again = topics(&[("clicks", 0, 5)]);
    let fetch = cache.begin(&request((id, 2), &again, &[])).unwrap();
    assert_eq!(order(&fetch), [2, 1, 0]);
    assert_eq!(fetch.asked[2].offset, 5);
}

#[test]
fn an_answer_that_comes_too_late_is_refused() {
    let mut cache = Cache::new(1);
    let id = cache.open(1);
    let slow = cache.begin(&request((id, 1), &[], &[])).unwrap();
    let quick = cache.begin(&request((id, 2), &[], &[])).unwrap();
    let late = cache.end(&slow, &[answer(0, 0, 0)]);
    assert_eq!(late, Err(ErrorCode::InvalidFetchSessionEpoch));
    assert!(cache.end(&quick, &[answer(0, 0, 0)]).is_ok());

    let waiting = cache.begin(&request((id, 3), &[], &[])).unwrap();
    cache.begin(&request((id, FINAL_EPOCH), &[], &[])).unwrap();
    let closed = cache.end(&waiting, &[answer(0, 0, 0)]);
    assert_eq!(closed, Err(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn a_partition_that_is_named_twice_is_remembered_once() {
    let mut cache = Cache::new(1);
    let twice = topics(&[("clicks", 0, 1), ("clicks", 0, 2)]);
    let fetch = cache.begin(&request((0, 0), &twice, &[])).unwrap();
    let reply = cache.end(&fetch, &vec![answer(9, 9, 0); 2]).unwrap();
    assert_eq!(reply.is_sent, [true, true]);
    let fetch = cache
        .begin(&request((reply.session_id, 1), &[], &[]))
        .unwrap();
    assert_eq!(partitions(&fetch), [(0, 2)]);
    assert_eq!(cache.cache.partition_count, 1);
}

#[test]
fn sessions_by_id_are_told_apart_by_id() {
    let mut cache = Cache::new(1);
    let by_id = |session, topics, gone| SessionRequest {
        naming: Naming::Ids,
        ..request(session, topics, gone)
    };
    // As they are decoded: without names.
    let mut all = topics(&[("clicks", 0, 0), ("views", 0, 0)]);
    for topic in &mut all {
        topic.topic = TopicName::default();
    }
    let fetch = cache.begin(&by_id((0, 0), &all, &[])).unwrap();
    let reply = cache.end(&fetch, &vec![answer(0, 0, 0); 2]).unwrap();
    let gone = forgotten(&[("clicks", 0)]);
    let fetch = cache
        .begin(&by_id((reply.session_id, 1), &[], &gone))
        .unwrap();
    assert_eq!(fetch.asked.len(), 1);
    assert_eq!(fetch.asked[0].topic, TopicKey::Id(id_of("views")));
}

/// Kafka's rules: stale before small; small only if old; nobody for one of its own size.
#[test]
fn a_new_session_takes_the_place_of_a_stale_one_or_of_an_old_and_smaller_one() {
    let mut cache = Cache::new(2);
    let small = cache.open(1);
    let large = cache.open(3);
    assert_eq!(cache.open(9), NO_SESSION, "both are young");
    cache.now = at(1120);
    assert_eq!(cache.open(9), NO_SESSION, "and still are");
    cache.fetch((small, 1), &[answer(0, 0, 0)]);
    cache.fetch((large, 1), &vec![answer(0, 0, 0); 3]);
    cache.now = at(1121);
    assert_eq!(cache.open(1), NO_SESSION, "nobody is smaller");
    let second = cache.open(2);
    assert_ne!(second, NO_SESSION);
    assert!(!cache.is_known(small) && cache.is_known(large));
    assert_eq!(cache.cache.eviction_count, 1);
    assert_eq!(cache.open(3), NO_SESSION, "the smaller one is young now");
    cache.now = at(1241);
    let stale = cache.open(1);
    assert_ne!(
        stale, NO_SESSION,
        "even a small one finds the place of a stale one"
    );
    assert!(!cache.is_known(large) && cache.is_known(second));
    assert_eq!(cache.cache.partition_count, 3);
}

#[test]
fn without_slots_there_are_no_sessions() {
    assert_eq!(Cache::new(0).open(1), NO_SESSION);
}

#[test]
fn no_client_fills_the_memory() {
    let mut cache = Cache::new(9);
    let id = cache.open(2);
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    let impossible = topics(&[(&long, 0, 0)]);
    let refused = cache
        .begin(&request((id, 1), &impossible, &[]))
        .unwrap_err();
    assert_eq!(refused, ErrorCode::FetchSessionIdNotFound);
    let full = cache.begin(&request((0, 0), &impossible, &[])).unwrap();
    assert_eq!(
        cache.end(&full, &[failed()]).unwrap().session_id,
        NO_SESSION
    );
    assert_eq!(
        (cache.cache.sessions.len(), cache.cache.partition_count),
        (0, 0)
    );

    cache.cache.partition_count = PARTITIONS_MAX - 1;
    assert_eq!(cache.open(2), NO_SESSION);
    assert_ne!(cache.open(1), NO_SESSION);
}

#[test]
fn a_session_does_not_keep_the_frame_of_its_request() {
    let frame = Bytes::from_static(b"the frame with clicks in it");
    let text = StrBytes::from_utf8(frame.slice(15..21)).unwrap();
    let mut all = topics(&[("", 0, 0), ("", 1, 0)]);
    for topic in &mut all {
        topic.topic = TopicName(text.clone());
    }
    let mut cache = Cache::new(1);
    let full = cache.begin(&request((0, 0), &all, &[])).unwrap();
    let id = cache
        .end(&full, &vec![answer(0, 0, 0); 2])
        .unwrap()
        .session_id;
    let next = cache.begin(&request((id, 1), &[], &[])).unwrap();
    let pointers = next.asked.iter().map(|asked| match &asked.topic {
        TopicKey::Name(name) => {
            assert_eq!(name.as_str(), "clicks");
            name.as_str().as_ptr()
        }
        TopicKey::Id(_) => panic!("it is a session by names"),
    });
    let pointers: Vec<_> = pointers.collect();
    assert!(!frame.as_ptr_range().contains(&pointers[0]));
    assert_eq!(pointers[0], pointers[1], "one copy for both");
}

const PARTITIONS: [(&str, i32); 4] = [("clicks", 0), ("clicks", 1), ("views", 0), ("views", 1)];

/// What happens in the world of the model.
#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Stabilize(usize),
    Trim(usize),
    Break(usize),
    Mend(usize),
    Want(usize),
    Forget(usize),
    /// The client reads on in what it was sent.
    Fetch,
    /// The broker answers, and the answer does not arrive.
    Lose,
    /// Somebody else opens a session with this many partitions.
    Stranger(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let one = 0..PARTITIONS.len();
    prop_oneof![
        1 => one.clone().prop_map(Step::Append),
        1 => one.clone().prop_map(Step::Stabilize),
        1 => one.clone().prop_map(Step::Trim),
        1 => one.clone().prop_map(Step::Break),
        1 => one.clone().prop_map(Step::Mend),
        2 => one.clone().prop_map(Step::Want),
        1 => one.prop_map(Step::Forget),
        4 => Just(Step::Fetch),
        1 => Just(Step::Lose),
        1 => (1..6_usize).prop_map(Step::Stranger),
        1 => prop_oneof![Just(1), Just(121)].prop_map(Step::Wait),
    ]
}

#[derive(Clone, Debug, Default)]
struct Truth {
    high_watermark: i64,
    last_stable: i64,
    log_start: i64,
    is_broken: bool,
}

impl Truth {
    /// What a full fetch answers.
    fn answer(&self, offset: i64) -> PartitionData {
        if self.is_broken {
            return failed();
        }
        let answer = answer(self.high_watermark, self.last_stable, self.log_start);
        if offset < self.high_watermark {
            with_records(answer)
        } else {
            answer
        }
    }
}

/// A client as Kafka's: it says what has changed since it said it last, and starts over after an
/// error.
#[derive(Default)]
struct Client {
    session: (i32, i32),
    wanted: BTreeMap<(&'static str, i32), i64>,
    said: BTreeMap<(&'static str, i32), i64>,
    seen: BTreeMap<(&'static str, i32), PartitionData>,
}

impl Client {
    /// Fetches; `None` if the answer got lost or was an error.
    fn fetch(
        &mut self,
        cache: &mut Cache,
        truth: &[Truth],
        arrives: bool,
    ) -> Option<BTreeMap<(&'static str, i32), PartitionData>> {
        let is_full = self.session.1 == 0;
        if is_full {
            self.said.clear();
        }
        let changed: Vec<_> = (self.wanted.iter())
            .filter(|(key, offset)| self.said.get(key) != Some(offset))
            .map(|((topic, partition), offset)| (*topic, *partition, *offset))
            .collect();
        let gone: Vec<_> = (self.said.keys().copied())
            .filter(|key| !self.wanted.contains_key(key))
            .collect();
        let (changed, gone) = (topics(&changed), forgotten(&gone));
        let begun = cache.begin(&request(self.session, &changed, &gone));
        let Ok(fetch) = begun else {
            self.session.1 = 0;
            return None;
        };
        self.said = self.wanted.clone();
        let key_of = |asked: &Asked| {
            let TopicKey::Name(topic) = &asked.topic else {
                panic!("the model asks by name");
            };
            let key = (topic.as_str(), asked.partition);
            PARTITIONS.iter().position(|known| *known == key).unwrap()
        };
        let answer = |asked: &Asked| truth[key_of(asked)].answer(asked.offset);
        let answers: Vec<_> = fetch.asked.iter().map(answer).collect();
        let reply = cache.end(&fetch, &answers).unwrap();
        if !arrives {
            self.session.1 = 0;
            return None;
        }
        let keys = fetch.asked.iter().map(|asked| PARTITIONS[key_of(asked)]);
        let sent = keys
            .zip(answers)
            .zip(reply.is_sent)
            .filter(|(_, sent)| *sent);
        self.session = match reply.session_id {
            NO_SESSION => (NO_SESSION, 0),
            id => (id, epoch_after(self.session.1)),
        };
        Some(sent.map(|(answer, _)| answer).collect())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The answers of a session, put together, are what a full fetch would answer.
    #[test]
    fn the_answers_of_a_session_add_up_to_a_full_one(
        slots in 0..3_usize,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut cache = Cache::new(slots);
        let mut truth = vec![Truth::default(); PARTITIONS.len()];
        let mut client = Client::default();
        for step in steps {
            match step {
                Step::Append(p) => truth[p].high_watermark += 1,
                Step::Stabilize(p) => truth[p].last_stable = truth[p].high_watermark,
                Step::Trim(p) => truth[p].log_start = truth[p].last_stable,
                Step::Break(p) => truth[p].is_broken = true,
                Step::Mend(p) => truth[p].is_broken = false,
                Step::Want(p) => drop(client.wanted.entry(PARTITIONS[p]).or_default()),
                Step::Forget(p) => drop(client.wanted.remove(&PARTITIONS[p])),
                Step::Stranger(size) => drop(cache.open(size)),
                Step::Wait(seconds) => cache.now.0 += Duration::from_secs(seconds),
                Step::Lose => drop(client.fetch(&mut cache, &truth, false)),
                Step::Fetch => {
                    let Some(sent) = client.fetch(&mut cache, &truth, true) else {
                        continue;
                    };
                    for key in sent.keys() {
                        prop_assert!(client.wanted.contains_key(key), "{key:?} is not wanted");
                    }
                    client.seen.extend(sent.clone());
                    for (known, truth) in PARTITIONS.iter().zip(&truth) {
                        let Some(offset) = client.wanted.get_mut(known) else {
                            continue;
                        };
                        let full = truth.answer(*offset);
                        if full.records.as_ref().is_some_and(|records| !records.is_empty()) {
                            prop_assert!(sent.contains_key(known), "records of {known:?} are missing");
                            *offset = truth.high_watermark;
                        }
                        let (seen, full) = (&client.seen[known], full);
                        prop_assert_eq!(seen.error_code, full.error_code);
                        prop_assert_eq!(Offsets::of(seen), Offsets::of(&full));
                    }
                }
            }
            let sessions = cache.cache.sessions.values();
            let count: usize = sessions.map(|session| session.partitions.len()).sum();
            prop_assert_eq!(count, cache.cache.partition_count);
            prop_assert!(cache.cache.sessions.len() <= slots);
        }
    }
}
