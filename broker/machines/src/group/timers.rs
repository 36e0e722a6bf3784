//! The timers of groups.
//!
//! A deadline mostly moves away, with every heartbeat. So the time kept here is never later than
//! the true deadline, and may be earlier; when it comes, the group does what is due and sets the
//! next one.

use std::collections::{BTreeSet, HashMap};

use brooklet_protocol::Monotonic;

#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Monotonic, String)>,
    by_group: HashMap<String, Monotonic>,
}

impl Timers {
    /// Wakes the group at `deadline`, or earlier.
    pub(super) fn arm(&mut self, group: &str, deadline: Monotonic) {
        match self.by_group.get(group) {
            Some(known) if *known <= deadline => return,
            Some(known) => {
                self.by_time.remove(&(*known, group.to_owned()));
            }
            None => {}
        }
        self.by_group.insert(group.to_owned(), deadline);
        self.by_time.insert((deadline, group.to_owned()));
    }

    /// Takes the groups whose time has come; each must be armed again.
    pub(super) fn due(&mut self, now: Monotonic) -> Vec<String> {
        let mut due = Vec::new();
        while let Some((time, _)) = self.by_time.first()
            && *time <= now
        {
            let (_, group) = self.by_time.pop_first().expect("there is a first");
            self.by_group.remove(&group);
            due.push(group);
        }
        due
    }

    pub(super) fn next(&self) -> Option<Monotonic> {
        self.by_time.first().map(|(time, _)| *time)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_earlier_time_counts() {
        let at = |secs| Monotonic(Duration::from_secs(secs));
        let mut timers = Timers::default();
        timers.arm("a", at(5));
        timers.arm("a", at(7));
        timers.arm("b", at(6));
        timers.arm("b", at(3));
        assert_eq!(timers.next(), Some(at(3)));
        assert_eq!(timers.due(at(2)), [""; 0]);
        assert_eq!(timers.due(at(5)), ["b", "a"]);
        assert_eq!(timers.next(), None);
        timers.arm("a", at(9));
        assert_eq!(timers.due(at(9)), ["a"]);
    }
}
