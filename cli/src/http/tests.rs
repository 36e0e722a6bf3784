use brooklet_broker::health::DISK_FULL;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const OPEN_FILES: usize = 20_000;
/// What that is enough for.
const CONNECTIONS_MAX: usize = 32;

/// One request, byte for byte; the status and all of the answer.
async fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).expect(&answer).parse().unwrap();
    (status, answer)
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    ask(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
    .await
}

async fn start() -> Http {
    Http::start(ADDRESS_FREE, Duration::ZERO, OPEN_FILES)
        .await
        .unwrap()
}

#[tokio::test]
async fn it_is_alive_before_it_is_ready_and_says_when_it_stops() {
    let http = start().await;
    assert_eq!(get(http.address(), "/healthz").await.0, 200);
    for path in ["/readyz", "/metrics"] {
        let (status, answer) = get(http.address(), path).await;
        assert_eq!(status, 503);
        assert!(answer.ends_with("the broker is starting\n"), "{answer}");
    }
    let broker = Broker::ephemeral().await.unwrap();
    http.serves(&broker);
    let (status, answer) = get(http.address(), "/readyz").await;
    assert_eq!(status, 200);
    assert!(answer.ends_with("\r\n\r\nready\n"), "{answer}");
    let (status, answer) = get(http.address(), "/metrics").await;
    assert_eq!(status, 200);
    let kind = "content-type: text/plain; version=0.0.4; charset=utf-8\r\n";
    assert!(answer.contains(kind), "{answer}");
    assert!(answer.contains("\nkafka_brokers 1\n"), "{answer}");
    let health = broker.health();
    assert!(health.report(DISK_FULL, "the volume of /data\nis full"));
    let since = crate::time::to_text(health.troubles()[0].since);
    let (status, answer) = get(http.address(), "/readyz").await;
    assert_eq!(status, 503);
    let line = format!("\r\n\r\nthe volume of /data is full (since {since})\n");
    assert!(answer.ends_with(&line), "{answer}");
    let (_, answer) = get(http.address(), "/metrics").await;
    let samples = "\nbrooklet_unready{reason=\"disk-full\"} 1\n";
    assert!(answer.contains(samples), "{answer}");
    health.clear(DISK_FULL);
    assert_eq!(get(http.address(), "/readyz").await.0, 200);
    broker.shutdown().await.unwrap();
    let (status, answer) = get(http.address(), "/readyz").await;
    assert_eq!(status, 503);
    assert!(answer.ends_with("the broker is stopping\n"), "{answer}");
    assert_eq!(get(http.address(), "/healthz").await.0, 200);
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let http = start().await;
    let head = "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let (status, answer) = ask(http.address(), head).await;
    assert_eq!(status, 200);
    assert!(answer.contains("content-length: 3\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn what_is_not_ours_is_refused() {
    let http = start().await;
    let rows = [
        (
            "GET /healthz HTTP/1.1\r\nHost: evil.example:7092\r\n\r\n",
            403,
        ),
        (
            "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
            403,
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
            400,
        ),
        ("GET /healthz HTTP/1.1\r\n\r\n", 400),
        (
            "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
            405,
        ),
        ("GET /elsewhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("GET /../healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("\0\0\0\u{1}\0\u{12}\0\0\r\n\r\n", 400),
    ];
    for (request, expected) in rows {
        assert_eq!(
            ask(http.address(), request).await.0,
            expected,
            "{request:?}"
        );
    }
    assert_eq!(get(http.address(), "/healthz").await.0, 200);
}

/// Many times as many clients as there are places, none with a whole request.
#[tokio::test]
async fn half_requests_keep_nobody_out() {
    let http = start().await;
    let mut slow = Vec::new();
    for n in 0..4 * CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(http.address()).await.unwrap();
        let sent: &[u8] = if n % 2 == 0 { b"GET /heal" } else { b"" };
        stream.write_all(sent).await.unwrap();
        slow.push(stream);
        if n % CONNECTIONS_MAX == 0 {
            assert_eq!(get(http.address(), "/healthz").await.0, 200);
        }
    }
    assert_eq!(get(http.address(), "/healthz").await.0, 200);
    // The oldest have made room, the newest have their time.
    let mut rest = Vec::new();
    let closed = slow[0].read_to_end(&mut rest).await;
    assert!(closed.is_err() || rest.is_empty(), "{rest:?}");
    let newest = slow.last_mut().unwrap();
    newest
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    newest.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_request_has_a_deadline() {
    let http = start().await;
    for sent in [&b""[..], b"GET /healthz HTTP/1.1\r\n"] {
        let mut slow = TcpStream::connect(http.address()).await.unwrap();
        slow.write_all(sent).await.unwrap();
        // Time goes on by itself while everybody waits.
        let began = Instant::now();
        let mut rest = String::new();
        slow.read_to_string(&mut rest).await.unwrap();
        assert!(
            rest.is_empty() || rest.starts_with("HTTP/1.1 408 "),
            "{rest}"
        );
        let waited = began.elapsed();
        assert!(
            waited >= REQUEST_MAX && waited < CONNECTION_MAX,
            "{waited:?}"
        );
    }
}

#[test]
fn strangers_are_known_by_their_first_byte() {
    let kafka: SocketAddr = "127.0.0.1:9092".parse().unwrap();
    let rows: [(&[u8], Option<Stranger>, &str); 4] = [
        (
            &[0, 0, 0, 30],
            Some(Stranger::Kafka),
            "bootstrap.servers=127.0.0.1:9092",
        ),
        (
            &[0x16, 3, 1],
            Some(Stranger::Tls),
            "http:// instead of https://",
        ),
        (b"GET /", None, ""),
        (b"", None, ""),
    ];
    for (first, expected, words) in rows {
        let stranger = Stranger::of(first);
        assert_eq!(stranger, expected);
        if let Some(stranger) = stranger {
            let line = stranger.line(Some(kafka));
            assert!(line.contains(words), "{line}");
        }
    }
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_way_out() {
    let http = start().await;
    let address = http.address().to_string();
    let error = Http::start(&address, Duration::ZERO, OPEN_FILES)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot bind {address} for HTTP (metrics, health): address in use, perhaps by another \
             brooklet serve. Try --http 127.0.0.1:0 for a free port, or --http off; a second broker \
             also needs its own --kafka and --data-dir"
        )
    );
}
