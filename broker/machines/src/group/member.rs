//! A member of a group.

use std::collections::BTreeSet;
use std::time::Duration;

use brooklet_protocol::Monotonic;
use bytes::Bytes;

use super::answer::{JoinedMember, Waiter};
use super::record::{Reader, StoredMember};

/// What a member sends to its assignors, by the name of the assignor, the preferred one first.
pub(super) type Protocols = Vec<(String, Bytes)>;

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout: Duration,
    pub(super) session_timeout: Duration,
    pub(super) protocols: Protocols,
    pub(super) assignment: Bytes,
    /// Waits for the others to join.
    pub(super) joining: Option<Waiter>,
    /// Waits for the leader's assignment.
    pub(super) syncing: Option<Waiter>,
    /// Whether it has asked for its assignment in this generation.
    pub(super) has_synced: bool,
    /// When it counts as gone; `None` while it waits for an answer.
    pub(super) silent_until: Option<Monotonic>,
}

impl Member {
    /// The member that a record describes. It has to be heard of again.
    pub(super) fn loaded(stored: StoredMember, protocol: Option<&str>) -> Self {
        let protocol = protocol.unwrap_or_default().to_owned();
        Self {
            id: stored.id,
            instance_id: stored.instance_id,
            client_id: stored.client_id,
            client_host: stored.client_host,
            rebalance_timeout: stored.rebalance_timeout,
            session_timeout: stored.session_timeout,
            protocols: vec![(protocol, stored.subscription)],
            assignment: stored.assignment,
            joining: None,
            syncing: None,
            has_synced: true,
            silent_until: None,
        }
    }

    pub(super) fn to_stored(&self, protocol: Option<&str>, assignment: Bytes) -> StoredMember {
        StoredMember {
            id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout,
            session_timeout: self.session_timeout,
            subscription: self.subscription(protocol),
            assignment,
        }
    }

    pub(super) fn to_joined(&self, protocol: Option<&str>) -> JoinedMember {
        JoinedMember {
            id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            subscription: self.subscription(protocol),
        }
    }

    /// What it sends to the assignor `protocol`.
    pub(super) fn subscription(&self, protocol: Option<&str>) -> Bytes {
        let sent = self
            .protocols
            .iter()
            .find(|(name, _)| Some(&**name) == protocol);
        sent.map(|(_, subscription)| subscription.clone())
            .unwrap_or_default()
    }

    pub(super) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// It was heard of.
    pub(super) fn touch(&mut self, now: Monotonic) {
        if self.joining.is_none() {
            self.silent_until = Some(Monotonic(now.0.saturating_add(self.session_timeout)));
        }
    }
}

/// The topics of a consumer's subscription, of which only the beginning is decoded; `None` if it is
/// something else.
///
/// ```text
///  version i16 | number of topics i32 | topic string …
/// ```
pub(super) fn subscribed_topics(subscription: &Bytes) -> Option<BTreeSet<String>> {
    let mut reader = Reader(subscription.clone());
    reader.i16("the version").ok()?;
    let count = reader.i32("the number of topics").ok()?;
    let topics = (0..count).map(|_| reader.string("a topic").ok());
    topics.collect()
}
