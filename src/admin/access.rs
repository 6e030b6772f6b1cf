//! Authentication of the admin listener: HTTP basic or a bearer token, if one is configured. Health checks need neither.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::listener::credentials::{basic_matches, bearer_matches};
use crate::listener::text;
use crate::secret::Secret;
use crate::settings::Basic;

/// What a client has to present: either one. If neither is configured, there is no authentication.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub basic: Option<Basic>,
    pub bearer_token: Option<Secret>,
}

impl Access {
    /// Whether a request with these headers is authenticated.
    pub fn permits(&self, headers: &HeaderMap) -> bool {
        if self.basic.is_none() && self.bearer_token.is_none() {
            return true;
        }
        let by_basic = self.basic.as_ref().is_some_and(|basic| basic_matches(basic, headers));
        let by_token = self.bearer_token.as_ref().is_some_and(|token| bearer_matches(token, headers));
        by_basic || by_token
    }

    pub fn rejection(&self) -> Response<Full<Bytes>> {
        let mut response = text(StatusCode::UNAUTHORIZED, "expected the credentials of [admin]\n");
        let headers = response.headers_mut();
        if self.basic.is_some() {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"smscope\", charset=\"UTF-8\""));
        }
        if self.bearer_token.is_some() {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hyper::header::AUTHORIZATION;

    use super::*;

    fn presented(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        headers
    }

    fn basic_of(credentials: &str) -> HeaderMap {
        presented(&format!("Basic {}", STANDARD.encode(credentials)))
    }

    #[test]
    fn either_of_what_is_configured_opens_and_nothing_else() {
        let basic = || Some(Basic { user: "prometheus".into(), password: Secret::new("p:ss".into()) });
        let token = || Some(Secret::new("0123456789abcdef".into()));
        let open = Access::default();
        let by_basic = Access { basic: basic(), bearer_token: None };
        let by_token = Access { basic: None, bearer_token: token() };
        let by_both = Access { basic: basic(), bearer_token: token() };
        for (headers, expected) in [
            (HeaderMap::new(), [true, false, false, false]),
            (basic_of("prometheus:p:ss"), [true, true, false, true]),
            (presented("Bearer 0123456789abcdef"), [true, false, true, true]),
            (presented("bearer  0123456789abcdef "), [true, false, true, true]),
            (basic_of("prometheus:p"), [true, false, false, false]),
            (basic_of("other:p:ss"), [true, false, false, false]),
            (presented("Bearer"), [true, false, false, false]),
            (presented("Bearer 0123456789abcde"), [true, false, false, false]),
            (presented("Token 0123456789abcdef"), [true, false, false, false]),
            (presented("Basic 0123456789abcdef"), [true, false, false, false]),
        ] {
            let found = [&open, &by_basic, &by_token, &by_both].map(|access| access.permits(&headers));
            assert_eq!(found, expected, "{headers:?}");
        }
    }

    #[test]
    fn a_rejection_names_each_scheme() {
        let both = Access {
            basic: Some(Basic { user: "a".into(), password: Secret::new("b".into()) }),
            bearer_token: Some(Secret::new("c".into())),
        };
        let response = both.rejection();
        let schemes: Vec<&[u8]> =
            response.headers().get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(schemes, [&b"Basic realm=\"smscope\", charset=\"UTF-8\""[..], b"Bearer"]);
    }
}
