//! Tables in `docs/` that are made from the tables the code uses.
//!
//! A page that is out of date fails here; `BROOKLET_REGENERATE=1 cargo test -p brooklet-tests --test
//! generated` writes it anew.

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
        "docs/{page} is out of date; set BROOKLET_REGENERATE=1"
    );
}

#[test]
fn the_page_of_supported_apis_is_current() {
    let page = format!(
        "# Supported Kafka APIs\n\n\
         Made from the table that requests are dispatched by and ApiVersions is answered from \
         (`protocol/src/messages/apis/table.rs`).\n\n{}\n\
         An API that is not listed is not served: it is absent from ApiVersions, and a client that \
         asks for it all the same has its connection closed, as with Apache Kafka, and a line in the \
         log names it. That holds for setting quotas and SCRAM credentials, moving between log \
         directories, the quorum of controllers, and the newer protocols of groups (KIP-848, share \
         and streams groups).\n",
        table::markdown()
    );
    assert_current("support.md", &page);
}

#[test]
fn the_page_of_limits_is_current() {
    let mut page = String::from(
        "# Limits\n\n\
         What a client may take of the broker, so that none takes all \
         (`broker/src/counters/limits.rs`). A name that is in \
         [broker-settings.md](broker-settings.md) can be set. The metrics \
         `brooklet_limit_rejections_total`, `brooklet_limit_maximum` and, where it is one number, \
         `brooklet_limit_used` have the name as their label `limit`; times are in milliseconds.\n\n\
         A request whose counts or lengths are more than its bytes closes the connection, takes no \
         memory, and counts in `brooklet_malformed_requests_total`.\n\n\
         | limit | default | of what | who runs into it |\n|---|---|---|---|\n",
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
         (`broker/src/controller/topic_config.rs`). A topic without a value of its own has the \
         broker's ([broker-settings.md](broker-settings.md)). All are checked and \
         kept when a topic is created; those that do not act yet change nothing.\n\n\
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
         (`broker/src/broker/settings/`). `brooklet serve --set KEY=VALUE` gives one a value, \
         `--config FILE` takes them from a properties file as Kafka's `server.properties`; \
         `--data-dir` and `--kafka` go before `--set`, and `--set` goes before the file. An unknown \
         name is an error that names the nearest.\n\n\
         A setting that is the default of a topic's ([topic-settings.md](topic-settings.md)) holds for \
         topics without a value of their own. Where a setting is outranked, it has no effect beside \
         those named, whatever their order.\n\n\
         | setting | default | takes | of topics | outranked by | meaning |\n|---|---|---|---|---|---|\n",
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
         Kafka's other settings (those of 3.9 and 4.1) are accepted, do nothing, and are named once at \
         the start, so that an existing file can be used. A name that ends with a dot stands for all \
         that begin with it.\n",
    );
    for some in WITHOUT_EFFECT {
        let names: Vec<_> = some.names().map(|name| format!("`{name}`")).collect();
        write!(page, "\n**Because {}:** {}.\n", some.why, names.join(", ")).expect("a String");
    }
    assert_current("broker-settings.md", &page);
}
