//! One request on its way to its handler.

use brooklet_protocol::messages::StrBytes;

/// A request of one API, with what its header says. Every handler takes one, and the
/// [`ApiContext`].
///
/// [`ApiContext`]: super::ApiContext
#[derive(Debug)]
pub(super) struct Call<R> {
    /// The version of the request, and of the response.
    pub(super) version: i16,
    /// The name that the client goes by.
    pub(super) client_id: Option<StrBytes>,
    /// The request's body.
    pub(super) request: R,
}
