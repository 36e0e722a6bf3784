//! A source file taken apart: what of it is production code, its functions, and the modules it
//! names.
//!
//! Items with `#[cfg(test)]` are tests wherever they stand, and so are the files of modules that
//! are declared with it; all else is production code, above and below them.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::spanned::Spanned;
use syn::visit::Visit;

use super::packages::CRATES;
use super::root;

/// A file with production code.
pub(super) struct Source {
    /// From the root of the repository.
    pub(super) path: String,
    /// The folder of its crate, from the root of the repository.
    pub(super) folder: &'static str,
    /// Where in the crate, as `["log", "segment"]`; empty for its root.
    pub(super) module: Vec<String>,
    pub(super) text: String,
    /// Functions outside of tests, in impls and traits too; one inside another belongs to it.
    pub(super) functions: Vec<Function>,
    /// The modules at the crate's root that production code names, with the lines.
    pub(super) used_modules: Vec<(usize, String)>,
    /// The modules that the file declares outside of tests, in their order, with the lines.
    pub(super) declared: Vec<(usize, String)>,
    tests: Vec<RangeInclusive<usize>>,
    /// Files, without their extension, and folders of modules that are declared for tests only.
    test_modules: Vec<PathBuf>,
}

/// A function and its lines, from `fn` to the closing brace.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: usize,
}

/// All files with production code. They are parsed once for all tests.
pub(super) fn sources() -> &'static [Source] {
    static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(read_all);
    &SOURCES
}

fn read_all() -> Vec<Source> {
    let mut found = Vec::new();
    for krate in CRATES {
        let src = root().join(krate.folder).join("src");
        let mut paths = Vec::new();
        rust_files(&src, &mut paths);
        paths.sort();
        let mut of_tests = BTreeSet::new();
        let mut of_crate = Vec::new();
        for path in paths {
            let source = Source::read(krate.folder, &src, &path);
            of_tests.extend(source.test_modules.iter().cloned());
            of_crate.push((path, source));
        }
        let is_test = |path: &Path| of_tests.iter().any(|test: &PathBuf| path.starts_with(test));
        of_crate.retain(|(path, _)| !is_test(&path.with_extension("")) && !is_test(path));
        found.extend(of_crate.into_iter().map(|(_, source)| source));
    }
    assert!(
        found.len() > 300,
        "the walk found only {} files",
        found.len()
    );
    found
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

impl Source {
    fn read(folder: &'static str, src: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(path).expect("a listed file is readable");
        let file = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let inner = path
            .strip_prefix(src)
            .expect("below src")
            .with_extension("");
        let mut module: Vec<String> = inner
            .iter()
            .map(|part| part.to_str().expect("UTF-8").to_owned())
            .collect();
        module.pop_if(|name| matches!(&**name, "mod" | "lib" | "main"));
        let production = || file.items.iter().filter(|item| !is_test(item));
        let mut functions = Functions(Vec::new());
        let mut used_modules = Vec::new();
        for item in production() {
            functions.visit_item(item);
            names(item.to_token_stream(), module.len(), &mut used_modules);
        }
        let declared = production().filter_map(declared_elsewhere);
        let declared = declared.map(|name| (name.span().start().line, name.to_string()));
        let relative = path.strip_prefix(root()).expect("below the root");
        Self {
            path: relative.display().to_string(),
            folder,
            functions: functions.0,
            used_modules,
            declared: declared.collect(),
            tests: test_items(&file.items).map(lines_of).collect(),
            test_modules: test_modules(path, &file.items),
            module,
            text,
        }
    }

    /// Production lines, with their numbers from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = (1..).zip(self.text.lines());
        numbered.filter(|(number, _)| !self.tests.iter().any(|test| test.contains(number)))
    }

    /// Production lines without those that are only a comment.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// The files, without their extension, and folders of the modules that are declared for tests only.
fn test_modules(path: &Path, items: &[syn::Item]) -> Vec<PathBuf> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let is_chapter = matches!(stem, Some("mod" | "lib" | "main"));
    let folder = if is_chapter {
        path.parent().expect("a file stands in a folder").to_owned()
    } else {
        path.with_extension("")
    };
    let names = test_items(items).filter_map(declared_elsewhere);
    names.map(|name| folder.join(name.to_string())).collect()
}

/// The name of a module whose content is in another file.
fn declared_elsewhere(item: &syn::Item) -> Option<&syn::Ident> {
    match item {
        syn::Item::Mod(module) if module.content.is_none() => Some(&module.ident),
        _ => None,
    }
}

fn test_items(items: &[syn::Item]) -> impl Iterator<Item = &syn::Item> {
    items.iter().filter(|item| is_test(item))
}

fn lines_of(item: &syn::Item) -> RangeInclusive<usize> {
    let span = item.span();
    span.start().line..=span.end().line
}

/// Whether an item is compiled for tests only: by `cfg(test)`, `cfg(all(test, …))`.
fn is_test(item: &syn::Item) -> bool {
    use syn::Item;
    let attributes = match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let inner = list.tokens.to_string().replace(' ', "");
        list.path.is_ident("cfg") && (inner == "test" || inner.starts_with("all(test,"))
    })
}

/// Collects functions, without looking into them.
struct Functions(Vec<Function>);

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (first, last) = (signature.span().start().line, block.span().end().line);
        self.0.push(Function {
            name: signature.ident.to_string(),
            line: first,
            lines: last - first + 1,
        });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.add(&function.sig, block);
        }
    }
}

/// Collects what follows `crate::`, and `super::` as often as it takes to get to the root from a
/// module at `depth`.
fn names(tokens: TokenStream, depth: usize, found: &mut Vec<(usize, String)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        if let TokenTree::Group(group) = &tokens[at] {
            names(group.stream(), depth, found);
        }
        let (mut end, mut ups) = (at, 0);
        if is_word(tokens.get(end), "crate") && is_path_separator(&tokens, end + 1) {
            (end, ups) = (end + 3, depth);
        }
        while is_word(tokens.get(end), "super") && is_path_separator(&tokens, end + 1) {
            (end, ups) = (end + 3, ups + 1);
        }
        if end > at && ups == depth {
            first_names(tokens.get(end), found);
        }
        at = end.max(at + 1);
    }
}

/// The first name of a path, or those of the paths between braces.
fn first_names(token: Option<&TokenTree>, found: &mut Vec<(usize, String)>) {
    match token {
        Some(TokenTree::Ident(name)) => {
            found.push((name.span().start().line, name.to_string()));
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let mut is_first = true;
            for token in group.stream() {
                if is_first {
                    first_names(Some(&token), found);
                }
                is_first = matches!(&token, TokenTree::Punct(mark) if mark.as_char() == ',');
            }
        }
        _ => {}
    }
}

fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(name)) if name == word)
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    let is_colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
    is_colon(tokens.get(at)) && is_colon(tokens.get(at + 1))
}
