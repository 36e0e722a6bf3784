//! The task that keeps up a membership: it carries out what the state machine asks for, and reports
//! the outcome.
//!
//! It runs beside the program, so that heartbeats go on while the program works on what it has
//! read. What goes to the coordinator goes through here, commits too: who it is is found out once,
//! and again when it turns out to be another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::messages::{ErrorCode, RequestKind, ResponseKind};
use brooklet_protocol::{Offset, TopicName, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::assignor::PartitionCounts;
use super::membership::{Identity, Membership, Outcome, Task};
use super::protocol::Partitions;
use crate::backoff::Attempts;
use crate::calls::{Call, answer};
use crate::transport::Node;
use crate::trouble::Trouble;
use crate::{Client, ClientError, committed};

/// What the consumer and its driver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) group: String,
    pub(super) membership: Mutex<Membership>,
    /// The driver looks again.
    pub(super) wake: Notify,
    /// The consumer looks again.
    pub(super) changed: Notify,
    coordinator: Mutex<Option<Node>>,
}

impl Shared {
    pub(super) fn new(
        client: Client,
        group: String,
        membership: impl FnOnce(Duration) -> Membership,
    ) -> Self {
        Self {
            membership: Mutex::new(membership(client.now())),
            client,
            group,
            wake: Notify::new(),
            changed: Notify::new(),
            coordinator: Mutex::new(None),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.client.now()
    }

    /// Asks the coordinator; a broker that turns out not to be it, or not to be there, is
    /// forgotten.
    async fn call<R: Call>(&self, request: R) -> Result<R::Response, ClientError> {
        let version = request.version();
        answer::<R>(self.ask(version, request.into_kind()).await?)
    }

    async fn ask(&self, version: i16, body: RequestKind) -> Result<ResponseKind, ClientError> {
        let known = *self.coordinator.lock();
        let node = match known {
            Some(node) => node,
            None => self.client.coordinator(&self.group).await?,
        };
        let answer = self.client.ask_again(node, version, body).await;
        *self.coordinator.lock() = answer.is_ok().then_some(node);
        answer
    }

    fn note(&self, code: i16) {
        let moved = [
            ErrorCode::NotCoordinator.code(),
            ErrorCode::CoordinatorNotAvailable.code(),
        ];
        if moved.contains(&code) {
            *self.coordinator.lock() = None;
        }
    }

    /// Commits in the name of the member, or of nobody if it is in no generation; tries again what
    /// may pass.
    pub(super) async fn commit(
        &self,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClientError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let identity = self.membership.lock().identity();
        let Some(identity) = identity else {
            let what = format!("commit in group '{}'", self.group);
            return Err(ClientError::broker(what, ErrorCode::UnknownMemberId, None));
        };
        let result = self.persist(|| self.commit_once(&identity, offsets)).await;
        if let Err(ClientError::Broker { code, .. }) = &result {
            let now = self.now();
            let mut membership = self.membership.lock();
            membership.commit_refused(&identity, *code, now);
            self.wake.notify_one();
            self.changed.notify_one();
        }
        result
    }

    async fn commit_once(
        &self,
        identity: &Identity,
        offsets: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<(), ClientError> {
        let body = committed::commit_request(&self.group, Some(identity), offsets);
        let result = committed::read_commit(&self.group, &self.call(body).await?);
        if let Err(ClientError::Broker { code, .. }) = &result {
            self.note(code.code());
        }
        result
    }

    /// What the group has committed of these.
    pub(super) async fn committed(
        &self,
        partitions: &Partitions,
        is_stable: bool,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        self.persist(|| self.committed_once(partitions, is_stable))
            .await
    }

    async fn committed_once(
        &self,
        partitions: &Partitions,
        is_stable: bool,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        let body = committed::fetch_request(&self.group, Some(partitions), is_stable);
        let result = committed::read_offsets(&self.group, self.call(body).await?);
        if let Err(ClientError::Broker { code, .. }) = &result {
            self.note(code.code());
        }
        result.map(committed::without_metadata)
    }

    /// Again and again, as long as the error may pass.
    async fn persist<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, ClientError> {
        let mut attempts = Attempts::default();
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => attempts.pause(&self.client, error).await?,
            }
        }
    }

    async fn perform(&self, task: Task) -> Outcome {
        self.attempt(task).await.unwrap_or_else(Outcome::Failed)
    }

    async fn attempt(&self, task: Task) -> Result<Outcome, ClientError> {
        let (code, outcome) = match task {
            Task::Join(body) => {
                let answer = self.call(body).await?;
                (answer.error_code, Outcome::Joined(answer))
            }
            Task::Sync(body) => {
                let answer = self.call(body).await?;
                (answer.error_code, Outcome::Synced(answer))
            }
            Task::Heartbeat(body) => {
                let code = self.call(body).await?.error_code;
                (code, Outcome::Heard(code))
            }
            Task::Leave(body) => (self.call(body).await?.error_code, Outcome::Left),
            Task::Look(topics) => {
                let counts = partition_counts(&self.client, topics.iter()).await?;
                return Ok(Outcome::Looked(counts));
            }
            Task::Wait(_) => unreachable!("the driver waits by itself"),
        };
        self.note(code);
        Ok(outcome)
    }
}

/// Keeps the membership up until it is over.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    let mut trouble = Trouble::default();
    loop {
        let next = {
            let mut membership = shared.membership.lock();
            if membership.is_out() {
                break;
            }
            membership.next(shared.now())
        };
        let wake = match next {
            Task::Wait(until) => until,
            task => {
                // What was under way is no longer waited for: the member leaves.
                tasks = JoinSet::new();
                let shared = Arc::clone(&shared);
                tasks.spawn(async move { shared.perform(task).await });
                None
            }
        };
        // Without a deadline the branch is off, and the time does not matter.
        let deadline = shared.client.sleep_until(wake.unwrap_or_default());
        tokio::select! {
            Some(done) = tasks.join_next() => match done {
                Ok(outcome) => {
                    let mut membership = shared.membership.lock();
                    let now = shared.now();
                    membership.done(outcome, now);
                    match membership.trouble() {
                        Some(error) => trouble.failed(error, now),
                        None => trouble.passed(now),
                    }
                    drop(membership);
                    shared.changed.notify_one();
                }
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => return,
                },
            },
            () = shared.wake.notified() => {}
            () = deadline, if wake.is_some() => {}
        }
    }
    shared.changed.notify_one();
}

async fn partition_counts(
    client: &Client,
    topics: impl Iterator<Item = &TopicName>,
) -> Result<PartitionCounts, ClientError> {
    let names: Vec<_> = topics.map(TopicName::as_str).collect();
    let cluster = client.metadata(Some(&names)).await?;
    let there = cluster
        .topics
        .into_iter()
        .filter(|topic| topic.error.is_none());
    let counted = there.filter_map(|topic| {
        let count = i32::try_from(topic.partitions.len()).ok()?;
        Some((TopicName::new(&topic.name).ok()?, count))
    });
    Ok(counted.collect())
}
