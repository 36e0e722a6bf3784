//! Tables in `docs/` that are generated from the tables in the code.
//!
//! A page that is out of date fails here; `BROOKLET_REGENERATE=1 cargo test -p brooklet-tests
//! --test generated` writes it again.

use std::fmt::Write as _;

use brooklet_broker::api::table;
use brooklet_broker::broker::settings::{BROKER_SETTINGS, WITHOUT_EFFECT};
use brooklet_broker::controller::topic_config::TOPIC_CONFIGS;
use brooklet_broker::counters::LIMITS;
use brooklet_tests::repository;

fn assert_current(page: &str, expected: &str) {
    let path = repository().join("docs").join(page);
    if std::env::var_os("BROOKLET_REGENERATE").is_some() {
        std::fs::write(&path, expected).expect("docs/ is writable");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, expected,
        "docs/{page} is out of date; regenerate it with BROOKLET_REGENERATE=1"
    );
}

#[test]
fn the_page_of_supported_apis_is_current() {
    let page = format!(
        "# Supported Kafka APIs\n\n\
         Generated from the table that dispatches requests and answers ApiVersions \
         (`protocol/src/messages/apis/table.rs`).\n\n{}\n\
         An API that is not listed is not served: it is absent from ApiVersions. If a client sends \
         such a request anyway, the broker closes its connection, as Apache Kafka does, and names the \
         client in the log. Not served are setting quotas and SCRAM credentials, moving replicas \
         between log directories, the quorum of controllers, and the newer protocols of groups \
         (KIP-848, share and streams groups).\n",
        table::markdown()
    );
    assert_current("support.md", &page);
}

#[test]
fn the_page_of_limits_is_current() {
    let mut page = String::from(
        "# Limits\n\n\
         Limits on what one client may use, so that no client takes everything \
         (`broker/src/counters/limits.rs`). Those listed in \
         [broker-settings.md](broker-settings.md) can be set. In the metrics \
         `brooklet_limit_rejections_total`, `brooklet_limit_maximum` and, where it is one number, \
         `brooklet_limit_used`, the name is the label `limit`; times are in milliseconds.\n\n\
         A request with a count or a length beyond its own bytes takes no memory: the connection is \
         closed, and `brooklet_malformed_requests_total` counts it.\n\n\
         | limit | default | what is limited | what happens at the limit |\n|---|---|---|---|\n",
    );
    for limit in LIMITS {
        let (name, default, what, answer) = (limit.name, limit.default, limit.what, limit.answer);
        writeln!(page, "| `{name}` | {default} | {what} | {answer} |").expect("a String");
    }
    assert_current("limits.md", &page);
}

#[test]
fn the_page_of_topic_settings_is_current() {
    let mut page = String::from(
        "# Topic settings\n\n\
         Kafka's names and, where the meaning does not say otherwise, its defaults \
         (`broker/src/controller/topic_config.rs`). A topic without a value of its own uses the \
         broker's ([broker-settings.md](broker-settings.md)). All are checked and stored when a topic \
         is created; those that do not act yet have no effect.\n\n\
         | setting | default | takes | acts | meaning |\n|---|---|---|---|---|\n",
    );
    for config in TOPIC_CONFIGS {
        let acts = if config.acts() { "yes" } else { "not yet" };
        let (name, default, kind, doc) = (config.name, config.default, config.kind, config.doc);
        writeln!(page, "| `{name}` | `{default}` | {kind} | {acts} | {doc} |").expect("a String");
    }
    assert_current("topic-settings.md", &page);
}

#[test]
fn the_page_of_broker_settings_is_current() {
    let mut page = String::from(
        "# Broker settings\n\n\
         Kafka's names and, where the meaning does not say otherwise, its defaults \
         (`broker/src/broker/settings/`). `brooklet serve --set KEY=VALUE` sets one, and \
         `--config FILE` reads them from a properties file such as Kafka's `server.properties`. \
         `--data-dir` and `--kafka` take precedence over `--set`, and `--set` over the file. An \
         unknown name is an error that suggests the nearest one.\n\n\
         A setting that is the default of a topic setting ([topic-settings.md](topic-settings.md)) \
         applies to topics without a value of their own. A setting that is outranked has no effect if \
         one of the settings named there is set, in whatever order.\n\n\
         | setting | default | takes | topic setting | outranked by | meaning |\n|---|---|---|---|---|---|\n",
    );
    for setting in BROKER_SETTINGS.iter() {
        let (name, kind, doc) = (setting.name, setting.kind, setting.doc);
        let quoted = |name: &str| format!("`{name}`");
        let default = setting.default.map_or_else(String::new, quoted);
        let topic = setting.of_topics().map_or_else(String::new, quoted);
        let outranked: Vec<_> = setting.outranked_by.iter().map(|n| quoted(n)).collect();
        let outranked = outranked.join(", ");
        writeln!(
            page,
            "| `{name}` | {default} | {kind} | {topic} | {outranked} | {doc} |"
        )
        .expect("a String");
    }
    page.push_str(
        "\n## Without effect\n\n\
         Kafka's other settings (those of 3.9 and 4.1) are accepted without effect and named once at \
         the start, so that an existing file can be used. A name that ends with a dot stands for all \
         names that begin with it.\n",
    );
    for some in WITHOUT_EFFECT {
        let names: Vec<_> = some.names().map(|name| format!("`{name}`")).collect();
        write!(page, "\n**Because {}:** {}.\n", some.why, names.join(", ")).expect("a String");
    }
    assert_current("broker-settings.md", &page);
}
