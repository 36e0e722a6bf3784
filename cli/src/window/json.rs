//! Fields of a JSON text, found by pointers (RFC 6901) without building the rest of it.
//!
//! ```text
//! /a~1b/c~0d/1/k      {"a/b": {"c~d": [{"k": "x"}, {"k": 7}]}}      7, as it is written
//! ```
//!
//! All pointers of a query form one tree, and one pass over the text follows it. A result is a
//! piece of the text, so that a number keeps all its digits. If a name occurs twice in one object,
//! the last one counts, as in most parsers.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The pieces of a text that were found, one per pointer.
pub(super) type Found<'a> = Vec<Option<&'a str>>;

/// The pointers of a query, as a tree of their steps.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    root: Node,
    count: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// The index of the pointer that ends here.
    pointer: Option<usize>,
    children: Vec<(String, Node)>,
}

impl Pointers {
    /// Adds the next pointer.
    ///
    /// # Errors
    /// In words: it is not a pointer.
    pub(super) fn add(&mut self, pointer: &str) -> Result<(), String> {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(format!(
                "expected a JSON pointer such as /{pointer}, found {pointer}"
            ));
        }
        let mut node = &mut self.root;
        for step in pointer.split('/').skip(1) {
            let name = unescaped(step).ok_or_else(|| {
                format!("in the pointer {pointer}, write ~ as ~0, and / within a name as ~1")
            })?;
            let index = node.children.iter().position(|(child, _)| *child == name);
            let index = index.unwrap_or_else(|| {
                node.children.push((name, Node::default()));
                node.children.len() - 1
            });
            node = &mut node.children[index].1;
        }
        node.pointer = Some(self.count);
        self.count += 1;
        Ok(())
    }

    /// Finds what the pointers point to.
    ///
    /// # Errors
    /// The text is not JSON.
    pub(super) fn find<'a>(&self, text: &'a str) -> Result<Found<'a>, serde_json::Error> {
        let mut found = vec![None; self.count];
        let mut reader = serde_json::Deserializer::from_str(text);
        let at = At {
            node: &self.root,
            found: &mut found,
        };
        at.deserialize(&mut reader)?;
        reader.end()?;
        Ok(found)
    }
}

/// `~1` is a slash and `~0` a tilde.
fn unescaped(step: &str) -> Option<String> {
    let mut name = String::with_capacity(step.len());
    let mut pieces = step.split('~');
    name.push_str(pieces.next()?);
    for piece in pieces {
        let (stands_for, rest) = match piece.as_bytes().first()? {
            b'0' => ('~', &piece[1..]),
            b'1' => ('/', &piece[1..]),
            _ => return None,
        };
        name.push(stands_for);
        name.push_str(rest);
    }
    Some(name)
}

impl Node {
    fn child(&self, name: &str) -> Option<&Self> {
        let mut children = self.children.iter();
        children.find(|(child, _)| child == name).map(|(_, n)| n)
    }

    /// Forgets what was found here and below, because the object repeats the name.
    fn forget(&self, found: &mut [Option<&str>]) {
        if let Some(pointer) = self.pointer {
            found[pointer] = None;
        }
        self.children.iter().for_each(|(_, n)| n.forget(found));
    }
}

/// A value of the text, with its node in the tree.
struct At<'n, 'f, 'a> {
    node: &'n Node,
    found: &'f mut [Option<&'a str>],
}

impl<'a> DeserializeSeed<'a> for At<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        let Some(pointer) = self.node.pointer else {
            return deserializer.deserialize_any(self);
        };
        let raw: &'a RawValue = serde::Deserialize::deserialize(deserializer)?;
        self.found[pointer] = Some(raw.get());
        if self.node.children.is_empty() {
            return Ok(());
        }
        let mut inner = serde_json::Deserializer::from_str(raw.get());
        inner.deserialize_any(self).map_err(D::Error::custom)
    }
}

/// Goes one step down; nothing can be found in a value without parts.
impl<'a> Visitor<'a> for At<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { node, found } = self;
        while let Some(child) = map.next_key_seed(Name { node })? {
            match child {
                Some(node) => {
                    node.forget(found);
                    map.next_value_seed(At { node, found })?;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { node, found } = self;
        for index in 0.. {
            let is_there = match node.child(&index.to_string()) {
                Some(node) => seq.next_element_seed(At { node, found })?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            if !is_there {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a name and finds its node.
struct Name<'n> {
    node: &'n Node,
}

impl<'a, 'n> DeserializeSeed<'a> for Name<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Name<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.node.child(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(pointers: &[&str], text: &'static str) -> Result<Found<'static>, String> {
        let mut all = Pointers::default();
        for pointer in pointers {
            all.add(pointer)?;
        }
        all.find(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_pointed_to_is_found_as_it_is_spelled() {
        let text = r#" {"a/b":{"c~d":[{"k":"x"},{"k": 7.00 }]},"n":12345678901234567890123,"~1":0,"":[1e400]} "#;
        assert_eq!(
            find(
                &["/a~1b/c~0d/1/k", "/n", "/~01", "//0", "/a~1b/c~0d/0/k"],
                text
            )
            .unwrap(),
            [
                Some("7.00"),
                Some("12345678901234567890123"),
                Some("0"),
                Some("1e400"),
                Some("\"x\"")
            ]
        );
        let nothing = [
            "/x",
            "/n/0",
            "/a~1b/c~0d/2/k",
            "/a~1b/c~0d/01",
            "/a~1b/c~0d/-",
        ];
        assert_eq!(find(&nothing, text).unwrap(), [None; 5]);
    }

    #[test]
    fn one_pointer_may_lead_through_another_and_the_whole_is_a_field_too() {
        let text = r#"{"a":{"b":[1,2]},"a2":3}"#;
        assert_eq!(
            find(&["", "/a", "/a/b/1"], text).unwrap(),
            [Some(text), Some(r#"{"b":[1,2]}"#), Some("2")]
        );
        assert_eq!(find(&[""], " 5 ").unwrap(), [Some("5")]);
    }

    #[test]
    fn of_a_name_that_comes_twice_the_last_counts() {
        let text = r#"{"v":1,"a":{"b":1},"v":2,"a":{"c":3}}"#;
        assert_eq!(
            find(&["/v", "/a/b", "/a/c"], text).unwrap(),
            [Some("2"), None, Some("3")]
        );
    }

    #[test]
    fn what_is_no_pointer_and_what_is_no_json_is_said() {
        for (pointer, words) in [
            ("a", "a JSON pointer such as /a, found a"),
            ("/a~2", "~0"),
            ("/~", "~0"),
        ] {
            let error = find(&[pointer], "{}").unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        for text in ["", "{", "{}{}", "{\"a\":1,}", "{'a':1}", "[1 2]", "nul"] {
            assert!(find(&["/a/b"], text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_serde_json_finds(text in r#"(\{("a":|"b":|"c":)?|\[|\]|\}|1|"x"|,|null){0,10}"#) {
            let mut pointers = Pointers::default();
            let names = ["", "/a", "/a/b", "/a/0", "/0/a"];
            for pointer in &names {
                pointers.add(pointer).unwrap();
            }
            let model = serde_json::from_str::<serde_json::Value>(&text);
            match (pointers.find(&text), model) {
                (Ok(found), Ok(model)) => for (name, found) in names.iter().zip(found) {
                    let found = found.map(|text| serde_json::from_str(text).unwrap());
                    prop_assert_eq!(found.as_ref(), model.pointer(name), "{}", name);
                },
                (found, model) => prop_assert_eq!(found.is_err(), model.is_err()),
            }
        }
    }
}
