//! How members join.
//!
//! | the client is | in state | what happens |
//! |---|---|---|
//! | without an id, and must have one (version 4 and up) | any | it is given one, and joins again with it |
//! | without an id | any | it becomes a member; rebalance |
//! | a static member, known by its instance id | Stable, same vote | it replaces the old one, which is fenced; no rebalance |
//! | the same | otherwise | it replaces the old one; rebalance |
//! | a member | PreparingRebalance | it waits for the others |
//! | a member, with the same assignors as before | CompletingRebalance, Stable | it is answered again; the leader of a Stable group rebalances |
//! | a member, with other assignors | CompletingRebalance, Stable | rebalance |

use std::time::Duration;

use brooklet_protocol::{Monotonic, Timestamp};
use bytes::Bytes;

use super::super::answer::{GroupError, Joined, Waiter};
use super::super::command::JoinGroup;
use super::super::member::{Member, Protocols};
use super::{Group, GroupState};

/// How long a join of a new member may wait. Its client cannot send heartbeats yet, and asks again
/// if it is still there.
pub(super) const NEW_MEMBER_MAX: Duration = Duration::from_secs(300);

impl Group {
    /// A client joins. The answer may have to wait.
    pub(in crate::group) fn join(&mut self, at: (Monotonic, Timestamp), join: JoinGroup) {
        let waiter = join.waiter;
        if let Err(error) = self.try_join(at, join) {
            self.complete_join(waiter, Err(error));
        }
    }

    fn try_join(&mut self, at: (Monotonic, Timestamp), join: JoinGroup) -> Result<(), GroupError> {
        self.check_room(&join.member_id)?;
        self.check_size(&join)?;
        if !self.supports(&join.protocol_type, &join.protocols) {
            return Err(GroupError::InconsistentProtocol);
        }
        let known_instance = (join.instance_id.as_ref())
            .and_then(|instance_id| self.instances.get(instance_id).cloned());
        if join.member_id.is_empty() {
            match known_instance {
                Some(old) => self.replace_static(at, &old, join),
                None if join.must_know_id && join.instance_id.is_none() => {
                    // An id that no client comes back with is kept for a session's time.
                    if self.pending.len() >= self.limits.members_max {
                        return Err(GroupError::Full(self.limits.members_max));
                    }
                    let until = at.0.0.saturating_add(join.session_timeout);
                    let id = join.new_member_id;
                    self.pending.insert(id.clone(), Monotonic(until));
                    return Err(GroupError::MemberIdRequired(id));
                }
                None => self.admit(at, join.new_member_id.clone(), join),
            }
            return Ok(());
        }
        if self.pending.contains_key(&join.member_id) {
            if join.instance_id.is_some() {
                return Err(GroupError::UnknownMember);
            }
            self.admit(at, join.member_id.clone(), join);
            return Ok(());
        }
        self.check_identity(&join.member_id, join.instance_id.as_deref())?;
        self.join_again(at, join);
        Ok(())
    }

    fn check_room(&self, member_id: &str) -> Result<(), GroupError> {
        let max = self.limits.members_max;
        let has_room = match self.state {
            GroupState::Empty => max > 0,
            // A member that is not back yet may lose its place to one that is.
            GroupState::PreparingRebalance => {
                let known = self.members.get(member_id);
                let joining = self.members.values().filter(|m| m.joining.is_some());
                known.is_some_and(|m| m.joining.is_some()) || joining.count() < max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.members.contains_key(member_id) || self.members.len() < max
            }
        };
        if has_room {
            Ok(())
        } else {
            Err(GroupError::Full(max))
        }
    }

    /// All of the metadata is kept in memory, sent to the leader, and logged.
    fn check_size(&self, join: &JoinGroup) -> Result<(), GroupError> {
        let (found, max) = (size_of(&join.protocols), self.limits.member_bytes_max);
        if found > max {
            return Err(GroupError::MemberTooLarge { found, max });
        }
        let instance = join.instance_id.as_ref();
        let known = instance.and_then(|instance| self.instances.get(instance));
        let replaced = known.unwrap_or(&join.member_id);
        let others = self.members.values().filter(|other| other.id != *replaced);
        let of_others: usize = others.map(|other| size_of(&other.protocols)).sum();
        if of_others + found > self.limits.group_bytes_max {
            return Err(GroupError::GroupTooLarge(self.limits.group_bytes_max));
        }
        Ok(())
    }

