//! The broker's settings under Kafka's names: from `key=value` to a [`BrokerConfig`] and back.
//!
//! ```text
//!  log.retention.hours = 24 ──▶ one of BROKER_SETTINGS ──▶ a value of its kind ──▶ BrokerConfig
//!  zookeeper.connect = zk   ──▶ WITHOUT_EFFECT: Kafka's, and nothing here; named at the start
//!  log.retentoin.ms = 5     ──▶ an error that names the nearest
//! ```
//!
//! - Where several names set the same value, in other units or as an older name, one outranks the
//!   other, whatever their order: milliseconds, then minutes, then hours; `node.id`, then
//!   `broker.id`; `log.dirs`, then `log.dir`. If a name is given twice, the later value holds.
//! - Each setting of topics has its default here: a topic without a value of its own has the
//!   broker's.
//! - The given values are remembered, so that DescribeConfigs can tell them from the defaults.
//!
//! Left out: changes while the broker runs; `${provider:…}` in values.

use std::collections::BTreeMap;

use thiserror::Error;

use super::config::BrokerConfig;
use crate::api::DescribedSetting;
use crate::controller::config_kind::{self, ConfigKind};
use crate::controller::topic_config::TopicConfig;

mod table;
mod without_effect;

#[cfg(test)]
mod tests;

pub use table::BROKER_SETTINGS;
pub use without_effect::{WITHOUT_EFFECT, WithoutEffect};

/// One setting of the broker.
#[derive(Clone, Copy, Debug)]
pub struct BrokerSetting {
    /// Kafka's name, or ours where the meaning says so.
    pub name: &'static str,
    /// The default; `None` if the setting is another name of one, or if the default depends on how
    /// the broker is started.
    pub default: Option<&'static str>,
    /// The values that it takes.
    pub kind: ConfigKind,
    /// What it means.
    pub doc: &'static str,
    /// Settings that set the same value and win over it if they are given.
    pub outranked_by: &'static [&'static str],
    target: Target,
}

/// What a setting sets.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// A field of the broker's configuration.
    Own {
        get: fn(&BrokerConfig) -> String,
        set: fn(&mut BrokerConfig, &str),
    },
    /// The default of this setting of topics.
    OfTopics(&'static TopicConfig),
    /// The same, in units of `millis` milliseconds.
    InUnits { topic: &'static str, millis: i64 },
}

impl BrokerSetting {
    /// The setting of topics that it is the default of.
    pub fn of_topics(&self) -> Option<&'static str> {
        match self.target {
            Target::Own { .. } => None,
            Target::OfTopics(topic) => Some(topic.name),
            Target::InUnits { topic, .. } => Some(topic),
        }
    }

    /// Its current value; `None` for a number in another unit that was not given.
    pub fn value(&self, config: &BrokerConfig) -> Option<String> {
        match self.target {
            // Without a default, an empty text means that it is not set.
            Target::Own { get, .. } => {
                Some(get(config)).filter(|value| !value.is_empty() || self.default.is_some())
            }
            Target::OfTopics(topic) => topic.get(&config.log),
            Target::InUnits { .. } => config.given.get(self.name).cloned(),
        }
    }

    /// Sets a value that its kind takes.
    fn set(&self, config: &mut BrokerConfig, value: &str) {
        match self.target {
            Target::Own { set, .. } => set(config, value),
            Target::OfTopics(topic) => topic.set(&mut config.log, value),
            Target::InUnits { topic, millis } => {
                let count: i64 = value.parse().expect("its kind is a number");
                // A negative number means "no limit" in any unit.
                let in_millis = if count < 0 { -1 } else { count * millis };
                let topic = TopicConfig::find(topic).expect("a row of the table names it");
                topic.set(&mut config.log, &in_millis.to_string());
            }
        }
    }

    /// The name under which it was given, and the value; `None` if it was not given.
    fn given(&self, config: &BrokerConfig) -> Option<(&'static str, String)> {
        let stands_for_it = |other: &&BrokerSetting| match self.target {
            Target::InUnits { .. } => other.name == self.name,
            _ => other.name == self.name || other.outranked_by.contains(&self.name),
        };
        let all = BROKER_SETTINGS.iter().filter(stands_for_it);
        let given = all.filter(|other| config.given.contains_key(other.name));
        match given.min_by_key(|other| other.outranked_by.len()) {
            Some(first) => Some((first.name, first.value(config)?)),
            // A program that embeds the broker sets the fields themselves.
            None => (self
                .value(config)
                .filter(|value| Some(&**value) != self.default))
            .map(|value| (self.name, value)),
        }
    }
}

