//! Assignors: the rules by which the leader of a group assigns partitions to its members.
//!
//! ```text
//!  two topics of three partitions, members A and B
//!    range                A: t0 t1 u0 u1       B: t2 u2          each topic by itself
//!    roundrobin           A: t0 t2 u1          B: t1 u0 u2       like cards
//!    sticky               as even as can be; what was read before stays where it was
//!    cooperative-sticky   the same, but nobody stops reading what it keeps (KIP-429)
//!    brooklet-cooperative-copartitioned
//!                         A: t0 t2 u0 u2       B: t1 u1          so, of numbers: n of all topics
//! ```
//!
//! All are pure functions of the members, what they are subscribed to, and how many partitions each
//! topic has. `range` and `roundrobin` give what Kafka's assignors of these names give. The sticky
//! ones keep Kafka's promises, not its every choice where several would do. The last is ours, and
//! all members of its group have to be, too.
//!
//! Invariants, of all: each partition of a topic with a subscriber goes to exactly one of its
//! subscribers, except that the cooperative ones assign a partition that changes hands to nobody
//! for one generation: until its old reader has given it up.
//!
//! Left out: racks (KIP-881). They are sent to the leader, and ours ignores them.

mod range;
mod round_robin;

mod sharing;

mod copartitioned;
mod sticky;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use brooklet_protocol::{PartitionId, TopicName, TopicPartition};
use bytes::{BufMut, Bytes, BytesMut};

use super::protocol::{Partitions, Subscription, decode_sticky, encode_sticky};

/// A rule by which partitions are shared out (`partition.assignment.strategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Each member gets a run of partitions of each topic.
    Range,
    /// One partition after the other to one member after the other.
    RoundRobin,
    /// Even, with few moves; everybody stops reading while the group agrees.
    Sticky,
    /// Even, with few moves; only what moves is not read while the group agrees.
    CooperativeSticky,
    /// The same, and partition n of every topic goes to the same member: for programs that join
    /// topics. Its name is `brooklet-cooperative-copartitioned`, and only Brooklet's clients know
    /// it.
    CooperativeCopartitioned,
}

/// How many partitions each topic has; a topic that is not there is not in it.
pub(crate) type PartitionCounts = BTreeMap<TopicName, i32>;

/// What each member is to read, by its id.
pub(crate) type Assignments = BTreeMap<String, Partitions>;

/// A member as the leader sees it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    /// Set for a static member.
    pub(crate) instance_id: Option<String>,
    pub(crate) subscription: Subscription,
}

impl Assignor {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Range,
        Self::RoundRobin,
        Self::Sticky,
        Self::CooperativeSticky,
        Self::CooperativeCopartitioned,
    ];

    /// Its name among the members of a group.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
            Self::CooperativeCopartitioned => "brooklet-cooperative-copartitioned",
        }
    }

    /// Whether members may go on reading during a rebalance.
    pub(super) fn is_cooperative(self) -> bool {
        match self {
            Self::Range | Self::RoundRobin | Self::Sticky => false,
            Self::CooperativeSticky | Self::CooperativeCopartitioned => true,
        }
    }

    /// What a member sends to the leader for this assignor alone.
    pub(super) fn user_data(self, previous: &Partitions, generation: i32) -> Option<Bytes> {
        match self {
            // The subscription has the generation.
            Self::Range | Self::RoundRobin | Self::CooperativeCopartitioned => None,
            Self::Sticky => Some(encode_sticky(previous, generation)),
            Self::CooperativeSticky => {
                let mut out = BytesMut::new();
                out.put_i32(generation);
                Some(out.freeze())
            }
        }
    }

    /// Shares the partitions out. Every member is in the result, if only with nothing.
    pub(super) fn assign(self, counts: &PartitionCounts, members: &[Member]) -> Assignments {
        let mut members: Vec<&Member> = members.iter().collect();
        members.sort_by_key(|member| order(member));
        let nothing = members.iter().map(|m| (m.id.clone(), Partitions::new()));
        let mut assignments: Assignments = nothing.collect();
        match self {
            Self::Range => range::assign(counts, &members, &mut assignments),
            Self::RoundRobin => round_robin::assign(counts, &members, &mut assignments),
            Self::Sticky => {
                let claims = members.iter().map(|member| sticky_claim(member));
                let claims: Vec<_> = claims.collect();
                assignments = sticky::assign(counts, &members, &claims);
            }
            Self::CooperativeSticky => {
                let claims = members.iter().map(|member| cooperative_claim(member));
                let claims: Vec<_> = claims.collect();
                assignments = sticky::assign(counts, &members, &claims);
                sticky::hold_back(&members, &mut assignments);
            }
            Self::CooperativeCopartitioned => {
                let claims = members.iter().map(|member| cooperative_claim(member));
                let claims: Vec<_> = claims.collect();
                assignments = copartitioned::assign(counts, &members, &claims);
            }
        }
        assignments
    }
}

