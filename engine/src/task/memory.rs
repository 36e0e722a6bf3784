//! What a task remembers, taken out of it and put back.
//!
//! ```text
//!            ┌─ standing ──▶ metadata of the committed offset
//!  task ─────┤
//!            └─ stores ──▶ rows for changelogs
//!
//!  a new task ◀── rows, in order ◀── changelogs
//!             ◀── standing ◀── metadata
//! ```
//!
//! Both leave in one commit, with the offset: a new task made from them goes on as if nothing had
//! happened.
//!
//! The standing is text, because metadata is: `b1.` and the base64 of a checksum of the program's
//! plan and the standings in the order of the walk. Without the checksum, the bytes of another
//! program could be taken for ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use brooklet_protocol::{Timestamp, TopicName};

use super::Task;
use crate::branch::progress::{Progress, Standing, Walk};
use crate::codec::DecodeError;
use crate::store::{Rows, StateStore};

const VERSION: &str = "b1.";
const CHECKSUM_BYTES: usize = 4;

/// The task's standing as text.
pub(crate) fn standing(task: &mut dyn Task, plan_checksum: u32) -> String {
    struct Save(Progress);
    impl Walk for Save {
        fn standing(&mut self, standing: &mut dyn Standing) {
            standing.save(&mut self.0);
        }
        fn store(&mut self, _: &TopicName, _: &mut dyn StateStore) {}
    }
    let mut save = Save(Progress::new());
    task.walk(&mut save);
    let mut bytes = plan_checksum.to_be_bytes().to_vec();
    bytes.extend(save.0.into_bytes());
    format!("{VERSION}{}", STANDARD_NO_PAD.encode(bytes))
}

/// Puts a standing back into a task of the same program.
///
/// # Errors
/// The text is not a standing of this program.
pub(crate) fn resume(
    task: &mut dyn Task,
    text: &str,
    plan_checksum: u32,
) -> Result<(), DecodeError> {
    struct Load(Progress, Result<(), DecodeError>);
    impl Walk for Load {
        fn standing(&mut self, standing: &mut dyn Standing) {
            if self.1.is_ok() {
                self.1 = standing.load(&mut self.0);
            }
        }
        fn store(&mut self, _: &TopicName, _: &mut dyn StateStore) {}
    }
    let encoded = text.strip_prefix(VERSION);
    let encoded = encoded.ok_or_else(|| DecodeError("expected a standing, 'b1.…'".into()))?;
    let bytes = STANDARD_NO_PAD.decode(encoded);
    let bytes = bytes.map_err(|error| DecodeError(error.to_string()))?;
    let Some((found, standings)) = bytes.split_first_chunk::<CHECKSUM_BYTES>() else {
        return Err(DecodeError("expected a checksum of the plan".into()));
    };
    if u32::from_be_bytes(*found) != plan_checksum {
        return Err(DecodeError("it belongs to another plan".into()));
    }
    let mut load = Load(Progress::of(standings.to_vec()), Ok(()));
    task.walk(&mut load);
    load.1?;
    if load.0.is_read() {
        Ok(())
    } else {
        Err(DecodeError("it has more bytes than this plan".into()))
    }
}

/// The stream time in a standing: that of the first thing a task remembers.
pub(crate) fn stream_time(text: &str) -> Option<Timestamp> {
    let bytes = STANDARD_NO_PAD.decode(text.strip_prefix(VERSION)?).ok()?;
    let standings = bytes.get(CHECKSUM_BYTES..)?.to_vec();
    let time = Progress::of(standings).time().ok()?;
    (time != Timestamp::MIN).then_some(time)
}

/// Hands over what changed in the task's stores since the last call, with the topic of each.
pub(crate) fn changes(task: &mut dyn Task, take: &mut dyn FnMut(&TopicName, &Rows)) {
    struct Changes<'a>(Rows, &'a mut dyn FnMut(&TopicName, &Rows));
    impl Walk for Changes<'_> {
        fn standing(&mut self, _: &mut dyn Standing) {}
        fn store(&mut self, changelog: &TopicName, store: &mut dyn StateStore) {
            store.changes(&mut self.0);
            if !self.0.is_empty() {
                (self.1)(changelog, &self.0);
                self.0.clear();
            }
        }
    }
    task.walk(&mut Changes(Rows::default(), take));
}

/// The changelogs of the task's stores.
pub(crate) fn changelogs(task: &mut dyn Task) -> Vec<TopicName> {
    struct Names(Vec<TopicName>);
    impl Walk for Names {
        fn standing(&mut self, _: &mut dyn Standing) {}
        fn store(&mut self, changelog: &TopicName, _: &mut dyn StateStore) {
            self.0.push(changelog.clone());
        }
    }
    let mut names = Names(Vec::new());
    task.walk(&mut names);
    names.0
}

/// A row of a changelog: its key, and its value if it has one.
pub(crate) type Row<'a> = (&'a [u8], Option<&'a [u8]>);

/// Replays rows of one changelog, in order.
///
/// # Errors
/// A row does not belong to this store.
pub(crate) fn restore<'a>(
    task: &mut dyn Task,
    changelog: &TopicName,
    rows: impl Iterator<Item = Row<'a>>,
) -> Result<(), DecodeError> {
    struct Restore<'a, 'r, I: Iterator<Item = Row<'r>>> {
        changelog: &'a TopicName,
        rows: I,
        restored: Result<(), DecodeError>,
    }
    impl<'r, I: Iterator<Item = Row<'r>>> Walk for Restore<'_, 'r, I> {
        fn standing(&mut self, _: &mut dyn Standing) {}
        fn store(&mut self, changelog: &TopicName, store: &mut dyn StateStore) {
            if changelog == self.changelog && self.restored.is_ok() {
                let rows = self.rows.by_ref();
                self.restored = rows.try_for_each(|(key, value)| store.restore(key, value));
            }
        }
    }
    let mut restore = Restore {
        changelog,
        rows,
        restored: Ok(()),
    };
    task.walk(&mut restore);
    restore.restored
}
