//! Asking coordinators: of groups, and of transactional ids.
//!
//! A coordinator is looked up when it is first needed, and again when a broker says that it is not
//! the coordinator. Retriable errors are retried for up to a minute (`max.block.ms`), or as long as
//! the caller says, so what is asked here must do no harm twice.

use std::time::Duration;

use brooklet_protocol::BrokerId;
use brooklet_protocol::messages::kafka::FindCoordinatorRequest;
use brooklet_protocol::messages::{ApiRequest, ErrorCode, RequestKind, ResponseKind, StrBytes};
use parking_lot::Mutex;

use super::calls::{Call, take_into};
use super::trouble::Trouble;
use super::{Client, ClientError, backoff};
use crate::transport::{Node, join_address};

/// `max.block.ms`.
const BLOCK_MAX: Duration = Duration::from_secs(60);

/// The kinds of coordinators, with Kafka's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Group = 0,
    Transaction = 1,
}

impl Kind {
    fn noun(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Transaction => "transactional id",
        }
    }
}

/// A coordinator, and the broker that it is on as far as known.
#[derive(Debug)]
pub(super) struct Coordinator {
    client: Client,
    kind: Kind,
    /// The group, or the transactional id.
    key: String,
    node: Mutex<Option<Node>>,
    /// How long an error that passes is retried.
    retry_for: Duration,
}

impl Coordinator {
    /// The coordinator of `key`, which is looked up when it is first needed. Errors that pass are
    /// retried for a minute (`max.block.ms`).
    pub(super) fn new(client: Client, kind: Kind, key: &str) -> Self {
        Self {
            client,
            kind,
            key: key.to_owned(),
            node: Mutex::new(None),
            retry_for: BLOCK_MAX,
        }
    }

    /// The same, with errors that pass retried for this long.
    pub(super) fn retrying_for(self, retry_for: Duration) -> Self {
        Self { retry_for, ..self }
    }

    /// The group, or the transactional id.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Asks until there is an answer that `read` accepts, or an error that stays.
    pub(super) async fn call<R: Call, T: Send>(
        &self,
        what: &str,
        request: R,
        read: impl FnMut(R::Response) -> Result<T, ClientError> + Send,
    ) -> Result<T, ClientError> {
        let version = request.version();
        self.call_in(what, version, request, read).await
    }

    /// The same, in a version up to this one.
    pub(super) async fn call_in<R: ApiRequest, T: Send>(
        &self,
        what: &str,
        version: i16,
        request: R,
        read: impl FnMut(R::Response) -> Result<T, ClientError> + Send,
    ) -> Result<T, ClientError> {
        let mut found = None;
        let mut take = take_into::<R, T>(&mut found, read);
        self.ask(what, (version, request.into_kind()), &mut take)
            .await?;
        drop(take);
        Ok(found.expect("an accepted answer was taken"))
    }

    async fn ask(
        &self,
        what: &str,
        (version, body): (i16, RequestKind),
        take: &mut (dyn FnMut(ResponseKind) -> Result<(), ClientError> + Send),
    ) -> Result<(), ClientError> {
        let deadline = self.client.now().saturating_add(self.retry_for);
        let (mut failures, mut trouble) = (0, Trouble::default());
        loop {
            let answer = self.ask_once(version, body.clone()).await;
            let error = match answer.and_then(&mut *take) {
                Ok(()) => {
                    trouble.passed(self.client.now());
                    return Ok(());
                }
                Err(error) => error,
            };
            failures += 1;
            let now = self.client.now();
            let left = deadline.saturating_sub(now);
            if !passes(&error) || left.is_zero() {
                return Err(error);
            }
            match &error {
                // Its own words say what was attempted.
                ClientError::Broker { .. } => trouble.failed(&error, now),
                _ => trouble.failed(&format_args!("{what}: {error}"), now),
            }
            if !is_from_coordinator(&error) {
                *self.node.lock() = None;
            }
            let pause = backoff::after_error(&error, failures);
            self.client.pause(pause.min(left)).await;
        }
    }

    async fn ask_once(&self, version: i16, body: RequestKind) -> Result<ResponseKind, ClientError> {
        let known = *self.node.lock();
        let node = match known {
            Some(node) => node,
            None => self.client.find_coordinator(self.kind, &self.key).await?,
        };
        *self.node.lock() = Some(node);
        self.client.ask(node, version, body).await
    }
}

impl Client {
    /// The coordinator of a group or of a transactional id, as some broker names it.
    pub(super) async fn find_coordinator(
        &self,
        kind: Kind,
        key: &str,
    ) -> Result<Node, ClientError> {
        let body = FindCoordinatorRequest::default()
            .with_key_type(kind as i8)
            .with_key(text(key));
        let answer = self.call_again(Node::Any, body).await?;
        let what = format!("find the coordinator of {} '{key}'", kind.noun());
        check(&what, answer.error_code)?;
        let broker = BrokerId(answer.node_id.0);
        // Nobody may have asked for metadata yet.
        let address = join_address(&answer.host, answer.port);
        self.transport.learn(&[(broker, address)]);
        Ok(Node::Id(broker))
    }
}

/// Whether another attempt may succeed: the previous transaction is still ending, or the broker is
/// away.
fn passes(error: &ClientError) -> bool {
    let is_ending = matches!(
        error,
        ClientError::Broker {
            code: ErrorCode::ConcurrentTransactions,
            ..
        }
    );
    is_ending || error.is_retriable()
}

/// Whether the broker that answered is the coordinator, and only not ready.
fn is_from_coordinator(error: &ClientError) -> bool {
    use ErrorCode::{ConcurrentTransactions, CoordinatorLoadInProgress, UnstableOffsetCommit};
    matches!(
        error,
        ClientError::Broker {
            code: ConcurrentTransactions | CoordinatorLoadInProgress | UnstableOffsetCommit,
            ..
        }
    )
}

pub(super) fn check(what: &str, code: i16) -> Result<(), ClientError> {
    match ErrorCode::try_from_code(code) {
        None => Ok(()),
        Some(code) => Err(ClientError::broker(what, code, None)),
    }
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
