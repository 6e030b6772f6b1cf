//! The client behind a proxy: X-Forwarded-For, believed as far as it comes from trusted proxies.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hyper::header::HeaderMap;
use ipnet::IpNet;

/// The address of a request's client: the peer, or, if that is a trusted proxy, the address from which the proxy got the request, and
/// so on from the right. `None` if a trusted proxy writes something that is not an address. No other header is believed.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut client = peer.to_canonical();
    // Several headers are one list, in their order (RFC 9110, section 5.3).
    let lists = headers.get_all("x-forwarded-for").iter().rev();
    for hop in lists.flat_map(|list| list.to_str().unwrap_or("?").rsplit(',')) {
        if !contains(trusted, client) {
            break;
        }
        client = address(hop.trim())?.to_canonical();
    }
    Some(client)
}

/// An address, with a port (as some load balancers write) or without.
fn address(text: &str) -> Option<IpAddr> {
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    text.parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .or_else(|| in_brackets().map(IpAddr::V6))
}

/// Whether the address is in one of the networks.
pub fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn found(peer: &str, headers: &[(&'static str, &[u8])], trusted: &[&str]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        client(peer.parse().unwrap(), &map, &trusted).map(|client| client.to_string())
    }

    #[test]
    fn x_forwarded_for_is_believed_from_trusted_proxies_only_and_from_the_right() {
        let trusted = ["10.0.0.0/8", "::1/128", "2001:db8:1::/48"];
        for (what, peer, forwarded, client) in [
            ("nobody is forwarded", "10.0.0.1", &[][..], Some("10.0.0.1")),
            ("an untrusted peer names another", "203.0.113.9", &["198.51.100.1"], Some("203.0.113.9")),
            ("an untrusted peer names a proxy", "203.0.113.9", &["10.0.0.1"], Some("203.0.113.9")),
            ("one proxy", "10.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("two proxies", "10.0.0.1", &["198.51.100.1, 10.0.0.2"], Some("198.51.100.1")),
            ("only proxies", "10.0.0.1", &["10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
            ("the left is made up", "10.0.0.1", &["6.6.6.6, 198.51.100.1"], Some("198.51.100.1")),
            ("the left is made up as a proxy", "10.0.0.1", &["10.0.0.9, 198.51.100.1"], Some("198.51.100.1")),
            ("the left is garbage that is not reached", "10.0.0.1", &["'; --, 198.51.100.1"], Some("198.51.100.1")),
            ("two headers", "10.0.0.1", &["6.6.6.6", "198.51.100.1"], Some("198.51.100.1")),
            (
                "two headers, of which the last is the proxy's own",
                "10.0.0.1",
                &["198.51.100.1", "10.0.0.2"],
                Some("198.51.100.1"),
            ),
            (
                "two headers of lists",
                "10.0.0.1",
                &["6.6.6.6, 198.51.100.1", "10.0.0.3, 10.0.0.2"],
                Some("198.51.100.1"),
            ),
            ("no blanks", "10.0.0.1", &["6.6.6.6,198.51.100.1,10.0.0.2"], Some("198.51.100.1")),
            ("blanks and tabs", "10.0.0.1", &["  198.51.100.1\t,\t10.0.0.2  "], Some("198.51.100.1")),
            ("a port", "10.0.0.1", &["198.51.100.1:443"], Some("198.51.100.1")),
            ("a proxy with a port", "10.0.0.1", &["198.51.100.1, 10.0.0.2:80"], Some("198.51.100.1")),
            ("an IPv6 peer", "::1", &["2001:db8::1"], Some("2001:db8::1")),
            ("IPv6 in brackets", "::1", &["[2001:db8::1]"], Some("2001:db8::1")),
            ("IPv6 with a port", "::1", &["[2001:db8::1]:443"], Some("2001:db8::1")),
            ("an IPv6 proxy", "2001:db8:1::5", &["2001:db8:2::1, 2001:db8:1::6"], Some("2001:db8:2::1")),
            ("a peer mapped to IPv6", "::ffff:10.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("a client mapped to IPv6", "10.0.0.1", &["::ffff:198.51.100.1"], Some("198.51.100.1")),
            ("a proxy mapped to IPv6", "10.0.0.1", &["198.51.100.1, ::ffff:10.0.0.2"], Some("198.51.100.1")),
            ("a name", "10.0.0.1", &["unknown"], None),
            ("garbage on the right", "10.0.0.1", &["198.51.100.1, garbage"], None),
            ("garbage behind a proxy", "10.0.0.1", &["garbage, 10.0.0.2"], None),
            ("empty", "10.0.0.1", &[""], None),
            ("an empty end", "10.0.0.1", &["198.51.100.1,"], None),
            ("a port that is none", "10.0.0.1", &["198.51.100.1:99999"], None),
            ("one bracket", "::1", &["[2001:db8::1"], None),
            ("brackets in brackets", "::1", &["[[2001:db8::1]]"], None),
            ("IPv4 in brackets", "10.0.0.1", &["[198.51.100.1]"], None),
            ("a zone", "::1", &["fe80::1%eth0"], None),
            ("quotes, as Forwarded has them", "::1", &["\"[2001:db8::1]:443\""], None),
            ("octal", "10.0.0.1", &["0306.51.100.1"], None),
            ("a number", "10.0.0.1", &["3325256705"], None),
            ("a network", "10.0.0.1", &["198.51.100.0/24"], None),
            ("bytes that are no text", "10.0.0.1", &["198.51.100.1\u{e9}"], None),
        ] {
            let headers: Vec<_> = forwarded.iter().map(|value| ("x-forwarded-for", value.as_bytes())).collect();
            assert_eq!(found(peer, &headers, &trusted).as_deref(), client, "{what}");
        }
    }

    #[test]
    fn no_other_header_is_used_and_no_proxy_is_trusted_unless_it_is_configured() {
        let others: [(&str, &[u8]); 5] = [
            ("forwarded", b"for=198.51.100.1"),
            ("x-real-ip", b"198.51.100.1"),
            ("x-client-ip", b"198.51.100.1"),
            ("cf-connecting-ip", b"198.51.100.1"),
            ("true-client-ip", b"198.51.100.1"),
        ];
        assert_eq!(found("10.0.0.1", &others, &["10.0.0.0/8"]).as_deref(), Some("10.0.0.1"));
        let forwarded: [(&str, &[u8]); 1] = [("x-forwarded-for", b"198.51.100.1")];
        assert_eq!(found("127.0.0.1", &forwarded, &[]).as_deref(), Some("127.0.0.1"));
    }
}
