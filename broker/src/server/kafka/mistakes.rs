//! Misconfigured clients: what they did wrong, and a log line that tells their owner how to fix it.
//!
//! | what came | who sends it | the fix |
//! |---|---|---|
//! | `16 03` | a client with `security.protocol=SSL` or `SASL_SSL` | `security.protocol=PLAINTEXT` |
//! | SaslHandshake | a client with `security.protocol=SASL_PLAINTEXT` | the same |
//! | `GET `, `POST` … | a browser, Prometheus | the address of HTTP |
//! | `ruok`, `stat` …; a ConnectRequest | a client of ZooKeeper | `bootstrap.servers` instead of `zookeeper.connect` |
//! | ConsumerGroupHeartbeat … | a consumer of the newer protocol | `group.protocol=classic` |
//! | another API or version | a client that does not ask which versions are served | names both |
//! | a length beyond the limit | a producer with a larger `max.request.size`, or not a Kafka client | both are named |
//!
//! No Kafka request begins like the rows that start with letters or with `16 03`: as a length that
//! would be hundreds of megabytes, and a first request is small.

use std::fmt;
use std::net::SocketAddr;

use brooklet_protocol::messages::{ApiKey, MessageError};

use super::super::strangers::{self, Stranger, http_is_at};
use crate::api::table;

/// Longer client ids are cut: they come from the network.
const CLIENT_CHARS_MAX: usize = 64;
/// ZooKeeper's commands of four letters.
const ZOOKEEPER_WORDS: [&[u8; 4]; 14] = [
    b"conf", b"cons", b"crst", b"dirs", b"dump", b"envi", b"isro", b"mntr", b"ruok", b"srst",
    b"srvr", b"stat", b"wchc", b"wchs",
];
/// A ConnectRequest of ZooKeeper, without and with its read-only flag.
const ZOOKEEPER_CONNECT_BYTES: [usize; 2] = [44, 45];

/// What a client did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A TLS handshake.
    Tls,
    /// An HTTP request.
    Http,
    /// One of ZooKeeper's commands.
    ZooKeeperWord([u8; 4]),
    /// A client of ZooKeeper.
    ZooKeeper,
    /// A client that wants to authenticate.
    Sasl { mechanism: String },
    /// A frame that is too large.
    TooLarge { length: usize, limit: usize },
    /// The first bytes are not a frame.
    Strange { bytes: Vec<u8> },
    /// A request that is not served, or that does not follow its schema.
    Refused(MessageError),
}

/// Recognizes the first bytes of a connection, if they cannot be Kafka's.
pub(super) fn recognize(first: &[u8]) -> Option<Mistake> {
    let word = first.first_chunk::<4>()?;
    match strangers::recognize(*word) {
        Some(Stranger::Tls) => Some(Mistake::Tls),
        Some(Stranger::Http) => Some(Mistake::Http),
        None => (ZOOKEEPER_WORDS.contains(&word)).then_some(Mistake::ZooKeeperWord(*word)),
    }
}

/// Whether a frame that is not a Kafka request is ZooKeeper's ConnectRequest: protocol version 0,
/// the last zxid, a timeout, a session, and a password of 16 bytes.
pub(super) fn is_zookeeper(frame: &[u8]) -> bool {
    ZOOKEEPER_CONNECT_BYTES.contains(&frame.len())
        && frame[..4] == [0; 4]
        && frame[24..28] == 16_u32.to_be_bytes()
}

/// The client id in the header of a frame, quoted and cut.
pub(super) fn client_id(frame: &[u8]) -> Option<String> {
    let length = i16::from_be_bytes(*frame.get(8..)?.first_chunk()?);
    let name = frame.get(10..10 + usize::try_from(length).ok()?)?;
    let name = std::str::from_utf8(name).ok()?;
    (!name.is_empty()).then(|| shown(name))
}

