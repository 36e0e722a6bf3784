//! A Kafka client without manners: it sends any bytes, and sees what comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use brooklet_protocol::messages::{
    Request, RequestKind, ResponseKind, decode_response, encode_request,
};
use bytes::{Bytes, BytesMut};

/// How long to wait for an answer. It is less than the 30 seconds after which a server gives up on
/// half a request, which would look like an answer.
const HANG: Duration = Duration::from_secs(20);

/// One connection.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
}

impl Socket {
    /// Connects to `HOST:PORT`.
    ///
    /// # Panics
    /// When nobody listens there.
    pub fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(HANG)).expect("a valid time");
        Self { stream }
    }

    /// Sends bytes as they are; whether the other side still took them.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a frame; whether the other side still took it.
    pub fn send_frame(&mut self, frame: &[u8]) -> bool {
        self.send(&[&(frame.len() as u32).to_be_bytes(), frame].concat())
    }

    /// Says that nothing more will be sent; an end that the other side has made is as good.
    pub fn finish(&mut self) {
        let ended = self.stream.shutdown(Shutdown::Write);
        drop(ended);
    }

    /// The next frame without its length, or `None` when the other side has closed.
    ///
    /// # Panics
    /// When nothing comes.
    pub fn read_frame(&mut self) -> Option<Bytes> {
        let length: [u8; 4] = self.read(4)?.try_into().expect("4 bytes were read");
        let frame = self.read(u32::from_be_bytes(length) as usize);
        Some(frame.expect("a whole frame").into())
    }

    fn read(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            // A close with bytes unread is a reset.
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ) =>
            {
                None
            }
            Err(e) => panic!("neither an answer nor the end: {e}"),
        }
    }

    /// Asks, and decodes the answer.
    ///
    /// # Panics
    /// When there is none.
    pub fn ask(&mut self, version: i16, body: impl Into<RequestKind>) -> ResponseKind {
        let request = request(version, body);
        let api = request.api();
        assert!(self.send(&frame_of(&request)), "the connection is closed");
        let answer = self.read_frame().expect("an answer");
        let (_, answer) = decode_response(answer, api, version).expect("a valid answer");
        answer
    }
}

/// A request from nobody in particular.
pub fn request(version: i16, body: impl Into<RequestKind>) -> Request {
    Request {
        version,
        client_id: None,
        body: body.into(),
    }
}

/// A request as it is sent, its length included.
///
/// # Panics
/// When the version cannot carry it.
pub fn frame_of(request: &Request) -> Bytes {
    let mut out = BytesMut::new();
    encode_request(&mut out, 7, request).expect("the version carries the request");
    out.freeze()
}
