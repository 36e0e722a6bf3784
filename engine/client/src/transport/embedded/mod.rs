//! A broker in this very process: a request is a function call, and nothing is encoded.
//!
//! The broker is asked once which versions it serves, so that it sees the version a socket would
//! bring. `acks=0` gets the empty answer that TCP makes up, and only after the broker has stored
//! the records: a process cannot lose a request on the way to itself.

use brooklet_broker::Broker;
use brooklet_protocol::BrokerId;
use brooklet_protocol::messages::kafka::{ApiVersionsRequest, ProduceResponse};
use brooklet_protocol::messages::{
    ApiRequest, Request, RequestKind, Response, ResponseKind, StrBytes,
};
use tokio::sync::OnceCell;

use super::versions::VersionTable;
use super::{BoxFuture, Node, Transport, TransportError, is_unanswered};

/// The address of a broker without one, in messages.
const ADDRESS: &str = "(embedded)";

/// The broker of this process.
#[derive(Debug)]
pub struct Embedded {
    broker: Broker,
    client_id: StrBytes,
    versions: OnceCell<VersionTable>,
}

impl Embedded {
    /// A transport into `broker`.
    pub fn new(broker: Broker, client_id: &str) -> Self {
        Self {
            broker,
            client_id: StrBytes::from_string(client_id.to_owned()),
            versions: OnceCell::new(),
        }
    }

    async fn route(&self, mut request: Request) -> Result<Response, TransportError> {
        let versions = self
            .versions
            .get_or_try_init(|| self.ask_versions())
            .await?;
        let (api, wish) = (request.api(), request.version);
        let version = versions.negotiate(api, wish);
        request.version = version.ok_or_else(|| TransportError::Unsupported {
            address: ADDRESS.into(),
            api: format!("{api:?} in a version up to {wish}"),
        })?;
        if request.client_id.is_none() {
            request.client_id = Some(self.client_id.clone());
        }
        let is_unanswered = is_unanswered(&request.body);
        let answer = self.broker.call(request).await;
        if is_unanswered {
            return Ok(ResponseKind::Produce(ProduceResponse::default()));
        }
        Ok(answer)
    }

    async fn ask_versions(&self) -> Result<VersionTable, TransportError> {
        let request = Request {
            version: 0,
            client_id: Some(self.client_id.clone()),
            body: RequestKind::ApiVersions(ApiVersionsRequest::default()),
        };
        let answer = ApiVersionsRequest::from_kind(self.broker.call(request).await);
        let answer = answer.ok_or_else(|| TransportError::Broken {
            address: ADDRESS.into(),
            reason: "it answered ApiVersions with a response of another API".into(),
        })?;
        Ok(VersionTable::new(&answer))
    }
}

impl Transport for Embedded {
    /// `node` does not matter: there is one broker.
    fn call(&self, _: Node, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(self.route(request))
    }

    /// Where the broker listens is of no interest from within.
    fn learn(&self, _: &[(BrokerId, String)]) {}
}

#[cfg(test)]
mod tests;
