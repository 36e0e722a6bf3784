//! House rules that a machine can check.
//!
//! Each test names one rule of the house and lists every place that breaks it. The rules are
//! explained in `docs/ARCHITECTURE.md`; a rule that turns out wrong is changed there and here
//! together. Whole files are checked, except for the items in them that are tests.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

mod packages;
mod source;

use source::sources;

/// The rooms of a crate. A module may use those that stand after it in its row, and `everywhere`; one
/// that stands `apart` may use `everywhere` alone.
struct Layers {
    folder: &'static str,
    row: &'static [&'static str],
    apart: &'static [&'static str],
    everywhere: &'static [&'static str],
}

const LAYERS: [Layers; 6] = [
    Layers {
        folder: "broker/machines",
        row: &[],
        // The three machines do not know each other.
        apart: &["coordination", "group", "transaction"],
        everywhere: &["machine", "log_record"],
    },
    Layers {
        folder: "broker/log",
        row: &[],
        // Neither knows of segments.
        apart: &["clock", "vfs"],
        everywhere: &[],
    },
    Layers {
        folder: "broker",
        row: &[
            "broker",
            "server",
            "api",
            "coordinator",
            "controller",
            "tree",
            "driver",
            "partition",
        ],
        apart: &[],
        everywhere: &["counters", "health"],
    },
    Layers {
        folder: "engine",
        row: &[
            "runtime",
            "test_driver",
            "dsl",
            "topology",
            "task",
            "operator",
            "branch",
            "store",
            "window",
            "aggregate",
        ],
        apart: &[],
        everywhere: &["codec", "key", "metrics", "time"],
    },
    Layers {
        folder: "engine/client",
        row: &[],
        // A transport knows nothing of producers and consumers.
        apart: &["transport"],
        everywhere: &["clock"],
    },
    Layers {
        folder: "protocol",
        row: &[
            "metadata_record",
            "messages",
            "records",
            "frame",
            "murmur2",
            "ids",
        ],
        apart: &[],
        everywhere: &["wire", "checksum", "jute"],
    },
];

/// Production lines that a file may have.
const FILE_LINES_MAX: usize = 600;

/// Lines that a function may have, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 60;

/// Calls that belong to one home: (text, the paths where it may stand, why).
const BANNED: [(&str, &[&str], &str); 11] = [
    (
        "Instant::now",
        &["broker/log/src/clock.rs", "benches/load/", "cli/"],
        "time is passed in",
    ),
    (
        "SystemTime::now",
        &["broker/log/src/clock.rs", "benches/load/", "cli/"],
        "time is passed in",
    ),
    (
        "tokio::time",
        &["broker/", "cli/", "benches/"],
        "the engine and its client wait by the clock that is passed in",
    ),
    (
        "std::fs",
        &["broker/log/src/vfs/disk.rs", "cli/"],
        "files are behind the vfs",
    ),
    (
        "unsafe ",
        &["cli/src/bench/map.rs"],
        "unsafe code is in one module, of the benchmarks",
    ),
    ("unbounded_channel", &[], "queues are bounded"),
    (
        "thread::sleep",
        &[],
        "tests and code wait for an event, not for a time",
    ),
    ("todo!(", &[], "main holds no unfinished code"),
    (
        "process::exit",
        &["cli/src/lib.rs", "cli/src/signals.rs"],
        "only the command line exits",
    ),
    (
        "println!",
        &["cli/src/output.rs"],
        "what is printed passes through one place, where control characters are escaped",
    ),
    (
        "io::stderr()",
        &["cli/src/logging.rs", "cli/src/terminal.rs"],
        "as above",
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ stands in the repository")
        .into()
}

fn assert_clean(rule: &str, breaches: &[String]) {
    let mut list = String::new();
    for breach in breaches {
        writeln!(list, "  {breach}").expect("writing to a string");
    }
    assert!(breaches.is_empty(), "{rule}:\n{list}");
}

#[test]
fn a_module_uses_what_stands_below_it() {
    let mut breaches = Vec::new();
    for layers in LAYERS {
        let of_crate = || sources().iter().filter(|s| s.folder == layers.folder);
        // The root names all of them; what it re-exports is no module.
        let root = of_crate().find(|source| source.module.is_empty());
        let declared = &root.expect("a crate has a root").declared;
        for source in of_crate() {
            let Some(module) = source.module.first() else {
                continue;
            };
            for (line, used) in &source.used_modules {
                let is_module = declared.iter().any(|(_, module)| module == used);
                if is_module && !layers.may_use(module, used) {
                    breaches.push(format!("{}:{line}: {module} uses {used}", source.path));
                }
            }
        }
    }
    assert_clean("a module uses only what stands below it", &breaches);
}

#[test]
fn every_module_has_a_layer() {
    let mut strangers = Vec::new();
    for source in sources().iter().filter(|source| source.module.is_empty()) {
        let Some(layers) = LAYERS.iter().find(|l| l.folder == source.folder) else {
            continue;
        };
        for (line, module) in &source.declared {
            if !layers.row.is_empty() && !layers.knows(module) {
                strangers.push(format!("{}:{line}: {module}", source.path));
            }
        }
        for module in layers.all() {
            if !source
                .declared
                .iter()
                .any(|(_, declared)| declared == module)
            {
                strangers.push(format!("{}: no {module}, which the table has", source.path));
            }
        }
    }
    assert_clean("a module has a place in the table", &strangers);
}

impl Layers {
    fn all(&self) -> impl Iterator<Item = &'static str> {
        let placed = self.row.iter().chain(self.apart);
        placed.chain(self.everywhere).copied()
    }

    fn knows(&self, module: &str) -> bool {
        self.all().any(|known| known == module)
    }

    fn may_use(&self, module: &str, used: &str) -> bool {
        if module == used || self.everywhere.contains(&used) {
            return true;
        }
        if self.apart.contains(&module) {
            return false;
        }
        let layer = |name: &str| self.row.iter().position(|layer| *layer == name);
        match (layer(module), layer(used)) {
            (Some(user), Some(used)) => user < used,
            // Those without a layer have no order among themselves.
            (user, _) => user.is_none() && !self.everywhere.contains(&module),
        }
    }
}

