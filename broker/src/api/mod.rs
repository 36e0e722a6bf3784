//! Skeleton: one file per Kafka API.
