//! Who may enter: the token in the path, then the address, then header secret and basic credentials.

use std::collections::HashMap;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use ipnet::IpNet;

use super::answer::Answer;
use super::forwarded;
use crate::config::{Basic, Source};
use crate::event::TraceParent;
use crate::meters::SourceMeters;
use crate::secret::{CandidateDigest, Secret};

/// One source with what its callers must present.
pub struct Entrance {
    pub source: Source,
    /// The tokens that are in force, made or given.
    pub tokens: Vec<Secret>,
    pub meters: SourceMeters,
}

pub struct Gate {
    entrances: HashMap<String, Entrance>,
    /// Counts what was addressed to no source of ours.
    unknown: SourceMeters,
    /// Compared with when the source is unknown, so that this takes as long as a wrong token.
    decoy: Secret,
    /// The proxies that any source trusts.
    proxies: Vec<IpNet>,
}

/// A callback path, as far as it is one.
pub struct Address<'a> {
    source: &'a str,
    token: &'a str,
    /// A traceparent given as one more segment; a malformed one is ignored.
    pub trace: Option<TraceParent>,
}

impl Gate {
    pub fn new(entrances: Vec<Entrance>) -> Self {
        let proxies = entrances.iter().flat_map(|one| one.source.trusted_proxies.iter().copied()).collect();
        Self {
            proxies,
            entrances: entrances.into_iter().map(|one| (one.source.name.to_string(), one)).collect(),
            unknown: SourceMeters::new("unknown"),
            decoy: Secret::new(String::new()),
        }
    }

    /// Whom to count a request under: the source if there is one of that name, whatever else is wrong with the request.
    pub fn meters(&self, address: Option<&Address<'_>>) -> &SourceMeters {
        address
            .and_then(|address| self.entrances.get(address.source))
            .map_or(&self.unknown, |entrance| &entrance.meters)
    }

    /// What is no request at all is counted under.
    pub fn unknown(&self) -> &SourceMeters {
        &self.unknown
    }

    /// Whose failures these are: the caller, or whom a proxy of any source speaks for, if that can be read.
    pub fn suspect(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        forwarded::client(peer, headers, &self.proxies).unwrap_or(peer)
    }

    /// The source whose token this is.
    ///
    /// # Errors
    /// [`Answer::NotFound`], in the same time for an unknown source as for a wrong token.
    pub fn admit(&self, address: Option<&Address<'_>>) -> Result<&Entrance, Answer> {
        let Some(address) = address else { return Err(Answer::NotFound) };
        let presented = CandidateDigest::of(address.token.as_bytes());
        match self.entrances.get(address.source) {
            Some(entrance) => {
                // All are compared, none is left out for an earlier match.
                let matching = entrance.tokens.iter().filter(|token| token.matches(&presented)).count();
                if matching > 0 { Ok(entrance) } else { Err(Answer::NotFound) }
            }
            None => {
                self.decoy.matches(&presented);
                Err(Answer::NotFound)
            }
        }
    }
}

impl Entrance {
    /// Checks what is asked for besides the token.
    ///
    /// # Errors
    /// [`Answer::AddressForbidden`], then [`Answer::Unauthorized`].
    pub fn check(&self, headers: &HeaderMap, peer: IpAddr) -> Result<(), Answer> {
        let source = &self.source;
        if !source.allow.is_empty() {
            let client = forwarded::client(peer, headers, &source.trusted_proxies);
            if !client.is_some_and(|client| forwarded::contains(&source.allow, client)) {
                return Err(Answer::AddressForbidden);
            }
        }
        let refusal = Answer::Unauthorized { basic: source.basic.is_some() };
        if let Some((name, secret)) = &source.header {
            let presented = headers.get(name).map(|value| CandidateDigest::of(value.as_bytes()));
            if !presented.is_some_and(|presented| secret.matches(&presented)) {
                return Err(refusal);
            }
        }
        if let Some(basic) = &source.basic
            && !basic_matches(basic, headers)
        {
            return Err(refusal);
        }
        Ok(())
    }

    /// Whether the source may speak of this channel. An event that names none may pass: legacy ones never do.
    pub fn knows_channel(&self, channel_id: Option<&str>) -> bool {
        let listed = &self.source.channel_ids;
        listed.is_empty() || channel_id.is_none_or(|channel_id| listed.contains(channel_id))
    }
}

/// Reads `/hooks/{source}/{token}`, with `/{traceparent}` behind it or not. `None` for any other path. Empty segments do not count:
/// where a proxy joins two paths, or a hand two halves of a URL, there is a slash too many.
pub fn address(path: &str) -> Option<Address<'_>> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    if segments.next() != Some("hooks") {
        return None;
    }
    let (source, token) = (segments.next()?, segments.next()?);
    let trace = segments.next().and_then(TraceParent::parse);
    segments.next().is_none().then_some(Address { source, token, trace })
}

fn basic_matches(basic: &Basic, headers: &HeaderMap) -> bool {
    let Some(encoded) = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().split_at_checked(6)) else {
        return false;
    };
    if !encoded.0.eq_ignore_ascii_case(b"basic ") {
        return false;
    }
    let Ok(decoded) = STANDARD.decode(encoded.1.trim_ascii()) else { return false };
    basic.matches(&decoded)
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
            let read = address(path).map(|a| (a.source, a.token, a.trace.is_some()));
            assert_eq!(read, expected, "{path}");
        }
    }

    #[test]
    fn basic_credentials_match_whole_or_not_at_all() {
        let basic = Basic { user: "sms".into(), password: Secret::new("p:ss".into()) };
        let presented = |credentials: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, format!("Basic {}", STANDARD.encode(credentials)).parse().unwrap());
            basic_matches(&basic, &headers)
        };
        assert!(presented("sms:p:ss"));
        for wrong in ["sms:p", "sms:", "sms", ":p:ss", "SMS:p:ss", ""] {
            assert!(!presented(wrong), "{wrong}");
        }
        for header in ["Basic", "Basic !!!", "Bearer c21zOnA6c3M=", "é"] {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, hyper::header::HeaderValue::from_bytes(header.as_bytes()).unwrap());
            assert!(!basic_matches(&basic, &headers), "{header}");
        }
        assert!(!basic_matches(&basic, &HeaderMap::new()));
    }
}
