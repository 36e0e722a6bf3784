//! As many clients as one machine is asked to hold: connections that say nothing, and groups with
//! many members.

use std::collections::BTreeMap;
use std::sync::Arc;

use brooklet_client::{Client, GroupConfig, GroupConsumer, OffsetReset, Polled};
use brooklet_protocol::TopicName;
use brooklet_protocol::messages::ResponseKind;
use brooklet_protocol::messages::kafka::ApiVersionsRequest;
use brooklet_tests::Server;
use brooklet_tests::socket::Socket;
use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;

/// Raises the limit of open files as far as the system allows, and returns it.
fn open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // macOS takes less than the maximum that it names.
    let raised = setrlimit(Resource::Nofile, raised).map(|()| limit.maximum);
    raised.ok().flatten().or(limit.current).unwrap_or(u64::MAX)
}

fn metric(server: &Server, name: &str) -> f64 {
    let (status, page) = server.get("/metrics");
    assert_eq!(status, 200);
    let mut lines = page.lines().filter_map(|line| line.rsplit_once(' '));
    let found = lines.find(|(sample, _)| *sample == name);
    found.expect("a sample").1.parse().expect("a number")
}

fn ask(socket: &mut Socket) {
    let answer = socket.ask(0, ApiVersionsRequest::default());
    assert!(matches!(answer, ResponseKind::ApiVersions(_)), "{answer:?}");
}

#[test]
fn five_thousand_idle_connections_are_held() {
    // Each has a file here and one in the server, which has the same limit and keeps half for logs.
    let count = (open_files() / 2).saturating_sub(200).min(5000);
    let server = Server::ephemeral();
    let memory = || metric(&server, "process_resident_memory_bytes");
    ask(&mut Socket::connect(server.kafka()));
    let before = memory();
    let mut idle: Vec<_> = (0..count)
        .map(|_| {
            let mut socket = Socket::connect(server.kafka());
            ask(&mut socket);
            socket
        })
        .collect();
    assert!(metric(&server, "brooklet_connections") >= count as f64);
    let each = (memory() - before) / count as f64;
    assert!(each < 32_768.0, "{each} bytes for each connection");
    // Others are served, and those that were idle still are.
    server.stdout_of(&["produce", "clicks"], b"a\nb\n");
    assert_eq!(
        server.stdout_of(&["consume", "clicks", "-e"], b""),
        "a\nb\n"
    );
    for socket in idle.iter_mut().step_by(97) {
        ask(socket);
    }
}

const GROUPS: usize = 50;
/// Members of each group, and partitions of the topic.
const MEMBERS: usize = 10;

/// What the members of a group see.
#[derive(Debug, Default)]
struct Seen {
    /// The generation and the number of partitions of each.
    members: BTreeMap<usize, (i32, usize)>,
    read: usize,
}

impl Seen {
    /// The generation in which each member has one partition.
    fn settled(&self) -> Option<i32> {
        let (generation, _) = *self.members.get(&0)?;
        let is_settled =
            self.members.len() == MEMBERS && self.members.values().all(|m| *m == (generation, 1));
        is_settled.then_some(generation)
    }
}

#[derive(Debug, Default)]
struct Crowd {
    groups: Mutex<Vec<Seen>>,
    changed: Notify,
}

impl Crowd {
    async fn until<T>(&self, found: impl Fn(&[Seen]) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(found) = found(&self.groups.lock()) {
                return found;
            }
            changed.await;
        }
    }
}

async fn take_part(crowd: Arc<Crowd>, address: String, (group, member): (usize, usize)) {
    let client = Client::connect(&address, "crowd").await.unwrap();
    let config = GroupConfig {
        offset_reset: OffsetReset::Earliest,
        ..GroupConfig::new(&format!("group-{group}"))
    };
    let topic = TopicName::new("clicks").unwrap();
    let mut consumer = GroupConsumer::subscribe(client, config, [topic]);
    loop {
        let polled = consumer.poll().await.unwrap();
        let generation = consumer.member().map_or(-1, |(_, generation)| generation);
        let partitions = consumer.assignment().len();
        let mut groups = crowd.groups.lock();
        let seen = &mut groups[group];
        let is_new =
            seen.members.insert(member, (generation, partitions)) != Some((generation, partitions));
        let mut read = 0;
        if let Polled::Records(fetched) = polled {
            let batches = fetched.iter().flat_map(|fetched| &fetched.batches);
            read = batches
                .map(|batch| batch.header().record_count as usize)
                .sum();
            seen.read += read;
        }
        drop(groups);
        if is_new || read > 0 {
            crowd.changed.notify_waiters();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_consumers_in_fifty_groups_settle_and_stay() {
    open_files();
    let server = Server::ephemeral();
    let partitions = MEMBERS.to_string();
    server.stdout_of(&["topic", "create", "clicks", "-p", &partitions], b"");
    let crowd = Arc::new(Crowd::default());
    crowd.groups.lock().resize_with(GROUPS, Seen::default);
    let mut members = tokio::task::JoinSet::new();
    for place in (0..GROUPS).flat_map(|group| (0..MEMBERS).map(move |member| (group, member))) {
        members.spawn(take_part(
            Arc::clone(&crowd),
            server.kafka().to_owned(),
            place,
        ));
    }
    let settled = |groups: &[Seen]| groups.iter().map(Seen::settled).collect::<Option<Vec<_>>>();
    let generations = crowd.until(settled).await;
    // At worst each member comes alone, and so begins a generation.
    let most = generations.iter().max().unwrap();
    assert!(*most <= MEMBERS as i32 + 1, "{generations:?}");
    for number in 0..MEMBERS {
        let partition = number.to_string();
        server.stdout_of(&["produce", "clicks", "-p", &partition], b"a\n");
    }
    let all_read = |groups: &[Seen]| groups.iter().all(|seen| seen.read == MEMBERS).then_some(());
    crowd.until(all_read).await;
    assert_eq!(settled(&crowd.groups.lock()), Some(generations));
    members.shutdown().await;
}
