//! The page at `/`: what this is, where it is called, and how it is doing, for a person with a browser.
//!
//! # Who sees what
//!
//! Each client of the admin listener sees what `/metrics` shows, and no more. The last events (masked), the callback URLs with their host
//! and the age of the store are for clients on this machine, by [`is_on_this_machine`].
//! The page never has a token, a full number or a text, whatever the configuration says.
//!
//! # DNS rebinding
//!
//! A website can point a name of its own at 127.0.0.1 and have a visitor's browser read what is served there: to the browser it is that
//! site's own. The request then has that name as its Host. So a client that uses a name other than `localhost` gets only what
//! `/metrics` would have given it; an address cannot be pointed elsewhere. A reverse proxy in front gets the same answer.
//!
//! # How it is made
//!
//! Templates are compiled in and escape all that is put into them. Style and script are part of the page, allowed by
//! their hashes. The script fetches [`Part::Figures`] (the inside of `main`) and replaces what differs; without it the page is whole too.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::event::SourceName;
use crate::ledger::snapshot::Snapshot;
use crate::record::Entry;
use crate::tasks;
use crate::tasks::periodic::repeat;
use crate::telemetry::values::Values;

mod events;
mod format;
mod messages;
mod recent;
mod view;

#[cfg(test)]
pub(super) mod tests;

pub use recent::History;
use view::{EventsView, View};

/// How many of the last events are shown.
const EVENTS: usize = 10;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Nothing is loaded but the figures, nothing may frame the page, and no script or style runs but ours. The icon is a `data:` image.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    policy.parse().expect("base64 and fixed words make a header value")
});

/// What the page is made from.
pub struct Page {
    pub about: About,
    /// What `/metrics` is made from as well, so that the two agree.
    /// Blocks on the disk.
    pub now: Box<dyn Fn() -> Now + Send + Sync>,
    /// Up to so many of the newest entries, oldest first. May block on the disk.
    pub latest: Box<dyn Fn(usize) -> Result<Vec<Entry>, String> + Send + Sync>,
    /// The counters as they were.
    pub history: Mutex<History>,
}

/// What does not change while the process runs.
pub struct About {
    pub admin_listen: SocketAddr,
    /// When the store was made.
    pub created_at: Timestamp,
    pub callback_urls: Vec<CallbackUrl>,
}

/// Where the provider calls one source.
pub struct CallbackUrl {
    pub source: SourceName,
    /// With `<token>` in place of the token.
    pub url: String,
}

/// The state of things.
pub struct Now {
    pub snapshot: Snapshot,
    pub process: Values,
    pub store_is_healthy: bool,
}

/// How much of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// What changes: the inside of `main`.
    Figures,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Whole {
    view: View,
    style: &'static str,
    script: &'static str,
    repository: &'static str,
}

#[derive(Template)]
#[template(path = "figures.html")]
struct Figures {
    view: View,
}

impl Page {
    /// Remembers the counters once a minute, until `shutdown` resolves.
    pub async fn remember(self: &Arc<Self>, shutdown: impl Future<Output = ()>) {
        let remember = || async {
            let page = self.clone();
            tasks::blocking(move || {
                let snapshot = (page.now)().snapshot;
                page.history.lock().unwrap_or_else(PoisonError::into_inner).note(Timestamp::now(), &snapshot);
            })
            .await;
            Duration::from_secs(60)
        };
        repeat(Duration::ZERO, shutdown, remember).await;
    }

    /// Responds to `request`; `trouble` is why webhooks are not accepted now.
    pub async fn answer(
        self: Arc<Self>,
        part: Part,
        request: &Parts,
        trouble: Option<&'static str>,
    ) -> Response<String> {
        let private = is_on_this_machine(self.about.admin_listen, request);
        let html = tokio::task::spawn_blocking(move || self.html(part, private, trouble)).await;
        match html {
            Ok(Ok(html)) => response(StatusCode::OK, html),
            failed => {
                tracing::error!(?failed, "the page cannot be written");
                response(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be written".into())
            }
        }
    }

    fn html(&self, part: Part, private: bool, trouble: Option<&'static str>) -> askama::Result<String> {
        let latest = private.then(|| (self.latest)(EVENTS));
        if let Some(Err(error)) = &latest {
            tracing::warn!(%error, "the page cannot read the last events");
        }
        let (now, time) = ((self.now)(), Timestamp::now());
        let recent = self.history.lock().unwrap_or_else(PoisonError::into_inner).rows(time, &now.snapshot);
        let view = View { recent, ..View::new(&self.about, &now, trouble, latest, time) };
        match part {
            Part::Whole => {
                let repository = env!("CARGO_PKG_REPOSITORY");
                Whole { view, style: STYLE, script: SCRIPT, repository }.render()
            }
            Part::Figures => Figures { view }.render(),
        }
    }
}

fn response(status: StatusCode, html: String) -> Response<String> {
    let mut response = Response::new(html);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the client is on this machine, as far as can be known: the admin listener is on loopback, the Host is an address or
/// `localhost`, and no proxy names itself.
fn is_on_this_machine(admin_listen: SocketAddr, request: &Parts) -> bool {
    const PROXIES: [&str; 4] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "via"];
    admin_listen.ip().to_canonical().is_loopback()
        && host(request).is_some_and(|host| is_address_or_localhost(&host))
        && !PROXIES.iter().any(|name| request.headers.contains_key(*name))
}

/// The host of the request, without its port; `None` if there is none, or more than one.
fn host(request: &Parts) -> Option<String> {
    let authority = match request.uri.authority() {
        Some(authority) => authority.clone(),
        None => only(&request.headers)?.to_str().ok()?.parse::<Authority>().ok()?,
    };
    Some(authority.host().to_owned())
}

fn only(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut hosts = headers.get_all(HOST).iter();
    hosts.next().filter(|_| hosts.next().is_none())
}

fn is_address_or_localhost(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}