impl fmt::Display for Assignor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Assignor {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|assignor| assignor.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown assignor '{name}'; expected one of {names}")
        })
    }
}

/// Kafka's order of members: static ones by the names that their owners gave them, then the others
/// by the ids that they were given.
fn order(member: &Member) -> (bool, &str) {
    match &member.instance_id {
        Some(instance_id) => (false, instance_id),
        None => (true, &member.id),
    }
}

/// The topics that anybody is subscribed to and that are there, with their partitions.
fn subscribed(counts: &PartitionCounts, members: &[&Member]) -> Vec<(TopicName, i32)> {
    let topics = members
        .iter()
        .flat_map(|member| &member.subscription.topics);
    let topics: BTreeSet<&TopicName> = topics.collect();
    let there = topics.into_iter();
    let there = there.filter_map(|topic| Some((topic.clone(), *counts.get(topic)?)));
    there.collect()
}

/// The members that are subscribed to all of these topics, by their index.
fn subscribers<'a>(
    members: &[&Member],
    topics: impl IntoIterator<Item = &'a TopicName> + Clone,
) -> Vec<usize> {
    let knows_all = |member: &Member| {
        let mut topics = topics.clone().into_iter();
        topics.all(|topic| member.subscription.topics.contains(topic))
    };
    let all = members.iter().enumerate();
    all.filter(|(_, member)| knows_all(member))
        .map(|(index, _)| index)
        .collect()
}

fn partitions_of(
    topic: &TopicName,
    partitions: std::ops::Range<i32>,
) -> impl Iterator<Item = TopicPartition> {
    partitions.map(|partition| TopicPartition::new(topic.clone(), PartitionId(partition)))
}

/// What a member says that it had, and in which generation.
#[derive(Clone, Debug)]
struct Claim {
    owned: Partitions,
    generation: i32,
}

/// The member that has had each partition, by its index: the one that claims it with the highest
/// generation. Of two that claim it with the same one must be wrong, and nobody knows which.
fn owners(claims: &[Claim]) -> BTreeMap<&TopicPartition, usize> {
    let mut best = BTreeMap::<&TopicPartition, (i32, Option<usize>)>::new();
    for (member, claim) in claims.iter().enumerate() {
        for partition in &claim.owned {
            let found = best
                .entry(partition)
                .or_insert((claim.generation, Some(member)));
            if found.0 < claim.generation {
                *found = (claim.generation, Some(member));
            } else if found.0 == claim.generation && found.1 != Some(member) {
                found.1 = None;
            }
        }
    }
    let owned = best.into_iter();
    owned
        .filter_map(|(partition, (_, member))| Some((partition, member?)))
        .collect()
}

/// Members of an eager group have given everything up when they join, but remember it.
fn sticky_claim(member: &Member) -> Claim {
    let data = member.subscription.user_data.clone();
    let (owned, generation) = data
        .and_then(decode_sticky)
        .unwrap_or((Partitions::new(), -1));
    Claim { owned, generation }
}

fn cooperative_claim(member: &Member) -> Claim {
    let subscription = &member.subscription;
    let data = subscription
        .user_data
        .as_deref()
        .and_then(|data| data.first_chunk());
    let said = data.map_or(-1, |data| i32::from_be_bytes(*data));
    Claim {
        owned: subscription.owned.clone(),
        // Before version 2 the subscription did not say it.
        generation: if subscription.generation < 0 {
            said
        } else {
            subscription.generation
        },
    }
}

#[cfg(test)]
mod tests;
