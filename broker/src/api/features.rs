//! The features of the cluster, whose versions all its brokers have agreed on (KIP-584).
//!
//! There is one broker, so each feature is in effect in the highest version that it knows.

/// A feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Feature {
    pub(super) name: &'static str,
    /// The lowest known version; 0 means "off".
    pub(super) version_min: i16,
    /// The highest known version, which is in effect.
    pub(super) version_max: i16,
}

/// All features.
pub(super) const FEATURES: &[Feature] = &[
    // The version of transactions that clients use (KIP-890).
    Feature {
        name: "transaction.version",
        version_min: 0,
        version_max: 2,
    },
];
