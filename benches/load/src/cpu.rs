//! How busy this process is, round by round.

use rustix::time::{ClockId, clock_gettime};

use crate::generator::RunClock;
use crate::schedule::Phases;

/// Seconds of processor time that all threads of this process have used.
pub(crate) fn used() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// How many processors this process may use.
pub(crate) fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64)
}

/// Processors used in each round, on average; ends with the last round.
pub(crate) async fn by_round(phases: Phases, clock: RunClock) -> Vec<f64> {
    let mut rounds = Vec::new();
    let mut before = None;
    for round in 0..=phases.rounds {
        let end = clock.0 + phases.end_of(round);
        tokio::time::sleep_until(end.into()).await;
        let now = (clock.now().as_secs_f64(), used());
        if let Some((at, used)) = before.replace(now) {
            rounds.push((now.1 - used) / (now.0 - at));
        }
    }
    rounds
}