#[test]
fn every_module_opens_with_its_idea() {
    let missing: Vec<_> = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path.clone())
        .collect();
    assert_clean("a module opens with what it is about", &missing);
}

#[test]
fn files_fit_into_a_head() {
    let mut long = Vec::new();
    for source in sources() {
        let lines = source.lines().count();
        if lines > FILE_LINES_MAX {
            long.push(format!("{} has {lines} lines", source.path));
        }
    }
    assert_clean("a file has one idea and at most 600 lines", &long);
}

#[test]
fn functions_fit_onto_a_screen() {
    let mut long = Vec::new();
    for source in sources() {
        for function in &source.functions {
            if function.lines > FUNCTION_LINES_MAX {
                let (path, line) = (&source.path, function.line);
                long.push(format!(
                    "{path}:{line}: {} has {} lines",
                    function.name, function.lines
                ));
            }
        }
    }
    assert_clean("a function fits onto a screen", &long);
}

#[test]
fn folders_have_one_style() {
    let mut mixed = Vec::new();
    for source in sources() {
        let path = root().join(&source.path);
        let is_chapter = source.path.ends_with("/mod.rs");
        if !is_chapter && path.with_extension("").is_dir() {
            mixed.push(format!("{} belongs into its folder as mod.rs", source.path));
        }
    }
    assert_clean("a module with a folder is the folder's mod.rs", &mixed);
}

#[test]
fn calls_stay_in_their_homes() {
    let mut breaches = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            for (call, homes, why) in BANNED {
                if line.contains(call) && !homes.iter().any(|home| source.path.starts_with(home)) {
                    breaches.push(format!("{}:{number}: {call}: {why}", source.path));
                }
            }
        }
    }
    assert_clean("some calls have one home", &breaches);
}

#[test]
fn the_top_level_is_as_agreed() {
    const AGREED: [&str; 13] = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "CHANGELOG.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "broker",
        "engine",
        "protocol",
        "cli",
        "tests",
        "benches",
        "docs",
    ];
    const META: [&str; 2] = ["clippy.toml", "target"];
    let mut strangers = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with('.') && !AGREED.contains(&&*name) && !META.contains(&&*name) {
            strangers.push(name);
        }
    }
    assert_clean("nothing new stands at the top level", &strangers);
}

#[test]
fn documents_name_files_that_exist() {
    let mut pages = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    for dir in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root().join(dir)).expect("docs/ is readable");
        pages.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    let mut missing = Vec::new();
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|e| e == "md"))
    {
        let text = fs::read_to_string(page).expect("a page is readable");
        // What stands between backticks and begins like a path of ours.
        for path in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|quoted| is_path(quoted))
        {
            if !root().join(path).exists() {
                missing.push(format!("{}: {path}", page.display()));
            }
        }
    }
    assert_clean("a document names files that exist", &missing);
}

fn is_path(quoted: &str) -> bool {
    let ours = [
        "protocol/",
        "broker/",
        "engine/",
        "cli/",
        "tests/",
        "benches/",
        "docs/",
    ];
    ours.iter().any(|start| quoted.starts_with(start)) && !quoted.contains([' ', '*', '…'])
}
