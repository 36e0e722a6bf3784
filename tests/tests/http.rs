//! What a server tells of itself over HTTP, with the real binary.

use std::fs;

use brooklet_tests::{Server, run, text};

fn metrics(server: &Server) -> String {
    let (status, page) = server.get("/metrics");
    assert_eq!(status, 200, "{page}");
    page
}

/// The value of one sample.
fn value(page: &str, sample: &str) -> Option<f64> {
    let lines = page.lines().filter_map(|line| line.rsplit_once(' '));
    let mut found = lines.filter(|(name, _)| *name == sample);
    found
        .next()
        .map(|(_, value)| value.parse().expect("a number"))
}

#[test]
fn what_clients_do_shows_in_the_metrics() {
    let server = Server::ephemeral();
    server.stdout_of(&["topic", "create", "clicks", "-p", "2"], b"");
    server.stdout_of(&["produce", "clicks"], b"a\nb\nc\n");
    let consumed = server.stdout_of(&["consume", "clicks", "-e"], b"");
    assert_eq!(consumed.lines().count(), 3);
    server.stdout_of(
        &[
            "group",
            "seek",
            "readers",
            "--topic",
            "clicks",
            "--to",
            "beginning",
            "--execute",
        ],
        b"",
    );
    let page = metrics(&server);
    let rows = [
        ("kafka_brokers", 1.0),
        ("kafka_topic_partitions{topic=\"clicks\"}", 2.0),
        ("kafka_server_brokertopicmetrics_messagesin_total", 3.0),
        (
            "kafka_server_brokertopicmetrics_messagesin_total{topic=\"clicks\"}",
            3.0,
        ),
        (
            "kafka_server_brokertopicmetrics_failedproducerequests_total",
            0.0,
        ),
        (
            "kafka_consumergroup_members{consumergroup=\"readers\"}",
            0.0,
        ),
        (
            "kafka_consumergroup_lag_sum{consumergroup=\"readers\",topic=\"clicks\"}",
            3.0,
        ),
        ("brooklet_ready", 1.0),
    ];
    for (sample, expected) in rows {
        assert_eq!(value(&page, sample), Some(expected), "{sample} in\n{page}");
    }
    let total = |sample: &str| -> f64 {
        value(&page, sample).unwrap_or_else(|| panic!("{sample} in\n{page}"))
    };
    let ends: f64 = [0, 1]
        .map(|partition| {
            let labels = format!("{{partition=\"{partition}\",topic=\"clicks\"}}");
            total(&format!("kafka_topic_partition_current_offset{labels}"))
        })
        .iter()
        .sum();
    assert!((ends - 3.0).abs() < f64::EPSILON, "{page}");
    let bytes = total("kafka_server_brokertopicmetrics_bytesin_total{topic=\"clicks\"}");
    let out = total("kafka_server_brokertopicmetrics_bytesout_total{topic=\"clicks\"}");
    assert!(bytes > 60.0 && out >= bytes, "{page}");
    assert!(total("brooklet_connections_accepted_total") >= 4.0);
    assert!(total("brooklet_sent_bytes_total") > out);
    assert!(total("process_resident_memory_bytes") > 1e6);
    // Counters go on where a topic ends.
    server.stdout_of(&["topic", "delete", "clicks"], b"");
    let page = metrics(&server);
    assert!(!page.contains("\"clicks\""), "{page}");
    let all = "kafka_server_brokertopicmetrics_messagesin_total";
    assert_eq!(value(&page, all), Some(3.0));
}

#[test]
fn a_damaged_partition_is_named_as_the_reason_for_not_being_ready() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::on(dir.path());
    server.stdout_of(&["produce", "clicks"], b"a\nb\n");
    assert_eq!(server.get("/readyz"), (200, "ready\n".to_owned()));
    assert!(server.terminate().success());
    let log = dir.path().join("clicks-0/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&log, bytes).unwrap();
    fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();

    let server = Server::on(dir.path());
    let (status, reasons) = server.get("/readyz");
    assert_eq!(status, 503, "{reasons}");
    assert!(reasons.starts_with("clicks-0 is offline: "), "{reasons}");
    assert_eq!(server.get("/healthz").0, 200);
    let page = metrics(&server);
    assert_eq!(value(&page, "brooklet_ready"), Some(0.0));
    let offline = "kafka_controller_kafkacontroller_offlinepartitionscount";
    assert_eq!(value(&page, offline), Some(1.0));
}

#[test]
fn http_can_be_off_and_a_taken_port_is_named() {
    let server = Server::start(&["--ephemeral", "--http", "off"]);
    assert_eq!(server.http(), None);
    let server = Server::ephemeral();
    let address = server.http().expect("a free port beside a free port");
    let second = run(&[
        "serve",
        "--ephemeral",
        "--kafka",
        "127.0.0.1:0",
        "--http",
        address,
    ]);
    assert_eq!(second.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&second.stderr);
    for words in [
        &*format!("cannot bind {address} for HTTP"),
        "in use",
        "--http off",
    ] {
        assert!(errors.contains(words), "{errors}");
    }
    assert!(second.stdout.is_empty(), "no ready line");
}

#[test]
fn the_ready_file_has_both_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ready");
    let server = Server::start(&["--ephemeral", "--ready-file", text(&file)]);
    let (kafka, http) = (server.kafka(), server.http().unwrap());
    let expected = format!("kafka={kafka}\nhttp={http}\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
}
