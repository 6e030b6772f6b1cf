//! HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in upper or lower case: the proxies of outbound requests.
//!
//! The rules are those of curl and Go: the scheme of the URL selects the proxy, NO_PROXY the hosts that are reached directly, and this
//! machine always is. Platforms set these variables for all processes, so one that cannot be used is a warning.

use std::fmt;
use std::net::IpAddr;

use hyper::http::uri::Scheme;
use hyper::http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

use super::prelude::*;
use crate::environment::Environment;

const EXPECTED: &str = "the URL of an HTTP proxy such as http://proxy:3128";

/// A proxy that a target is reached by.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Scheme http, host and port; without a user.
    pub url: Uri,
    /// `Proxy-Authorization`, marked sensitive.
    pub authorization: Option<HeaderValue>,
    /// The variable that names it.
    pub variable: String,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("url", &self.url).field("variable", &self.variable).finish_non_exhaustive()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.url.to_string().trim_end_matches('/'), self.variable)
    }
}

settings! {
    HTTPS: Given = raw("HTTPS_PROXY", "URL",
        "an HTTP proxy for what is sent to `https://` URLs: OTLP, relays, the provider's API; never for this machine \
         itself ([which way](running.md#proxies))");
    HTTPS_IN_SMALL: Given = raw("https_proxy", "URL", SAME);
    HTTP: Given = raw("HTTP_PROXY", "URL", "the same for `http://` URLs");
    HTTP_IN_SMALL: Given = raw("http_proxy", "URL", SAME);
    DIRECT: Given = raw("NO_PROXY", "list",
        "hosts that are reached directly: names with all below them, addresses, networks, each with a port or without, \
         or `*`");
    DIRECT_IN_SMALL: Given = raw("no_proxy", "list", SAME);
}

const SAME: &str = "the same, where the one in capitals is not set";

/// A URL with its proxy, for people.
pub(crate) fn by_way_of(url: String, proxy: Option<&Proxy>) -> String {
    proxy.map_or(url.clone(), |proxy| format!("{url}, by way of {proxy}"))
}

/// The proxies of the environment.
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    https: Option<Given>,
    http: Option<Given>,
    /// The entries of NO_PROXY.
    direct: Vec<String>,
}

impl Proxies {
    pub fn of_env(env: &dyn Environment, warnings: &mut Vec<String>) -> Self {
        let first = |names: [&Setting<Given>; 2]| {
            let mut given = names.iter().filter_map(|setting| Given::of_env(env, setting.variable_name()));
            given.next().map(Given::url)
        };
        let mut proxy = |names, target| {
            let setting = first(names)?;
            let usable = setting.parse(EXPECTED, |text| proxy_of(text, "", target).map(drop));
            match usable {
                Ok(()) => Some(setting),
                Err(error) => {
                    warnings.push(format!("{error}; not used, connections are direct"));
                    None
                }
            }
        };
        let https = proxy([&HTTPS, &HTTPS_IN_SMALL], "https://target.invalid/");
        let http = proxy([&HTTP, &HTTP_IN_SMALL], "http://target.invalid/");
        let direct = first([&DIRECT, &DIRECT_IN_SMALL])
            .and_then(|setting| setting.text("a list of hosts").map(str::to_owned).ok());
        let entries = direct.unwrap_or_default();
        let entries = entries.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty());
        Self { https, http, direct: entries.map(str::to_owned).collect() }
    }

    /// By way of which `target` is reached; `None`: directly.
    pub fn of(&self, target: &Uri) -> Option<Proxy> {
        let setting = if target.scheme() == Some(&Scheme::HTTPS) { self.https.as_ref() } else { self.http.as_ref() }?;
        let is_direct = is_this_machine(target.host()?) || self.direct.iter().any(|entry| entry == "*");
        if is_direct {
            return None;
        }
        let (url, authorization) =
            proxy_of(setting.text(EXPECTED).ok()?, &self.direct_at(target), &target.to_string())?;
        Some(Proxy { url, authorization, variable: setting.key.clone() })
    }

    /// The entries that hold for the port of `target`, as the matcher reads them: it knows hosts, suffixes and networks, no ports.
    fn direct_at(&self, target: &Uri) -> String {
        let default = if target.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let port = target.port_u16().unwrap_or(default);
        let at_port = self.direct.iter().filter_map(|entry| {
            // An IPv6 address has colons of its own, and is in brackets if a port follows.
            let (host, own_port) = match entry.rsplit_once(':') {
                Some((host, own)) if !host.contains(':') || host.ends_with(']') => {
                    (host, Some(own.parse::<u16>().ok()?))
                }
                _ => (entry.as_str(), None),
            };
            let host = host.trim_start_matches('[').trim_end_matches(']');
            own_port
                .is_none_or(|own| own == port)
                .then(|| host.strip_prefix("*.").map_or(host.to_owned(), |suffix| format!(".{suffix}")))
        });
        at_port.collect::<Vec<_>>().join(",")
    }
}

