//! Who may do what: everybody everything. Nobody is authenticated, nothing is forbidden, no client is
//! slowed down; and a client that asks gets the answer of a Kafka that was started so, and is not cut off.
//!
//! | APIs | answer |
//! |---|---|
//! | SASL ([`sasl`]) | ILLEGAL_SASL_STATE, as at a listener with `security.protocol=PLAINTEXT` |
//! | ACLs ([`acls`]) | SECURITY_DISABLED, as without `authorizer.class.name` |
//! | delegation tokens ([`delegation_tokens`]) | DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as at such a listener |
//! | quotas, SCRAM ([`nobody`]) | there are none, for nobody |
//!
//! Left out: to set quotas and SCRAM credentials. Kafka would keep them; they would have no effect here.

use brooklet_protocol::messages::{RequestKind, Response, ResponseKind};

mod acls;
mod delegation_tokens;
mod nobody;
mod sasl;

/// `None` for an API that is not among these.
pub(super) fn answer(version: i16, request: RequestKind) -> Option<Response> {
    Some(match request {
        RequestKind::SaslHandshake(_) => ResponseKind::SaslHandshake(sasl::handshake()),
        RequestKind::SaslAuthenticate(_) => ResponseKind::SaslAuthenticate(sasl::authenticate()),
        RequestKind::DescribeAcls(_) => ResponseKind::DescribeAcls(acls::describe()),
        RequestKind::CreateAcls(body) => ResponseKind::CreateAcls(acls::create(&body)),
        RequestKind::DeleteAcls(body) => ResponseKind::DeleteAcls(acls::delete(&body)),
        RequestKind::CreateDelegationToken(body) => {
            ResponseKind::CreateDelegationToken(delegation_tokens::create(version, body))
        }
        RequestKind::RenewDelegationToken(_) => {
            ResponseKind::RenewDelegationToken(delegation_tokens::renew())
        }
        RequestKind::ExpireDelegationToken(_) => {
            ResponseKind::ExpireDelegationToken(delegation_tokens::expire())
        }
        RequestKind::DescribeDelegationToken(_) => {
            ResponseKind::DescribeDelegationToken(delegation_tokens::describe())
        }
        RequestKind::DescribeClientQuotas(_) => {
            ResponseKind::DescribeClientQuotas(nobody::client_quotas())
        }
        RequestKind::DescribeUserScramCredentials(body) => {
            ResponseKind::DescribeUserScramCredentials(nobody::scram_credentials(body))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