/// Text from the network: quoted, cut, with control characters escaped.
fn shown(text: &str) -> String {
    match text.char_indices().nth(CLIENT_CHARS_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

impl Mistake {
    /// Lines of the same kind are limited together.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Http => "http",
            Self::ZooKeeperWord(_) | Self::ZooKeeper => "zookeeper",
            Self::Sasl { .. } => "sasl",
            Self::TooLarge { .. } => "too large",
            Self::Strange { .. } => "strange",
            Self::Refused(MessageError::UnknownVersion { .. }) => "version",
            Self::Refused(MessageError::Unsupported { .. } | MessageError::UnknownApi(_)) => "api",
            Self::Refused(_) => "malformed",
        }
    }

    /// The log line for it; `http` is where HTTP is served.
    pub(super) fn line(&self, http: Option<SocketAddr>) -> String {
        match self {
            Self::Tls => "TLS handshake on the Kafka port, which does not support TLS: set \
                          security.protocol=PLAINTEXT in this client"
                .to_owned(),
            Self::Http => format!("HTTP request on the Kafka port; {}", http_is_at(http)),
            Self::ZooKeeperWord(word) => format!(
                "ZooKeeper command {:?} on the Kafka port, and there is no ZooKeeper; {}",
                String::from_utf8_lossy(word),
                http_is_at(http)
            ),
            Self::ZooKeeper => {
                "ZooKeeper client on the Kafka port, and there is no ZooKeeper: use a \
                                client that takes bootstrap.servers (--bootstrap-server) instead \
                                of zookeeper.connect"
                    .to_owned()
            }
            Self::Sasl { mechanism } => format!(
                "client tried SASL ({}), which this port does not support: set \
                 security.protocol=PLAINTEXT in this client",
                shown(mechanism)
            ),
            Self::TooLarge { length, limit } => format!(
                "request of {length} bytes exceeds socket.request.max.bytes={limit}: lower \
                 max.request.size (message.max.bytes in librdkafka) in this client, or raise the \
                 setting"
            ),
            Self::Strange { bytes } => format!(
                "expected a Kafka request, found \"{}\": is this a Kafka client?",
                bytes.escape_ascii()
            ),
            Self::Refused(error) => refused(error),
        }
    }
}

fn refused(error: &MessageError) -> String {
    match error {
        MessageError::UnknownApi(key @ 88..=89) => format!(
            "streams groups (API key {key}) are not served: set group.protocol=classic in this client"
        ),
        MessageError::UnknownApi(key) => {
            format!("unknown API key {key}: is this a Kafka client?")
        }
        MessageError::Unsupported { api } => {
            let key = *api as i16;
            format!("{api:?} (API key {key}) is not served: {}", Fix(*api))
        }
        MessageError::UnknownVersion { api, version, .. } => version_refused(*api, *version),
        MessageError::Malformed(_) | MessageError::Unencodable { .. } => {
            format!("malformed Kafka request: {error}")
        }
    }
}

fn version_refused(api: ApiKey, version: i16) -> String {
    let Some(row) = table::find(api as i16) else {
        return format!("{api:?} is not served: {}", Fix(api));
    };
    let (min, max) = (row.version_min, row.version_max);
    let fix = if version < min {
        "this client is too old, use a newer version"
    } else {
        "this client does not ask which versions are served, as Kafka clients do"
    };
    format!("{api:?} version {version} is not served, expected {min} to {max}: {fix}")
}

