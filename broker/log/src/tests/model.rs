//! The log against a vector: appends, syncs, clean ends, crashes and full disks in any order.
//!
//! The law: offsets are dense; what a reader gets was written, whole, in order; a crash takes only
//! batches from the end, and none that was synced; a failed append leaves nothing.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Append {
        records: usize,
        value_bytes: usize,
    },
    Sync,
    /// An append when only so many bytes are left on the disk.
    Squeeze {
        room_bytes: u64,
    },
    Read {
        from: usize,
    },
    CloseAndOpen,
    KillAndOpen,
    CrashAndOpen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = || (1_usize..6, 0_usize..250);
    let step = prop_oneof![
        8 => append().prop_map(|(records, value_bytes)| Step::Append { records, value_bytes }),
        2 => Just(Step::Sync),
        1 => (0_u64..300).prop_map(|room_bytes| Step::Squeeze { room_bytes }),
        2 => (0_usize..20).prop_map(|from| Step::Read { from }),
        1 => Just(Step::CloseAndOpen),
        1 => Just(Step::KillAndOpen),
        2 => Just(Step::CrashAndOpen),
    ];
    prop::collection::vec(step, 1..40)
}

/// A log and what must be in it.
struct Subject {
    vfs: SimVfs,
    config: LogConfig,
    log: Option<Log>,
    batches: Vec<RecordBatch>,
    /// The recovery point as it would be written down.
    synced: Offset,
    appends: u64,
}

impl Subject {
    fn new(vfs: SimVfs, config: LogConfig) -> Self {
        vfs.create_dir_all(dir()).unwrap();
        vfs.sync_dir(Path::new("")).unwrap();
        let log = Some(open(&vfs, config.clone()));
        Self {
            vfs,
            config,
            log,
            batches: Vec::new(),
            synced: Offset(0),
            appends: 0,
        }
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn append(&mut self, records: usize, value_bytes: usize) -> Result<(), LogError> {
        self.appends += 1;
        // The time tells every batch from every other.
        let batch = batch_of(&vec![self.appends as i64; records], value_bytes);
        let appended = append(self.log(), &batch)?;
        assert_eq!(appended.base_offset, self.end());
        let mut stored = stored(&batch, appended.base_offset);
        self.batches
            .push(RecordBatch::split_from(&mut stored).unwrap());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), LogError> {
        self.synced = self.log().sync_handle().sync()?;
        assert_eq!(self.synced, self.end());
        Ok(())
    }

    fn end(&self) -> Offset {
        let last = self.batches.last();
        last.map_or(Offset(0), |batch| batch.header().next_offset())
    }

    /// Opens what is on `vfs`; a crash may have taken batches from the end that were not synced.
    fn reopen(&mut self, vfs: SimVfs, start: RecoveryStart, may_lose: bool) {
        self.log = None;
        self.vfs = vfs;
        let (log, _) = open_with(&self.vfs, self.config.clone(), start).unwrap();
        let end = log.reader().log_end_offset();
        assert!(end >= self.synced, "{end} was synced up to {}", self.synced);
        assert!(may_lose || end == self.end(), "{end} of {}", self.end());
        self.batches
            .retain(|batch| batch.header().next_offset() <= end);
        assert_eq!(self.end(), end, "whole batches from the beginning on");
        self.log = Some(log);
        self.check(0);
    }

    fn check(&mut self, from: usize) {
        let expected = self.batches.get(from..).unwrap_or_default().to_vec();
        let from = expected
            .first()
            .map_or(self.end(), |batch| batch.header().base_offset);
        assert_eq!(read_from(&self.log().reader(), from).unwrap(), expected);
    }

    fn run(&mut self, step: Step) -> Result<(), LogError> {
        match step {
            Step::Append {
                records,
                value_bytes,
            } => self.append(records, value_bytes)?,
            Step::Sync => self.sync()?,
            Step::Squeeze { room_bytes } => {
                self.vfs
                    .set_capacity(Some(self.vfs.used_bytes() + room_bytes));
                let before = self.end();
                let result = self.append(2, 100);
                self.vfs.set_capacity(None);
                assert_eq!(result.is_err(), self.end() == before);
                assert_eq!(self.log().reader().log_end_offset(), self.end());
            }
            Step::Read { from } => self.check(from),
            Step::CloseAndOpen => {
                self.synced = self.log.take().unwrap().close()?;
                let start = start(true, self.synced.0);
                // Even a crash after the close leaves all of it.
                self.reopen(self.vfs.crash(), start, false);
            }
            Step::KillAndOpen => {
                let start = start(false, self.synced.0);
                self.reopen(self.vfs.clone(), start, false);
            }
            Step::CrashAndOpen => {
                let start = start(false, self.synced.0);
                self.reopen(self.vfs.crash(), start, true);
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_log_equals_a_vector(
        steps in steps(),
        seed in any::<u64>(),
        segment_bytes in 100_u64..2000,
        index_interval_bytes in 0_u64..500,
    ) {
        let config = LogConfig { index_interval_bytes, ..config(segment_bytes) };
        let mut subject = Subject::new(SimVfs::new(seed), config);
        for step in steps {
            subject.run(step).unwrap();
        }
        subject.check(0);
    }
}

/// Appends, rolls, syncs and a clean end.
const SCRIPT: [Step; 13] = {
    const SMALL: Step = Step::Append {
        records: 1,
        value_bytes: 30,
    };
    const LARGE: Step = Step::Append {
        records: 3,
        value_bytes: 90,
    };
    [
        SMALL,
        SMALL,
        Step::Sync,
        LARGE,
        SMALL,
        LARGE,
        Step::Sync,
        SMALL,
        LARGE,
        SMALL,
        Step::CloseAndOpen,
        LARGE,
        SMALL,
    ]
};

#[test]
fn a_crash_at_any_operation_keeps_what_was_synced() {
    for seed in 0..30 {
        for operations in 0.. {
            let mut subject = Subject::new(SimVfs::new(seed), config(400));
            subject.vfs.cut_power_after(operations);
            let failed = SCRIPT.iter().any(|step| subject.run(*step).is_err());
            let start = start(false, subject.synced.0);
            subject.reopen(subject.vfs.crash(), start, true);
            if !failed {
                assert!(operations > 20, "the script is that long");
                break;
            }
        }
    }
}
