//! Who may connect: so many in all, and so many from one address.
//!
//! The default for one address is for other machines. Connections from this machine all have the
//! same few addresses, whoever's they are; a limit for those is one that the owner has to ask for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

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
}

/// A place that is free again once it is dropped.
#[derive(Debug)]
pub(super) struct Place {
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
        let per_address = self.limits.connections_of(address);
        let of_address = open.by_address.get(&address).copied().unwrap_or(0);
        let full = if open.all >= self.limits.connections_max {
            Some((Limit::Connections, self.limits.connections_max))
        } else {
            (per_address.filter(|max| of_address >= *max))
                .map(|max| (Limit::ConnectionsPerAddress, max))
        };
        if let Some((limit, max)) = full {
            counters.rejected(limit);
            return Err((limit, max));
        }
        open.all += 1;
        open.by_address.insert(address, of_address + 1);
        counters.connections.add(1);
        counters.connections_accepted.add(1);
        Ok(Place {
            address,
            shared: Arc::clone(&self.shared),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.counters.connections.sub(1);
        let mut open = self.shared.open.lock();
        open.all -= 1;
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
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
