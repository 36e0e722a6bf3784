//! What producers bring and consumers take: Kafka's BrokerTopicMetrics.

use super::Counter;

/// What goes in and out, of a partition or of all of them.
///
/// As in Kafka, a request counts once for each existing partition that it names.
#[derive(Debug, Default)]
pub struct Traffic {
    messages_in: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    produces: Counter,
    produces_failed: Counter,
    fetches: Counter,
    fetches_failed: Counter,
}

/// The numbers of a [`Traffic`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficCount {
    /// Records that were taken from clients; as in Kafka those of a batch that is sent again count
    /// again.
    pub messages_in: u64,
    /// Their batches, as they came.
    pub bytes_in: u64,
    /// Batches that fetches were answered with.
    pub bytes_out: u64,
    /// Partitions of produce requests.
    pub produces: u64,
    /// Those that were refused.
    pub produces_failed: u64,
    /// Partitions of fetch requests.
    pub fetches: u64,
    /// Those that were answered with an error.
    pub fetches_failed: u64,
}

impl Traffic {
    /// A batch was appended.
    pub fn produced(&self, messages: u64, bytes: u64) {
        self.produces.add(1);
        self.messages_in.add(messages);
        self.bytes_in.add(bytes);
    }

    /// A batch was not appended.
    pub fn produce_failed(&self) {
        self.produces.add(1);
        self.produces_failed.add(1);
    }

    /// A fetch is answered with `bytes` bytes.
    pub fn fetched(&self, bytes: u64) {
        self.fetches.add(1);
        self.bytes_out.add(bytes);
    }

    /// A fetch is answered with an error.
    pub fn fetch_failed(&self) {
        self.fetches.add(1);
        self.fetches_failed.add(1);
    }

    /// As it is now.
    pub fn count(&self) -> TrafficCount {
        TrafficCount {
            messages_in: self.messages_in.get(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            produces: self.produces.get(),
            produces_failed: self.produces_failed.get(),
            fetches: self.fetches.get(),
            fetches_failed: self.fetches_failed.get(),
        }
    }
}

impl std::ops::AddAssign for TrafficCount {
    fn add_assign(&mut self, other: Self) {
        self.messages_in += other.messages_in;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.produces += other.produces;
        self.produces_failed += other.produces_failed;
        self.fetches += other.fetches;
        self.fetches_failed += other.fetches_failed;
    }
}
