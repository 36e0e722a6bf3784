//! The producers of a run: each a thread that keeps the schedule, and tasks that await what it sent.
//!
//! ```text
//!  thread ─ due? ─▶ Producer::send ─▶ one lane per partition ─▶ task: Delivery::wait ─▶ tally
//!     └─ else sleeps until the next record is due
//! ```
//!
//! A thread, since the runtime's timers count in milliseconds. A lane per partition, since deliveries
//! of one partition end in their order: none is seen late because it stands behind another's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use brooklet_client::{ClientError, Delivery, NewRecord, Producer};
use brooklet_protocol::TopicName;
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::payload::Payload;
use super::schedule::{Phases, Schedule};
use super::tally::Tally;

/// Records of one partition that were sent and not yet looked at.
const LANE_RECORDS: usize = 64 * 1024;
/// How many of them are taken at once.
const TAKEN_RECORDS: usize = 1024;
/// A send that takes longer has waited for the producer's buffer.
const BLOCKED_FROM: Duration = Duration::from_micros(200);

/// The zero of a run's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunClock(pub(super) Instant);

impl RunClock {
    pub(super) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// Tells threads that the run is over; dropping it tells them, too.
#[derive(Debug, Default)]
pub(super) struct Halt(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    fn is_set(&self) -> bool {
        *self.is_set.lock()
    }

    /// Waits until then; true if the run ends before.
    fn wait_until(&self, until: Instant) -> bool {
        let mut is_set = self.is_set.lock();
        while !*is_set {
            if self.changed.wait_until(&mut is_set, until).timed_out() {
                break;
            }
        }
        *is_set
    }
}

impl Drop for Halt {
    fn drop(&mut self) {
        *self.0.is_set.lock() = true;
        self.0.changed.notify_all();
    }
}

/// A record on its way, and when it was due.
type Sent = (Duration, Delivery);

/// What a generator is made of.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) producer: Producer,
    pub(super) topic: TopicName,
    pub(super) partitions: usize,
    /// `None`: a closed loop.
    pub(super) schedule: Option<Schedule>,
    pub(super) phases: Phases,
    pub(super) payload: Payload,
    /// Whether values begin with the time at which they were due.
    pub(super) is_stamped: bool,
}

/// A producer at work.
#[derive(Debug)]
pub(super) struct Running {
    generator: oneshot::Receiver<Result<Tally, ClientError>>,
    collectors: JoinSet<()>,
    collected: Arc<Mutex<Tally>>,
    /// Ends the thread when this is dropped.
    _halt: Halt,
}

impl Running {
    /// Waits until all that was due is sent and answered.
    pub(super) async fn finish(mut self) -> anyhow::Result<Tally> {
        let generated = (&mut self.generator).await;
        let mut tally = generated.context("a generator has died")??;
        while let Some(ended) = self.collectors.join_next().await {
            ended.context("a collector has died")?;
        }
        tally.merge(&self.collected.lock());
        Ok(tally)
    }
}

/// Starts a producer's thread and tasks.
pub(super) fn start(plan: Plan, clock: RunClock) -> anyhow::Result<Running> {
    let collected = Arc::new(Mutex::new(Tally::new(plan.phases)));
    let (mut lanes, mut collectors) = (Vec::new(), JoinSet::new());
    for _ in 0..plan.partitions {
        let (lane, sent) = mpsc::channel(LANE_RECORDS);
        lanes.push(lane);
        collectors.spawn(collect(sent, Arc::clone(&collected), clock));
    }
    let halt = Halt::default();
    let generator = Generator {
        tally: Tally::new(plan.phases),
        number: 0,
        halt: Arc::clone(&halt.0),
        plan,
        lanes,
        clock,
    };
    let (done, receiver) = oneshot::channel();
    let handle = Handle::current();
    std::thread::Builder::new()
        .name("generator".into())
        // Nobody waits for the tally of a run that was cut short.
        .spawn(move || drop(done.send(generator.run(&handle))))
        .context("cannot start a thread")?;
    Ok(Running {
        generator: receiver,
        collectors,
        collected,
        _halt: halt,
    })
}

async fn collect(mut lane: mpsc::Receiver<Sent>, tally: Arc<Mutex<Tally>>, clock: RunClock) {
    let mut taken = Vec::new();
    while lane.recv_many(&mut taken, TAKEN_RECORDS).await > 0 {
        for (intended, delivery) in taken.drain(..) {
            match delivery.wait().await {
                Ok(_) => tally.lock().finish(intended, clock.now()),
                Err(error) => tally.lock().fail(&error),
            }
        }
    }
}

struct Generator {
    plan: Plan,
    lanes: Vec<mpsc::Sender<Sent>>,
    clock: RunClock,
    halt: Arc<Flag>,
    tally: Tally,
    /// Of the next record.
    number: u64,
}

impl Generator {
    fn run(mut self, runtime: &Handle) -> Result<Tally, ClientError> {
        while let Some(due) = runtime.block_on(self.send_due())? {
            if self.halt.wait_until(self.clock.0 + due) {
                break;
            }
        }
        // What failed is in the deliveries.
        runtime.block_on(self.plan.producer.flush()).ok();
        Ok(self.tally)
    }

    /// Sends all that is due; returns when the next record is, `None` at the end. What is still not sent
    /// a round after it was due never will be: a rate that nobody can keep ends, too.
    async fn send_due(&mut self) -> Result<Option<Duration>, ClientError> {
        loop {
            let now = self.clock.now();
            let due = |schedule: Schedule| schedule.due(self.number);
            let intended = self.plan.schedule.map_or(now, due);
            let phases = &self.plan.phases;
            let is_hopeless = now > phases.end() + phases.duration;
            if intended >= phases.end() || is_hopeless || self.halt.is_set() {
                return Ok(None);
            }
            if intended > now {
                return Ok(Some(intended));
            }
            self.send(intended, now).await?;
        }
    }

    async fn send(&mut self, intended: Duration, now: Duration) -> Result<(), ClientError> {
        let value = if self.plan.is_stamped {
            let stamp = u64::try_from(intended.as_nanos()).unwrap_or(u64::MAX);
            self.plan.payload.next_stamped(stamp)
        } else {
            self.plan.payload.next()
        };
        let record = NewRecord {
            value: Some(value),
            ..NewRecord::default()
        };
        let delivery = self.plan.producer.send(&self.plan.topic, record).await?;
        let lane = delivery.partition().partition.0 as usize;
        if self.lanes[lane].send((intended, delivery)).await.is_err() {
            return Err(ClientError::Closed);
        }
        self.tally.send(intended, now);
        self.number += 1;
        let took = self.clock.now().saturating_sub(now);
        if took > BLOCKED_FROM {
            self.tally.blocked += took;
        }
        Ok(())
    }
}
