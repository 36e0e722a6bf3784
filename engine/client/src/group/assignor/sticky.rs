//! `sticky`: as even as the subscriptions allow, and what can stay where it was stays.
//!
//! ```text
//!  keep      what one member alone claims, or claims with the highest generation
//!  assign    each partition without a reader with the subscriber that has the fewest
//!  balance   as long as somebody has two more than another to whom it can pass one on, it does:
//!
//!              A: 4 ──t──▶ B: 3 ──u──▶ C: 2        A and C share no topic; B passes on another
//! ```
//!
//! When no such path is left, no other sharing out is more even (Harvey, Ladner, Lovász and Tamir,
//! *Semi-matchings for bipartite graphs and load balancing*, 2003). With equal subscriptions a path
//! has one step and as few partitions move as possible.

use std::collections::{BTreeMap, HashMap, VecDeque};

use brooklet_protocol::{TopicName, TopicPartition};

use super::{Assignments, Claim, Member, PartitionCounts, Partitions, partitions_of, subscribed};

/// Shares out; `claims` are those of `members`, in their order.
pub(super) fn assign(
    counts: &PartitionCounts,
    members: &[&Member],
    claims: &[Claim],
) -> Assignments {
    let mut sharing = Sharing::new(counts, members);
    sharing.keep(claims);
    sharing.assign_rest();
    sharing.balance();
    let ids = members.iter().map(|member| member.id.clone());
    ids.zip(sharing.holdings).collect()
}

/// Takes back what another still reads: it is given up in this generation and given away in the
/// next.
pub(super) fn hold_back(members: &[&Member], assignments: &mut Assignments) {
    let mut readers = BTreeMap::<&TopicPartition, Vec<&str>>::new();
    for member in members {
        for partition in &member.subscription.owned {
            readers.entry(partition).or_default().push(&member.id);
        }
    }
    for (id, assigned) in assignments {
        assigned.retain(|partition| match readers.get(partition) {
            Some(readers) => readers.contains(&id.as_str()),
            None => true,
        });
    }
}

/// The assignment while it is being worked out; members are their indexes in the list.
#[derive(Debug)]
struct Sharing {
    /// The subscribers of each topic that is there.
    subscribers: BTreeMap<TopicName, Vec<usize>>,
    /// Partitions without a reader.
    unassigned: Partitions,
    holdings: Vec<Partitions>,
    /// Its previous owner.
    kept: HashMap<TopicPartition, usize>,
}

/// A partition that goes from one member to another.
#[derive(Debug)]
struct Step {
    from: usize,
    partition: TopicPartition,
}

impl Sharing {
    fn new(counts: &PartitionCounts, members: &[&Member]) -> Self {
        let mut subscribers = BTreeMap::new();
        let mut unassigned = Partitions::new();
        for (topic, count) in subscribed(counts, members) {
            let of_topic = members.iter().enumerate();
            let of_topic = of_topic.filter(|(_, m)| m.subscription.topics.contains(&topic));
            let of_topic = of_topic.map(|(index, _)| index).collect();
            unassigned.extend(partitions_of(&topic, 0..count));
            subscribers.insert(topic, of_topic);
        }
        Self {
            subscribers,
            unassigned,
            holdings: vec![Partitions::new(); members.len()],
            kept: HashMap::new(),
        }
    }

    fn is_subscribed(&self, member: usize, topic: &TopicName) -> bool {
        let subscribers = self.subscribers.get(topic);
        subscribers.is_some_and(|of_topic| of_topic.contains(&member))
    }

    /// Of two that claim a partition with the same generation one must be wrong; nobody knows
    /// which.
    fn keep(&mut self, claims: &[Claim]) {
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
        for (partition, (_, member)) in best {
            let Some(member) = member.filter(|m| self.is_subscribed(*m, &partition.topic)) else {
                continue;
            };
            if self.unassigned.remove(partition) {
                self.holdings[member].insert(partition.clone());
                self.kept.insert(partition.clone(), member);
            }
        }
    }

    /// First those that few can take.
    fn assign_rest(&mut self) {
        let unassigned = std::mem::take(&mut self.unassigned).into_iter();
        let choices = |partition: &TopicPartition| self.subscribers[&partition.topic].len();
        let mut unassigned: Vec<_> = unassigned
            .map(|partition| (choices(&partition), partition))
            .collect();
        unassigned.sort();
        for (_, partition) in unassigned {
            let readers = self.subscribers[&partition.topic].iter().copied();
            let fewest = readers.min_by_key(|member| (self.holdings[*member].len(), *member));
            let fewest = fewest.expect("the topic has a subscriber");
            self.holdings[fewest].insert(partition);
        }
    }

    fn balance(&mut self) {
        while let Some(path) = self.path() {
            let (steps, mut to) = path;
            for Step { from, partition } in steps {
                self.holdings[from].remove(&partition);
                self.holdings[to].insert(partition);
                to = from;
            }
        }
    }

    /// A path from the member with most partitions to one that has two fewer, backwards: the last
    /// step first, and where it ends.
    fn path(&self) -> Option<(Vec<Step>, usize)> {
        let mut by_load: Vec<_> = (0..self.holdings.len()).collect();
        by_load.sort_by_key(|member| std::cmp::Reverse(self.holdings[*member].len()));
        by_load.into_iter().find_map(|start| self.path_from(start))
    }

    fn path_from(&self, start: usize) -> Option<(Vec<Step>, usize)> {
        let goal_max = self.holdings[start].len().checked_sub(2)?;
        let mut reached = HashMap::<usize, Step>::new();
        let mut queue = VecDeque::from([start]);
        while let Some(from) = queue.pop_front() {
            let mut found = None;
            for partition in self.offers(from) {
                for &to in &self.subscribers[&partition.topic] {
                    if to == start || reached.contains_key(&to) {
                        continue;
                    }
                    let partition = partition.clone();
                    reached.insert(to, Step { from, partition });
                    queue.push_back(to);
                    let load = self.holdings[to].len();
                    // Among those that are as far away the one that has the fewest.
                    if load <= goal_max && found.is_none_or(|(least, _)| load < least) {
                        found = Some((load, to));
                    }
                }
            }
            if let Some((_, end)) = found {
                return Some((back_to(start, end, reached), end));
            }
        }
        None
    }

    /// One partition of each topic that a member could pass on; first those that it had not before.
    fn offers(&self, member: usize) -> Vec<&TopicPartition> {
        let is_kept = |partition: &TopicPartition| self.kept.get(partition) == Some(&member);
        let mut offers = BTreeMap::<&TopicName, &TopicPartition>::new();
        for partition in &self.holdings[member] {
            let offer = offers.entry(&partition.topic).or_insert(partition);
            if is_kept(offer) && !is_kept(partition) {
                *offer = partition;
            }
        }
        let mut offers: Vec<_> = offers.into_values().collect();
        offers.sort_by_key(|partition| is_kept(partition));
        offers
    }
}

fn back_to(start: usize, end: usize, mut reached: HashMap<usize, Step>) -> Vec<Step> {
    let (mut steps, mut at) = (Vec::new(), end);
    while at != start {
        let step = reached.remove(&at).expect("a member was reached by a step");
        at = step.from;
        steps.push(step);
    }
    steps
}
