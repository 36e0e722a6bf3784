//! Security, of which there is none: clients are not authenticated, every operation is allowed and
//! no client is throttled. A client that asks is answered as by a Kafka that was started that way,
//! and stays connected.
//!
//! | APIs | answer |
//! |---|---|
//! | SASL ([`sasl`]) | ILLEGAL_SASL_STATE, as on a listener with `security.protocol=PLAINTEXT` |
//! | ACLs ([`acls`]) | SECURITY_DISABLED, as without `authorizer.class.name` |
//! | delegation tokens ([`delegation_tokens`]) | DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, as on such a listener |
//! | quotas, SCRAM ([`nobody`]) | there are none |
//!
//! Left out: setting quotas and SCRAM credentials. Kafka would store them; here they would have no
//! effect.

pub(super) mod acls;
pub(super) mod delegation_tokens;
pub(super) mod nobody;
pub(super) mod sasl;
