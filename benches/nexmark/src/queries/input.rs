//! What the queries read, and how their values travel between stages.
//!
//! A query takes the fields that it needs out of the encoded event, and copies nothing else
//! ([`Take`]). Of an event that it does not ask for only the time is left: stream time must advance
//! with it all the same.

use std::marker::PhantomData;

use brooklet_engine::codec::{Codec, DecodeError, EncodeError};
use brooklet_engine::dsl::{Ops, Root};
use brooklet_engine::time::Timestamp;
use brooklet_engine::{App, Stream};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::binary::{self, BidView, EventView};

/// What a query takes of an event.
pub(super) struct Taken<T> {
    date_time_ms: i64,
    value: Option<T>,
}

/// The source's codec: decodes an event and lets the query take what it needs.
#[derive(Clone)]
pub(super) struct Take<F>(F);

impl<T, F> Codec<Taken<T>> for Take<F>
where
    F: Fn(&EventView<'_>) -> Result<Option<T>, binary::DecodeError> + Clone + Send + 'static,
{
    fn decode(&self, bytes: &[u8]) -> Result<Taken<T>, DecodeError> {
        let taken = binary::decode(bytes).and_then(|event| {
            let value = (self.0)(&event)?;
            let date_time_ms = event.date_time_ms();
            Ok(Taken {
                date_time_ms,
                value,
            })
        });
        taken.map_err(|error| DecodeError(error.to_string()))
    }

    fn encode(&self, _: &Taken<T>) -> Result<Bytes, EncodeError> {
        let reason = "the fields of an event that a query takes are not an event";
        Err(EncodeError(reason.to_owned()))
    }
}

/// What `take` returns of the events of a topic; event time is that of the event.
pub(super) fn events<T, F>(
    app: &App,
    topic: &str,
    take: F,
) -> Stream<impl Root<Item = Taken<T>>, impl Ops<Taken<T>, Out = T>>
where
    T: Send + 'static,
    F: Fn(&EventView<'_>) -> Result<Option<T>, binary::DecodeError> + Clone + Send + 'static,
{
    app.stream(topic, Take(take))
        .event_time(|taken: &Taken<T>| Timestamp(taken.date_time_ms))
        .flat_map(|taken| taken.value)
}

/// As [`events`], with the time of the arrival for event time.
pub(super) fn arrivals<T, F>(
    app: &App,
    topic: &str,
    take: F,
) -> Stream<impl Root<Item = Taken<T>>, impl Ops<Taken<T>, Out = T>>
where
    T: Send + 'static,
    F: Fn(&EventView<'_>) -> Result<Option<T>, binary::DecodeError> + Clone + Send + 'static,
{
    app.stream(topic, Take(take))
        .flat_map(|taken: Taken<T>| taken.value)
}

/// Takes something of every bid, and nothing of other events.
pub(super) fn of_bids<T>(
    take: impl Fn(&BidView<'_>) -> Result<T, binary::DecodeError> + Clone,
) -> impl Fn(&EventView<'_>) -> Result<Option<T>, binary::DecodeError> + Clone {
    move |event| match event {
        EventView::Bid(bid) => take(bid).map(Some),
        EventView::Person(_) | EventView::Auction(_) => Ok(None),
    }
}

/// The codec of values on their way to another stage: serde's data model in bincode's standard
/// configuration, where a number has as many bytes as it needs and fields have no names.
pub(super) struct Compact<T>(PhantomData<fn() -> T>);

/// See [`Compact`].
pub(super) fn compact<T>() -> Compact<T> {
    Compact(PhantomData)
}

impl<T> Clone for Compact<T> {
    fn clone(&self) -> Self {
        compact()
    }
}

impl<T: Serialize + DeserializeOwned + 'static> Codec<T> for Compact<T> {
    fn decode(&self, bytes: &[u8]) -> Result<T, DecodeError> {
        let decoded = bincode::serde::decode_from_slice(bytes, bincode::config::standard());
        match decoded {
            Ok((value, read)) if read == bytes.len() => Ok(value),
            Ok((_, read)) => {
                let behind = bytes.len() - read;
                Err(DecodeError(format!("{behind} bytes behind the value")))
            }
            Err(error) => Err(DecodeError(error.to_string())),
        }
    }

    fn encode(&self, value: &T) -> Result<Bytes, EncodeError> {
        bincode::serde::encode_to_vec(value, bincode::config::standard())
            .map(Bytes::from)
            .map_err(|error| EncodeError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn compact_values_come_back(value: (u64, Option<String>, Vec<i64>)) {
            let codec = compact();
            let bytes = codec.encode(&value).unwrap();
            prop_assert_eq!(codec.decode(&bytes), Ok(value));
            let longer = [&bytes[..], b"!"].concat();
            prop_assert!(codec.decode(&longer).is_err());
        }

        #[test]
        fn any_bytes_decode_safely(bytes: Vec<u8>) {
            let decoded = compact::<(u64, Option<String>, Vec<i64>)>().decode(&bytes);
            prop_assert!(decoded.is_ok() || decoded.is_err());
        }
    }

    #[test]
    fn an_event_that_is_not_asked_for_leaves_its_time() {
        let bid = [&[2][..], &7_i64.to_le_bytes(), &[0; 30]].concat();
        let nothing = Take(|_: &EventView<'_>| Ok(None::<u64>));
        let taken = nothing.decode(&bid).unwrap();
        assert_eq!((taken.date_time_ms, taken.value), (7, None));
        let auction = Take(of_bids(|bid| Ok(bid.auction)));
        assert_eq!(auction.decode(&bid).unwrap().value, Some(0));
        assert!(auction.decode(&bid[1..]).is_err());
    }
}
