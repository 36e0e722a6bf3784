//! House rules that a machine can check.
//!
//! Each test names one rule of the house and lists every place that breaks it. The rules are
//! explained in `docs/ARCHITECTURE.md`; a rule that turns out wrong is changed there and here
//! together.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A module of the broker may use those that stand after it, and [`EVERYWHERE`].
const BROKER_LAYERS: [&str; 9] = [
    "broker",
    "server",
    "api",
    "coordinator",
    "controller",
    "driver",
    "partition",
    "log",
    "vfs",
];

/// Modules without I/O, clock, tokio: they use each other and nothing of the column above.
const BROKER_PURE: [&str; 3] = ["coordination", "group", "transaction"];

/// Modules that any other may use.
const EVERYWHERE: [&str; 3] = ["clock", "counters", "health"];

/// What a crate may depend on among ours.
const CRATE_LAYERS: [(&str, &[&str]); 4] = [
    ("protocol", &[]),
    ("broker", &["protocol"]),
    ("engine", &["broker", "protocol"]),
    ("cli", &["engine", "broker", "protocol"]),
];

/// Production lines that a file may have.
const FILE_LINES_MAX: usize = 600;

/// Lines that a function may have.
const FUNCTION_LINES_MAX: usize = 80;

/// Calls that belong to one home: (text, the paths where it may stand, why).
const BANNED: [(&str, &[&str], &str); 10] = [
    (
        "Instant::now",
        &["broker/src/clock.rs", "engine/src/client/wall.rs", "cli/"],
        "time is passed in",
    ),
    (
        "SystemTime::now",
        &["broker/src/clock.rs", "engine/src/client/wall.rs", "cli/"],
        "time is passed in",
    ),
    (
        "std::fs",
        &["broker/src/vfs/disk.rs", "cli/"],
        "files are behind the vfs",
    ),
    (
        "unsafe ",
        &["cli/src/bench/map.rs"],
        "unsafe code is in one module, of the benchmarks",
    ),
    ("unbounded_channel", &[], "queues are bounded"),
    ("thread::sleep", &[], "an event is awaited, not a while"),
    ("todo!(", &[], "main holds no unwritten code"),
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

/// Crates by which a build script compiles C, or looks for a C library.
const C_BUILDERS: [&str; 7] = [
    "autotools",
    "bindgen",
    "cc",
    "cmake",
    "meson",
    "pkg-config",
    "vcpkg",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ stands in the repository")
        .into()
}

/// A source file: its path from the root, and its production lines (tests at the end left out).
struct Source {
    path: String,
    lines: Vec<String>,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a listed file is readable");
        let production = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"));
        let path = path
            .strip_prefix(root())
            .expect("below the root")
            .display()
            .to_string();
        Self {
            path,
            lines: production.map(str::to_owned).collect(),
        }
    }

    /// Lines of code with their numbers, comments left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self
            .lines
            .iter()
            .enumerate()
            .map(|(i, line)| (i + 1, line.as_str()));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a source directory is readable") {
        let path = entry.expect("a directory entry is readable").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Production sources of all crates; files that hold only tests (`tests.rs`) are left out.
fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for (krate, _) in CRATE_LAYERS {
        rust_files(&root().join(krate).join("src"), &mut paths);
    }
    paths.retain(|path| {
        let is_test = |name: &str| name == "tests.rs" || name == "tests";
        !path
            .components()
            .any(|part| part.as_os_str().to_str().is_some_and(is_test))
    });
    paths.sort();
    assert!(
        paths.len() > 20,
        "the walk found only {} files",
        paths.len()
    );
    paths.iter().map(|path| Source::read(path)).collect()
}

fn assert_clean(rule: &str, breaches: &[String]) {
    let mut list = String::new();
    for breach in breaches {
        writeln!(list, "  {breach}").expect("writing to a string");
    }
    assert!(breaches.is_empty(), "{rule}:\n{list}");
}

#[test]
fn crates_depend_downwards() {
    let mut breaches = Vec::new();
    for (krate, allowed) in CRATE_LAYERS {
        let manifest = fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap();
        let normal = manifest
            .split("[dev-dependencies]")
            .next()
            .unwrap_or_default();
        for (other, _) in CRATE_LAYERS {
            let name = format!("brooklet-{other} ");
            if normal.lines().any(|l| l.starts_with(&name)) && !allowed.contains(&other) {
                breaches.push(format!("{krate} depends on {other}"));
            }
        }
    }
    assert_clean("a crate depends only on the crates below it", &breaches);
}

