//! What clients leave in the log that are at the wrong port, or misconfigured.

use std::fmt::{self, Write as _};
use std::sync::{Arc, LazyLock};

use brooklet_protocol::messages::kafka::SaslHandshakeRequest;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use super::*;

/// Keeps the warnings of this thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines(pub(super) Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Keeps the warnings of this thread until the guard is dropped.
    pub(super) fn keep() -> (Self, DefaultGuard) {
        // With one dispatcher alone, `tracing` asks the thread that reaches a line first whether it
        // is wanted, and remembers the answer for all threads; other tests have no subscriber.
        static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Lines::default()));
        LazyLock::force(&ANOTHER);
        let lines = Self::default();
        (lines.clone(), tracing::subscriber::set_default(lines))
    }

    /// Those that begin with the address of this client, without it.
    fn of(&self, client: &Client) -> Vec<String> {
        let peer = client.stream.local_addr().unwrap().to_string();
        let lines = self.0.lock();
        let own = lines.iter().filter_map(|line| line.strip_prefix(&*peer));
        own.map(str::to_owned).collect()
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                if field.name() == "message" {
                    write!(self.0, "{value:?}").unwrap();
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().push(message.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A frame of one API and version, with a client's name and nothing else.
fn frame(api_key: i16, version: i16, client_id: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_i32(i32::try_from(10 + client_id.len()).unwrap());
    bytes.put_i16(api_key);
    bytes.put_i16(version);
    bytes.put_i32(1);
    bytes.put_i16(i16::try_from(client_id.len()).unwrap());
    bytes.put_slice(client_id);
    bytes
}

#[tokio::test]
async fn strangers_are_closed_with_a_line_that_names_client_and_fix() {
    let (lines, _guard) = Lines::keep();
    let hello = b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03";
    let zookeeper = {
        let mut connect = vec![0; 4 + 44];
        connect[..4].copy_from_slice(&44_u32.to_be_bytes());
        connect[28..32].copy_from_slice(&16_u32.to_be_bytes());
        connect
    };
    let cases: [(&[u8], &str); 10] = [
        (hello, ": TLS handshake on the Kafka port"),
        (
            b"GET /metrics HTTP/1.1\r\n",
            "HTTP is at http://127.0.0.1:7092",
        ),
        (b"mntr", ": ZooKeeper command \"mntr\""),
        (&zookeeper, ": ZooKeeper client"),
        (b"SSH-2.0-x\x1b[31m", r#"found "SSH-2.0-x\x1b[31m""#),
        (
            &frame(68, 1, b"app\x1b]0;"),
            r#" (client.id "app\u{1b}]0;"): Consum"#,
        ),
        (&frame(88, 0, b"app"), "set group.protocol=classic"),
        (
            &frame(1, 3, b"old"),
            "Fetch version 3 is not served, expected 4 to 18",
        ),
        (
            &frame(3, 99, b"new"),
            "does not ask which versions are served",
        ),
        (&frame(999, 0, b""), ": unknown API key 999"),
    ];
    for (bytes, words) in cases {
        // Each in a broker of its own: lines of one kind are written once a minute.
        let http = Some(([127, 0, 0, 1], 7092).into());
        let (broker, _) = start(|config| config.http_address = http).await;
        let mut client = Client::connect(&broker).await;
        client.send(bytes).await;
        assert_eq!(client.receive().await, None, "{words}");
        let lines = lines.of(&client);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(words), "{lines:?}");
        assert!(!lines[0].contains(char::is_control), "{lines:?}");
        assert_eq!(broker.metrics().await.sockets.connections, 0);
    }
}

#[tokio::test]
async fn a_client_that_tries_again_leaves_one_line_in_a_minute() {
    let (lines, _guard) = Lines::keep();
    let (broker, clock) = start(|_| {}).await;
    for minute in 1..=2 {
        for _ in 0..5 {
            let mut client = Client::connect(&broker).await;
            client.send(b"\x16\x03\x01\x00").await;
            assert_eq!(client.receive().await, None);
        }
        assert_eq!(lines.0.lock().len(), minute);
        clock.advance(Duration::from_secs(60));
    }
    let last = lines.0.lock().pop().unwrap();
    assert!(
        last.ends_with("(4 similar lines about clients were suppressed)"),
        "{last}"
    );
}

#[tokio::test]
async fn a_client_with_credentials_is_answered_and_named() {
    let (lines, _guard) = Lines::keep();
    let (broker, _) = start(|_| {}).await;
    let mut client = Client::connect(&broker).await;
    let handshake = SaslHandshakeRequest::default().with_mechanism("PLAIN".into());
    client
        .send(&encoded(1, 1, RequestKind::SaslHandshake(handshake)))
        .await;
    let (_, answer) = client.receive_as(ApiKey::SaslHandshake, 1).await;
    let ResponseKind::SaslHandshake(answer) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(answer.error_code, 34, "ILLEGAL_SASL_STATE");
    let line = &lines.of(&client)[0];
    let expected = " (client.id \"test\"): client tried SASL (\"PLAIN\")";
    assert!(line.starts_with(expected), "{line}");
    client.send(&api_versions(2)).await;
    assert_eq!(client.receive_as(ApiKey::ApiVersions, 3).await.0, 2);
}
