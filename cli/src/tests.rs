//! The command line as a whole: its arguments, and the verbs against a broker in the same process:
//! what goes in comes out again.

use std::io::Cursor;

use brooklet_broker::{Broker, BrokerConfig};
use brooklet_client::Client;
use clap::{CommandFactory, Parser};

use crate::exit::{CliError, Exit};
use crate::files::Input;
use crate::output::Output;
use crate::signals::Stop;
use crate::{Cli, Command, consume, produce, topic};

/// A broker that listens nowhere and keeps nothing.
async fn broker() -> Broker {
    let config = BrokerConfig {
        kafka: None,
        ..BrokerConfig::default()
    };
    Broker::start(config).await.unwrap()
}

/// Runs a command line and returns what it prints.
async fn run(broker: &Broker, line: &[&str], input: &'static str) -> anyhow::Result<String> {
    let cli = Cli::try_parse_from([&["brooklet", "-q"], line].concat())?;
    let client = Client::embedded(broker.clone(), "test");
    let mut printed = Vec::new();
    let output = Output::new(&mut printed, true);
    match cli.command {
        Command::Topic(args) => topic::topic(&cli.globals, client, args, output).await?,
        Command::Consume(args) => consume::consume(&cli.globals, client, &args, output).await?,
        Command::Produce(args) => {
            let input = Input {
                reader: Box::new(Cursor::new(input)),
                bytes_total: None,
            };
            let stop = Stop::never();
            let exit = produce::produce(&cli.globals, client, &args, input, stop).await?;
            assert_eq!(exit, Exit::Ok);
        }
        other => panic!("{other:?} needs a process of its own"),
    }
    Ok(String::from_utf8(printed)?)
}

