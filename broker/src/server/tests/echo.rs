//! A second protocol behind the same listener: a line comes, and goes back.
//!
//! It has no lengths, no versions and no broker; so what holds here is the listener's own doing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::super::serve::{self, Close, Output, Protocol, Serve, ServerContext};
use super::super::{Limits, Server, bind};
use super::strangers::Lines;
use super::*;
use crate::counters::{Counters, Limit};

/// Answers each line with itself, `times` times. The line `wait` is answered at shutdown.
#[derive(Clone, Debug)]
struct Echo {
    times: usize,
    waiting: Arc<AtomicUsize>,
}

impl Protocol for Echo {
    type Serve = Self;

    fn connected(&self, _: SocketAddr) -> Self {
        self.clone()
    }

    fn close_idle_files(&self) -> usize {
        0
    }
}

impl Serve for Echo {
    fn claimed_length(&self, _: &[u8]) -> usize {
        0
    }

    fn take_request(&mut self, client: &mut serve::Client) -> Result<Option<Bytes>, Close> {
        let input = client.input();
        let end = input.iter().position(|byte| *byte == b'\n');
        if end.unwrap_or(input.len()) > client.limits().request_bytes_max {
            return Err(client.exceeded(Limit::RequestBytes, "the line is too long"));
        }
        Ok(end.map(|end| client.input_mut().split_to(end + 1).freeze()))
    }

    async fn answer(
        &mut self,
        line: Bytes,
        client: &mut serve::Client,
        output: &mut Output,
    ) -> Result<(), Close> {
        if !line.is_ascii() {
            client.warn("not text", ": expected a line of ASCII");
            return Err(Close::from("not text"));
        }
        if &line[..] == b"wait\n" {
            let _waiting = Waiting::begin(&self.waiting);
            let context = client.context().clone();
            client.while_connected(context.shut_down()).await?;
        }
        output.buffer().extend_from_slice(b"> ");
        let prompt = output.buffer().split().freeze();
        output.push(prompt);
        for _ in 0..self.times {
            output.push(line.clone());
        }
        Ok(())
    }
}

/// Counts a request that waits, until it is answered or dropped.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    fn begin(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct EchoServer {
    server: Server,
    address: SocketAddr,
    clock: ManualClock,
    counters: Arc<Counters>,
    waiting: Arc<AtomicUsize>,
    stop: watch::Sender<bool>,
}

impl EchoServer {
    async fn start(times: usize, limits: Limits) -> Self {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, shutdown) = watch::channel(false);
        let (clock, counters) = (ManualClock::new(Timestamp(1000)), Arc::default());
        let context = ServerContext {
            clock: Arc::new(clock.clone()),
            counters: Arc::clone(&counters),
            shutdown,
        };
        let waiting = Arc::default();
        let echo = Echo {
            times,
            waiting: Arc::clone(&waiting),
        };
        Self {
            server: Server::start(listener, echo, context, limits),
            address,
            clock,
            counters,
            waiting,
            stop,
        }
    }

    async fn connect(&self) -> Typist {
        Typist(TcpStream::connect(self.address).await.unwrap())
    }

    /// Lets time pass until a client has run into the limit.
    async fn until_rejected(&self, limit: Limit) -> Duration {
        let mut waited = Duration::ZERO;
        while self.counters.rejections(limit) == 0 {
            self.clock.advance(Duration::from_secs(1));
            waited += Duration::from_secs(1);
            tokio::task::yield_now().await;
        }
        waited
    }
}

struct Typist(TcpStream);

impl Typist {
    async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }

    async fn expect(&mut self, expected: &str) {
        let mut received = vec![0; expected.len()];
        self.0.read_exact(&mut received).await.unwrap();
        assert_eq!(received, expected.as_bytes());
    }

    async fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]).await, Ok(0) | Err(_))
    }
}

