//! TCP against a scripted broker: a listener on a free port that plays one function per connection.

use std::sync::atomic::{AtomicUsize, Ordering};

use brooklet_protocol::Timestamp;
use brooklet_protocol::frame::split_frame;
use brooklet_protocol::messages::kafka::api_versions_response::ApiVersion;
use brooklet_protocol::messages::kafka::{
    ApiVersionsResponse, FetchRequest, FetchResponse, MetadataRequest, MetadataResponse,
    ProduceRequest,
};
use brooklet_protocol::messages::{ApiKey, RequestKind, decode_request, encode_response};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock::ManualClock;

/// One accepted connection.
struct Peer {
    socket: TcpStream,
    buffer: BytesMut,
}

impl Peer {
    /// The next request; `None` at the end of the connection.
    async fn frame(&mut self) -> Option<bytes::Bytes> {
        loop {
            if let Some(frame) = split_frame(&mut self.buffer, 1 << 20).unwrap() {
                return Some(frame);
            }
            match self.socket.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    async fn request(&mut self) -> Option<(i32, Request)> {
        Some(decode_request(self.frame().await?).unwrap())
    }

    async fn answer(&mut self, id: i32, version: i16, answer: impl Into<ResponseKind>) {
        let mut frame = BytesMut::new();
        encode_response(&mut frame, id, version, &answer.into()).unwrap();
        // Whoever has gone does not read it.
        self.socket.write_all(&frame).await.ok();
    }

    /// The handshake, so that the script begins after it.
    async fn shake_hands(&mut self) {
        let (id, request) = self.request().await.unwrap();
        assert!(matches!(request.body, RequestKind::ApiVersions(_)));
        self.answer(id, request.version, versions()).await;
    }
}

fn versions() -> ApiVersionsResponse {
    let range = |(api, min, max): (ApiKey, i16, i16)| {
        ApiVersion::default()
            .with_api_key(api as i16)
            .with_min_version(min)
            .with_max_version(max)
    };
    let ranges = [
        (ApiKey::ApiVersions, 0, 4),
        (ApiKey::Metadata, 0, 12),
        (ApiKey::Fetch, 4, 12),
        (ApiKey::Produce, 3, 9),
    ];
    ApiVersionsResponse::default().with_api_keys(ranges.map(range).to_vec())
}

/// Plays `script` on every connection, with its number; returns the address.
async fn serve<F>(script: impl Fn(usize, Peer) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((socket, _)) = listener.accept().await {
            let buffer = BytesMut::new();
            tokio::spawn(script(number, Peer { socket, buffer }));
            number += 1;
        }
    });
    address
}

fn tcp(bootstrap: &str) -> Tcp {
    Tcp::new(bootstrap, TcpConfig::default())
}

fn metadata() -> Request {
    Request {
        version: 12,
        client_id: None,
        body: MetadataRequest::default().into(),
    }
}

fn fetch() -> Request {
    Request {
        version: 12,
        client_id: None,
        body: FetchRequest::default().with_max_wait_ms(500).into(),
    }
}

/// Answers Metadata with the number of the connection as the controller.
async fn answer_metadata(peer: &mut Peer, number: usize) -> bool {
    let Some((id, request)) = peer.request().await else {
        return false;
    };
    let answer = MetadataResponse::default().with_controller_id((number as i32).into());
    peer.answer(id, request.version, answer).await;
    true
}