/// The proxy that `text` names and its authorization, unless `direct` excepts `target` from it.
fn proxy_of(text: &str, direct: &str, target: &str) -> Option<(Uri, Option<HeaderValue>)> {
    let matcher = Matcher::builder().all(text).no(direct).build();
    let intercept = matcher.intercept(&target.parse().ok()?)?;
    let url = intercept.uri();
    // Neither TLS nor SOCKS is spoken to a proxy.
    (url.scheme() == Some(&Scheme::HTTP) && url.host().is_some_and(|host| !host.is_empty()))
        .then(|| (url.clone(), intercept.basic_auth().cloned()))
}

/// Whether a host is this machine by its name or address.
fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn proxies(given: &[(&str, &str)]) -> (Proxies, Vec<String>) {
        let env: BTreeMap<&str, &str> = given.iter().copied().collect();
        let mut warnings = Vec::new();
        (Proxies::of_env(&env, &mut warnings), warnings)
    }

    fn by(proxies: &Proxies, target: &str) -> Option<String> {
        proxies.of(&target.parse().unwrap()).map(|proxy| proxy.url.to_string())
    }

    #[test]
    fn the_scheme_of_the_target_selects_the_proxy_and_variables_may_be_in_lower_case() {
        let (both, warnings) = proxies(&[("HTTPS_PROXY", "http://secure:3128"), ("http_proxy", "plain:8080\n")]);
        assert_eq!(warnings, [""; 0]);
        assert_eq!(by(&both, "https://collector.example/").as_deref(), Some("http://secure:3128/"));
        assert_eq!(by(&both, "http://collector.example/").as_deref(), Some("http://plain:8080/"));
        let (one, _) = proxies(&[("https_proxy", "http://secure:3128"), ("HTTPS_PROXY", "")]);
        assert_eq!(by(&one, "https://collector.example/").as_deref(), Some("http://secure:3128/"));
        assert_eq!(by(&one, "http://collector.example/"), None);
        assert_eq!(by(&proxies(&[]).0, "https://collector.example/"), None);
    }

    #[test]
    fn this_machine_is_reached_directly() {
        let (all, _) = proxies(&[("HTTPS_PROXY", "http://p"), ("HTTP_PROXY", "http://p")]);
        for target in ["http://localhost:4318/", "https://LOCALHOST/", "http://127.0.0.9/", "http://[::1]:4318/"] {
            assert_eq!(by(&all, target), None, "{target}");
        }
        assert!(by(&all, "http://10.0.0.1/").is_some());
    }

    #[test]
    fn no_proxy_accepts_hosts_suffixes_networks_ports_and_a_star() {
        for (no_proxy, target, is_direct) in [
            ("collector.example", "http://collector.example:4318/", true),
            ("COLLECTOR.example", "http://collector.EXAMPLE/", true),
            ("example", "http://collector.example/", true),
            (".example", "http://collector.example/", true),
            ("*.example", "http://collector.example/", true),
            ("xample", "http://collector.example/", false),
            ("a, collector.example ,b", "http://collector.example/", true),
            ("a collector.example", "http://collector.example/", true),
            ("*", "http://collector.example/", true),
            ("*", "http://10.0.0.1/", true),
            ("10.0.0.0/8", "http://10.1.2.3/", true),
            ("10.1.2.3", "http://10.1.2.3:80/", true),
            ("10.0.0.0/8", "http://11.1.2.3/", false),
            ("fd00::/8", "http://[fd00::1]/", true),
            ("collector.example:4318", "http://collector.example:4318/", true),
            ("collector.example:4318", "http://collector.example:4317/", false),
            ("collector.example:80", "http://collector.example/", true),
            ("[fd00::1]:4318", "http://[fd00::1]:4318/", true),
            ("[fd00::1]:4318", "http://[fd00::1]:4317/", false),
            ("", "http://collector.example/", false),
        ] {
            for name in ["NO_PROXY", "no_proxy"] {
                let (some, _) = proxies(&[("HTTP_PROXY", "http://p"), (name, no_proxy)]);
                assert_eq!(by(&some, target).is_none(), is_direct, "{no_proxy:?} {target}");
            }
        }
    }

    #[test]
    fn credentials_are_sent_and_never_shown() {
        let (one, _) = proxies(&[("HTTP_PROXY", "http://user:p%40ss@proxy:3128")]);
        let proxy = one.of(&"http://collector.example/".parse().unwrap()).unwrap();
        assert_eq!(proxy.authorization.as_ref().unwrap(), "Basic dXNlcjpwQHNz");
        assert_eq!(proxy.to_string(), "http://proxy:3128 (HTTP_PROXY)");
        assert!(!format!("{proxy:?}").contains("user") && !format!("{proxy:?}").contains("dXNl"), "{proxy:?}");
    }

    #[test]
    fn what_is_no_http_proxy_is_a_warning_without_its_password() {
        for text in ["socks5://user:s3cret@proxy:1080", "https://user:s3cret@proxy", "http://", "::"] {
            let (none, warnings) = proxies(&[("HTTPS_PROXY", text)]);
            assert_eq!(by(&none, "https://collector.example/"), None, "{text}");
            let [warning] = &warnings[..] else { panic!("{warnings:?}") };
            assert!(
                warning.starts_with("HTTPS_PROXY = ") && warning.contains("expected the URL of an HTTP proxy"),
                "{warning}"
            );
            assert!(!warning.contains("s3cret"), "{warning}");
        }
    }
}
