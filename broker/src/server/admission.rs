//! Admission: how many connections there may be in all, and how many from one address.
//!
//! ```text
//!  admit ─▶ Permit (silent) ──first whole request──▶ Permit (heard) ──drop──▶ free
//!               │
//!               └──a limit is reached, and it is the oldest──▶ evicted: its task is aborted
//! ```
//!
//! A connection is *silent* until its first complete request. When a limit is reached, the oldest
//! silent connection makes room, so that connections that ask for nothing keep nobody out; a new
//! connection is refused only when all others have asked for something.
//!
//! The default for one address applies to other machines only. All processes of this machine share
//! the same few addresses, so for those the owner has to set a limit explicitly.
//!
//! Invariants:
//! - an evicted connection is no longer counted from that moment on, though its task may take a
//!   while to end, so that the new one can be admitted at once;
//! - eviction and the first request are ordered by one lock: a connection that was evicted begins
//!   nothing, and one that has begun a request is never evicted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::Limits;
use crate::counters::{Counters, Limit};

/// Counts the open connections.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    counters: Arc<Counters>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Those that have asked for nothing yet, oldest first.
    silent: BTreeMap<u64, Silent>,
    /// Those that made room and are not gone yet; they are no longer counted.
    leaving: HashSet<u64>,
    next_id: u64,
}

#[derive(Debug)]
struct Silent {
    address: IpAddr,
    /// Ends it; `None` before it has begun.
    task: Option<AbortHandle>,
}

/// The right to be connected; free again once it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    id: u64,
    address: IpAddr,
    shared: Arc<Shared>,
}

impl Admission {
    pub(super) fn new(limits: Limits, counters: Arc<Counters>) -> Self {
        let open = Mutex::default();
        let shared = Arc::new(Shared { counters, open });
        Self { limits, shared }
    }

    /// Admits a connection from `address`.
    ///
    /// # Errors
    /// The limit that keeps it out, and how high that is.
    pub(super) fn admit(&self, address: IpAddr) -> Result<Permit, (Limit, usize)> {
        let address = address.to_canonical();
        let counters = &self.shared.counters;
        let mut open = self.shared.open.lock();
        while let Some((limit, max)) = self.full(&open, address) {
            counters.rejected(limit);
            let among = (limit == Limit::ConnectionsPerAddress).then_some(address);
            if !open.evict(among) {
                return Err((limit, max));
            }
        }
        open.all += 1;
        *open.by_address.entry(address).or_default() += 1;
        let id = open.next_id;
        open.next_id += 1;
        open.silent.insert(
            id,
            Silent {
                address,
                task: None,
            },
        );
        counters.connections.add(1);
        counters.connections_accepted.add(1);
        Ok(Permit {
            id,
            address,
            shared: Arc::clone(&self.shared),
        })
    }

    /// The limit that is reached for `address`, and how high it is.
    fn full(&self, open: &Open, address: IpAddr) -> Option<(Limit, usize)> {
        let of_address = open.by_address.get(&address).copied().unwrap_or(0);
        if open.all >= self.limits.connections_max {
            return Some((Limit::Connections, self.limits.connections_max));
        }
        let per_address = self.limits.connections_of(address);
        (per_address.filter(|max| of_address >= *max))
            .map(|max| (Limit::ConnectionsPerAddress, max))
    }
}

impl Open {
    /// Ends the oldest silent connection, from one address or from any; false if there is none.
    fn evict(&mut self, among: Option<IpAddr>) -> bool {
        let makes_room = |silent: &Silent| {
            silent.task.is_some() && among.is_none_or(|only| only == silent.address)
        };
        let mut silent = self.silent.iter();
        let found = silent.find_map(|(id, silent)| makes_room(silent).then_some(*id));
        let Some((id, silent)) = found.and_then(|id| self.silent.remove_entry(&id)) else {
            return false;
        };
        silent.task.iter().for_each(AbortHandle::abort);
        self.leaving.insert(id);
        self.leave(silent.address);
        true
    }

