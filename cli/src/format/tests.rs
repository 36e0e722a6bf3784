//! Formats, on a batch as a broker would send it.

use brooklet_protocol::records::{BatchBuilder, Compression, RecordBatch};
use brooklet_protocol::{PartitionId, Timestamp, TopicName};

use super::*;

type Header<'a> = (&'a str, Option<&'a [u8]>);

fn batch(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(Timestamp(1_362_771_600_000), key, value, headers);
    builder.build()
}

fn printed(format: &Format, batch: &RecordBatch) -> Vec<u8> {
    let partition = TopicPartition::new(TopicName::new("flights").unwrap(), PartitionId(2));
    let records = batch.records(1 << 20).unwrap();
    let mut out = Vec::new();
    for record in &records {
        let located = Located {
            partition: &partition,
            is_log_append_time: false,
            record: record.unwrap(),
        };
        format.append(&mut out, &located);
    }
    out
}

fn tokens(text: &str, null: &'static str) -> Format {
    let Parts(parts) = text.parse().unwrap();
    Format::Tokens { parts, null }
}

#[test]
fn each_token_stands_for_its_part() {
    let headers: [Header<'_>; 2] = [("a", Some(b"1")), ("b", None)];
    let batch = batch(Some(b"EWR"), Some(b"late"), &headers);
    let format = tokens(r"%t [%p] %o %T: %k(%K)=%s(%S) %h 100%%\n", "");
    assert_eq!(
        String::from_utf8(printed(&format, &batch)).unwrap(),
        "flights [2] 0 1362771600000: EWR(3)=late(4) a=1,b=NULL 100%\n"
    );
    assert_eq!(printed(&tokens("%R%s", ""), &batch), b"\0\0\0\x04late");
}

#[test]
fn null_differs_from_empty() {
    let null = batch(None, None, &[]);
    let empty = batch(Some(b""), Some(b""), &[]);
    assert_eq!(printed(&tokens("%k|%K|%s|%S", ""), &null), b"|-1||-1");
    assert_eq!(
        printed(&tokens("%k|%K|%s|%S", "NULL"), &null),
        b"NULL|-1|NULL|-1"
    );
    assert_eq!(printed(&tokens("%k|%K|%s|%S", "NULL"), &empty), b"|0||0");
    assert_eq!(printed(&tokens("%R", ""), &null), b"\xff\xff\xff\xff");
}

#[test]
fn delimiters_make_a_format() {
    let delimiter = |text: &str| Delimiter(text.as_bytes().to_vec());
    let Parts(parts) = delimited(Some(delimiter(":")), delimiter("\n"));
    assert_eq!(parts, r"%k:%s\n".parse::<Parts>().unwrap().0);
    let Parts(parts) = delimited(None, delimiter(";"));
    assert_eq!(parts, "%s;".parse::<Parts>().unwrap().0);
}

#[test]
fn what_is_no_format_is_refused() {
    assert_eq!("%q".parse::<Parts>(), Err(FormatError::UnknownToken('q')));
    assert_eq!("a%".parse::<Parts>(), Err(FormatError::AtEnd));
    assert_eq!("a\\".parse::<Parts>(), Err(EscapeError::AtEnd.into()));
    assert_eq!("%ü".parse::<Parts>(), Err(FormatError::UnknownToken('ü')));
}

#[test]
fn the_envelope_has_kcats_keys_in_kcats_order() {
    let headers: [Header<'_>; 2] = [("a", Some(b"1")), ("b", None)];
    let batch = batch(Some(b"EWR"), None, &headers);
    assert_eq!(
        String::from_utf8(printed(&Format::Json, &batch)).unwrap(),
        concat!(
            r#"{"topic":"flights","partition":2,"offset":0,"tstype":"create","#,
            r#""ts":1362771600000,"headers":["a","1","b",null],"key":"EWR","payload":null}"#,
            "\n"
        )
    );
}

#[test]
fn bytes_that_are_no_text_stand_in_base64() {
    let text = printed(&Format::Json, &batch(Some(b"k"), Some(b"\xff\x00"), &[]));
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.ends_with("\"key\":\"k\",\"payload_base64\":\"/wA=\"}\n"),
        "{text}"
    );
}

#[test]
fn base64_follows_the_vectors_of_the_rfc() {
    for (plain, encoded) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(base64(plain.as_bytes()), encoded);
    }
}

#[test]
fn a_terminal_gets_no_control_characters_of_records() {
    let evil = b"\x1b[2J\xff\x07\n";
    let batch = batch(Some(evil), Some(evil), &[("\x1bh", Some(evil))]);
    let shown = |format| printed(&Format::ForTerminal(Box::new(format)), &batch);
    let data = "\\u001b[2J\\xff\\u0007\n";
    assert_eq!(
        String::from_utf8(shown(tokens("\\x1b[1m%k|%s|%h", ""))).unwrap(),
        format!("\x1b[1m{data}|{data}|\\u001bh={data}")
    );
    let json = String::from_utf8(shown(Format::Json)).unwrap();
    assert!(
        json.ends_with("}\n") && !json.trim_end().contains(char::is_control),
        "{json}"
    );
    assert!(json.contains(r#""headers":["\u001bh""#), "{json}");
}
