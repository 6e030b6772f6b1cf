//! The callback URL that the simulator calls, its source, and the credentials that it asks for.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::http::Uri;
use smscope_simulator::wire::Request;

use crate::event::SourceName;

/// A callback URL. It holds a token, so it is shown by [`Target::shown`] alone.
#[derive(Clone)]
pub struct Target {
    url: Uri,
    pub source: SourceName,
    /// Header secret and basic credentials, marked sensitive.
    pub headers: HeaderMap,
}

/// Why a URL cannot be called, in words for the command line. The URL itself is not in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("expected a callback URL such as http://127.0.0.1:7672/hooks/smsmode/<token>, over http or https")]
    NotACallbackUrl,
    #[error(
        "not on this machine; expected a loopback address, or --allow-remote as well, since this is a load generator"
    )]
    Remote,
}

impl Target {
    /// Reads `http://host[:port][/prefix]/hooks/{source}/{token}`, or the same with https.
    ///
    /// # Errors
    /// It is not one, or not of this machine while `allow_remote` is not given.
    pub fn parse(url: &str, allow_remote: bool) -> Result<Self, TargetError> {
        let not_one = || TargetError::NotACallbackUrl;
        let url: Uri = url.trim().trim_end_matches('/').parse().map_err(|_| not_one())?;
        let (Some("http" | "https"), Some(host), None) = (url.scheme_str(), url.host(), url.query()) else {
            return Err(not_one());
        };
        let segments: Vec<&str> = url.path().split('/').collect();
        let [.., "hooks", source, _token] = segments[..] else { return Err(not_one()) };
        let source = SourceName::new(source).ok_or_else(not_one)?;
        if !allow_remote && !is_loopback(host) {
            return Err(TargetError::Remote);
        }
        Ok(Self { url, source, headers: HeaderMap::new() })
    }

    /// Basic credentials to present.
    pub fn set_basic(&mut self, user: &str, password: &str) {
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        if let Ok(mut value) = HeaderValue::from_str(&format!("Basic {encoded}")) {
            value.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, value);
        }
    }

    pub fn is_local(&self) -> bool {
        self.url.host().is_some_and(is_loopback)
    }

    pub fn is_secure(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }

    /// The URL of `request`.
    pub fn uri(&self, request: &Request) -> Uri {
        let segment = request.segment.as_ref().map(|segment| format!("/{segment}")).unwrap_or_default();
        let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{segment}{query}", self.url).parse().unwrap_or_default()
    }

    /// The URL without its token.
    pub fn shown(&self) -> String {
        let url = self.url.to_string();
        format!("{}/<token>", url.rsplit_once('/').map_or("", |(before, _)| before))
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().map_or(bare.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_url_is_read_and_never_shows_its_token() {
        for (url, shown) in [
            ("http://127.0.0.1:7672/hooks/smsmode/s3cret", "http://127.0.0.1:7672/hooks/smsmode/<token>"),
            ("http://[::1]:80/hooks/a/s3cret", "http://[::1]:80/hooks/a/<token>"),
            ("https://localhost:7672/hooks/b/s3cret", "https://localhost:7672/hooks/b/<token>"),
            ("http://localhost/behind/hooks/b/s3cret/", "http://localhost/behind/hooks/b/<token>"),
        ] {
            let target = Target::parse(url, false).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(target.shown(), shown);
            assert!(target.is_local());
            assert_eq!(target.is_secure(), url.starts_with("https"));
        }
    }

    #[test]
    fn other_urls_and_those_of_other_machines_are_rejected() {
        for url in [
            "",
            "127.0.0.1:7672/hooks/smsmode/s3cret",
            "ftp://127.0.0.1/hooks/smsmode/s3cret",
            "http://127.0.0.1/hooks/smsmode",
            "http://127.0.0.1/hooks/smsmode/",
            "http://127.0.0.1/hooks/SMSMODE/s3cret",
            "http://127.0.0.1/hooks/smsmode/s3cret?a=b",
            "http://127.0.0.1/",
        ] {
            assert_eq!(Target::parse(url, true).err(), Some(TargetError::NotACallbackUrl), "{url}");
        }
        for url in ["http://192.0.2.1/hooks/smsmode/s3cret", "http://localhost.example.com/hooks/smsmode/s3cret"] {
            assert_eq!(Target::parse(url, false).err(), Some(TargetError::Remote), "{url}");
            assert!(Target::parse(url, true).is_ok_and(|target| !target.is_local()));
        }
    }

    #[test]
    fn segment_and_query_are_appended() {
        let target = Target::parse("http://127.0.0.1:1/hooks/smsmode/t", false).unwrap();
        let request = Request { segment: Some("00-a".into()), query: Some("a=b".into()), body: None };
        assert_eq!(target.uri(&request), "http://127.0.0.1:1/hooks/smsmode/t/00-a?a=b");
        assert_eq!(target.uri(&Request::default()), "http://127.0.0.1:1/hooks/smsmode/t");
    }
}
