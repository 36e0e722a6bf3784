//! Paths of znodes, by ZooKeeper's rules.
//!
//! A path is absolute, its components are separated by `/`, and none of them is empty, `.` or `..`.
//! Characters that do not print well are refused: control characters, and what Java holds as
//! surrogates or calls private use, which includes everything beyond the basic plane.

use super::ErrorCode;

/// Refuses what is not a path.
pub(super) fn validate(path: &str) -> Result<(), ErrorCode> {
    let Some(below_root) = path.strip_prefix('/') else {
        return Err(ErrorCode::BadArguments);
    };
    let legal_component = |name: &str| !matches!(name, "" | "." | "..");
    let legal = path == "/" || below_root.split('/').all(legal_component);
    if legal && !path.chars().any(is_refused) {
        Ok(())
    } else {
        Err(ErrorCode::BadArguments)
    }
}

fn is_refused(c: char) -> bool {
    matches!(
        u32::from(c),
        0..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..
    )
}

/// The parent of a path below the root.
pub(super) fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((parent, _)) => parent,
    }
}

/// The last component.
pub(super) fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_follows_zookeepers_rules() {
        for good in ["/", "/a", "/a/b.c/..d", "/ü", "/a b", "/\u{ffef}", "/..."] {
            assert_eq!(validate(good), Ok(()), "{good:?}");
        }
        let bad = [
            "",
            "a",
            "a/b",
            "//",
            "/a/",
            "/a//b",
            "/.",
            "/a/..",
            "/a/./b",
            "/a\0",
            "/\u{1f}",
            "/\u{7f}",
            "/\u{9f}",
            "/\u{e000}",
            "/\u{f8ff}",
            "/\u{fff0}",
            "/\u{1f600}",
        ];
        for bad in bad {
            assert_eq!(validate(bad), Err(ErrorCode::BadArguments), "{bad:?}");
        }
    }

    #[test]
    fn a_path_is_its_parent_and_its_name() {
        for (path, of, name_of) in [
            ("/a", "/", "a"),
            ("/a/b", "/a", "b"),
            ("/a/b/c", "/a/b", "c"),
        ] {
            assert_eq!((parent(path), name(path)), (of, name_of));
        }
    }
}