async fn connection_of(tcp: &Tcp) -> i32 {
    match tcp.call(Node::Any, metadata()).await.unwrap() {
        ResponseKind::Metadata(answer) => answer.controller_id.0,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn requests_share_a_connection_and_carry_the_clients_name() {
    let address = serve(async |number, mut peer| {
        peer.shake_hands().await;
        while let Some((id, request)) = peer.request().await {
            assert_eq!(request.client_id.as_deref(), Some("brooklet"));
            let answer = MetadataResponse::default().with_controller_id((number as i32).into());
            peer.answer(id, request.version, answer).await;
        }
    })
    .await;
    let tcp = tcp(&address);
    for _ in 0..3 {
        assert_eq!(connection_of(&tcp).await, 0);
    }
}

#[tokio::test]
async fn requests_are_sent_before_earlier_ones_are_answered() {
    let address = serve(async |_, mut peer| {
        peer.shake_hands().await;
        let first = peer.request().await.unwrap();
        let second = peer.request().await.unwrap();
        for (id, request) in [first, second] {
            let answer = MetadataResponse::default().with_controller_id(id.into());
            peer.answer(id, request.version, answer).await;
        }
    })
    .await;
    let tcp = tcp(&address);
    let (first, second) = tokio::join!(connection_of(&tcp), connection_of(&tcp));
    assert_ne!(first, second, "each has its own answer");
}

#[tokio::test]
async fn an_answer_may_come_byte_by_byte() {
    let address = serve(async |_, mut peer| {
        peer.shake_hands().await;
        let (id, request) = peer.request().await.unwrap();
        let answer = MetadataResponse::default().with_controller_id(7.into());
        let mut frame = BytesMut::new();
        encode_response(&mut frame, id, request.version, &answer.into()).unwrap();
        for byte in frame {
            peer.socket.write_all(&[byte]).await.unwrap();
            peer.socket.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        peer.request().await;
    })
    .await;
    assert_eq!(connection_of(&tcp(&address)).await, 7);
}

#[tokio::test]
async fn a_connection_that_breaks_fails_its_requests_and_the_next_one_connects_anew() {
    let address = serve(async |number, mut peer| {
        peer.shake_hands().await;
        if number > 0 {
            while answer_metadata(&mut peer, number).await {}
            return;
        }
        peer.request().await.unwrap();
        // 100 bytes are promised and 4 are sent.
        peer.socket
            .write_all(&[0, 0, 0, 100, 0, 0, 0, 1])
            .await
            .unwrap();
    })
    .await;
    let tcp = tcp(&address);
    let error = tcp.call(Node::Any, metadata()).await.unwrap_err();
    let words = format!("the connection to {address} broke: it was closed 8 bytes into a response");
    assert_eq!(error.to_string(), words);
    assert_eq!(connection_of(&tcp).await, 1);
}

#[tokio::test]
async fn nonsense_breaks_the_connection_with_words() {
    for (bytes, words) in [
        (&[0xff, 0xff, 0xff, 0xff][..], "frame length -1 is negative"),
        (&[0x10, 0, 0, 0][..], "exceeds the limit of 134217728"),
        (
            &[0, 0, 0, 4, 0, 0, 0, 99][..],
            "it sent a response to unknown correlation id 99",
        ),
        (&[0, 0, 0, 2, 0, 0][..], "less than 4 bytes"),
        (
            &[0, 0, 0, 4, 0, 0, 0, 1][..],
            "response to Metadata cannot be decoded",
        ),
    ] {
        let address = serve(async move |_, mut peer| {
            peer.shake_hands().await;
            peer.request().await.unwrap();
            peer.socket.write_all(bytes).await.unwrap();
            peer.request().await;
        })
        .await;
        let error = tcp(&address).call(Node::Any, metadata()).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_fetch_that_waits_is_in_nobodys_way() {
    let held = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&held);
    let address = serve(move |_, mut peer: Peer| {
        let held = Arc::clone(&counter);
        async move {
            peer.shake_hands().await;
            while let Some((id, request)) = peer.request().await {
                match request.body {
                    // The first two are held for ever.
                    RequestKind::Fetch(_) if held.fetch_add(1, Ordering::AcqRel) < 2 => {}
                    RequestKind::Fetch(_) => {
                        peer.answer(id, request.version, FetchResponse::default())
                            .await;
                    }
                    _ => {
                        let answer = MetadataResponse::default();
                        peer.answer(id, request.version, answer).await;
                    }
                }
            }
        }
    })
    .await;
    let tcp = tcp(&address);
    let (mut first, mut second) = (tcp.call(Node::Any, fetch()), tcp.call(Node::Any, fetch()));
    let both_are_held = async {
        while held.load(Ordering::Acquire) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut first => panic!("answered"),
        _ = &mut second => panic!("answered"),
        () = both_are_held => {}
    }
    tcp.call(Node::Any, fetch()).await.unwrap();
    connection_of(&tcp).await;
    let idle = || tcp.held.lock().get(&Node::Any).map_or(0, Vec::len);
    assert_eq!(idle(), 1, "the answered one waits to be used again");
    drop(first);
    assert_eq!(idle(), 1, "a dropped one is closed");
}

#[tokio::test]
async fn a_broker_that_does_not_know_our_api_versions_is_asked_in_its_own() {
    let address = serve(async |number, mut peer| {
        let frame = peer.frame().await.unwrap();
        assert_eq!(frame[..4], [0, 18, 0, 3], "ApiVersions 3");
        let id = i32::from_be_bytes(*frame[4..].first_chunk().unwrap());
        let range = ApiVersion::default()
            .with_api_key(18)
            .with_min_version(0)
            .with_max_version(2);
        let refusal = ApiVersionsResponse::default()
            .with_error_code(35)
            .with_api_keys(vec![range]);
        peer.answer(id, 0, refusal).await;
        let (id, request) = peer.request().await.unwrap();
        assert_eq!(request.version, 2);
        peer.answer(id, 2, versions()).await;
        while answer_metadata(&mut peer, number).await {}
    })
    .await;
    assert_eq!(connection_of(&tcp(&address)).await, 0);
}

#[tokio::test]
async fn what_the_broker_does_not_serve_has_a_name() {
    let address = serve(async |_, mut peer| {
        peer.shake_hands().await;
        peer.request().await;
    })
    .await;
    let tcp = tcp(&address);
    let ask = |version, body| {
        tcp.call(
            Node::Any,
            Request {
                version,
                client_id: None,
                body,
            },
        )
    };
    let body = brooklet_protocol::messages::kafka::DeleteTopicsRequest::default().into();
    let words = ask(5, body).await.unwrap_err().to_string();
    assert!(
        words.ends_with("does not serve DeleteTopics in a version up to 5"),
        "{words}"
    );
    let words = ask(2, ProduceRequest::default().into())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        words.ends_with("does not serve Produce in a version up to 2"),
        "{words}"
    );
}

#[tokio::test]
async fn without_acks_a_produce_is_answered_when_it_is_written() {
    let address = serve(async |number, mut peer| {
        peer.shake_hands().await;
        let (_, request) = peer.request().await.unwrap();
        assert!(matches!(request.body, RequestKind::Produce(_)));
        assert_eq!(request.version, 9, "the broker's highest");
        while answer_metadata(&mut peer, number).await {}
    })
    .await;
    let tcp = tcp(&address);
    let body = ProduceRequest::default().with_acks(0).into();
    let answer = tcp
        .call(
            Node::Any,
            Request {
                version: 12,
                client_id: None,
                body,
            },
        )
        .await;
    assert_eq!(answer.unwrap(), ProduceResponse::default().into());
    assert_eq!(
        connection_of(&tcp).await,
        0,
        "it came before this on the same connection"
    );
}

#[tokio::test]
async fn no_answer_in_time_is_an_error_and_ends_the_connection() {
    let address = serve(async |number, mut peer| {
        peer.shake_hands().await;
        // The first answers once, then falls silent.
        while answer_metadata(&mut peer, number).await {
            if number == 0 {
                while peer.request().await.is_some() {}
            }
        }
    })
    .await;
    let clock = ManualClock::new(Timestamp(0));
    let config = TcpConfig::default();
    let limit = config.request_timeout;
    let tcp = Tcp::with_clock(&address, config, Arc::new(clock.clone()));
    assert_eq!(connection_of(&tcp).await, 0);
    // The call waits for its answer once it was polled; then its time passes.
    let time_passes = async { clock.advance(limit) };
    let (answer, ()) = tokio::join!(tcp.call(Node::Any, metadata()), time_passes);
    assert_eq!(
        answer.unwrap_err().to_string(),
        format!("no answer from {address} within 30000 ms")
    );
    assert_eq!(connection_of(&tcp).await, 1);
}

#[tokio::test]
async fn bootstrap_servers_are_tried_in_turn() {
    let address = serve(async |number, mut peer| {
        peer.shake_hands().await;
        while answer_metadata(&mut peer, number).await {}
    })
    .await;
    // Bound and let go: nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    assert_eq!(
        connection_of(&tcp(&format!("nonsense, {gone}, {address}"))).await,
        0
    );
    let error = tcp(&gone.to_string())
        .call(Node::Any, metadata())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {gone}: connection refused")
    );
    let error = tcp("localhost")
        .call(Node::Any, metadata())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot connect to localhost: expected HOST:PORT"
    );
    let error = tcp("").call(Node::Any, metadata()).await.unwrap_err();
    assert!(error.to_string().contains("expected HOST:PORT"), "{error}");
}