/// What to do when an API is not served.
struct Fix(ApiKey);

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ApiKey::ConsumerGroupHeartbeat | ApiKey::ConsumerGroupDescribe => {
                "set group.protocol=classic in this client"
            }
            ApiKey::ShareGroupHeartbeat
            | ApiKey::ShareGroupDescribe
            | ApiKey::ShareFetch
            | ApiKey::ShareAcknowledge
            | ApiKey::DescribeShareGroupOffsets
            | ApiKey::AlterShareGroupOffsets
            | ApiKey::DeleteShareGroupOffsets => {
                "share groups are not supported, use a consumer with group.protocol=classic"
            }
            ApiKey::Vote
            | ApiKey::BeginQuorumEpoch
            | ApiKey::EndQuorumEpoch
            | ApiKey::FetchSnapshot
            | ApiKey::BrokerRegistration
            | ApiKey::BrokerHeartbeat
            | ApiKey::ControllerRegistration
            | ApiKey::AddRaftVoter
            | ApiKey::RemoveRaftVoter
            | ApiKey::UpdateRaftVoter => {
                "this broker is not part of a cluster, remove it from controller.quorum.voters of \
                 that server"
            }
            _ => "docs/support.md lists the APIs that are",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http() -> SocketAddr {
        "127.0.0.1:7092".parse().unwrap()
    }

    #[test]
    fn first_bytes_that_are_not_kafkas_are_recognized() {
        let rows: [(&[u8], Option<Mistake>); 8] = [
            (&[0x16, 3, 1, 2, 0, 1], Some(Mistake::Tls)),
            (&[0x16, 3, 3, 0], Some(Mistake::Tls)),
            (b"GET / HTTP/1.1", Some(Mistake::Http)),
            (b"ruok", Some(Mistake::ZooKeeperWord(*b"ruok"))),
            (&[0x16, 3, 1], None),
            (&[0, 0, 0, 30, 0, 18, 0, 3], None),
            (b"SSH-2.0", None),
            (b"", None),
        ];
        for (bytes, expected) in rows {
            assert_eq!(recognize(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn lines_name_the_fix() {
        let unsupported = |api| Mistake::Refused(MessageError::Unsupported { api });
        let unknown = |key| Mistake::Refused(MessageError::UnknownApi(key));
        let version = |api, version| {
            Mistake::Refused(MessageError::UnknownVersion {
                api,
                version,
                correlation_id: 0,
            })
        };
        let sasl = Mistake::Sasl {
            mechanism: "PLAIN\x1b[31m".to_owned(),
        };
        let strange = Mistake::Strange {
            bytes: b"SSH-2.0-OpenSSH\x1b".to_vec(),
        };
        let too_large = Mistake::TooLarge {
            length: 2000,
            limit: 1000,
        };
        let rows = [
            (Mistake::Tls, "security.protocol=PLAINTEXT"),
            (sasl.clone(), "security.protocol=PLAINTEXT"),
            (sasl, r#"("PLAIN\u{1b}[31m")"#),
            (Mistake::Http, "http://127.0.0.1:7092"),
            (Mistake::ZooKeeperWord(*b"ruok"), "\"ruok\""),
            (Mistake::ZooKeeper, "bootstrap.servers"),
            (too_large, "socket.request.max.bytes=1000"),
            (strange, r#"found "SSH-2.0-OpenSSH\x1b""#),
            (
                unsupported(ApiKey::ConsumerGroupHeartbeat),
                "group.protocol=classic",
            ),
            (unsupported(ApiKey::ShareFetch), "group.protocol=classic"),
            (unsupported(ApiKey::Vote), "controller.quorum.voters"),
            (unsupported(ApiKey::AlterClientQuotas), "(API key 49)"),
            (
                version(ApiKey::Produce, 2),
                "version 2 is not served, expected 3 to 13: this client is too old",
            ),
            (version(ApiKey::Produce, 99), "does not ask which versions"),
            (unknown(999), "API key 999"),
            (unknown(88), "group.protocol=classic"),
        ];
        for (mistake, words) in rows {
            let line = mistake.line(Some(http()));
            assert!(line.contains(words), "{line}");
            assert!(!line.contains(char::is_control), "{line}");
        }
        let line = Mistake::Http.line(None);
        assert!(line.contains("--http HOST:PORT"), "{line}");
    }

    #[test]
    fn a_client_id_is_quoted_and_cut() {
        let frame = |name: &[u8]| {
            let length = u16::try_from(name.len()).unwrap().to_be_bytes();
            [&[0, 3, 0, 9, 0, 0, 0, 1][..], &length, name].concat()
        };
        assert_eq!(client_id(&frame(b"app")), Some("\"app\"".to_owned()));
        let evil = client_id(&frame("a\x1b]0;b\u{202e}".as_bytes())).unwrap();
        assert_eq!(evil, r#""a\u{1b}]0;b\u{202e}""#);
        let long = client_id(&frame("ä".repeat(100).as_bytes())).unwrap();
        assert_eq!(long, format!("\"{}\"…", "ä".repeat(64)));
        for nothing in [&frame(b"")[..], &frame(b"app")[..12], &frame(b"\xff"), b""] {
            assert_eq!(client_id(nothing), None);
        }
    }

    #[test]
    fn a_client_of_zookeeper_is_known_by_its_first_frame() {
        let mut connect = vec![0; 28];
        connect[12..16].copy_from_slice(&30_000_u32.to_be_bytes());
        connect[24..].copy_from_slice(&16_u32.to_be_bytes());
        for length in [44, 45] {
            connect.resize(length, 0);
            assert!(is_zookeeper(&connect));
        }
        connect.push(0);
        assert!(!is_zookeeper(&connect));
        assert!(!is_zookeeper(&[0; 44]) && !is_zookeeper(&[]));
    }
}
