//! Checks of what clients send, against the limits of records and of the settings.

use super::answer::GroupError;
use super::command::{GroupConfig, JoinGroup};

/// The longest string that fits into a record.
pub(super) const STRING_BYTES_MAX: usize = i16::MAX as usize;

pub(super) fn group_id(id: &str) -> Result<(), GroupError> {
    if id.is_empty() || id.len() > STRING_BYTES_MAX {
        let shown = id.chars().take(100).collect();
        return Err(GroupError::InvalidGroupId(shown));
    }
    Ok(())
}

/// Why a group that is not there does not know a member.
pub(super) fn absent(id: &str) -> GroupError {
    group_id(id).err().unwrap_or(GroupError::UnknownMember)
}

/// Everything about a join that does not depend on the group.
pub(super) fn join(join: &JoinGroup, config: &GroupConfig) -> Result<(), GroupError> {
    group_id(&join.group)?;
    let texts = [
        ("the client id", &join.client_id),
        ("the client host", &join.client_host),
        ("the protocol type", &join.protocol_type),
        ("the member id", &join.new_member_id),
    ];
    let instance = join.instance_id.iter().map(|id| ("the instance id", id));
    let protocols = join.protocols.iter();
    let protocols = protocols.map(|(name, _)| ("the name of an assignor", name));
    for (what, text) in texts.into_iter().chain(instance).chain(protocols) {
        if text.len() > STRING_BYTES_MAX {
            return Err(GroupError::TooLong(what));
        }
    }
    let (min, max) = (config.session_timeout_min, config.session_timeout_max);
    if !(min..=max).contains(&join.session_timeout) {
        return Err(GroupError::SessionTimeout {
            found_ms: join.session_timeout.as_millis(),
            min_ms: min.as_millis(),
            max_ms: max.as_millis(),
        });
    }
    Ok(())
}