#[test]
fn modules_of_the_broker_use_what_stands_to_their_right() {
    let mut breaches = Vec::new();
    for source in sources()
        .iter()
        .filter(|s| s.path.starts_with("broker/src/"))
    {
        let module = source.path["broker/src/".len()..]
            .split(['/', '.'])
            .next()
            .unwrap_or_default();
        for (number, line) in source.code() {
            for used in used_modules(line) {
                if !may_use(module, used) {
                    breaches.push(format!("{}:{number}: {module} uses {used}", source.path));
                }
            }
        }
    }
    assert_clean("a module uses only what stands to its right", &breaches);
}

/// The top-level modules that a line names by `crate::`.
fn used_modules(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        rest.split(|c: char| !c.is_ascii_lowercase() && c != '_')
            .next()
            .unwrap_or_default()
    })
}

fn may_use(module: &str, used: &str) -> bool {
    let layer = |name: &str| BROKER_LAYERS.iter().position(|l| *l == name);
    let pure = |name: &str| BROKER_PURE.contains(&name);
    if module == "lib" || module == used || EVERYWHERE.contains(&used) || used.is_empty() {
        return true;
    }
    if pure(module) {
        // The trait that the driver runs is defined beside the driver.
        return pure(used) || used == "driver";
    }
    match (layer(module), layer(used)) {
        (Some(user), Some(used)) => user < used,
        (Some(_), None) => pure(used),
        _ => false,
    }
}

#[test]
fn every_module_opens_with_its_idea() {
    let missing: Vec<_> = sources()
        .iter()
        .filter(|s| !s.lines.first().is_some_and(|line| line.starts_with("//! ")))
        .map(|s| s.path.clone())
        .collect();
    assert_clean("a module opens with what it is about", &missing);
}

#[test]
fn files_fit_into_a_head() {
    let long: Vec<_> = sources()
        .iter()
        .filter(|s| s.lines.len() > FILE_LINES_MAX)
        .map(|s| format!("{} has {} lines", s.path, s.lines.len()))
        .collect();
    assert_clean("a file has one idea and at most 600 lines", &long);
}

#[test]
fn functions_fit_onto_a_screen() {
    let mut long = Vec::new();
    for source in sources() {
        // (indentation, first line) of the function being walked; nested ones belong to it.
        let mut open: Option<(usize, usize)> = None;
        for (number, line) in source.code() {
            let indent = line.len() - line.trim_start().len();
            match open {
                None if opens_function(line) => open = Some((indent, number)),
                Some((at, first)) if indent == at && line.trim_start().starts_with('}') => {
                    let length = number - first + 1;
                    if length > FUNCTION_LINES_MAX {
                        long.push(format!("{}:{first} has {length} lines", source.path));
                    }
                    open = None;
                }
                _ => {}
            }
        }
    }
    assert_clean("a function fits onto a screen", &long);
}

fn opens_function(line: &str) -> bool {
    let line = line.trim_start();
    let named = [
        "fn ",
        "pub fn ",
        "pub(crate) fn ",
        "pub(super) fn ",
        "async fn ",
        "pub async fn ",
    ];
    named.iter().any(|start| line.starts_with(start)) && !line.ends_with('}')
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

/// What cargo prints, for this machine and without the network.
fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {args:?}: {errors}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// Packages that the workspace depends on with its default features, tests and benchmarks included.
fn packages_of_the_default_build() -> Vec<Value> {
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.expect("cargo names the machine it runs on");
    let options = ["--format-version=1", "--locked", "--offline"];
    let args = ["metadata", "--filter-platform", host];
    let metadata = cargo(&[&args[..], &options].concat());
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let edges = list(&metadata["resolve"]["nodes"]);
    let mut found: Vec<&Value> = list(&metadata["workspace_members"]).iter().collect();
    let mut next = 0;
    while let Some(id) = found.get(next).copied() {
        next += 1;
        let node = edges.iter().find(|node| node["id"] == *id);
        let of = list(&node.expect("each package has a node")["dependencies"]);
        let new: Vec<_> = of.iter().filter(|id| !found.contains(id)).collect();
        found.extend(new);
    }
    let packages = list(&metadata["packages"]).iter();
    let mut packages: Vec<Value> = packages.cloned().collect();
    packages.retain(|package| found.contains(&&package["id"]));
    packages
}

#[test]
fn the_default_build_compiles_no_c() {
    let packages = packages_of_the_default_build();
    let ours = packages.iter().any(|package| package["name"] == "brooklet");
    assert!(ours && packages.len() > 50, "{} packages", packages.len());
    let of_c = packages.iter().filter(|package| {
        C_BUILDERS.contains(&text(&package["name"])) || !package["links"].is_null()
    });
    let of_c: Vec<_> = of_c
        .map(|package| text(&package["name"]).to_owned())
        .collect();
    assert_clean(
        "the default build compiles no C and links no C library",
        &of_c,
    );
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
