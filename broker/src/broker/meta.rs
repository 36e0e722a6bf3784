//! `meta.properties`: whose data directory it is.
//!
//! ```text
//!  version=1
//!  brooklet.checksum=5d1fa2c0      CRC-32C of the other five lines
//!  cluster.id=…                    22 characters
//!  node.id=1
//!  directory.id=…                  22 characters
//!  brooklet.format=1
//! ```
//!
//! The lines are Kafka's; those with `brooklet` are ours, and keep Kafka's own directories from
//! being taken for one of these. The checksum stands in front of what makes a file Kafka's, so that
//! no cut leaves one that looks like it.
//!
//! | found | called | done |
//! |---|---|---|
//! | the checksum fits the ids | ours | served; another line that makes no sense is rewritten |
//! | no checksum, every value makes sense | ours, of an older version | served as what the coordination log says, if it has other ids, and rewritten |
//! | only Kafka's lines, and no coordination log | Kafka's | refused, `--adopt` takes it over |
//! | only Kafka's lines, beside a coordination log | an adoption that was interrupted, or damage | refused with both ways out; `--adopt` goes on |
//! | another number as version or format | another version's, or damage | refused with both ways out |
//! | anything else, or missing, or unreadable, beside a coordination log | damaged | rebuilt: the tree knows the ids |
//! | the same without a coordination log | damaged | refused |
//! | missing in an empty directory | new | written |

use std::collections::BTreeMap;

use brooklet_protocol::BrokerId;

use crate::controller::kafka_uuid;

const VERSION: &str = "1";
const FORMAT: &str = "1";
/// What has to be as it is here.
const VERSIONS: [(&str, &str); 2] = [("version", VERSION), (FORMAT_KEY, FORMAT)];
const CHECKSUM: &str = "brooklet.checksum";
const FORMAT_KEY: &str = "brooklet.format";
/// Of a file that says nothing else about its writer.
const KAFKAS: [&str; 5] = [
    "version",
    "cluster.id",
    "node.id",
    "broker.id",
    "directory.id",
];

/// What `meta.properties` says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the lines are called so")]
pub(super) struct Meta {
    pub(super) cluster_id: String,
    pub(super) node_id: BrokerId,
    /// Kafka's may have none.
    pub(super) directory_id: Option<String>,
}

/// What is in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MetaFile {
    /// Ours, and whether it is just as it is written today.
    Ours(Meta, bool),
    /// It has only what Kafka writes.
    Kafkas(Meta),
    /// It may be a later version's.
    OtherVersion {
        key: &'static str,
        found: String,
        expected: &'static str,
    },
    /// It makes no sense.
    Damaged {
        key: &'static str,
        found: Option<String>,
        expected: &'static str,
    },
}

impl MetaFile {
    /// Reads the content of the file.
    pub(super) fn parse(content: &[u8]) -> Self {
        let text = String::from_utf8_lossy(content);
        let Some(entries) = properties(&text) else {
            return Self::damaged("a line", None, "KEY=VALUE");
        };
        let is_kafkas = entries.keys().all(|key| KAFKAS.contains(key));
        let values = values(&entries, is_kafkas);
        // The checksum is over this version's numbers, too: it proves that another one is damage.
        if let (Ok(meta), Some(sum)) = (&values, entries.get(CHECKSUM))
            && Some(*sum) == meta.checksum().as_deref()
        {
            return Self::Ours(meta.clone(), content == meta.to_text().as_bytes());
        }
        if !is_kafkas && let Some(other) = Self::other_version(&entries) {
            return other;
        }
        let is_named = entries.contains_key("cluster.id");
        match values {
            Ok(meta) if is_kafkas => Self::Kafkas(meta),
            Err(damaged) if is_kafkas && is_named => damaged,
            values => Self::ours(&entries, values),
        }
    }

    /// A number that is not ours.
    fn other_version(entries: &BTreeMap<&str, &str>) -> Option<Self> {
        VERSIONS.iter().find_map(|(key, expected)| {
            let found = entries.get(key)?;
            let is_other = found != expected && found.parse::<u32>().is_ok();
            is_other.then(|| Self::OtherVersion {
                key,
                found: (*found).to_owned(),
                expected,
            })
        })
    }

    /// That of a file that has no checksum which would vouch for it.
    fn ours(entries: &BTreeMap<&str, &str>, values: Result<Meta, Self>) -> Self {
        for (key, expected) in VERSIONS {
            let found = entries.get(key).copied();
            if found != Some(expected) {
                return Self::damaged(key, found, expected);
            }
        }
        match values {
            Ok(meta) => match entries.get(CHECKSUM) {
                None => Self::Ours(meta, false),
                sum => Self::damaged(CHECKSUM, sum.copied(), "that of the other lines"),
            },
            Err(damaged) => damaged,
        }
    }

    fn damaged(key: &'static str, found: Option<&str>, expected: &'static str) -> Self {
        Self::Damaged {
            key,
            found: found.map(str::to_owned),
            expected,
        }
    }
}

