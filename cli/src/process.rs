//! The resources that the process uses, as Prometheus' own libraries report them.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// The resources in use; `None` where the system does not report them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct ProcessSnapshot {
    /// Processor time of all threads.
    pub(crate) cpu: Duration,
    /// Resident memory.
    pub(crate) resident_bytes: Option<u64>,
    /// Virtual memory, mapped files included.
    pub(crate) virtual_bytes: Option<u64>,
    /// Open files and sockets.
    pub(crate) open_fds: Option<u64>,
    /// The limit of open files and sockets.
    pub(crate) max_fds: Option<u64>,
    /// When it started, since 1970.
    pub(crate) started: Option<Duration>,
}

impl ProcessSnapshot {
    /// Reads them. `started` is when the process started, since 1970.
    pub(crate) fn take(started: Option<Duration>) -> Self {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let (virtual_bytes, resident_bytes) = memory().unzip();
        Self {
            cpu: Duration::try_from(cpu).unwrap_or_default(),
            resident_bytes,
            virtual_bytes,
            open_fds: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|fds| fds.count() as u64),
            max_fds: getrlimit(Resource::Nofile).current,
            started,
        }
    }
}

/// When a process started that has been running for `up`, since 1970.
pub(crate) fn started(up: Duration) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    now.checked_sub(up)
}

/// Mapped and resident bytes.
fn memory() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_whitespace().map(str::parse::<u64>);
    let page_size = rustix::param::page_size() as u64;
    let (mapped, resident) = (pages.next()?.ok()?, pages.next()?.ok()?);
    Some((mapped * page_size, resident * page_size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_something() {
        let used = ProcessSnapshot::take(started(Duration::from_secs(1)));
        assert!(used.started.unwrap() > Duration::from_secs(1_700_000_000));
        if cfg!(target_os = "linux") {
            assert!(used.resident_bytes.unwrap() > 100_000);
            assert!(used.virtual_bytes >= used.resident_bytes);
            assert!(used.open_fds.unwrap() >= 3);
        }
    }
}
