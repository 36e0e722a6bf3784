//! Records that a broker refuses while others are sent: which ones, why, and what to do next.
//!
//! A refused record does not end a run: as in kcat and Kafka's console producer, the others are
//! sent. Unlike those, the run names the refused records, the first ten one by one, and fails at
//! its end. An error that is not about one record (no response, no such topic) ends it at once.

use brooklet_client::ClientError;
use brooklet_protocol::messages::ErrorCode;

use crate::exit::CliError;
use crate::output::say;

/// Records that are named one by one; the others are named as ranges at the end.
const SHOWN_MAX: u32 = 10;

/// Whether an error is about one record, so that others may be accepted.
pub(crate) fn is_of_record(error: &ClientError) -> bool {
    match error {
        ClientError::RecordTooLarge { .. } => true,
        ClientError::Broker { code, .. } => matches!(
            code,
            ErrorCode::InvalidRecord
                | ErrorCode::InvalidTimestamp
                | ErrorCode::MessageTooLarge
                | ErrorCode::RecordListTooLarge
        ),
        _ => false,
    }
}

/// The error of a run that did only a part: its next step is what would make the target accept the
/// record, and then `go_on`, which does the rest.
pub(crate) fn incomplete(what: String, go_on: &str, source: ClientError) -> CliError {
    let go_on = match remedy(&source) {
        Some(remedy) => format!("{remedy}, then {go_on}"),
        None => format!("Later, {go_on}"),
    };
    CliError::Incomplete {
        what,
        go_on,
        source,
    }
}

/// What would make the target accept such a record, if anything.
pub(crate) fn remedy(error: &ClientError) -> Option<String> {
    let ClientError::RecordTooLarge {
        partition,
        size,
        limit,
    } = error
    else {
        return None;
    };
    let bytes = size.batch_bytes;
    match limit {
        Some(limit) if limit.setting == "max.request.size" && limit.because.is_none() => {
            Some(format!("Raise the limit with: --max-request-size {bytes}"))
        }
        Some(limit) if limit.setting == "max.request.size" => Some(format!(
            "If the topic allows it: --max-request-size {bytes}"
        )),
        Some(limit) if limit.setting != "max.message.bytes" => None,
        _ => Some(format!(
            "Raise the limit with: brooklet topic alter {} --set max.message.bytes={bytes}",
            partition.topic
        )),
    }
}

/// Names the first refused records.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    count: u32,
}

impl Refusals {
    /// Says which record was refused, and why.
    pub(crate) fn say(&mut self, which: &str, error: &ClientError) {
        self.count = self.count.saturating_add(1);
        if self.count <= SHOWN_MAX {
            say(format!("{which}: {error}"));
        } else if self.count == SHOWN_MAX + 1 {
            say("more records are refused; the last message names them all");
        }
    }
}

#[cfg(test)]
mod tests {
    use brooklet_client::{RecordSize, SizeLimit};
    use brooklet_protocol::{PartitionId, TopicName, TopicPartition};

    use super::*;

    fn too_large(limit: Option<(&'static str, Option<&str>)>) -> ClientError {
        ClientError::RecordTooLarge {
            partition: TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(0)),
            size: RecordSize {
                record_bytes: 9,
                batch_bytes: 77,
                is_compressed: false,
            },
            limit: limit.map(|(setting, because)| {
                Box::new(SizeLimit {
                    setting,
                    bytes: 70,
                    because: because.map(str::to_owned),
                })
            }),
        }
    }

    #[test]
    fn each_limit_has_its_remedy() {
        let of_topic =
            "Raise the limit with: brooklet topic alter t --set max.message.bytes=77".to_owned();
        let rows = [
            (None, Some(of_topic.clone())),
            (Some(("max.message.bytes", None)), Some(of_topic)),
            (
                Some(("max.request.size", None)),
                Some("Raise the limit with: --max-request-size 77".to_owned()),
            ),
            (
                Some(("max.request.size", Some("nobody tells"))),
                Some("If the topic allows it: --max-request-size 77".to_owned()),
            ),
            (Some(("the format of batches", None)), None),
        ];
        for (limit, expected) in rows {
            assert_eq!(remedy(&too_large(limit)), expected, "{limit:?}");
        }
        assert_eq!(remedy(&ClientError::Closed), None);
        assert!(is_of_record(&too_large(None)));
        assert!(!is_of_record(&ClientError::Closed));
    }
}