    /// A new member.
    fn admit(&mut self, at: (Monotonic, Timestamp), id: String, join: JoinGroup) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type);
        }
        let new_until = Monotonic(at.0.0.saturating_add(NEW_MEMBER_MAX));
        self.add(Member {
            id,
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            rebalance_timeout: join.rebalance_timeout,
            session_timeout: join.session_timeout,
            protocols: join.protocols,
            assignment: Bytes::new(),
            joining: Some(join.waiter),
            syncing: None,
            has_synced: false,
            silent_until: Some(new_until),
        });
        if let Some(initial) = self.rebalance.as_mut().and_then(|r| r.initial.as_mut()) {
            initial.1 = true;
        }
        self.rebalance(at);
    }

    /// A member joins again.
    fn join_again(&mut self, at: (Monotonic, Timestamp), join: JoinGroup) {
        let is_leader = self.leader.as_deref() == Some(&join.member_id);
        let is_unchanged = self.member(&join.member_id).protocols == join.protocols;
        let is_answered_again = match self.state {
            GroupState::CompletingRebalance => is_unchanged,
            GroupState::Stable => is_unchanged && !is_leader,
            GroupState::Empty | GroupState::PreparingRebalance => false,
        };
        if is_answered_again {
            let joined = self.joined(&join.member_id);
            self.member(&join.member_id).touch(at.0);
            return self.complete_join(join.waiter, Ok(joined));
        }
        self.update(&join.member_id, join.waiter, &join);
        self.rebalance(at);
    }

    /// A member waits in a rebalance, with its current assignors and timeouts.
    fn update(&mut self, id: &str, waiter: Waiter, join: &JoinGroup) {
        let member = self.member(id);
        member.protocols.clone_from(&join.protocols);
        member.rebalance_timeout = join.rebalance_timeout;
        member.session_timeout = join.session_timeout;
        member.silent_until = None;
        let before = member.joining.replace(waiter);
        if let Some(before) = before {
            // The client has given up on it, or its connection is gone.
            self.complete_join(before, Err(GroupError::UnknownMember));
        }
    }

    /// A static member joins again after a restart of its process, without its id.
    fn replace_static(&mut self, at: (Monotonic, Timestamp), old: &str, join: JoinGroup) {
        let id = join.new_member_id.clone();
        let (old_leader, old_vote) = (self.leader.clone(), self.vote());
        let mut member = self.members.remove(old).expect("instances are members");
        self.refuse(&member, &GroupError::FencedInstance);
        let old_protocols: Protocols =
            std::mem::replace(&mut member.protocols, join.protocols.clone());
        member.id.clone_from(&id);
        (member.joining, member.syncing) = (None, None);
        member.client_id.clone_from(&join.client_id);
        member.client_host.clone_from(&join.client_host);
        member.rebalance_timeout = join.rebalance_timeout;
        member.session_timeout = join.session_timeout;
        member.touch(at.0);
        if self.leader.as_deref() == Some(old) {
            self.leader = Some(id.clone());
        }
        self.add(member);
        let goes_on = self.state == GroupState::Stable && self.vote() == old_vote;
        if !goes_on {
            self.update(&id, join.waiter, &join);
            return self.rebalance(at);
        }
        // What the old one sent to the assignor stands, as the leader will not be asked again.
        if !join.may_skip_assignment {
            self.member(&id).protocols = old_protocols;
        }
        self.store(at.1, |member| member.assignment.clone());
        let joined = if join.may_skip_assignment {
            let skip_assignment = self.leader.as_deref() == Some(&id);
            Joined {
                skip_assignment,
                ..self.joined(&id)
            }
        } else {
            // A leader that learns that it leads would make an assignment: the answer names the old
            // leader.
            Joined {
                leader: old_leader.unwrap_or_default(),
                members: Vec::new(),
                ..self.joined(&id)
            }
        };
        self.complete_join(join.waiter, Ok(joined));
    }

    /// Begins a rebalance, or continues the one that is under way.
    fn rebalance(&mut self, at: (Monotonic, Timestamp)) {
        if self.state == GroupState::PreparingRebalance {
            self.complete_if_all_joined(at);
        } else {
            self.prepare_rebalance(at);
        }
    }
}

/// The size of a member's metadata: the name of each assignor, and what it is sent.
fn size_of(protocols: &Protocols) -> usize {
    let sizes = protocols
        .iter()
        .map(|(name, metadata)| name.len() + metadata.len());
    sizes.sum()
}
