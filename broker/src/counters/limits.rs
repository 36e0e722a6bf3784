//! The broker's limits: what each is called, what a client is told, and how often it was.
//!
//! One table, which the metrics and the documentation are made from.

/// A limit that a client may run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Open connections.
    Connections,
    /// Open connections of one address.
    ConnectionsPerAddress,
}

/// A row of [`LIMITS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitInfo {
    /// Which.
    pub limit: Limit,
    /// The setting, or what it is called where it has none; the label of its metrics.
    pub name: &'static str,
    /// How much, where nobody says otherwise.
    pub default: &'static str,
    /// What is limited.
    pub what: &'static str,
    /// What a client gets that runs into it.
    pub answer: &'static str,
}

/// All of them, in the order of [`Limit`].
pub const LIMITS: &[LimitInfo] = &[
    LimitInfo {
        limit: Limit::Connections,
        name: "max.connections",
        default: "4096",
        what: "open connections",
        answer: "the connection is closed at once; those that are open stay",
    },
    LimitInfo {
        limit: Limit::ConnectionsPerAddress,
        name: "max.connections.per.ip",
        default: "256, and none for loopback",
        what: "open connections from one address",
        answer: "as above",
    },
];

impl Limit {
    /// Its row.
    pub fn info(self) -> &'static LimitInfo {
        &LIMITS[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_row() {
        for (number, info) in LIMITS.iter().enumerate() {
            assert_eq!(info.limit as usize, number);
            assert_eq!(info.limit.info(), info);
        }
    }
}