/// What became of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in effect.
    Set,
    /// Another setting was given, too, and wins over it.
    Outranked {
        /// Its name.
        by: &'static str,
    },
    /// It is one of Kafka's that does nothing here; see [`WITHOUT_EFFECT`].
    WithoutEffect,
}

/// Why a setting is not accepted.
#[derive(Clone, Debug, Error)]
pub enum SettingError {
    /// Neither Kafka nor Brooklet has it.
    #[error("unknown setting '{key}'; the nearest name is '{nearest}'")]
    Unknown {
        /// What was given.
        key: String,
        /// Probably the intended name.
        nearest: &'static str,
    },
    /// The value is malformed or out of range.
    #[error("{key}: expected {expected}, found '{found}'")]
    Value {
        /// The setting.
        key: &'static str,
        /// The values that it takes.
        expected: ConfigKind,
        /// What was given.
        found: String,
    },
}

impl BrokerConfig {
    /// Sets one of Kafka's settings.
    ///
    /// ```
    /// # use brooklet_broker::BrokerConfig;
    /// let mut config = BrokerConfig::default();
    /// config.apply("log.segment.bytes", "65536").unwrap();
    /// assert_eq!(config.log.segment_bytes, 65536);
    /// let error = config.apply("log.segment.bites", "1").unwrap_err();
    /// assert!(error.to_string().ends_with("the nearest name is 'log.segment.bytes'"));
    /// ```
    ///
    /// # Errors
    /// The name is unknown, or does not take this value; then nothing is changed.
    pub fn apply(&mut self, key: &str, value: &str) -> Result<Applied, SettingError> {
        let (key, value) = (key.trim(), value.trim());
        let Some(setting) = BROKER_SETTINGS.iter().find(|s| s.name == key) else {
            return self.apply_without_effect(key);
        };
        if !setting.kind.takes(value) {
            return Err(SettingError::Value {
                key: setting.name,
                expected: setting.kind,
                found: value.to_owned(),
            });
        }
        self.given.insert(setting.name, value.to_owned());
        let mut above = setting.outranked_by.iter();
        if let Some(by) = above.find(|name| self.given.contains_key(*name)) {
            return Ok(Applied::Outranked { by });
        }
        setting.set(self, value);
        Ok(Applied::Set)
    }

    fn apply_without_effect(&mut self, key: &str) -> Result<Applied, SettingError> {
        if WITHOUT_EFFECT.iter().any(|some| some.has(key)) {
            // The name alone: the value may be a password.
            self.without_effect.insert(key.to_owned());
            return Ok(Applied::WithoutEffect);
        }
        let acting = BROKER_SETTINGS.iter().map(|setting| setting.name);
        let others = WITHOUT_EFFECT.iter().flat_map(WithoutEffect::names);
        Err(SettingError::Unknown {
            key: key.to_owned(),
            nearest: config_kind::nearest(key, acting.chain(others)),
        })
    }
}

/// All settings that act, as clients see them.
pub(super) fn described(config: &BrokerConfig) -> BTreeMap<&'static str, DescribedSetting> {
    let described = |setting: &BrokerSetting| DescribedSetting {
        value: setting.value(config),
        default: setting.default,
        given: setting.given(config),
        kind: setting.kind,
        doc: setting.doc,
    };
    let settings = BROKER_SETTINGS.iter();
    settings.map(|s| (s.name, described(s))).collect()
}

/// Logs, once per reason, which of the given settings have no effect.
pub(super) fn warn_of_those_without_effect(config: &BrokerConfig) {
    for some in WITHOUT_EFFECT {
        let given = config.without_effect.iter().filter(|name| some.has(name));
        let names: Vec<&str> = given.map(String::as_str).collect();
        if !names.is_empty() {
            tracing::warn!(
                "settings without effect: {} ({})",
                names.join(", "),
                some.why
            );
        }
    }
}
