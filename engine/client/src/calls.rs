//! Typed calls: the type of a request says what its answer is, and which version is spoken.
//!
//! ```text
//!  call(node, R) ─▶ ask(node, version, RequestKind) ─▶ Transport
//!                                                          │
//!  R::Response  ◀── answer::<R> ◀── ResponseKind ◀─────────┘
//! ```
//!
//! Only the outer steps are generic, and they are short. Sending, trying again and finding
//! coordinators work on the enums, so they are compiled once and not for each of Kafka's messages
//! (decision 24).
//!
//! The versions of all requests stand in one table at the end. A version is a wish, which the
//! transport lowers to what the broker serves; a request fills in the fields of every version up to
//! it.

use brooklet_protocol::messages::{ApiRequest, Request, RequestKind, ResponseKind, kafka};

use crate::transport::{Node, TransportError};
use crate::{Client, ClientError};

/// A request that this client sends.
pub(crate) trait Call: ApiRequest {
    /// The newest version whose fields are filled in and, in the answer, read.
    fn version(&self) -> i16;
}

/// The answer to an `R`.
///
/// # Errors
/// `Unexpected` if it answers another API.
pub(crate) fn answer<R: ApiRequest>(answer: ResponseKind) -> Result<R::Response, ClientError> {
    let found = answer.api();
    R::from_kind(answer).ok_or_else(|| ClientError::unexpected(R::API, found))
}

/// Reads the answer to an `R` with `read`, and puts what it says into `found`: for loops that try
/// again and know neither type.
pub(crate) fn take_into<'a, R: ApiRequest, T: Send>(
    found: &'a mut Option<T>,
    mut read: impl FnMut(R::Response) -> Result<T, ClientError> + Send + 'a,
) -> impl FnMut(ResponseKind) -> Result<(), ClientError> + Send + 'a {
    move |kind| {
        *found = Some(read(answer::<R>(kind)?)?);
        Ok(())
    }
}

impl Client {
    /// Sends one request.
    pub(crate) async fn call<R: Call>(
        &self,
        node: Node,
        request: R,
    ) -> Result<R::Response, ClientError> {
        let version = request.version();
        self.call_in(version, node, request).await
    }

    /// The same, in a version up to this one.
    pub(crate) async fn call_in<R: ApiRequest>(
        &self,
        version: i16,
        node: Node,
        request: R,
    ) -> Result<R::Response, ClientError> {
        answer::<R>(self.ask(node, version, request.into_kind()).await?)
    }

    /// Sends a request that may be carried out twice without harm, and sends it once more if the
    /// connection turns out to be broken: brokers close idle connections without notice.
    pub(crate) async fn call_again<R: Call>(
        &self,
        node: Node,
        request: R,
    ) -> Result<R::Response, ClientError> {
        let version = request.version();
        answer::<R>(self.ask_again(node, version, request.into_kind()).await?)
    }

    /// As [`Client::call`], without types.
    pub(crate) async fn ask(
        &self,
        node: Node,
        version: i16,
        body: RequestKind,
    ) -> Result<ResponseKind, ClientError> {
        let request = Request {
            version,
            client_id: None,
            body,
        };
        Ok(self.transport.call(node, request).await?)
    }

    /// As [`Client::call_again`], without types.
    pub(crate) async fn ask_again(
        &self,
        node: Node,
        version: i16,
        body: RequestKind,
    ) -> Result<ResponseKind, ClientError> {
        match self.ask(node, version, body.clone()).await {
            Err(ClientError::Transport(TransportError::Broken { .. })) => {
                self.ask(node, version, body).await
            }
            outcome => outcome,
        }
    }
}

impl Call for kafka::FetchRequest {
    /// From 13 on, topics go by their ids, which every topic must have.
    fn version(&self) -> i16 {
        let has_ids = self.topics.iter().all(|topic| !topic.topic_id.is_nil());
        if has_ids { 17 } else { 12 }
    }
}

/// One row per request: its newest version whose fields are filled in and, in the answer, read.
macro_rules! versions {
    ($($request:ident: $version:literal,)+) => {$(
        impl Call for kafka::$request {
            fn version(&self) -> i16 {
                $version
            }
        }
    )+};
}

versions! {
    // The last that names topics. It adds partitions to transactions by itself: see
    // `producer::coordinator::Protocol`, and there for EndTxn and TxnOffsetCommit, too.
    ProduceRequest: 12,
    ListOffsetsRequest: 7,
    MetadataRequest: 12,
    OffsetCommitRequest: 8,
    // The last that asks for one group.
    OffsetFetchRequest: 7,
    FindCoordinatorRequest: 3,
    JoinGroupRequest: 9,
    HeartbeatRequest: 4,
    LeaveGroupRequest: 5,
    SyncGroupRequest: 5,
    // The last that answers a missing group as dead, and not with an error.
    DescribeGroupsRequest: 5,
    ListGroupsRequest: 4,
    // Every broker since Kafka 2.4 answers it.
    ApiVersionsRequest: 3,
    CreateTopicsRequest: 7,
    // The last that names topics in one list; every broker serves it.
    DeleteTopicsRequest: 5,
    DeleteRecordsRequest: 2,
    InitProducerIdRequest: 4,
    // The last that asks for one transaction.
    AddPartitionsToTxnRequest: 3,
    AddOffsetsToTxnRequest: 3,
    EndTxnRequest: 3,
    WriteTxnMarkersRequest: 1,
    TxnOffsetCommitRequest: 3,
    DescribeConfigsRequest: 4,
    DescribeLogDirsRequest: 4,
    CreatePartitionsRequest: 3,
    DeleteGroupsRequest: 2,
    IncrementalAlterConfigsRequest: 1,
    DescribeProducersRequest: 0,
    DescribeTransactionsRequest: 0,
    ListTransactionsRequest: 1,
}
