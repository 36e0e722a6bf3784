//! The features of the cluster, whose versions all its brokers have agreed on (KIP-584).
//!
//! One broker agrees with itself: each feature holds in the highest version that it knows.

/// A feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Feature {
    pub(super) name: &'static str,
    /// The lowest version that is known; 0 is "off".
    pub(super) version_min: i16,
    /// The highest one, which holds.
    pub(super) version_max: i16,
}

/// All of them.
pub(super) const FEATURES: &[Feature] = &[
    // Which version of transactions clients are to speak (KIP-890).
    Feature {
        name: "transaction.version",
        version_min: 0,
        version_max: 2,
    },
];