#[tokio::test]
async fn a_broker_is_found_where_metadata_says_it_is() {
    let serve_metadata = async |number: usize, mut peer: Peer| {
        peer.shake_hands().await;
        while answer_metadata(&mut peer, number).await {}
    };
    let (old, new) = (serve(serve_metadata).await, serve(serve_metadata).await);
    let tcp = tcp(&old);
    let one = Node::Id(BrokerId(1));
    let error = tcp.call(one, metadata()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot connect to broker 1: its address is unknown"
    );
    tcp.learn(&[(BrokerId(1), old.clone())]);
    tcp.call(one, metadata()).await.unwrap();
    tcp.learn(&[(BrokerId(1), new.clone())]);
    tcp.call(one, metadata()).await.unwrap();
    assert_eq!(tcp.addresses_of(one), [new]);
}

/// A connection is made once, however many ask for it at the same time.
#[tokio::test]
async fn callers_share_the_making_of_a_connection() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let address = serve(async |number, mut peer| {
        MADE.fetch_add(1, Ordering::AcqRel);
        peer.shake_hands().await;
        while answer_metadata(&mut peer, number).await {}
    })
    .await;
    let tcp = tcp(&address);
    tokio::join!(
        connection_of(&tcp),
        connection_of(&tcp),
        connection_of(&tcp)
    );
    assert_eq!(MADE.load(Ordering::Acquire), 1);
}
