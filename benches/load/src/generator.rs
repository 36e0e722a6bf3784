//! The producers of a run: each a thread that keeps the schedule, and tasks that await what it
//! sent.
//!
//! ```text
//!  thread ─ due? ─▶ Producer::send ─▶ one lane per partition ─▶ task: Delivery::wait ─▶ tally
//!     └─ else sleeps until the next record is due
//! ```
//!
//! A thread, because the runtime's timers count in milliseconds. A lane per partition, because the
//! deliveries of one partition end in order: none is seen late because it waits behind another's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use brooklet_client::{ClientError, Delivery, NewRecord, Producer};
use brooklet_protocol::TopicName;
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::payload::Payload;
use crate::schedule::{Phases, Schedule};
use crate::tally::Tally;

/// Records of one partition that are sent and whose delivery nobody has awaited yet.
const LANE_RECORDS: usize = 64 * 1024;
/// How many of them a task takes at once.
const TAKEN_RECORDS: usize = 1024;
/// A send that takes longer has waited for the producer's buffer.
const BLOCKED_FROM: Duration = Duration::from_micros(200);

/// The zero of a run's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunClock(pub(crate) Instant);

impl RunClock {
    pub(crate) fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// Ends the generator's thread when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Halt(Arc<Flag>);

#[derive(Debug, Default)]
struct Flag {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    fn is_set(&self) -> bool {
        *self.is_set.lock()
    }

    /// Waits until `until`; true if the run ends first.
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

/// When a record was due, and its delivery.
type Sent = (Duration, Delivery);

/// What a generator needs.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) producer: Producer,
    pub(crate) topic: TopicName,
    pub(crate) partitions: usize,
    /// `None`: a closed loop.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) phases: Phases,
    pub(crate) payload: Payload,
    /// Whether values begin with the time at which they were due.
    pub(crate) is_stamped: bool,
}

/// A producer at work.
#[derive(Debug)]
pub(crate) struct Running {
    generator: oneshot::Receiver<Result<Tally, ClientError>>,
    collectors: JoinSet<()>,
    collected: Arc<Mutex<Tally>>,
    /// Ends the thread when this is dropped.
    _halt: Halt,
}

impl Running {
    /// Waits until every record that was due is sent and answered.
    pub(crate) async fn finish(mut self) -> anyhow::Result<Tally> {
        let generated = (&mut self.generator).await;
        let mut tally = generated.context("a generator thread panicked")??;
        while let Some(ended) = self.collectors.join_next().await {
            ended.context("a collector task panicked")?;
        }
        tally.merge(&self.collected.lock());
        Ok(tally)
    }
}

/// Starts a producer's thread and tasks.
pub(crate) fn start(plan: Plan, clock: RunClock) -> anyhow::Result<Running> {
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
        // If the run was cut short, nobody waits for the tally.
        .spawn(move || drop(done.send(generator.run(&handle))))
        .context("cannot start a generator thread")?;
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
    /// The number of the next record.
    number: u64,
}

impl Generator {
    fn run(mut self, runtime: &Handle) -> Result<Tally, ClientError> {
        while let Some(due) = runtime.block_on(self.send_due())? {
            if self.halt.wait_until(self.clock.0 + due) {
                break;
            }
        }
        // The deliveries say what failed.
        runtime.block_on(self.plan.producer.flush()).ok();
        Ok(self.tally)
    }

    /// Sends every record that is due; returns when the next one is, `None` at the end. A whole
    /// round after the end it gives up, so that a rate that nobody can keep ends, too.
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
