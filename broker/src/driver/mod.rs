//! Runs a state machine on its log.
//!
//! A machine (the tree of znodes, a consumer group, transactions) is pure: it decides, but it
//! neither writes nor waits. The [`Driver`] does that for it. One command goes through six steps:
//!
//! ```text
//!             under the lock                              without it
//!  submit ─▶ decide ─▶ append ─▶ replay ─────────▶ commit ─▶ deliver effects ─▶ answer
//!            (reads)   (page     (the only place   (synced,  (in the order
//!                      cache)    state changes)    shared)   of the log)
//! ```
//!
//! The answer has the type that the command names ([`Command::Answer`]).
//!
//! Invariants:
//! - hard state changes only in [`StateMachine::replay`], so replaying the log from its start
//!   rebuilds the state of the live run;
//! - an append that fails changes no hard state; the effects of the decision itself, which its
//!   records do not bring, are delivered all the same;
//! - an answer, also that of a read, leaves only once every record it rests on is committed, and
//!   after the effects of those records (except for [`Driver::write`], whose caller does not need
//!   that);
//! - effects are delivered once, in the order of their records;
//! - a command whose caller has gone away is still completed.
//!
//! Left out: snapshots. A machine's log is replayed from its start each time.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::sync::Arc;

use brooklet_log::LogError;
use brooklet_log::clock::Clock;
use brooklet_machines::{Command, Decision, LogRecord, Moment, Start, StateMachine, Tick};
use brooklet_protocol::Offset;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;

use crate::partition::Durability;

mod record_log;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub(crate) use record_log::replay_batches;
pub use record_log::{RecordLog, ReplayError, ReplayRecord};

/// Why a command has no answer.
#[derive(Debug, Error)]
pub enum DriverError {
    /// The log refuses the records, or cannot make them durable.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The process is shutting down.
    #[error("the broker is shutting down")]
    Stopped,
}

/// The receiver of effects. Must not block; called in the order of the log.
pub type Sink<E> = Box<dyn Fn(E) + Send + Sync>;

/// Owns a machine and its log.
pub struct Driver<M: StateMachine, L> {
    log: L,
    clock: Arc<dyn Clock>,
    durability: Durability,
    state: Mutex<State<M>>,
    /// Held while effects go out, so that they cannot overtake each other.
    sink: Mutex<Sink<M::Effect>>,
    /// Signals that the deadline may have changed.
    changed: Notify,
}

struct State<M: StateMachine> {
    machine: M,
    /// The offset after the last record that was replayed.
    replayed: Offset,
    /// Everything below is committed, and its effects are delivered.
    delivered: Offset,
    /// Effects, each with the offset below which everything has to be committed first.
    pending: VecDeque<(Offset, Vec<M::Effect>)>,
}

impl<M: StateMachine, L: RecordLog> Driver<M, L> {
    /// Replays the whole log into `machine`. Blocks.
    ///
    /// # Errors
    /// The log cannot be read, or holds records that `machine` did not write.
    pub fn open(
        mut machine: M,
        log: L,
        clock: Arc<dyn Clock>,
        durability: Durability,
        sink: Sink<M::Effect>,
    ) -> Result<Arc<Self>, DriverError> {
        // The effects of the past have no receiver: their watchers were in an earlier process.
        log.replay(&mut |offset, record| machine.replay(offset, record).map(drop))?;
        let end = log.end_offset();
        let state = State {
            machine,
            replayed: end,
            // A process before this one may have been killed before it synced its last records:
            // the first answer waits for that.
            delivered: Offset::ZERO,
            pending: VecDeque::new(),
        };
        Ok(Arc::new(Self {
            log,
            clock,
            durability,
            state: Mutex::new(state),
            sink: Mutex::new(sink),
            changed: Notify::new(),
        }))
    }

    /// Runs a command, and returns its answer once what it rests on is committed.
    ///
    /// # Errors
    /// The log fails. After a failed append nothing has changed; after a failed sync nobody knows,
    /// and the log takes no further commands.
    pub async fn submit<C: Command<M>>(
        self: &Arc<Self>,
        command: C,
    ) -> Result<C::Answer, DriverError> {
        match self.decide(command) {
            Ok((answer, rests_on)) => {
                self.commit_in_background(rests_on).await?;
                Ok(answer)
            }
            Err(error) => {
                // The decision may have had effects, and their receivers must not wait forever.
                let replayed = self.state.lock().replayed;
                drop(self.commit_in_background(Some(replayed)).await);
                Err(error)
            }
        }
    }

    /// Runs a command without waiting for the commit: for decisions that the next start would make
    /// again if they were lost. The next answer that rests on it waits for the commit; the effects
    /// are delivered then.
    ///
    /// # Errors
    /// The append fails; nothing has changed.
    pub fn write<C: Command<M>>(&self, command: C) -> Result<C::Answer, DriverError> {
        self.decide(command).map(|(answer, _)| answer)
    }

    /// Lets the machine go live, once its log is replayed.
    ///
    /// # Errors
    /// As [`Driver::submit`].
    pub async fn start(self: &Arc<Self>) -> Result<(), DriverError> {
        self.submit(Start).await
    }

