//! SaslHandshake: chooses a SASL mechanism.

use crate::messages::shape::Kind::{Int16, String, Strings};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("mechanism", String)];

pub(super) const RESPONSE: &[Field] = &[field("error_code", Int16), field("mechanisms", Strings)];
