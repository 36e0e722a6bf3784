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

pub(super) mod acls;
pub(super) mod delegation_tokens;
pub(super) mod nobody;
pub(super) mod sasl;
