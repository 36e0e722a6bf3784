//! What the APIs of groups share.

use std::net::{IpAddr, Ipv4Addr};

use brooklet_machines::group::{GroupError, Identity};
use brooklet_protocol::messages::{ErrorCode, StrBytes};

use super::context::ApiContext;
use super::error::{coordinator_error_code, group_error_code, group_limit};
use crate::coordinator::CoordinatorError;

/// No error.
pub(super) const NONE: i16 = 0;

/// The code of an outcome, 0 for success.
pub(super) fn code_of(ctx: &ApiContext, outcome: Result<(), GroupError>) -> i16 {
    outcome.map_or_else(|error| refused(ctx, &error), |()| NONE)
}

/// The code of a group's error, which is counted if it is about a limit.
pub(super) fn refused(ctx: &ApiContext, error: &GroupError) -> i16 {
    if let Some(limit) = group_limit(error) {
        ctx.counters.rejected(limit);
    }
    group_error_code(error).code()
}

/// The code of a coordinator's error, which is logged as well.
pub(super) fn failed(group: &str, error: &CoordinatorError) -> i16 {
    let code = coordinator_error_code(error);
    if !matches!(error, CoordinatorError::Stopped) {
        tracing::warn!("coordinator of '{group}' is unavailable: {error}");
    }
    code.code()
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(super) fn owned(text: Option<&StrBytes>) -> Option<String> {
    text.map(|text| text.as_str().to_owned())
}

pub(super) fn identity(
    member_id: &StrBytes,
    instance_id: Option<&StrBytes>,
    generation: i32,
) -> Identity {
    Identity {
        member_id: member_id.as_str().to_owned(),
        instance_id: owned(instance_id),
        generation,
    }
}

/// The client's address as Kafka writes it; a client within this process is at 127.0.0.1.
pub(super) fn client_host(ctx: &ApiContext) -> String {
    let peer = ctx.peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    format!("/{}", peer.to_canonical())
}

/// The code for an unknown topic or partition.
pub(super) fn unknown_partition() -> i16 {
    ErrorCode::UnknownTopicOrPartition.code()
}
