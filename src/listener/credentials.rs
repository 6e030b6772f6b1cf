//! The Authorization header of a request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};

use crate::secret::{CandidateDigest, Secret};
use crate::settings::Basic;

/// Whether the header has this bearer token.
pub fn bearer_matches(token: &Secret, headers: &HeaderMap) -> bool {
    let presented = credentials(headers, "bearer");
    presented.is_some_and(|presented| token.matches(&CandidateDigest::of(presented)))
}

/// Whether the header has these credentials of HTTP basic.
pub fn basic_matches(basic: &Basic, headers: &HeaderMap) -> bool {
    let Some(decoded) = credentials(headers, "basic").and_then(|encoded| STANDARD.decode(encoded).ok()) else {
        return false;
    };
    basic.matches(&decoded)
}

/// The credentials of a scheme in the header.
fn credentials<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a [u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (found, rest) = value.split_at_checked(scheme.len())?;
    let rest = rest.strip_prefix(b" ")?;
    found.eq_ignore_ascii_case(scheme.as_bytes()).then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

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
