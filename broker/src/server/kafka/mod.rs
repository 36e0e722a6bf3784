//! Kafka's protocol on a connection: frames, dispatch, answers.
//!
//! ```text
//!  length ─▶ whole frame ─▶ decode ─▶ in the table? ─▶ api::dispatch ─▶ encode ─▶ output
//!    │                        │            │                │
//!    too large, negative      malformed    not served       acks=0: no answer,
//!    └────────── close, with a line ───────┘                an error closes
//! ```
//!
//! - A request whose frame or header makes no sense closes the connection, because nothing after it
//!   can be trusted. So does one that is not served: Kafka's protocol has no answer to it. The one
//!   exception is ApiVersions in an unknown version, which is answered in version 0 (KIP-511).
//! - A fetch may wait long, and ends early when its client hangs up. Everything else runs to its
//!   end: a topic is not left half created because its creator hung up.
//! - A produce request with `acks=0` has no answer; if it fails, the connection is closed, which is
//!   how the producer learns of it.
//!
//! What a misconfigured client did wrong is recognized in [`mistakes`].

use std::net::SocketAddr;
use std::sync::Arc;

use brooklet_protocol::frame::{FrameError, split_frame};
use brooklet_protocol::messages::{
    ApiKey, MessageError, Request, RequestKind, Response, decode_request, encode_response_in_pieces,
};
use bytes::Bytes;

use super::serve::{Client, Close, Output, Protocol, Serve, ServerContext};
use crate::api::{self, ApiContext, table};
use crate::counters::Limit;

mod mistakes;

use mistakes::Mistake;

/// Bytes of what is no request that are shown to the owner of the client.
const STRANGE_BYTES_MAX: usize = 16;

/// Kafka's protocol, for a listener.
#[derive(Debug)]
pub(crate) struct Kafka {
    ctx: ApiContext,
}

impl Kafka {
    pub(crate) fn new(ctx: ApiContext) -> Self {
        Self { ctx }
    }

    /// What the listener itself needs of the broker.
    pub(crate) fn server_context(&self) -> ServerContext {
        ServerContext {
            clock: Arc::clone(&self.ctx.clock),
            counters: Arc::clone(&self.ctx.counters),
            shutdown: self.ctx.shutdown.clone(),
        }
    }
}

impl Protocol for Kafka {
    type Serve = KafkaClient;

    fn connected(&self, client: SocketAddr) -> KafkaClient {
        KafkaClient {
            ctx: ApiContext {
                peer: Some(client.ip()),
                ..self.ctx.clone()
            },
            is_heard: false,
        }
    }

    fn close_idle_files(&self) -> usize {
        self.ctx.controller.image().rest_logs()
    }
}

/// One client of Kafka's protocol.
#[derive(Debug)]
pub(crate) struct KafkaClient {
    ctx: ApiContext,
    /// Whether a whole frame has come.
    is_heard: bool,
}

impl Serve for KafkaClient {
    fn claimed_length(&self, input: &[u8]) -> usize {
        let length = input.first_chunk().map(|l| u32::from_be_bytes(*l));
        length.map_or(0, |length| 4 + length as usize)
    }

    fn take_request(&mut self, client: &mut Client) -> Result<Option<Bytes>, Close> {
        if !self.is_heard
            && let Some(mistake) = mistakes::recognize(client.input())
        {
            self.ctx.counters.malformed_requests.add(1);
            return Err(self.misled(client, &mistake, None));
        }
        let bytes_max = client.limits().request_bytes_max;
        match split_frame(client.input_mut(), bytes_max) {
            Ok(frame) => {
                self.is_heard |= frame.is_some();
                Ok(frame)
            }
            Err(error) => Err(self.no_frame(client, &error)),
        }
    }

    async fn answer(
        &mut self,
        frame: Bytes,
        client: &mut Client,
        output: &mut Output,
    ) -> Result<(), Close> {
        let (correlation_id, request) = match decode_request(frame.clone()) {
            Ok(decoded) => decoded,
            Err(MessageError::UnknownVersion {
                api: ApiKey::ApiVersions,
                correlation_id,
                ..
            }) => return put(output, (correlation_id, 0), api::unsupported_version()),
            Err(error) => return Err(self.refused(client, error, &frame)),
        };
        if let RequestKind::SaslHandshake(handshake) = &request.body {
            let mechanism = handshake.mechanism.to_string();
            let client_id = mistakes::client_id(&frame);
            drop(self.misled(client, &Mistake::Sasl { mechanism }, client_id));
        }
        let (api, version) = (request.api(), request.version);
        if !table::is_served(api as i16, version) {
            let error = MessageError::UnknownVersion {
                api,
                version,
                correlation_id,
            };
            return Err(self.refused(client, error, &frame));
        }
        let is_silent = api::expects_no_response(&request);
        let response = self.dispatch(client, request).await?;
        if !is_silent {
            return put(output, (correlation_id, version), response);
        }
        if api::has_error(&response) {
            return Err(Close::from("a batch sent with acks=0 was refused"));
        }
        Ok(())
    }
}

impl KafkaClient {
    async fn dispatch(&self, client: &mut Client, request: Request) -> Result<Response, Close> {
        let is_fetch = matches!(request.body, RequestKind::Fetch(_));
        let dispatched = api::dispatch(&self.ctx, request);
        let response = if is_fetch {
            client.while_connected(dispatched).await?
        } else {
            dispatched.await
        };
        Ok(response?)
    }

    /// What is there cannot become a frame.
    fn no_frame(&self, client: &Client, error: &FrameError) -> Close {
        let input = client.input();
        let strange = Mistake::Strange {
            bytes: input[..input.len().min(STRANGE_BYTES_MAX)].to_vec(),
        };
        match *error {
            FrameError::TooLarge { length, limit } => {
                let too_large = Mistake::TooLarge { length, limit };
                let mistake = if self.is_heard { too_large } else { strange };
                drop(self.misled(client, &mistake, None));
                client.exceeded(Limit::RequestBytes, &error.to_string())
            }
            FrameError::Negative(_) => {
                self.ctx.counters.malformed_requests.add(1);
                self.misled(client, &strange, None)
            }
        }
    }

    /// The frame is not a request that is served.
    fn refused(&self, client: &Client, error: MessageError, frame: &[u8]) -> Close {
        self.ctx.counters.malformed_requests.add(1);
        if mistakes::is_zookeeper(frame) {
            return self.misled(client, &Mistake::ZooKeeper, None);
        }
        self.misled(client, &Mistake::Refused(error), mistakes::client_id(frame))
    }

    /// The client has to be configured differently: its owner finds a line in the log.
    fn misled(&self, client: &Client, mistake: &Mistake, client_id: Option<String>) -> Close {
        let line = mistake.line(self.ctx.settings.http_address);
        let named = client_id.map_or_else(String::new, |id| format!(" (client.id {id})"));
        client.warn(mistake.kind(), format_args!("{named}: {line}"));
        Close::from(line)
    }
}

/// Puts an answer into the output.
fn put(
    output: &mut Output,
    (correlation_id, version): (i32, i16),
    response: Response,
) -> Result<(), Close> {
    let pieces = encode_response_in_pieces(output.buffer(), correlation_id, version, response)?;
    for piece in pieces {
        output.push(piece);
    }
    Ok(())
}
