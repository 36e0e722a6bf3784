//! Who may connect: how many in all, and how many from one address.
//!
//! The default for one address is for other machines. Connections from this machine all have the
//! same few addresses, whoever's they are; a limit for those is one that the owner has to ask for.
//!
//! A connection is *silent* until its first complete request. Where a limit is reached, the oldest
//! silent one makes room, so that connections that ask for nothing keep nobody out; only where all have
//! asked for something is a new one refused.

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
    /// Those that have asked for nothing yet, the oldest first.
    silent: BTreeMap<u64, Silent>,
    /// Those that made room and are not gone yet; they are not counted any longer.
    leaving: HashSet<u64>,
    next_id: u64,
}

#[derive(Debug)]
struct Silent {
    address: IpAddr,
    /// What ends it; `None` before it has begun.
    task: Option<AbortHandle>,
}

/// A place that is free again once it is dropped.
#[derive(Debug)]
pub(super) struct Place {
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

    /// A place for a connection from `address`, or the limit that keeps it out and how high that is.
    pub(super) fn admit(&self, address: IpAddr) -> Result<Place, (Limit, usize)> {
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
        Ok(Place {
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
    /// Ends the oldest silent connection, of one address or of all; false if there is none.
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

impl Place {
    /// The task of its connection, which makes room as long as it is silent.
    pub(super) fn taken_by(&self, task: AbortHandle) {
        let mut open = self.shared.open.lock();
        if let Some(silent) = open.silent.get_mut(&self.id) {
            silent.task = Some(task);
        }
    }

    /// The first complete request has come. False if the connection has just made room for another one:
    /// it is about to be ended, and must begin nothing.
    pub(super) fn is_heard(&self) -> bool {
        self.shared.open.lock().silent.remove(&self.id).is_some()
    }
}

impl Drop for Place {
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
        let mut places = vec![admission.admit(here).unwrap()];
        // The same machine, as a socket for both protocols tells it.
        places.push(admission.admit(ip("::ffff:10.0.0.1")).unwrap());
        let refused = admission.admit(here).unwrap_err();
        assert_eq!(refused, (Limit::ConnectionsPerAddress, 2));
        for other in ["10.0.0.2", "10.0.0.3", "127.0.0.1"] {
            places.push(admission.admit(ip(other)).unwrap());
        }
        let refused = admission.admit(ip("10.0.0.4")).unwrap_err();
        assert_eq!(refused, (Limit::Connections, 5));
        let counters = &admission.shared.counters;
        assert_eq!(counters.connections.get(), 5);
        assert_eq!(counters.rejections(Limit::Connections), 1);
        assert_eq!(counters.rejections(Limit::ConnectionsPerAddress), 1);
        places.remove(0);
        assert!(admission.admit(here).is_ok());
        drop(places);
        assert_eq!(counters.connections.get(), 0);
        assert_eq!(counters.connections_accepted.get(), 6);
        assert!(admission.shared.open.lock().by_address.is_empty());
    }

    /// A connection that asks for nothing: a task that holds its place until it is aborted.
    fn silent(admission: &Admission, address: &str) -> tokio::task::JoinHandle<()> {
        let place = Arc::new(admission.admit(ip(address)).unwrap());
        let task = tokio::spawn({
            let place = Arc::clone(&place);
            async move {
                std::future::pending::<()>().await;
                drop(place);
            }
        });
        place.taken_by(task.abort_handle());
        task
    }

    #[tokio::test]
    async fn the_oldest_connection_without_a_request_makes_room() {
        let admission = admission(3, Some(2));
        let first = silent(&admission, "10.0.0.1");
        let second = silent(&admission, "10.0.0.2");
        let third = silent(&admission, "10.0.0.2");
        // Of all, the oldest; of one address, its oldest.
        let heard = admission.admit(ip("10.0.0.1")).unwrap();
        assert!(first.await.unwrap_err().is_cancelled());
        let heard_too = admission.admit(ip("10.0.0.2")).unwrap();
        assert!(second.await.unwrap_err().is_cancelled());
        let counters = &admission.shared.counters;
        assert_eq!(counters.rejections(Limit::Connections), 2);
        let last = admission.admit(ip("10.0.0.1")).unwrap();
        assert!(third.await.unwrap_err().is_cancelled());
        // They have places now, and nobody is silent.
        for place in [&heard, &heard_too, &last] {
            assert!(place.is_heard());
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
        let place = admission.admit(ip("10.0.0.2")).unwrap();
        assert!(own.await.unwrap_err().is_cancelled());
        assert!(!other.is_finished());
        assert!(place.is_heard());
        let refused = admission.admit(ip("10.0.0.2")).unwrap_err();
        assert_eq!(refused, (Limit::ConnectionsPerAddress, 1));
    }

    #[test]
    fn the_default_is_for_other_machines() {
        let default = admission(4096, None);
        let of = |address: &str| {
            let places = (0..1000).map_while(|_| default.admit(ip(address)).ok());
            places.collect::<Vec<_>>().len()
        };
        assert_eq!(of("10.0.0.1"), 256);
        assert_eq!(of("127.0.0.1"), 1000);
        assert_eq!(of("::1"), 1000);
        let asked_for = admission(4096, Some(256));
        let places: Vec<_> = (0..1000)
            .map_while(|_| asked_for.admit(ip("127.0.0.1")).ok())
            .collect();
        assert_eq!(places.len(), 256);
    }
}
