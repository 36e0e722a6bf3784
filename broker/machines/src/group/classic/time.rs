//! Rebalances, and what happens when a member does not come back.
//!
//! | the group waits for | at most | and then |
//! |---|---|---|
//! | others, after the first member of an empty group | `group.initial.rebalance.delay.ms`, again if another one joined, up to the rebalance timeout | the generation begins |
//! | the members of a rebalance | the longest rebalance timeout | the absent ones are removed |
//! | the members' syncs | the longest rebalance timeout | those that have not synced are removed; rebalance |
//! | a sign of life of a member | the session timeout | it is removed; rebalance |
//! | a client that was given an id | its session timeout | the id is forgotten |

use std::time::Duration;

use brooklet_protocol::{Monotonic, Timestamp};

use super::super::answer::{Completion, GroupError};
use super::{Group, GroupState, Rebalance};

impl Group {
    /// All members have to join again.
    pub(super) fn prepare_rebalance(&mut self, at: (Monotonic, Timestamp)) {
        for member in self.members.values_mut() {
            if let Some(waiter) = member.syncing.take() {
                let completion = Completion::Sync(waiter, Err(GroupError::Rebalancing));
                self.outbox.completions.push(completion);
            }
        }
        self.sync_until = None;
        let delay = self.limits.initial_delay;
        let longest = self.longest_rebalance();
        let is_initial = self.state == GroupState::Empty && !delay.is_zero();
        self.rebalance = Some(Rebalance {
            until: Monotonic(
                at.0.0
                    .saturating_add(if is_initial { delay } else { longest }),
            ),
            initial: is_initial.then(|| (longest.saturating_sub(delay), false)),
        });
        self.change_to(GroupState::PreparingRebalance, at.1);
        self.complete_if_all_joined(at);
    }

    /// Begins the generation if no member is missing.
    pub(super) fn complete_if_all_joined(&mut self, at: (Monotonic, Timestamp)) {
        let waits = self
            .rebalance
            .is_none_or(|rebalance| rebalance.initial.is_some());
        let all_joined = self.members.values().all(|member| member.joining.is_some());
        if !waits && self.pending.is_empty() && all_joined {
            self.complete(at);
        }
    }

    /// Does what is due.
    pub(in crate::group) fn on_time(&mut self, at: (Monotonic, Timestamp)) {
        let is_due = |until: Option<Monotonic>| until.is_some_and(|until| until <= at.0);
        let pending = self.pending.len();
        self.pending.retain(|_, until| *until > at.0);
        if self.pending.len() < pending && self.state == GroupState::PreparingRebalance {
            self.complete_if_all_joined(at);
        }
        let silent = self.members.values();
        let silent = silent.filter(|member| is_due(member.silent_until));
        let silent: Vec<String> = silent.map(|member| member.id.clone()).collect();
        for id in &silent {
            self.remove(at, id);
        }
        if is_due(self.sync_until) {
            let late = self.members.values().filter(|member| !member.has_synced);
            let late: Vec<String> = late.map(|member| member.id.clone()).collect();
            for id in &late {
                self.take_out(id);
            }
            self.prepare_rebalance(at);
        }
        if is_due(self.rebalance.map(|rebalance| rebalance.until)) {
            self.rebalance_is_over(at);
        }
    }

    /// When [`Group::on_time`] has something to do.
    pub(in crate::group) fn deadline(&self) -> Option<Monotonic> {
        let members = self
            .members
            .values()
            .filter_map(|member| member.silent_until);
        let waits = [
            self.rebalance.map(|rebalance| rebalance.until),
            self.sync_until,
        ];
        let pending = self.pending.values().copied();
        members
            .chain(pending)
            .chain(waits.into_iter().flatten())
            .min()
    }

    fn rebalance_is_over(&mut self, at: (Monotonic, Timestamp)) {
        let delay = self.limits.initial_delay;
        match self.rebalance.as_mut() {
            Some(Rebalance {
                until,
                initial: Some((rest, has_grown)),
            }) if *has_grown && !rest.is_zero() => {
                let more = delay.min(*rest);
                *until = Monotonic(at.0.0.saturating_add(more));
                (*rest, *has_grown) = (rest.saturating_sub(more), false);
            }
            _ => self.complete(at),
        }
    }

    /// The generation begins, with the members that have joined.
    fn complete(&mut self, at: (Monotonic, Timestamp)) {
        let absent = self.members.values();
        let absent = absent.filter(|m| m.joining.is_none() && m.instance_id.is_none());
        let absent: Vec<String> = absent.map(|member| member.id.clone()).collect();
        for id in &absent {
            self.take_out(id);
        }
        let joined = |id: &String| self.members.get(id).is_some_and(|m| m.joining.is_some());
        if !self.leader.as_ref().is_some_and(joined) {
            let first = self
                .members
                .values()
                .find(|member| member.joining.is_some());
            match first.map(|member| member.id.clone()) {
                Some(id) => self.leader = Some(id),
                // Only static members, none of which is back: the group waits for them.
                None if !self.members.is_empty() => {
                    let until = Monotonic(at.0.0.saturating_add(self.longest_rebalance()));
                    self.rebalance = Some(Rebalance {
                        until,
                        initial: None,
                    });
                    return;
                }
                None => self.leader = None,
            }
        }
        self.rebalance = None;
        // Only a group of an adopted log can be at the highest one; it begins again.
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = self.vote();
        if self.members.is_empty() {
            self.change_to(GroupState::Empty, at.1);
            return self.store(at.1, |_| unreachable!("there are no members"));
        }
        self.change_to(GroupState::CompletingRebalance, at.1);
        self.sync_until = Some(Monotonic(at.0.0.saturating_add(self.longest_rebalance())));
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id);
            let member = self.member(&id);
            member.has_synced = false;
            if let Some(waiter) = member.joining.take() {
                member.touch(at.0);
                self.complete_join(waiter, Ok(joined));
            }
        }
    }

    fn longest_rebalance(&self) -> Duration {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }

    fn change_to(&mut self, state: GroupState, now: Timestamp) {
        (self.state, self.since) = (state, now);
    }
}
