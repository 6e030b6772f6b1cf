//! Health checks of load balancers and monitors on the webhook port: `/`, `/livez`, `/readyz`.
//!
//! This port is open to the internet, so the response is yes or no. Only the admin listener gives the reason of a no, and the name of
//! the program.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Method, Response, StatusCode, Uri};

use crate::health::Health;
use crate::listener::{expected_get, text};

/// The routes of this listener. Repeated slashes, and one at the end, change nothing: proxies and people add them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Hooks,
    Root,
    Liveness,
    Readiness,
    Nothing,
}

impl Route {
    /// A request target with a host is meant for a proxy, so only webhooks are served on it.
    pub fn of(uri: &Uri) -> Self {
        match Self::of_path(uri.path()) {
            Route::Hooks => Route::Hooks,
            _ if uri.authority().is_some() => Route::Nothing,
            route => route,
        }
    }

    fn of_path(path: &str) -> Self {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        match (segments.next(), segments.next()) {
            (None, _) => Route::Root,
            (Some("hooks"), _) => Route::Hooks,
            (Some("livez"), None) => Route::Liveness,
            (Some("readyz"), None) => Route::Readiness,
            _ => Route::Nothing,
        }
    }
}

/// The response on one of the three paths; `None` for any other.
pub fn response(route: Route, method: &Method, health: &Health) -> Option<Response<Full<Bytes>>> {
    let state = match route {
        Route::Hooks | Route::Nothing => return None,
        Route::Root => Ok(()),
        Route::Liveness => (health.liveness)(),
        Route::Readiness => (health.readiness)(),
    };
    Some(match state {
        _ if method != Method::GET && method != Method::HEAD => expected_get(),
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(_reason) => {
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "unavailable\n");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            response
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn slashes_make_no_difference_to_where_a_path_leads() {
        for (path, route) in [
            ("/", Route::Root),
            ("//", Route::Root),
            ("/livez", Route::Liveness),
            ("//livez/", Route::Liveness),
            ("/readyz", Route::Readiness),
            ("/readyz//", Route::Readiness),
            ("/hooks", Route::Hooks),
            ("//hooks//smsmode", Route::Hooks),
            ("/readyz/x", Route::Nothing),
            ("/hooksx", Route::Nothing),
            ("/HOOKS/smsmode", Route::Nothing),
            ("/metrics", Route::Nothing),
            ("*", Route::Nothing),
        ] {
            assert_eq!(Route::of_path(path), route, "{path}");
        }
    }

    #[test]
    fn the_reason_of_a_no_is_not_in_the_response() {
        let ill = Health { liveness: Arc::new(|| Err("the writer has ended")), ..Health::good() };
        let status = |route| response(route, &Method::GET, &ill).map(|response| response.status().as_u16());
        assert_eq!(status(Route::Liveness), Some(503));
        assert_eq!(status(Route::Readiness), Some(200));
        assert_eq!(status(Route::Root), Some(200));
        assert_eq!(status(Route::Hooks), None);
        let response = response(Route::Liveness, &Method::GET, &ill).unwrap();
        assert!(!format!("{response:?}").contains("writer"), "{response:?}");
    }
}