impl Meta {
    /// The file.
    pub(super) fn to_text(&self) -> String {
        let [version, rest] = self.lines();
        let sum = self.checksum().unwrap_or_default();
        format!("{version}{CHECKSUM}={sum}\n{rest}")
    }

    /// Its lines but the checksum's: that before it, and those behind.
    fn lines(&self) -> [String; 2] {
        let (cluster_id, node_id) = (&self.cluster_id, self.node_id);
        let directory_id = self.directory_id.as_deref().unwrap_or_default();
        [
            format!("version={VERSION}\n"),
            format!(
                "cluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={directory_id}\n\
                 {FORMAT_KEY}={FORMAT}\n"
            ),
        ]
    }

    /// `None` for one that is not whole.
    fn checksum(&self) -> Option<String> {
        self.directory_id.as_ref()?;
        let sum = brooklet_protocol::crc32c(self.lines().concat().as_bytes());
        Some(format!("{sum:08x}"))
    }
}

/// The ids in the file; the error names the first that makes no sense.
fn values(entries: &BTreeMap<&str, &str>, is_kafkas: bool) -> Result<Meta, MetaFile> {
    let bad = |key, expected| MetaFile::damaged(key, entries.get(key).copied(), expected);
    let value = |key| entries.get(key).copied().filter(|value| !value.is_empty());
    let cluster_id = value("cluster.id").ok_or_else(|| bad("cluster.id", "an id"))?;
    // With ZooKeeper, Kafka called it broker.id.
    let node_id = value("node.id").or_else(|| value("broker.id").filter(|_| is_kafkas));
    let node_id = node_id
        .and_then(|id| id.parse::<u16>().ok())
        .ok_or_else(|| bad("node.id", "a number from 0 to 65535"))?;
    let directory_id = value("directory.id").filter(|id| kafka_uuid::from_text(id).is_some());
    let may_be_missing = is_kafkas && !entries.contains_key("directory.id");
    if directory_id.is_none() && !may_be_missing {
        return Err(bad("directory.id", "22 characters of base64"));
    }
    Ok(Meta {
        cluster_id: cluster_id.to_owned(),
        node_id: BrokerId(i32::from(node_id)),
        directory_id: directory_id.map(str::to_owned),
    })
}

/// The `key=value` lines of a Java properties file; comments and empty lines are skipped. `None` if
/// there is a line of another kind, or a key twice.
fn properties(text: &str) -> Option<BTreeMap<&str, &str>> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    let mut entries = BTreeMap::new();
    for line in lines {
        let (key, value) = line.split_once('=')?;
        if entries.insert(key.trim(), value.trim()).is_some() {
            return None;
        }
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta {
            cluster_id: "AAAAAAAAAAAAAAAAAAAAAQ".into(),
            node_id: BrokerId(1),
            directory_id: Some("AAAAAAAAAAAAAAAAAAAAAg".into()),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = meta().to_text();
        let lines = [
            "version=1",
            "brooklet.checksum=e51fd6e5",
            "cluster.id=AAAAAAAAAAAAAAAAAAAAAQ",
            "node.id=1",
            "directory.id=AAAAAAAAAAAAAAAAAAAAAg",
            "brooklet.format=1",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
        assert_eq!(
            MetaFile::parse(text.as_bytes()),
            MetaFile::Ours(meta(), true)
        );
        let old = text.replace("brooklet.checksum=e51fd6e5\n", "# by hand\n\n");
        assert_eq!(
            MetaFile::parse(old.as_bytes()),
            MetaFile::Ours(meta(), false)
        );
    }

    #[test]
    fn kafkas_has_none_of_our_lines() {
        let zookeeper = b"#Mon\nversion=0\nbroker.id=3\ncluster.id=x\n";
        assert!(
            matches!(MetaFile::parse(zookeeper), MetaFile::Kafkas(meta) if meta.node_id == BrokerId(3))
        );
        let raft = "version=1\nnode.id=1\ncluster.id=x\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAg\n";
        assert!(matches!(
            MetaFile::parse(raft.as_bytes()),
            MetaFile::Kafkas(_)
        ));
        let strange = format!("{raft}brookle4.format=1\n");
        assert!(matches!(
            MetaFile::parse(strange.as_bytes()),
            MetaFile::Damaged { .. }
        ));
    }

    /// What a disk can do to a file that was written whole: it is never taken for another
    /// directory's, or for Kafka's. (One bit makes a 1 a 3; both ways out are named then.)
    #[test]
    fn no_damage_is_taken_for_something_else() {
        let whole = meta().to_text().into_bytes();
        let is_safe = |found: MetaFile| match found {
            MetaFile::Ours(found, _) => found == meta(),
            MetaFile::Damaged { .. } => true,
            MetaFile::OtherVersion { found, .. } => found.len() == 1,
            MetaFile::Kafkas(_) => false,
        };
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = MetaFile::parse(&flipped);
            assert!(is_safe(found.clone()), "bit {bit}: {found:?}");
        }
        for length in 0..whole.len() {
            let found = MetaFile::parse(&whole[..length]);
            assert!(is_safe(found.clone()), "cut to {length} bytes: {found:?}");
        }
    }
}
