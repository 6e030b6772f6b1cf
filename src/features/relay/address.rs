//! Which addresses a relay may connect to: the host is resolved here, each address is checked, and only a checked one is connected
//! to, so that a name cannot resolve differently in between (server-side request forgery by DNS).
//!
//! Public addresses are always allowed, others if configured. An address in the URL itself, or `localhost`, is configured thereby.
//!
//! With HTTPS_PROXY or HTTP_PROXY the proxy resolves the name, and its rules decide what may be connected to; nothing is checked here
//! then. A host in NO_PROXY is resolved and checked here.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use ipnet::IpNet;
use tower_service::Service;

/// Resolves names for one relay.
#[derive(Clone, Debug)]
pub struct Guarded {
    networks: Arc<[IpNet]>,
}

/// No address of a name is allowed.
#[derive(Debug)]
pub struct Forbidden(IpAddr);

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name leads to {}, which is not public and in none of relay.networks", self.0)
    }
}

impl Error for Forbidden {}

impl Guarded {
    pub fn new(networks: &[IpNet]) -> Self {
        Self { networks: networks.into() }
    }

    fn allows(&self, name: &str, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let by_name = name.eq_ignore_ascii_case("localhost") && address.is_loopback();
        by_name || is_public(address) || self.networks.iter().any(|network| network.contains(&address))
    }

    fn allowed(&self, name: &str, found: impl Iterator<Item = SocketAddr>) -> io::Result<Vec<SocketAddr>> {
        let (allowed, forbidden): (Vec<_>, Vec<_>) = found.partition(|address| self.allows(name, address.ip()));
        match forbidden.first() {
            Some(forbidden) if allowed.is_empty() => Err(io::Error::other(Forbidden(forbidden.ip()))),
            _ => Ok(allowed),
        }
    }
}

impl Service<Name> for Guarded {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guarded = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            guarded.allowed(name.as_str(), found).map(Vec::into_iter)
        })
    }
}

/// Whether a [`Forbidden`] address caused `error`.
pub fn is_forbidden(error: &(dyn Error + 'static)) -> bool {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<Forbidden>()
        || inner.is_some_and(|inner| inner.is::<Forbidden>())
        || error.source().is_some_and(is_forbidden)
}

/// Whether an address is public: special ones by the registries of IANA (RFC 6890), those that embed an IPv4 address by that one.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.segments() {
            // Translated (64:ff9b::/96), and 6to4.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => is_public_v4(v4(high, low)),
            _ => is_public_v6(address),
        },
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let octets = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        // This network; shared by carriers; protocol assignments; benchmarks; reserved, with the broadcast.
        || octets[0] == 0
        || (octets[0] == 100 && octets[1] & 0xc0 == 64)
        || (octets[0] == 192 && octets[1] == 0 && octets[2] == 0)
        || (octets[0] == 198 && octets[1] & 0xfe == 18)
        || octets[0] >= 240;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let first = address.segments()[0];
    // Global unicast is 2000::/3; within it documentation and the special 2001::/23 are not.
    let global = first & 0xe000 == 0x2000;
    let special = first == 0x2001 && (address.segments()[1] < 0x200 || address.segments()[1] == 0xdb8);
    global && !special && address.segments()[0] != 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_addresses_are_distinguished_from_all_others() {
        for public in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "64:ff9b::a9fe:a9fe",
            "2002:a00:1::",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn a_name_may_lead_to_public_addresses_and_to_the_networks_that_are_configured() {
        let strict = Guarded::new(&[]);
        let cluster = Guarded::new(&["10.0.0.0/8".parse().unwrap()]);
        for (guarded, name, address, allowed) in [
            (&strict, "app.example.com", "1.1.1.1", true),
            (&strict, "app.example.com", "10.0.0.7", false),
            (&strict, "app.example.com", "::ffff:10.0.0.7", false),
            (&strict, "app.example.com", "127.0.0.1", false),
            (&strict, "localhost", "127.0.0.1", true),
            (&strict, "localhost", "::1", true),
            (&strict, "localhost", "169.254.169.254", false),
            (&cluster, "app.shop.svc.cluster.local", "10.0.0.7", true),
            (&cluster, "app.shop.svc.cluster.local", "::ffff:10.0.0.7", true),
            (&cluster, "app.shop.svc.cluster.local", "169.254.169.254", false),
        ] {
            assert_eq!(guarded.allows(name, address.parse().unwrap()), allowed, "{name} {address}");
        }
    }

    #[test]
    fn only_allowed_addresses_are_used_and_none_is_an_error_with_the_address() {
        let guarded = Guarded::new(&[]);
        let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let mixed = [address("10.0.0.7"), address("1.1.1.1")];
        assert_eq!(guarded.allowed("x", mixed.into_iter()).unwrap(), [address("1.1.1.1")]);
        let error = guarded.allowed("x", [address("10.0.0.7")].into_iter()).unwrap_err();
        assert!(is_forbidden(&error), "{error}");
        assert!(error.to_string().contains("10.0.0.7"), "{error}");
        assert!(!is_forbidden(&io::Error::other("refused")));
    }
}
