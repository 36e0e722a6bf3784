//! The table of APIs as the broker uses it: look-ups by key, and the documentation.
//!
//! The rows stand in the protocol's table, [`APIS`]. ApiVersions advertises it, [`super::dispatch`]
//! obeys it, and [`markdown`] turns it into documentation, so that the three cannot disagree.

use std::fmt::Write;

use brooklet_protocol::messages::{APIS, Api, ApiKey, find_api};

/// The row of an API; `None` for one that is not served.
pub fn find(api_key: i16) -> Option<&'static Api> {
    ApiKey::try_from(api_key).ok().and_then(find_api)
}

/// Whether a request is answered.
pub fn is_served(api_key: i16, version: i16) -> bool {
    find(api_key).is_some_and(|api| api.serves(version))
}

/// The table as Markdown.
pub fn markdown() -> String {
    let mut page =
        String::from("| API | key | versions | differs from Kafka |\n|---|---|---|---|\n");
    for api in APIS {
        writeln!(
            page,
            "| {:?} | {} | {}–{} | {} |",
            api.key, api.key as i16, api.version_min, api.version_max, api.notes
        )
        .expect("writing to a string does not fail");
    }
    page
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use brooklet_protocol::for_each_api;

    use super::*;

    #[test]
    fn the_table_is_sorted_by_key_and_within_what_the_codec_knows() {
        assert!(APIS.is_sorted_by_key(|api| api.key as i16));
        for api in APIS {
            let known = api.key.valid_versions();
            assert!(
                known.min <= api.version_min && api.version_max <= known.max,
                "{api:?}"
            );
            assert!(api.version_min_advertised <= api.version_min, "{api:?}");
        }
    }

    /// The handlers' paths, as `produce/handle`.
    macro_rules! handlers {
        ($(
            $api:ident {
                types: $request:ident, $response:ident;
                handler: $first:ident $(:: $next:ident)+;
                $($rest:tt)*
            }
        )+) => {
            [$(concat!(stringify!($first) $(, "/", stringify!($next))+)),+]
        };
    }

    #[test]
    fn every_row_has_its_file() {
        let handlers = for_each_api!(handlers);
        assert_eq!(handlers.len(), APIS.len());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
        for handler in handlers {
            let file = folder.join(Path::new(handler).parent().unwrap());
            let exists = file.is_dir() || file.with_extension("rs").exists();
            assert!(exists, "{}", file.display());
        }
    }

    #[test]
    fn the_documentation_has_a_line_for_each_row() {
        let page = markdown();
        assert_eq!(page.lines().count(), 2 + APIS.len());
        assert!(page.contains("| Produce | 0 | 3–13 |"), "{page}");
    }
}
