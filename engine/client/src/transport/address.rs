//! `HOST:PORT`, as people write it.
//!
//! An IPv6 host stands in brackets, because it has colons of its own: `[::1]:9092`.

/// Splits `address` into host and port.
///
/// # Errors
/// What is wrong with it, in words that follow "cannot connect to ADDRESS: ".
pub(super) fn split(address: &str) -> Result<(&str, u16), String> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").ok_or("expected [IPV6]:PORT")?,
        None => address.rsplit_once(':').ok_or("expected HOST:PORT")?,
    };
    if host.is_empty() {
        return Err("expected HOST:PORT, the host is missing".into());
    }
    if !address.starts_with('[') && host.contains(':') {
        return Err(format!(
            "an IPv6 address stands in brackets: [{host}]:{port}"
        ));
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok((host, port)),
        _ => Err(format!("expected a port from 1 to 65535, found '{port}'")),
    }
}

/// Splits a list like `a:9092, b:9092`; empty items are passed over.
pub(super) fn split_list(list: &str) -> Vec<String> {
    let items = list.split(',').map(str::trim);
    items
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Joins what [`split`] takes apart.
pub(crate) fn join(host: &str, port: i32) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_told_apart() {
        assert_eq!(split("localhost:9092"), Ok(("localhost", 9092)));
        assert_eq!(split("10.0.0.1:1"), Ok(("10.0.0.1", 1)));
        assert_eq!(split("[::1]:9092"), Ok(("::1", 9092)));
        assert_eq!(join("::1", 9092), "[::1]:9092");
        assert_eq!(join("localhost", 9092), "localhost:9092");
    }

    #[test]
    fn a_malformed_address_says_what_was_expected() {
        for (address, words) in [
            ("localhost", "expected HOST:PORT"),
            (":9092", "host is missing"),
            ("localhost:", "found ''"),
            ("localhost:kafka", "found 'kafka'"),
            ("localhost:0", "1 to 65535"),
            ("localhost:99999", "1 to 65535"),
            ("::1:9092", "brackets: [::1]:9092"),
            ("[::1]", "expected [IPV6]:PORT"),
        ] {
            let error = split(address).unwrap_err();
            assert!(error.contains(words), "{address}: {error}");
        }
    }

    #[test]
    fn a_list_may_have_spaces_and_gaps() {
        assert_eq!(split_list("a:1, b:2,,"), ["a:1", "b:2"]);
        assert!(split_list(" , ").is_empty());
    }
}