#[tokio::test]
async fn lines_come_back_in_order_with_each_codec() {
    let broker = broker().await;
    let lines: Vec<_> = (0..5000).map(|n| format!("line {n}")).collect();
    let lines: &'static str = (lines.join("\n") + "\n").leak();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        run(&broker, &["produce", codec, "-z", codec], lines)
            .await
            .unwrap();
        let found = run(&broker, &["consume", codec, "-e"], "").await.unwrap();
        assert!(found == lines, "{codec}");
    }
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn keys_headers_and_nulls_come_back() {
    let broker = broker().await;
    let line = ["produce", "t", "-K:", "-Z", "-H", "a=1", "-H", "b"];
    run(&broker, &line, "EWR:late\nJFK:\n\nno key\n")
        .await
        .unwrap();
    let line = [
        "consume",
        "t",
        "-e",
        "-Z",
        "-f",
        r"%p/%o %k(%K)=%s(%S) %h\n",
    ];
    assert_eq!(
        run(&broker, &line, "").await.unwrap(),
        "0/0 EWR(3)=late(4) a=1,b=NULL\n\
         0/1 JFK(3)=NULL(-1) a=1,b=NULL\n\
         0/2 NULL(-1)=no key(6) a=1,b=NULL\n"
    );
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn reading_starts_where_it_is_told_and_stops_after_the_count() {
    let broker = broker().await;
    run(&broker, &["produce", "t"], "a\nb\nc\nd\n")
        .await
        .unwrap();
    for (arguments, expected) in [
        (&["-o", "2", "-e"][..], "c\nd\n"),
        (&["-o", "-1", "-e"], "d\n"),
        (&["-o", "-100", "-e"], "a\nb\nc\nd\n"),
        (&["-o", "end", "-e"], ""),
        (&["-o", "77", "-e"], ""),
        (&["-o", "@0", "-e"], "a\nb\nc\nd\n"),
        (&["-o", "@9000-01-01T00:00:00Z", "-e"], ""),
        (&["-n", "2"], "a\nb\n"),
        (&["-n", "1", "-o", "1", "-D", ";"], "b;"),
        (&["-n", "0"], ""),
    ] {
        let line = [&["consume", "t"], arguments].concat();
        assert_eq!(
            run(&broker, &line, "").await.unwrap(),
            expected,
            "{arguments:?}"
        );
    }
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_partition_can_be_chosen_for_writing_and_reading() {
    let broker = broker().await;
    run(&broker, &["topic", "create", "t", "-p", "3"], "")
        .await
        .unwrap();
    for (partition, value) in [("0", "zero\n"), ("2", "two\n")] {
        run(&broker, &["produce", "t", "-p", partition], value)
            .await
            .unwrap();
    }
    let only = run(&broker, &["consume", "t", "-e", "-p", "2"], "")
        .await
        .unwrap();
    assert_eq!(only, "two\n");
    let all = run(&broker, &["consume", "t", "-e"], "").await.unwrap();
    assert_eq!(all.len(), "zero\ntwo\n".len());
    let error = run(&broker, &["consume", "t", "-p", "3"], "")
        .await
        .unwrap_err();
    assert!(error.is::<CliError>());
    assert_eq!(
        error.to_string(),
        "topic 't' has no partition 3: expected 0 to 2"
    );
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn topics_are_created_listed_described_and_deleted() {
    let broker = broker().await;
    let create = [
        "topic",
        "create",
        "t",
        "-p",
        "2",
        "-c",
        "segment.bytes=4096",
    ];
    run(&broker, &create, "").await.unwrap();
    assert!(run(&broker, &create, "").await.is_err());
    let again = [&create[..], &["--if-not-exists"]].concat();
    run(&broker, &again, "").await.unwrap();
    run(&broker, &["produce", "t", "-p", "1"], "a\nb\n")
        .await
        .unwrap();

    let listed = run(&broker, &["topic", "list"], "").await.unwrap();
    assert_eq!(listed, "NAME  PARTITIONS\nt     2\n");
    let json = run(&broker, &["topic", "describe", "t", "-o", "json"], "")
        .await
        .unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["topics"][0]["partitions"][1]["end_offset"], 2);

    let altered = [
        "topic",
        "alter",
        "t",
        "--set",
        "retention.ms=60000",
        "--set",
        "segment.bytes=300",
    ];
    run(&broker, &altered, "").await.unwrap();
    run(
        &broker,
        &["topic", "alter", "t", "--unset", "segment.bytes"],
        "",
    )
    .await
    .unwrap();
    let described = run(&broker, &["topic", "describe", "t"], "").await.unwrap();
    assert!(described.contains("  retention.ms=60000\n"), "{described}");
    assert!(!described.contains("segment.bytes"), "{described}");
    let refused = run(
        &broker,
        &["topic", "alter", "t", "--set", "retention.ms=soon"],
        "",
    )
    .await;
    assert!(refused.unwrap_err().to_string().contains("retention.ms"));
    let beyond = run(
        &broker,
        &["topic", "trim", "t", "-p", "1", "--before", "3"],
        "",
    )
    .await;
    assert!(beyond.is_err());
    run(
        &broker,
        &["topic", "trim", "t", "-p", "1", "--before", "1"],
        "",
    )
    .await
    .unwrap();
    let json = run(&broker, &["topic", "describe", "t", "-o", "json"], "").await;
    let json: serde_json::Value = serde_json::from_str(&json.unwrap()).unwrap();
    assert_eq!(json["topics"][0]["partitions"][1]["start_offset"], 1);
    run(&broker, &["topic", "trim", "t", "--before", "end"], "")
        .await
        .unwrap();
    let json = run(&broker, &["topic", "describe", "t", "-o", "json"], "")
        .await
        .unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["topics"][0]["partitions"][1]["start_offset"], 2);

    run(&broker, &["topic", "delete", "t"], "").await.unwrap();
    for line in [
        &["topic", "delete", "t"],
        &["topic", "describe", "t"],
        &["consume", "t"][..],
    ] {
        let error = run(&broker, line, "").await.unwrap_err();
        assert_eq!(
            crate::exit::exit_of(&error),
            Exit::NotFound,
            "{line:?}: {error:?}"
        );
    }
    run(&broker, &["topic", "delete", "t", "--if-exists"], "")
        .await
        .unwrap();
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_record_that_is_too_long_fails_after_those_before_it() {
    let broker = broker().await;
    let input: &'static str = format!("short\n{}\n", "x".repeat(2 << 20)).leak();
    assert!(run(&broker, &["produce", "t"], input).await.is_err());
    let found = run(&broker, &["consume", "t", "-e"], "").await.unwrap();
    assert_eq!(found, "short\n");
    broker.shutdown().await.unwrap();
}

#[test]
fn the_arguments_of_all_verbs_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn global_options_stand_before_or_after_the_verb() {
    let before = Cli::try_parse_from(["brooklet", "-b", "h:1", "topic", "list"]).unwrap();
    let after = Cli::try_parse_from(["brooklet", "topic", "list", "-b", "h:1"]).unwrap();
    assert_eq!(before.globals.bootstrap_server.as_deref(), Some("h:1"));
    assert_eq!(after.globals.bootstrap_server.as_deref(), Some("h:1"));
}
