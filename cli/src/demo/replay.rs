//! Sends the flights through the Kafka port, at `--speed` times real time.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use brooklet_client::{Client, NewRecord, OffsetSpec, Producer, ProducerConfig};
use brooklet_log::clock::Clock;
use brooklet_protocol::{Monotonic, Offset, PartitionId, Timestamp, TopicName, TopicPartition};
use bytes::Bytes;

use super::flights::Flight;

/// Partitions of the topic.
pub(super) const PARTITIONS: i32 = 3;

/// How much faster than real time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    Times(f64),
    /// As fast as records can be sent.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<f64>()) {
            ("max", _) => Ok(Self::Max),
            (_, Ok(times)) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err("expected a positive number or max".into()),
        }
    }
}

impl Speed {
    /// How long after the start of the replay something happens that is `event_ms` after the start
    /// of the data.
    fn due(self, event_ms: i64) -> Duration {
        match self {
            Self::Max => Duration::ZERO,
            Self::Times(times) => Duration::from_secs_f64(event_ms.max(0) as f64 / 1000.0 / times),
        }
    }
}

/// Sends all flights, waits until they are acknowledged, and returns where the topic ends.
///
/// # Errors
/// A record could not be delivered.
pub(super) async fn replay(
    client: Client,
    flights: &[Flight],
    speed: Speed,
    clock: &dyn Clock,
) -> anyhow::Result<BTreeMap<TopicPartition, Offset>> {
    let topic = TopicName::new(super::query::TOPIC)?;
    let producer = Producer::new(client.clone(), ProducerConfig::default()).await?;
    let started = clock.monotonic();
    let first = flights.first().map_or(Ok(Timestamp(0)), Flight::departed)?;
    for flight in flights {
        let departed = flight.departed()?;
        let due = Monotonic(started.0 + speed.due(departed.0 - first.0));
        if clock.monotonic() < due {
            clock.sleep_until(due).await;
        }
        producer.send(&topic, record(flight, departed)?).await?;
    }
    producer.flush().await?;
    let partitions = (0..PARTITIONS).map(|p| TopicPartition::new(topic.clone(), PartitionId(p)));
    let partitions: Vec<_> = partitions.collect();
    Ok(client.list_offsets(&partitions, OffsetSpec::Latest).await?)
}

fn record(flight: &Flight, departed: Timestamp) -> anyhow::Result<NewRecord> {
    Ok(NewRecord {
        timestamp: Some(departed),
        key: Some(Bytes::copy_from_slice(flight.tailnum.as_bytes())),
        value: Some(serde_json::to_vec(flight)?.into()),
        ..NewRecord::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_a_positive_number_or_max() {
        assert_eq!("10080".parse(), Ok(Speed::Times(10080.0)));
        assert_eq!("max".parse(), Ok(Speed::Max));
        for wrong in ["0", "-3", "fast", "NaN", "inf", ""] {
            assert!(wrong.parse::<Speed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn at_ten_thousand_and_eighty_times_a_week_takes_a_minute() {
        let week_ms = 7 * 24 * 3_600_000;
        assert_eq!(Speed::Times(10080.0).due(week_ms), Duration::from_secs(60));
        assert_eq!(Speed::Max.due(week_ms), Duration::ZERO);
    }
}
