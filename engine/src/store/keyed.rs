//! State by key: a value for each key, and when to wake it.
//!
//! ```text
//!  key ──▶ state              what an operator keeps of the key
//!  deadline ──▶ keys          whose state has something to do when stream time gets there
//! ```
//!
//! A key has at most one entry among the deadlines. It may be earlier than what the state needs by
//! now: sessions grow with every record, and moving an entry each time would cost more than looking
//! at a key once too often.
//!
//! How many rows a state has in the changelog is the state's own business ([`KeyState`]): that of
//! an operator which the program wrote has one, that of session windows one per session.
//!
//! Invariants: no key's state is empty after its changes were taken; no deadline is missed, and
//! keys that are due come in order of their bytes.

use std::collections::BTreeMap;

use brooklet_protocol::Timestamp;

use super::{KeyList, KeyMap, Rows, StateStore};
use crate::codec::DecodeError;

/// What is kept of one key, and its rows.
pub(crate) trait KeyState: Default {
    /// The key in a row's key.
    fn key_of(row: &[u8]) -> Result<&[u8], DecodeError>;
    /// Replays one of the key's rows.
    fn restore(&mut self, row: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError>;
    /// Hands over what has changed since the last call.
    fn changes(&mut self, key: &[u8], rows: &mut Rows);
    /// Whether there is nothing to keep.
    fn is_empty(&self) -> bool;
}

#[derive(Debug)]
struct Held<S> {
    state: S,
    is_dirty: bool,
    /// Its entry among the deadlines.
    wake: Option<Timestamp>,
}

/// The states of all keys.
#[derive(Debug)]
pub(crate) struct Keyed<S> {
    keys: KeyMap<Held<S>>,
    dirty: KeyList,
    deadlines: BTreeMap<Timestamp, KeyList>,
    is_logged: bool,
}

impl<S: KeyState> Keyed<S> {
    pub(crate) fn new(is_logged: bool) -> Self {
        Self {
            keys: KeyMap::default(),
            dirty: KeyList::default(),
            deadlines: BTreeMap::new(),
            is_logged,
        }
    }

    /// Changes the state of a key, which is new if there is none; `change` returns the key's next
    /// deadline.
    pub(crate) fn change(&mut self, key: &[u8], change: impl FnOnce(&mut S) -> Option<Timestamp>) {
        if !self.keys.contains_key(key) {
            self.keys.insert(
                key.into(),
                Held {
                    state: S::default(),
                    is_dirty: false,
                    wake: None,
                },
            );
        }
        let Some(held) = self.keys.get_mut(key) else {
            return;
        };
        let deadline = change(&mut held.state);
        if self.is_logged && !held.is_dirty {
            held.is_dirty = true;
            self.dirty.push(key);
        }
        if let Some(deadline) = deadline
            && held.wake.is_none_or(|wake| deadline < wake)
        {
            held.wake = Some(deadline);
            self.deadlines.entry(deadline).or_default().push(key);
        }
        if !self.is_logged && held.state.is_empty() {
            // Nothing will ask for its rows.
            self.keys.remove(key);
        }
    }

    /// The keys whose deadline is at or before `now`, in order of deadline and bytes. They have no
    /// deadline until [`Keyed::change`] sets one.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Vec<Box<[u8]>> {
        let mut due = Vec::new();
        while let Some(first) = self.deadlines.first_entry()
            && *first.key() <= now
        {
            let (deadline, keys) = first.remove_entry();
            let from = due.len();
            for key in keys.iter() {
                // An entry that an earlier deadline has replaced is no longer the key's.
                if let Some(held) = self.keys.get_mut(key)
                    && held.wake == Some(deadline)
                {
                    held.wake = None;
                    due.push(key.into());
                }
            }
            due[from..].sort_unstable();
        }
        due
    }

    /// Sets the deadlines of all keys, after a restore.
    pub(crate) fn arm(&mut self, deadline_of: impl Fn(&S) -> Option<Timestamp>) {
        self.deadlines.clear();
        for (key, held) in &mut self.keys {
            held.wake = deadline_of(&held.state);
            if let Some(deadline) = held.wake {
                self.deadlines.entry(deadline).or_default().push(key);
            }
        }
    }

    /// The states of all keys, in no particular order.
    pub(crate) fn states(&self) -> impl Iterator<Item = &S> {
        self.keys.values().map(|held| &held.state)
    }
}

impl<S: KeyState> StateStore for Keyed<S> {
    fn changes(&mut self, rows: &mut Rows) {
        for key in self.dirty.iter() {
            let Some(held) = self.keys.get_mut(key) else {
                continue;
            };
            held.is_dirty = false;
            held.state.changes(key, rows);
            if held.state.is_empty() {
                self.keys.remove(key);
            }
        }
        self.dirty.clear();
    }

    fn restore(&mut self, row: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError> {
        let key = S::key_of(row)?;
        let mut state = match self.keys.remove(key) {
            Some(held) => held.state,
            None => S::default(),
        };
        let restored = state.restore(row, value);
        if !state.is_empty() {
            let held = Held {
                state,
                is_dirty: false,
                wake: None,
            };
            self.keys.insert(key.into(), held);
        }
        restored
    }
}
