//! The Host headers that are allowed.

use std::net::IpAddr;

/// The hosts that we answer to: those of loopback, and the address that we are bound to.
///
/// Our own IP addresses are safe: a foreign page that points its name at our address (DNS
/// rebinding) makes a browser send that name, never an IP address. The port is ignored, since it
/// may have been forwarded.
#[derive(Debug)]
pub(super) struct Names {
    bound: IpAddr,
    /// The name in the address, if it has one.
    given: Option<String>,
}

impl Names {
    /// The hosts of a listener at `address`, which is bound to `bound`.
    pub(super) fn of(address: &str, bound: IpAddr) -> Self {
        let given = host_of(address).filter(|host| host.parse::<IpAddr>().is_err());
        Self { bound, given }
    }

    /// Whether `host`, which may end with a port, is one of them.
    pub(super) fn has(&self, host: &str) -> bool {
        let Some(host) = host_of(host) else {
            return false;
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            // Bound to every interface: each IP address of the machine is ours.
            return ip.is_loopback() || self.bound.is_unspecified() || ip == self.bound;
        }
        let is_loopback = host == "localhost" || host.ends_with(".localhost");
        is_loopback || self.given.as_deref() == Some(&*host)
    }
}

/// Without the port, the brackets of an IPv6 address and the dot at the end of a full name.
fn host_of(address: &str) -> Option<String> {
    let host = match address.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => address.split_once(':').map_or(address, |(host, _)| host),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(address: &str, bound: &str) -> Names {
        Names::of(address, bound.parse().unwrap())
    }

    #[test]
    fn loopback_and_what_is_bound_are_ours_and_nothing_else() {
        let rows = [
            ("127.0.0.1:7092", true),
            ("127.0.0.1", true),
            ("localhost:7092", true),
            ("LocalHost.", true),
            ("a.localhost", true),
            ("[::1]:7092", true),
            ("127.9.9.9:1", true),
            ("10.0.0.7:7092", false),
            ("evil.example:7092", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("evillocalhost", false),
            ("[::1", false),
            ("", false),
            (":7092", false),
        ];
        let loopback = names("127.0.0.1:7092", "127.0.0.1");
        for (host, expected) in rows {
            assert_eq!(loopback.has(host), expected, "{host}");
        }
    }

    #[test]
    fn what_it_is_bound_to_is_ours_too() {
        let one = names("10.0.0.7:7092", "10.0.0.7");
        assert!(one.has("10.0.0.7:7092") && !one.has("10.0.0.8:7092"));
        let named = names("Broker:7092", "10.0.0.7");
        assert!(named.has("broker:7092") && named.has("10.0.0.7") && !named.has("other"));
        let every = names("0.0.0.0:7092", "0.0.0.0");
        assert!(every.has("10.0.0.8:7092") && !every.has("evil.example"));
    }
}
