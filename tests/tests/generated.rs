//! Tables in `docs/` that are made from the tables the code uses.
//!
//! A page that is out of date fails here; `BROOKLET_REGENERATE=1 cargo test -p brooklet-tests --test
//! generated` writes it anew.

use std::fmt::Write as _;

use brooklet_broker::api::table;
use brooklet_broker::controller::topic_config::TOPIC_CONFIGS;
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
         (`broker/src/api/table.rs`).\n\n{}\n\
         An API that is not listed is not served: it is absent from ApiVersions, and a client that \
         asks for it all the same has its connection closed, as with Apache Kafka. That holds for \
         consumer groups, transactions and quotas, which are not built yet.\n",
        table::markdown()
    );
    assert_current("support.md", &page);
}

#[test]
fn the_page_of_topic_settings_is_current() {
    let mut page = String::from(
        "# Topic settings\n\n\
         Kafka's names and defaults (`broker/src/controller/topic_config.rs`). All are checked and \
         kept when a topic is created; those that do not act yet change nothing.\n\n\
         | setting | default | takes | acts | meaning |\n|---|---|---|---|---|\n",
    );
    for config in TOPIC_CONFIGS {
        let acts = if config.acts { "yes" } else { "not yet" };
        let (name, default, kind, doc) = (config.name, config.default, config.kind, config.doc);
        writeln!(page, "| `{name}` | `{default}` | {kind} | {acts} | {doc} |").expect("a String");
    }
    assert_current("topic-settings.md", &page);
}