#[tokio::test]
async fn lines_are_answered_in_order_and_in_pieces() {
    let server = EchoServer::start(2, Limits::default()).await;
    let mut client = server.connect().await;
    for piece in [&b"on"[..], b"e\ntwo\nth", b"ree\n"] {
        client.send(piece).await;
    }
    let answers = "> one\none\n> two\ntwo\n> three\nthree\n";
    client.expect(answers).await;
    let received = server.counters.received_bytes.get();
    assert_eq!(received, b"one\ntwo\nthree\n".len() as u64);
    until(|| server.counters.sent_bytes.get() == answers.len() as u64).await;
}

#[tokio::test]
async fn a_silent_connection_makes_room_and_a_heard_one_does_not() {
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let server = EchoServer::start(1, limits).await;
    let mut silent = server.connect().await;
    silent.send("half of a li").await;
    let mut heard = server.connect().await;
    heard.send("a\n").await;
    heard.expect("> a\n").await;
    assert!(silent.is_closed().await);
    assert!(server.connect().await.is_closed().await);
    assert_eq!(server.counters.rejections(Limit::Connections), 2);
    heard.send("b\n").await;
    heard.expect("> b\n").await;
}

#[tokio::test]
async fn a_request_takes_memory_as_it_comes_and_has_a_largest_size() {
    let limits = Limits {
        request_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let server = EchoServer::start(1, limits).await;
    let used = || server.counters.queued_request_bytes.get();
    let mut client = server.connect().await;
    client.send(vec![b'x'; 500_000]).await;
    until(|| used() >= 400_000).await;
    assert!(used() <= 500_000 + (64 << 10), "{}", used());
    client.send(vec![b'x'; 600_000]).await;
    assert!(client.is_closed().await);
    assert_eq!(server.counters.rejections(Limit::RequestBytes), 1);
    until(|| used() == 0).await;
}

#[tokio::test]
async fn clients_that_stop_are_cut_off() {
    let seconds = Duration::from_secs;
    let limits = Limits {
        idle_max: seconds(100),
        request_read_max: seconds(20),
        response_stall_max: seconds(30),
        ..Limits::default()
    };
    // More than the sockets of both sides take.
    let server = EchoServer::start(30_000, limits).await;
    let long_line = [&[b'x'; 999][..], b"\n"].concat();
    for (sent, limit, patience) in [
        (&b""[..], Limit::IdleTime, 100),
        (b"half", Limit::RequestReadTime, 20),
        (&long_line, Limit::ResponseStallTime, 30),
    ] {
        let mut client = server.connect().await;
        client.send(sent).await;
        let waited = server.until_rejected(limit).await;
        assert!(waited >= seconds(patience), "{limit:?}: {waited:?}");
        until(|| server.counters.connections.get() == 0).await;
    }
}

#[tokio::test]
async fn a_mistake_leaves_a_line_that_names_the_client() {
    let (lines, _guard) = Lines::keep();
    let server = EchoServer::start(1, Limits::default()).await;
    let mut client = server.connect().await;
    let address = client.0.local_addr().unwrap();
    client.send(b"\xff\n").await;
    assert!(client.is_closed().await);
    let expected = format!("{address}: expected a line of ASCII");
    assert_eq!(*lines.0.lock(), [expected]);
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_its_request() {
    let server = EchoServer::start(1, Limits::default()).await;
    let mut client = server.connect().await;
    client.send("wait\n").await;
    until(|| server.waiting.load(Ordering::Relaxed) == 1).await;
    drop(client);
    until(|| server.waiting.load(Ordering::Relaxed) == 0).await;
}

#[tokio::test]
async fn shutdown_answers_what_was_asked_and_hangs_up() {
    let server = EchoServer::start(1, Limits::default()).await;
    let (mut asking, mut idle) = (server.connect().await, server.connect().await);
    asking.send("wait\nnot begun\n").await;
    until(|| server.waiting.load(Ordering::Relaxed) == 1).await;
    server.stop.send_replace(true);
    server.server.stopped().await;
    asking.expect("> wait\n").await;
    assert!(asking.is_closed().await);
    assert!(idle.is_closed().await);
    assert!(TcpStream::connect(server.address).await.is_err());
}
