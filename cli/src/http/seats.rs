//! Seats for connections: there are few, and the connection that deserves its seat least makes
//! room.
//!
//! That is the oldest that has not sent a complete request; if all have, the oldest, whose client
//! is slow to read. So a new connection is always accepted, no matter who holds the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// The seats of a listener.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    max: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    /// Ordered by (whether its request is complete, number): the first makes room first.
    tasks: BTreeMap<(bool, u64), Option<AbortHandle>>,
    next_number: u64,
}

/// A seat, which is free again once this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    number: u64,
    taken: Arc<Mutex<Taken>>,
}

impl Seats {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            taken: Arc::default(),
        }
    }

    /// Takes a seat, if need be that of another connection.
    pub(super) fn take(&self) -> Arc<Seat> {
        let mut taken = self.taken.lock();
        while taken.tasks.len() >= self.max {
            taken.evict();
        }
        let number = taken.next_number;
        taken.next_number += 1;
        taken.tasks.insert((false, number), None);
        Arc::new(Seat {
            number,
            taken: Arc::clone(&self.taken),
        })
    }

    /// Ends the connection that makes room first, if there is any.
    pub(super) fn free_one(&self) {
        self.taken.lock().evict();
    }
}

impl Taken {
    fn evict(&mut self) {
        if let Some((_, Some(task))) = self.tasks.pop_first() {
            task.abort();
        }
    }
}

impl Seat {
    /// The task to end when the seat is needed.
    pub(super) fn taken_by(&self, task: AbortHandle) {
        let mut taken = self.taken.lock();
        for has_asked in [false, true] {
            if let Some(known) = taken.tasks.get_mut(&(has_asked, self.number)) {
                *known = Some(task);
                return;
            }
        }
    }

    /// Notes that a complete request has arrived.
    pub(super) fn has_asked(&self) {
        let mut taken = self.taken.lock();
        if let Some(task) = taken.tasks.remove(&(false, self.number)) {
            taken.tasks.insert((true, self.number), task);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        for has_asked in [false, true] {
            taken.tasks.remove(&(has_asked, self.number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sit(seats: &Seats) -> (Arc<Seat>, tokio::task::JoinHandle<()>) {
        let seat = seats.take();
        let task = tokio::spawn(std::future::pending());
        seat.taken_by(task.abort_handle());
        (seat, task)
    }

    #[tokio::test]
    async fn who_has_asked_for_nothing_makes_room_first_and_then_the_oldest() {
        let seats = Seats::new(3);
        let (asked, asked_task) = sit(&seats);
        asked.has_asked();
        let (_silent, silent_task) = sit(&seats);
        let (left, _) = sit(&seats);
        drop(left);
        let (late, late_task) = sit(&seats);
        late.has_asked();
        // The only silent one, then the oldest that has asked.
        let (newest, _) = sit(&seats);
        assert!(silent_task.await.unwrap_err().is_cancelled());
        assert!(!asked_task.is_finished() && !late_task.is_finished());
        newest.has_asked();
        let _last = sit(&seats);
        assert!(asked_task.await.unwrap_err().is_cancelled());
        assert!(!late_task.is_finished());
        assert_eq!(seats.taken.lock().tasks.len(), 3);
        seats.free_one();
        assert_eq!(seats.taken.lock().tasks.len(), 2);
    }
}
