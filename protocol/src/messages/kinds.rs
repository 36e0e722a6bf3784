//! Every message that is served, as one type for requests and one for responses.
//!
//! `kafka-protocol` has such enums too, with all of Kafka's messages and with derived traits: each
//! crate that clones, compares or prints one compiles that again for every struct in every message.
//! Here only the APIs that Brooklet serves have a variant, one for each row of `apis/table.rs`, and
//! the traits are functions that are compiled once, in this crate (decision 24).
//!
//! A response does not say which request it answers, so [`ApiRequest`] ties the two types together.

use std::fmt;

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable};

use super::kafka::{self, ApiKey};

/// A request whose response has a type, so that a client can write `call(request) -> R::Response`.
pub trait ApiRequest: Sized {
    /// The API that it asks.
    const API: ApiKey;
    /// What answers it.
    type Response;

    /// The request as one of all that are served.
    fn into_kind(self) -> RequestKind;

    /// The response to this request; `None` if `response` is that of another API.
    fn from_kind(response: ResponseKind) -> Option<Self::Response>;
}

macro_rules! kinds {
    ($(
        $api:ident {
            types: $request:ident, $response:ident;
            $($rest:tt)*
        }
    )+) => {
        /// A request's body.
        pub enum RequestKind {
            $(
                #[doc = concat!("See [`", stringify!($request), "`](kafka::", stringify!($request), ").")]
                $api(kafka::$request),
            )+
        }

        /// A response's body.
        pub enum ResponseKind {
            $(
                #[doc = concat!("See [`", stringify!($response), "`](kafka::", stringify!($response), ").")]
                $api(kafka::$response),
            )+
        }

        kind!(RequestKind { $($api: $request,)+ });
        kind!(ResponseKind { $($api: $response,)+ });

        $(
            impl ApiRequest for kafka::$request {
                const API: ApiKey = ApiKey::$api;
                type Response = kafka::$response;

                fn into_kind(self) -> RequestKind {
                    RequestKind::$api(self)
                }

                fn from_kind(response: ResponseKind) -> Option<Self::Response> {
                    match response {
                        ResponseKind::$api(body) => Some(body),
                        _ => None,
                    }
                }
            }
        )+
    };
}

/// What requests and responses have in common.
macro_rules! kind {
    ($kind:ident { $($api:ident: $message:ident,)+ }) => {
        impl $kind {
            /// The API that it belongs to.
            pub fn api(&self) -> ApiKey {
                match self {
                    $(Self::$api(_) => ApiKey::$api,)+
                }
            }

            /// Reads the body of `api` from the front of `bytes`; `None` when the API is not
            /// served.
            pub(super) fn decode(
                api: ApiKey,
                bytes: &mut Bytes,
                version: i16,
            ) -> Option<Result<Self, String>> {
                let read = match api {
                    $(ApiKey::$api => kafka::$message::decode(bytes, version).map(Self::$api),)+
                    _ => return None,
                };
                Some(read.map_err(|error| format!("{error:#}")))
            }

            /// Appends the body to `out`.
            pub(super) fn encode(&self, out: &mut BytesMut, version: i16) -> Result<(), String> {
                let written = match self {
                    $(Self::$api(body) => body.encode(out, version),)+
                };
                written.map_err(|error| format!("{error:#}"))
            }
        }

        impl Clone for $kind {
            fn clone(&self) -> Self {
                match self {
                    $(Self::$api(body) => Self::$api(body.clone()),)+
                }
            }
        }

        impl PartialEq for $kind {
            fn eq(&self, other: &Self) -> bool {
                match (self, other) {
                    $((Self::$api(one), Self::$api(two)) => one == two,)+
                    _ => false,
                }
            }
        }

        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let body: &dyn fmt::Debug = match self {
                    $(Self::$api(body) => body,)+
                };
                body.fmt(f)
            }
        }

        $(
            impl From<kafka::$message> for $kind {
                fn from(body: kafka::$message) -> Self {
                    Self::$api(body)
                }
            }
        )+
    };
}

crate::for_each_api!(kinds);
