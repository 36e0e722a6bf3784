//! Clients of other protocols that come to any port: known by their first bytes.
//!
//! Neither is a request of a protocol that begins with a length of 4 bytes: as lengths these bytes
//! are hundreds of megabytes, and a first request is small.

use std::net::SocketAddr;

/// The methods of HTTP, as far as they show in four bytes.
const HTTP_METHODS: [&[u8; 4]; 9] = [
    b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC",
];

/// What a client of another protocol speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    /// A TLS handshake.
    Tls,
    /// An HTTP request.
    Http,
}

/// Recognizes the first bytes of a connection.
pub(super) fn recognize(first: [u8; 4]) -> Option<Stranger> {
    if first.starts_with(&[0x16, 3]) {
        return Some(Stranger::Tls);
    }
    HTTP_METHODS.contains(&&first).then_some(Stranger::Http)
}

/// Where those should go who speak HTTP.
pub(super) fn http_is_at(http: Option<SocketAddr>) -> String {
    match http {
        Some(address) => format!("HTTP is at http://{address} (/metrics, /healthz, /readyz)"),
        None => "HTTP is off, --http HOST:PORT turns it on".to_owned(),
    }
}
