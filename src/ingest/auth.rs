//! Authentication of a request: the token in the path, then the address, then header secret and basic credentials.

use std::collections::HashMap;
use std::net::IpAddr;

use hyper::header::HeaderMap;
use ipnet::IpNet;

use super::forwarded;
use super::response::Rejection;
use crate::event::TraceParent;
use crate::listener::credentials::basic_matches;
use crate::process_metrics::SourceMetrics;
use crate::secret::{CandidateDigest, Secret};
use crate::settings::Source;

/// One source with what its clients have to present.
pub struct SourceAuth {
    pub source: Source,
    /// The tokens in force, generated or given.
    pub tokens: Vec<Secret>,
    pub metrics: SourceMetrics,
}

pub struct Authenticator {
    sources: HashMap<String, SourceAuth>,
    /// Counts requests to no configured source.
    unknown: SourceMetrics,
    /// Compared with if the source is unknown, so that this takes as long as a wrong token.
    dummy_token: Secret,
    /// The proxies that any source trusts.
    trusted_proxies: Vec<IpNet>,
}

/// What a callback path names.
pub struct Callback<'a> {
    authenticator: &'a Authenticator,
    /// `None`: the path is not a callback path.
    path: Option<CallbackPath<'a>>,
    /// `None`: there is no source of that name.
    source: Option<&'a SourceAuth>,
}

struct CallbackPath<'a> {
    source: &'a str,
    token: &'a str,
    /// A traceparent given as one more segment; a malformed one is ignored.
    trace: Option<TraceParent>,
}

impl Authenticator {
    pub fn new(sources: Vec<SourceAuth>) -> Self {
        let trusted_proxies = sources.iter().flat_map(|one| one.source.trusted_proxies.iter().copied()).collect();
        Self {
            trusted_proxies,
            sources: sources.into_iter().map(|one| (one.source.name.to_string(), one)).collect(),
            unknown: SourceMetrics::new("unknown"),
            dummy_token: Secret::new(String::new()),
        }
    }

    /// Finds the source of a request path. This authenticates nothing.
    pub fn resolve<'a>(&'a self, path: &'a str) -> Callback<'a> {
        let path = CallbackPath::parse(path);
        let source = path.as_ref().and_then(|path| self.sources.get(path.source));
        Callback { authenticator: self, path, source }
    }

    /// The metrics of requests to no configured source.
    pub fn unknown(&self) -> &SourceMetrics {
        &self.unknown
    }

    /// The address to which a failed authentication is attributed: the peer, or the client that a proxy of any source names, if
    /// that can be read.
    pub fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        forwarded::client(peer, headers, &self.trusted_proxies).unwrap_or(peer)
    }
}

impl<'a> Callback<'a> {
    /// The metrics that count the request: those of the source that it names, whatever else is wrong with the request.
    pub fn metrics(&self) -> &'a SourceMetrics {
        self.source.map_or(&self.authenticator.unknown, |source| &source.metrics)
    }

    pub fn trace(&self) -> Option<TraceParent> {
        self.path.as_ref().and_then(|path| path.trace)
    }

    /// The source, if the token is one of its own.
    ///
    /// # Errors
    /// [`Rejection::NotFound`], in the same time for an unknown source as for a wrong token.
    pub fn authenticate(&self) -> Result<&'a SourceAuth, Rejection> {
        let Some(path) = &self.path else { return Err(Rejection::NotFound) };
        let presented = CandidateDigest::of(path.token.as_bytes());
        match self.source {
            Some(source) => {
                // All are compared, none is left out for an earlier match.
                let matching = source.tokens.iter().filter(|token| token.matches(&presented)).count();
                if matching > 0 { Ok(source) } else { Err(Rejection::NotFound) }
            }
            None => {
                self.authenticator.dummy_token.matches(&presented);
                Err(Rejection::NotFound)
            }
        }
    }
}

impl SourceAuth {
    /// Checks the address and the credentials beside the token.
    ///
    /// # Errors
    /// [`Rejection::AddressForbidden`], then [`Rejection::Unauthorized`].
    pub fn check(&self, headers: &HeaderMap, peer: IpAddr) -> Result<(), Rejection> {
        let source = &self.source;
        if !source.allow.is_empty() {
            let client = forwarded::client(peer, headers, &source.trusted_proxies);
            if !client.is_some_and(|client| forwarded::contains(&source.allow, client)) {
                return Err(Rejection::AddressForbidden);
            }
        }
        if let Some((name, secret)) = &source.header {
            let presented = headers.get(name).map(|value| CandidateDigest::of(value.as_bytes()));
            if !presented.is_some_and(|presented| secret.matches(&presented)) {
                return Err(self.unauthorized());
            }
        }
        if let Some(basic) = &source.basic
            && !basic_matches(basic, headers)
        {
            return Err(self.unauthorized());
        }
        Ok(())
    }

    /// The rejection of wrong or missing credentials.
    pub fn unauthorized(&self) -> Rejection {
        Rejection::Unauthorized { basic: self.source.basic.is_some() }
    }
}

impl<'a> CallbackPath<'a> {
    /// Reads `/hooks/{source}/{token}` and `/hooks/{source}/{token}/{traceparent}`. `None` for any other path. Empty segments do not
    /// count: a proxy that joins two paths, or a person who joins two halves of a URL, leaves a slash too many.
    fn parse(path: &'a str) -> Option<Self> {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        if segments.next() != Some("hooks") {
            return None;
        }
        let (source, token) = (segments.next()?, segments.next()?);
        let trace = segments.next().and_then(TraceParent::parse);
        segments.next().is_none().then_some(Self { source, token, trace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_path_is_source_token_and_perhaps_a_trace() {
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let with_trace = format!("/hooks/smsmode/t0ken/{trace}");
        for (path, expected) in [
            ("/hooks/smsmode/t0ken", Some(("smsmode", "t0ken", false))),
            ("/hooks/smsmode/t0ken/", Some(("smsmode", "t0ken", false))),
            (&*with_trace, Some(("smsmode", "t0ken", true))),
            ("/hooks/smsmode/t0ken/00-malformed", Some(("smsmode", "t0ken", false))),
            ("//hooks//smsmode///t0ken//", Some(("smsmode", "t0ken", false))),
            (&*format!("//hooks/smsmode/t0ken//{trace}/"), Some(("smsmode", "t0ken", true))),
            ("/hooks/smsmode/t0ken/x/y", None),
            ("/hooks/smsmode/", None),
            ("/hooks/smsmode", None),
            ("/hooks/", None),
            ("/hooks", None),
            ("/hook/smsmode/t0ken", None),
        ] {
            let read = CallbackPath::parse(path).map(|path| (path.source, path.token, path.trace.is_some()));
            assert_eq!(read, expected, "{path}");
        }
    }
}