    /// Commits what an answer rests on, on a task of its own, so that effects are delivered even if
    /// the caller goes away.
    async fn commit_in_background(
        self: &Arc<Self>,
        rests_on: Option<Offset>,
    ) -> Result<(), DriverError> {
        let Some(offset) = rests_on else {
            return Ok(());
        };
        let driver = Arc::clone(self);
        let commit = tokio::spawn(async move { driver.commit(offset).await });
        match commit.await {
            Ok(result) => result,
            Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
            Err(_) => Err(DriverError::Stopped),
        }
    }

    /// Wakes the machine at each of its deadlines. Runs until dropped.
    ///
    /// # Errors
    /// As [`Driver::submit`].
    pub async fn run_deadlines(self: &Arc<Self>) -> Result<(), DriverError> {
        loop {
            let changed = self.changed.notified();
            let next = self.state.lock().machine.deadline();
            match next {
                None => changed.await,
                Some(deadline) => tokio::select! {
                    () = changed => {}
                    () = self.clock.sleep_until(deadline) => {
                        self.submit(Tick).await?;
                    }
                },
            }
        }
    }

    /// Runs a command that touches only soft state, at once.
    ///
    /// # Panics
    /// The machine decides to log something.
    pub fn soft<C: Command<M>>(&self, command: C) -> C::Answer {
        let mut state = self.state.lock();
        let at = self.moment(&state);
        let Decision {
            records,
            answer,
            effects,
        } = command.decide(&mut state.machine, at);
        let is_soft = records.is_empty() && effects.is_empty();
        assert!(is_soft, "a command for soft state logs nothing");
        self.changed.notify_one();
        answer
    }

    /// Looks at the machine, and returns what was seen once it is committed.
    ///
    /// # Errors
    /// As [`Driver::submit`].
    pub async fn inspect_committed<T>(
        self: &Arc<Self>,
        look: impl FnOnce(&M) -> T,
    ) -> Result<T, DriverError> {
        let (seen, rests_on) = {
            let state = self.state.lock();
            let open = state.delivered < state.replayed;
            (look(&state.machine), open.then_some(state.replayed))
        };
        self.commit_in_background(rests_on).await?;
        Ok(seen)
    }

    /// Looks at the machine, committed or not.
    pub fn inspect<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.state.lock().machine)
    }

    /// The steps under the lock. Returns the offset to commit before the answer may leave, if any.
    fn decide<C: Command<M>>(
        &self,
        command: C,
    ) -> Result<(C::Answer, Option<Offset>), DriverError> {
        let mut state = self.state.lock();
        let at = self.moment(&state);
        let Decision {
            records,
            answer,
            effects,
        } = command.decide(&mut state.machine, at);
        let rests_on = self.append(&mut state, at, &records, effects)?;
        Ok((answer, rests_on))
    }

    /// Appends and replays the records of a decision. The same code for all commands.
    fn append(
        &self,
        state: &mut State<M>,
        at: Moment,
        records: &[LogRecord],
        effects: Vec<M::Effect>,
    ) -> Result<Option<Offset>, DriverError> {
        let appended = if records.is_empty() {
            Ok(())
        } else {
            self.log.append(records, at.wall).map(|base| {
                assert_eq!(base, at.offset, "the driver is the only writer of its log");
                state.replay(base, records);
            })
        };
        let has_effects = !effects.is_empty();
        if has_effects {
            let end = state.replayed;
            state.pending.push_back((end, effects));
        }
        self.changed.notify_one();
        appended?;
        let open = state.delivered < state.replayed || has_effects;
        Ok(open.then_some(state.replayed))
    }

    fn moment(&self, state: &State<M>) -> Moment {
        Moment {
            wall: self.clock.wall(),
            monotonic: self.clock.monotonic(),
            offset: state.replayed,
        }
    }

    async fn commit(&self, offset: Offset) -> Result<(), DriverError> {
        self.log.commit(offset, self.durability).await?;
        let sink = self.sink.lock();
        let due = self.state.lock().due(offset);
        due.into_iter().for_each(&*sink);
        let mut state = self.state.lock();
        state.delivered = state.delivered.max(offset);
        debug_assert!(
            state.delivered <= state.replayed,
            "only what was replayed is delivered"
        );
        Ok(())
    }
}

impl<M: StateMachine> State<M> {
    fn replay(&mut self, base: Offset, records: &[LogRecord]) {
        let mut effects = Vec::new();
        for (offset, record) in (base.0..).map(Offset).zip(records) {
            let replayed = self.machine.replay(offset, record);
            effects.extend(replayed.expect("a machine replays what it has just decided"));
            self.replayed = offset.plus(1);
        }
        self.pending.push_back((self.replayed, effects));
    }

    /// The effects that may go once everything below `offset` is committed.
    fn due(&mut self, offset: Offset) -> Vec<M::Effect> {
        let due = self.pending.partition_point(|(end, _)| *end <= offset);
        self.pending.drain(..due).flat_map(|(_, e)| e).collect()
    }
}

impl<M: StateMachine, L: Debug> Debug for Driver<M, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Driver")
            .field("log", &self.log)
            .field("replayed", &state.replayed)
            .field("delivered", &state.delivered)
            .finish_non_exhaustive()
    }
}
