//! What the crates depend on: each only on those below it, the pure ones on no runtime, and none on
//! C.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{assert_clean, root};

/// Our crates from the bottom up: its folder, its name, what it may depend on among ours, and
/// whether it is pure: no runtime below it, no unsafe code in it.
pub(super) const CRATES: [Crate; 10] = [
    Crate::pure("protocol", "brooklet-protocol", &[]),
    Crate::pure(
        "broker/machines",
        "brooklet-machines",
        &["brooklet-protocol"],
    ),
    Crate::new("broker/log", "brooklet-log", &["brooklet-protocol"]),
    Crate::new(
        "broker",
        "brooklet-broker",
        &["brooklet-log", "brooklet-machines", "brooklet-protocol"],
    ),
    Crate::new(
        "engine/client",
        "brooklet-client",
        &["brooklet-broker", "brooklet-log", "brooklet-protocol"],
    ),
    Crate::new(
        "engine",
        "brooklet-engine",
        &["brooklet-client", "brooklet-protocol"],
    ),
    Crate::new(
        "benches/load",
        "brooklet-load",
        &["brooklet-client", "brooklet-protocol"],
    ),
    Crate::new("benches/nexmark", "brooklet-nexmark", &["brooklet-engine"]),
    Crate::new(
        "cli",
        "brooklet",
        &[
            "brooklet-broker",
            "brooklet-client",
            "brooklet-engine",
            "brooklet-load",
            "brooklet-log",
            "brooklet-machines",
            "brooklet-protocol",
        ],
    ),
    Crate::new(
        "benches",
        "brooklet-benches",
        &["brooklet-log", "brooklet-protocol"],
    ),
];

/// A row of the table.
pub(super) struct Crate {
    pub(super) folder: &'static str,
    name: &'static str,
    below: &'static [&'static str],
    is_pure: bool,
}

impl Crate {
    const fn new(folder: &'static str, name: &'static str, below: &'static [&'static str]) -> Self {
        Self {
            folder,
            name,
            below,
            is_pure: false,
        }
    }

    const fn pure(
        folder: &'static str,
        name: &'static str,
        below: &'static [&'static str],
    ) -> Self {
        Self {
            is_pure: true,
            ..Self::new(folder, name, below)
        }
    }
}

/// A pure crate has none of these below it.
const RUNTIMES: [&str; 5] = ["mio", "parking_lot", "rustix", "socket2", "tokio"];

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

/// The packages that cargo has resolved for this machine, with the default features.
struct Resolved {
    metadata: Value,
}

impl Resolved {
    fn read() -> Self {
        let version = cargo(&["-vV"]);
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.expect("cargo names the machine it runs on");
        let options = ["--format-version=1", "--locked", "--offline"];
        let args = ["metadata", "--filter-platform", host];
        let metadata = cargo(&[&args[..], &options].concat());
        Self {
            metadata: serde_json::from_str(&metadata).expect("JSON"),
        }
    }

    fn packages(&self) -> &[Value] {
        list(&self.metadata["packages"])
    }

    fn package(&self, id: &Value) -> &Value {
        let package = self.packages().iter().find(|package| package["id"] == *id);
        package.expect("each id has a package")
    }

    fn id(&self, name: &str) -> &Value {
        let package = self
            .packages()
            .iter()
            .find(|package| package["name"] == name);
        &package.unwrap_or_else(|| panic!("{name} is in the workspace"))["id"]
    }

    /// What a package is built from: its dependencies, without those of its tests.
    fn built_from<'a>(&'a self, id: &Value) -> impl Iterator<Item = &'a Value> {
        self.dependencies(id, |kind| *kind != "dev")
    }

    fn dependencies<'a>(
        &'a self,
        id: &Value,
        wanted: impl Fn(&Value) -> bool,
    ) -> impl Iterator<Item = &'a Value> {
        let nodes = list(&self.metadata["resolve"]["nodes"]);
        let node = nodes.iter().find(|node| node["id"] == *id);
        let edges = list(&node.expect("each package has a node")["deps"]).iter();
        let edges = edges.filter(move |edge| {
            let mut kinds = list(&edge["dep_kinds"]).iter();
            kinds.any(|kind| wanted(&kind["kind"]))
        });
        edges.map(|edge| &edge["pkg"])
    }
}

/// All that can be reached from `start`.
fn closure<'a>(start: Vec<&'a Value>, next: impl Fn(&Value) -> Vec<&'a Value>) -> Vec<&'a Value> {
    let mut found = start;
    let mut at = 0;
    while let Some(id) = found.get(at).copied() {
        at += 1;
        let new: Vec<_> = next(id)
            .into_iter()
            .filter(|id| !found.contains(id))
            .collect();
        found.extend(new);
    }
    found
}

/// What cargo prints, without the network.
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

#[test]
fn a_crate_depends_on_those_below_it() {
    let resolved = Resolved::read();
    let mut breaches = Vec::new();
    for krate in CRATES {
        for id in resolved.built_from(resolved.id(krate.name)) {
            let used = text(&resolved.package(id)["name"]);
            let is_ours = used == "brooklet" || used.starts_with("brooklet-");
            if is_ours && !krate.below.contains(&used) {
                breaches.push(format!("{} depends on {used}", krate.name));
            }
        }
    }
    assert_clean("a crate depends only on those below it", &breaches);
}

#[test]
fn pure_crates_have_no_runtime_below_them_and_no_unsafe_code_in_them() {
    let resolved = Resolved::read();
    let mut breaches = Vec::new();
    for krate in CRATES.iter().filter(|krate| krate.is_pure) {
        let start = vec![resolved.id(krate.name)];
        let below = closure(start, |id| resolved.built_from(id).collect());
        assert!(below.len() > 3, "{} is built from nothing", krate.name);
        let names = below.iter().map(|id| text(&resolved.package(id)["name"]));
        let runtimes = names.filter(|name| RUNTIMES.contains(name));
        breaches.extend(runtimes.map(|runtime| format!("{} is built from {runtime}", krate.name)));
        let lib = root().join(krate.folder).join("src/lib.rs");
        let lib = fs::read_to_string(lib).expect("a crate has a lib.rs");
        if !lib.contains("#![forbid(unsafe_code)]") {
            breaches.push(format!("{} does not forbid unsafe code", krate.name));
        }
    }
    assert_clean("a pure crate cannot do I/O", &breaches);
}

#[test]
fn every_crate_has_a_row() {
    let resolved = Resolved::read();
    let members = list(&resolved.metadata["workspace_members"]);
    let names = members.iter().map(|id| text(&resolved.package(id)["name"]));
    let known = |name: &&str| CRATES.iter().any(|krate| krate.name == *name);
    // The tests may use every crate.
    let strangers: Vec<_> = names
        .filter(|name| *name != "brooklet-tests" && !known(name))
        .map(str::to_owned)
        .collect();
    assert_clean("a crate has a row in the table", &strangers);
}

#[test]
fn the_default_build_compiles_no_c() {
    let resolved = Resolved::read();
    let members = list(&resolved.metadata["workspace_members"]);
    let members = members.iter().collect();
    let all = closure(members, |id| resolved.dependencies(id, |_| true).collect());
    assert!(all.len() > 50, "{} packages", all.len());
    let packages = all.iter().map(|id| resolved.package(id));
    let of_c = packages.filter(|package| {
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
