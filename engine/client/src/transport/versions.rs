//! Which version of an API to speak.
//!
//! Every Kafka API has a range of versions; a broker says at ApiVersions which it serves. We speak
//! the highest that suits the three who have a say:
//!
//! ```text
//!   broker's min ───────────────────────────── broker's max
//!            our min ─────────────────────────────────── our max
//!                              ▲ the caller's wish: the highest whose fields it has filled in
//! ```
//!
//! The choice is the lowest of the three upper ends, if that is not below either lower end.

use std::collections::HashMap;

use brooklet_protocol::messages::kafka::ApiVersionsResponse;
use brooklet_protocol::messages::kafka::api_versions_response::ApiVersion;
use brooklet_protocol::messages::{ApiKey, RequestKind, api_versions};

/// What one broker serves, from its answer to ApiVersions.
#[derive(Clone, Debug, Default)]
pub struct VersionTable {
    ranges: HashMap<i16, (i16, i16)>,
}

impl VersionTable {
    /// Takes the table out of an answer.
    pub fn new(answer: &ApiVersionsResponse) -> Self {
        let range = |api: &ApiVersion| (api.api_key, (api.min_version, api.max_version));
        Self {
            ranges: answer.api_keys.iter().map(range).collect(),
        }
    }

    /// The version to speak, or `None` when there is none that all three agree on.
    pub fn negotiate(&self, api: ApiKey, wish: i16) -> Option<i16> {
        let (our_min, our_max) = api_versions(api);
        let &(broker_min, broker_max) = self.ranges.get(&(api as i16))?;
        let version = wish.min(broker_max).min(our_max);
        (version >= broker_min.max(our_min)).then_some(version)
    }
}

/// How long the broker may hold this request back until something happens, in milliseconds. Such a
/// request must not share a connection: answers come in the order of the requests.
pub(super) fn held_ms_max(request: &RequestKind) -> Option<u64> {
    match request {
        RequestKind::Fetch(fetch) => Some(u64::try_from(fetch.max_wait_ms).unwrap_or(0)),
        // Until the other members have joined.
        RequestKind::JoinGroup(join) => Some(u64::try_from(join.rebalance_timeout_ms).unwrap_or(0)),
        // Until the leader has made the assignment, which takes no time; otherwise the group
        // rebalances again.
        RequestKind::SyncGroup(_) => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(api: ApiKey, min: i16, max: i16) -> VersionTable {
        let range = ApiVersion::default()
            .with_api_key(api as i16)
            .with_min_version(min)
            .with_max_version(max);
        VersionTable::new(&ApiVersionsResponse::default().with_api_keys(vec![range]))
    }

    #[test]
    fn the_lowest_upper_end_wins() {
        let fetch = |min, max, wish| table(ApiKey::Fetch, min, max).negotiate(ApiKey::Fetch, wish);
        // We can encode 4 to 18.
        assert_eq!(fetch(0, 11, 17), Some(11), "the broker's");
        assert_eq!(fetch(0, 17, 12), Some(12), "the wish");
        assert_eq!(fetch(0, 99, 99), Some(18), "ours");
    }

    #[test]
    fn nothing_below_a_lower_end_is_spoken() {
        let fetch = |min, max, wish| table(ApiKey::Fetch, min, max).negotiate(ApiKey::Fetch, wish);
        assert_eq!(fetch(13, 17, 12), None, "the broker has dropped it");
        assert_eq!(fetch(0, 3, 17), None, "we cannot encode it");
        assert_eq!(
            table(ApiKey::Fetch, 0, 17).negotiate(ApiKey::Produce, 9),
            None
        );
    }
}