    fn leave(&mut self, address: IpAddr) {
        self.all -= 1;
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Permit {
    /// Names the task of its connection, which is aborted to make room while it is silent.
    pub(super) fn taken_by(&self, task: AbortHandle) {
        let mut open = self.shared.open.lock();
        if let Some(silent) = open.silent.get_mut(&self.id) {
            silent.task = Some(task);
        }
    }

    /// The first complete request has come. False if the connection was evicted just before: it is
    /// about to be ended, and must begin nothing.
    pub(super) fn hear(&self) -> bool {
        self.shared.open.lock().silent.remove(&self.id).is_some()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.counters.connections.sub(1);
        let mut open = self.shared.open.lock();
        open.silent.remove(&self.id);
        if !open.leaving.remove(&self.id) {
            open.leave(self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(max: usize, per_address: Option<usize>) -> Admission {
        let limits = Limits {
            connections_max: max,
            connections_per_address_max: per_address,
            ..Limits::default()
        };
        Admission::new(limits, Arc::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let admission = admission(5, Some(2));
        let here = ip("10.0.0.1");
        let mut permits = vec![admission.admit(here).unwrap()];
        // The same machine, as a dual-stack socket reports it.
        permits.push(admission.admit(ip("::ffff:10.0.0.1")).unwrap());
        let refused = admission.admit(here).unwrap_err();
        assert_eq!(refused, (Limit::ConnectionsPerAddress, 2));
        for other in ["10.0.0.2", "10.0.0.3", "127.0.0.1"] {
            permits.push(admission.admit(ip(other)).unwrap());
        }
        let refused = admission.admit(ip("10.0.0.4")).unwrap_err();
        assert_eq!(refused, (Limit::Connections, 5));
        let counters = &admission.shared.counters;
        assert_eq!(counters.connections.get(), 5);
        assert_eq!(counters.rejections(Limit::Connections), 1);
        assert_eq!(counters.rejections(Limit::ConnectionsPerAddress), 1);
        permits.remove(0);
        assert!(admission.admit(here).is_ok());
        drop(permits);
        assert_eq!(counters.connections.get(), 0);
        assert_eq!(counters.connections_accepted.get(), 6);
        assert!(admission.shared.open.lock().by_address.is_empty());
    }

    /// A connection that asks for nothing: a task that holds its permit until it is aborted.
    fn silent(admission: &Admission, address: &str) -> tokio::task::JoinHandle<()> {
        let permit = Arc::new(admission.admit(ip(address)).unwrap());
        let task = tokio::spawn({
            let permit = Arc::clone(&permit);
            async move {
                std::future::pending::<()>().await;
                drop(permit);
            }
        });
        permit.taken_by(task.abort_handle());
        task
    }

    #[tokio::test]
    async fn the_oldest_connection_without_a_request_makes_room() {
        let admission = admission(3, Some(2));
        let first = silent(&admission, "10.0.0.1");
        let second = silent(&admission, "10.0.0.2");
        let third = silent(&admission, "10.0.0.2");
        // The oldest of all, or the oldest of one address.
        let heard = admission.admit(ip("10.0.0.1")).unwrap();
        assert!(first.await.unwrap_err().is_cancelled());
        let heard_too = admission.admit(ip("10.0.0.2")).unwrap();
        assert!(second.await.unwrap_err().is_cancelled());
        let counters = &admission.shared.counters;
        assert_eq!(counters.rejections(Limit::Connections), 2);
        let last = admission.admit(ip("10.0.0.1")).unwrap();
        assert!(third.await.unwrap_err().is_cancelled());
        // Now all have sent a request, and nobody is silent.
        for permit in [&heard, &heard_too, &last] {
            assert!(permit.hear());
        }
        let refused = admission.admit(ip("10.0.0.3")).unwrap_err();
        assert_eq!(refused, (Limit::Connections, 3));
        assert_eq!(counters.connections.get(), 3);
        drop((heard, heard_too, last));
        let open = admission.shared.open.lock();
        assert_eq!(
            (open.all, open.by_address.len(), open.leaving.len()),
            (0, 0, 0)
        );
    }

    #[tokio::test]
    async fn one_address_makes_room_for_itself_only() {
        let admission = admission(10, Some(1));
        let other = silent(&admission, "10.0.0.1");
        let own = silent(&admission, "10.0.0.2");
        let permit = admission.admit(ip("10.0.0.2")).unwrap();
        assert!(own.await.unwrap_err().is_cancelled());
        assert!(!other.is_finished());
        assert!(permit.hear());
        let refused = admission.admit(ip("10.0.0.2")).unwrap_err();
        assert_eq!(refused, (Limit::ConnectionsPerAddress, 1));
    }

    #[test]
    fn the_default_is_for_other_machines() {
        let default = admission(4096, None);
        let of = |address: &str| {
            let permits = (0..1000).map_while(|_| default.admit(ip(address)).ok());
            permits.collect::<Vec<_>>().len()
        };
        assert_eq!(of("10.0.0.1"), 256);
        assert_eq!(of("127.0.0.1"), 1000);
        assert_eq!(of("::1"), 1000);
        let asked_for = admission(4096, Some(256));
        let permits: Vec<_> = (0..1000)
            .map_while(|_| asked_for.admit(ip("127.0.0.1")).ok())
            .collect();
        assert_eq!(permits.len(), 256);
    }
}
