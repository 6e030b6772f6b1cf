//! Whom the simulator calls: a callback URL, its source, and what must be presented there.

use std::net::IpAddr;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::http::Uri;
use hyper::http::uri::PathAndQuery;

use super::wire::Request;
use crate::event::SourceName;

/// A callback URL. It holds a token, so it is shown by [`Target::shown`] alone.
#[derive(Clone)]
pub struct Target {
    scheme_and_host: String,
    path: String,
    pub source: SourceName,
    /// Header secret and basic credentials, marked sensitive.
    pub headers: HeaderMap,
}

/// Why a URL cannot be called, in words for the command line; never with the URL itself.
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
        let uri: Uri = url.trim().parse().map_err(|_| TargetError::NotACallbackUrl)?;
        let (Some(scheme @ ("http" | "https")), Some(authority), None) =
            (uri.scheme_str(), uri.authority(), uri.query())
        else {
            return Err(TargetError::NotACallbackUrl);
        };
        let path = uri.path().trim_end_matches('/');
        let segments: Vec<&str> = path.split('/').collect();
        let [.., "hooks", source, token] = segments[..] else { return Err(TargetError::NotACallbackUrl) };
        let source = SourceName::new(source).filter(|_| !token.is_empty()).ok_or(TargetError::NotACallbackUrl)?;
        if !allow_remote && !is_loopback(authority.host()) {
            return Err(TargetError::Remote);
        }
        Ok(Self {
            scheme_and_host: format!("{scheme}://{authority}"),
            path: path.to_owned(),
            source,
            headers: HeaderMap::new(),
        })
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

    /// Is it this machine?
    pub fn is_local(&self) -> bool {
        self.scheme_and_host.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(is_loopback))
    }

    /// Does it speak TLS?
    pub fn is_secure(&self) -> bool {
        self.scheme_and_host.starts_with("https:")
    }

    /// Where `request` goes.
    pub fn uri(&self, request: &Request) -> Uri {
        let segment = request.segment.as_ref().map(|segment| format!("/{segment}")).unwrap_or_default();
        let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        let path: Option<PathAndQuery> = format!("{}{segment}{query}", self.path).parse().ok();
        let mut parts = self.scheme_and_host.parse::<Uri>().unwrap_or_default().into_parts();
        parts.path_and_query = path;
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// The URL without its token.
    pub fn shown(&self) -> String {
        let before = self.path.rsplit_once('/').map_or("", |(before, _)| before);
        format!("{}{before}/<token>", self.scheme_and_host)
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
    fn what_is_no_callback_url_or_is_elsewhere_is_refused() {
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
