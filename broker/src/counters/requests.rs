//! Requests by API and version, and how long their answers took to make.

use std::time::Duration;

use super::Counter;

/// API keys that are counted separately; Kafka's are below 100.
const KEYS: usize = 100;
/// Versions that are counted separately; Kafka's are below 20.
const VERSIONS: usize = 20;

/// The upper bound of each bucket of answer times; an answer that takes longer is in none.
pub const BUCKETS: [Duration; 14] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// Requests of all APIs.
#[derive(Debug)]
pub struct Requests(Box<[OfApi]>);

#[derive(Debug, Default)]
struct OfApi {
    versions: [Counter; VERSIONS],
    buckets: [Counter; BUCKETS.len()],
    answered: Counter,
    nanos: Counter,
}

/// The requests of one API so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRequests {
    /// Its key.
    pub api_key: i16,
    /// How many came in each version; versions that did not come are left out.
    pub versions: Vec<(i16, u64)>,
    /// Answers that took at most as long as each of [`BUCKETS`].
    pub within: [u64; BUCKETS.len()],
    /// All answers.
    pub answered: u64,
    /// How long the answers took to make, in all, from the decoded request to the answer that is
    /// not encoded yet; the waiting that a request asks for is part of it.
    pub time: Duration,
}

impl Default for Requests {
    fn default() -> Self {
        Self((0..KEYS).map(|_| OfApi::default()).collect())
    }
}

impl Requests {
    /// A request that is served came in.
    pub fn came(&self, api_key: i16, version: i16) {
        if let Some(api) = self.of(api_key)
            && let Some(count) = usize::try_from(version)
                .ok()
                .and_then(|v| api.versions.get(v))
        {
            count.add(1);
        }
    }

    /// Its answer is made.
    pub fn answered(&self, api_key: i16, took: Duration) {
        let Some(api) = self.of(api_key) else {
            return;
        };
        if let Some(bucket) = BUCKETS.iter().position(|bound| took <= *bound) {
            api.buckets[bucket].add(1);
        }
        api.answered.add(1);
        api.nanos
            .add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Those APIs that were asked for, by key.
    pub fn count(&self) -> Vec<ApiRequests> {
        let apis = (0..).zip(&self.0).map(|(key, api)| api.count(key));
        apis.filter(|api| !api.versions.is_empty()).collect()
    }

    fn of(&self, api_key: i16) -> Option<&OfApi> {
        self.0.get(usize::try_from(api_key).ok()?)
    }
}

impl OfApi {
    fn count(&self, api_key: i16) -> ApiRequests {
        let versions = (0..).zip(&self.versions);
        let versions = versions.map(|(version, count)| (version, count.get()));
        let mut sum = 0;
        let within = self.buckets.each_ref().map(|bucket| {
            sum += bucket.get();
            sum
        });
        ApiRequests {
            api_key,
            versions: versions.filter(|(_, count)| *count > 0).collect(),
            within,
            // Read after the buckets, which must not hold more than there are.
            answered: self.answered.get().max(sum),
            time: Duration::from_nanos(self.nanos.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_version_and_answers_by_time() {
        let requests = Requests::default();
        assert_eq!(requests.count(), []);
        for (version, millis) in [(3, 1), (3, 60_000), (9, 7)] {
            requests.came(1, version);
            requests.answered(1, Duration::from_millis(millis));
        }
        // Not told apart, and no harm.
        requests.came(1, 99);
        requests.came(-1, 0);
        requests.answered(i16::MAX, Duration::ZERO);
        let counted = requests.count();
        let [fetches] = &counted[..] else {
            panic!("{counted:?}");
        };
        assert_eq!(fetches.api_key, 1);
        assert_eq!(fetches.versions, [(3, 2), (9, 1)]);
        assert_eq!(fetches.answered, 3);
        assert_eq!(fetches.time, Duration::from_millis(60_008));
        let of = |bound| fetches.within[BUCKETS.iter().position(|b| *b == bound).unwrap()];
        assert_eq!(of(Duration::from_micros(500)), 0);
        assert_eq!(of(Duration::from_millis(1)), 1);
        assert_eq!(of(Duration::from_millis(10)), 2);
        assert_eq!(of(Duration::from_secs(5)), 2);
    }
}
