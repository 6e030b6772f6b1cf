//! The client of smsmode's own API, for account watch, reconciliation, resends and `smscope connect`.
//!
//! Callers make one request at a time, and decide on retries. Redirects are not followed, responses are bounded, and an error is one
//! line that has neither the key nor anything of the response but the provider's own words for the error.
//!
//! Source of paths and fields: REST v1 (header X-Api-Key, lists of `items` with `page` from 1 and `pageSize` 1 to 100), and the
//! HTTP API 1.6 for the credit. It is liberal in what it accepts: numbers may be texts, and a missing field is not known.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::Uri;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use strum::IntoStaticStr;

use crate::event::SourceName;
use crate::json;
use crate::outbound::{Backoff, Client, Destination, chain, excerpt, receive, retry_after};
use crate::settings::{Api, ApiMode, Protocol, Source};

mod configured;
mod error;
pub mod metrics;
mod resource;

pub use configured::rest_apis;
pub use error::{ApiError, Failure};
pub use resource::{Callbacks, Channel, Organisation, number};

/// Items of a page, at most.
pub const PAGE_SIZE: usize = 100;

/// Pages of organisations or channels that are read, at most.
const MAX_PAGES: usize = 10;

/// Bytes of a response that are read: a hundred messages are about a tenth of it.
const MAX_RESPONSE: usize = 4 << 20;

/// What is escaped in a path: all characters that an id of the provider does not need.
const PATH_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The kind of request: the `operation` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Operation {
    Organisations,
    Channels,
    Channel,
    SetCallbacks,
    Messages,
    Send,
    Credit,
}

/// A list of messages: each channel has its own.
#[derive(Debug, PartialEq, Eq)]
pub struct MessageList {
    /// The channel's type, as messages name it.
    pub channel: &'static str,
    path: &'static str,
}

/// Those that are documented; the provider documents none for WhatsApp. The first is that of all other channels.
pub static MESSAGE_LISTS: [MessageList; 2] =
    [MessageList { channel: "SMS", path: "sms/v1/messages" }, MessageList { channel: "RCS", path: "rcs/v1/messages" }];

impl MessageList {
    /// The one that messages of this channel are in.
    pub fn of(channel: &str) -> &'static Self {
        MESSAGE_LISTS.iter().find(|list| list.channel.eq_ignore_ascii_case(channel)).unwrap_or(&MESSAGE_LISTS[0])
    }
}

/// A message to be sent. The channel decides on what is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Digits, country first.
    pub to: String,
    pub text: String,
    pub from: Option<String>,
    pub ref_client: Option<String>,
    pub callback_url_status: Option<String>,
    pub callback_url_mo: Option<String>,
}

/// The API of one source's account.
pub struct SmsmodeApi {
    client: Client,
    settings: Api,
    source: SourceName,
}

impl SmsmodeApi {
    /// Must be used within a tokio runtime.
    pub fn new(source: &SourceName, settings: Api) -> Self {
        let client = Client::new(&Destination {
            url: &settings.url,
            protocol: Protocol::HttpProtobuf,
            tls: settings.tls.as_ref(),
            proxy: settings.proxy.as_ref(),
            timeout: settings.timeout,
            headers: &[],
        });
        Self { client, settings, source: source.clone() }
    }

    /// That of a source that has a key. Must be used within a tokio runtime.
    pub fn of(source: &Source) -> Option<Self> {
        source.api.as_ref().map(|api| Self::new(&source.name, api.clone()))
    }

    pub fn mode(&self) -> ApiMode {
        self.settings.mode
    }

    /// Registers the metrics of these operations, at 0.
    pub fn register(&self, operations: &[Operation]) {
        for operation in operations {
            metrics::register(&self.source, *operation);
        }
    }

    /// The organisations that the key belongs to.
    ///
    /// # Errors
    /// As every request here: no response, not in time, not in full, without success, or not of the documented form.
    pub async fn organisations(&self) -> Result<Vec<Organisation>, ApiError> {
        let items = self.all(Operation::Organisations, "commons/v1/organisations").await?;
        Ok(items.iter().map(Organisation::read).collect())
    }

    /// The channels that the key may see.
    pub async fn channels(&self) -> Result<Vec<Channel>, ApiError> {
        let items = self.all(Operation::Channels, "commons/v1/channels").await?;
        Ok(items.iter().filter_map(Channel::read).collect())
    }

    pub async fn channel(&self, organisation: &str, channel: &str) -> Result<Channel, ApiError> {
        let path = channel_path(organisation, channel);
        let value = self.json(Operation::Channel, Method::GET, &path, None).await?;
        self.read_channel(Operation::Channel, channel, &value)
    }

    /// Sets the default callback URLs of a channel's receipts and replies; `None` is none. Gives the channel as it is then.
    pub async fn set_callbacks(
        &self,
        organisation: &str,
        channel: &str,
        callbacks: &Callbacks,
    ) -> Result<Channel, ApiError> {
        let path = channel_path(organisation, channel);
        let body = json!({"defaultCallbackUrlStatus": callbacks.status, "defaultCallbackUrlMo": callbacks.mo});
        let value = self.json(Operation::SetCallbacks, Method::PATCH, &path, Some(body)).await?;
        self.read_channel(Operation::SetCallbacks, channel, &value)
    }

    /// One page of a list of messages, from 1, each in the shape of a receipt. Fewer than [`PAGE_SIZE`] means that it is the last.
    pub async fn messages(&self, list: &MessageList, page: usize) -> Result<Vec<Value>, ApiError> {
        self.page(Operation::Messages, list.path, page).await
    }

    /// Sends a message. Gives the message resource, which has the shape of a receipt.
    ///
    /// # Errors
    /// After one for which [`ApiError::may_have_succeeded`] the message may have been sent all the same.
    pub async fn send(&self, message: &Outgoing) -> Result<Value, ApiError> {
        let mut body = json!({"recipient": {"to": message.to}, "body": {"text": message.text}});
        for (name, value) in [
            ("from", &message.from),
            ("refClient", &message.ref_client),
            ("callbackUrlStatus", &message.callback_url_status),
            ("callbackUrlMo", &message.callback_url_mo),
        ] {
            if let Some(value) = value {
                body[name] = value.as_str().into();
            }
        }
        self.json(Operation::Send, Method::POST, "sms/v1/messages", Some(body)).await
    }

    /// The credit by the legacy API, in millionths.
    pub async fn credit(&self) -> Result<i64, ApiError> {
        let key = utf8_percent_encode(self.settings.key.reveal(), PATH_SEGMENT);
        let path = format!("http/1.6/credit.do?accessToken={key}");
        let read = |text: &[u8]| {
            let text = std::str::from_utf8(text).ok()?;
            number(&Value::String(text.trim().to_owned()))
        };
        self.call(Operation::Credit, Method::GET, &path, None, read, "a number").await
    }

    async fn all(&self, operation: Operation, path: &str) -> Result<Vec<Value>, ApiError> {
        let mut items = Vec::new();
        for page in 1..=MAX_PAGES {
            let some = self.page(operation, path, page).await?;
            let is_last = some.len() < PAGE_SIZE;
            items.extend(some);
            if is_last {
                break;
            }
        }
        Ok(items)
    }

    async fn page(&self, operation: Operation, path: &str, page: usize) -> Result<Vec<Value>, ApiError> {
        let path = format!("{path}?page={page}&pageSize={PAGE_SIZE}");
        let read = |body: &[u8]| match whole(body)? {
            Value::Object(mut page) => match page.remove("items")? {
                Value::Array(items) => Some(items),
                _ => None,
            },
            _ => None,
        };
        self.call(operation, Method::GET, &path, None, read, "a list of items").await
    }

    async fn json(
        &self,
        operation: Operation,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, ApiError> {
        let read = |body: &[u8]| whole(body).filter(Value::is_object);
        self.call(operation, method, path, body, read, "a JSON object").await
    }

    fn read_channel(&self, operation: Operation, expected: &str, value: &Value) -> Result<Channel, ApiError> {
        let read = Channel::read(value).filter(|channel| channel.id == expected);
        read.ok_or_else(|| ApiError::new(operation, Failure::Invalid, "answered with another channel"))
    }

    /// One request. `read` parses the response's body, which should be `expected`.
    async fn call<T>(
        &self,
        operation: Operation,
        method: Method,
        path: &str,
        body: Option<Value>,
        read: impl FnOnce(&[u8]) -> Option<T>,
        expected: &str,
    ) -> Result<T, ApiError> {
        let started = Instant::now();
        let answered = match self.request(method, path, body) {
            Some(request) => {
                let answered = self.client.within(self.exchange(operation, request)).await;
                answered.unwrap_or_else(|late| Err(ApiError::new(operation, Failure::Timeout, late)))
            }
            None => Err(ApiError::new(operation, Failure::Rejected, "the key or an id cannot be sent")),
        };
        let result = answered.and_then(|body| {
            let invalid = || ApiError::new(operation, Failure::Invalid, format!("answered, but not with {expected}"));
            read(&body).ok_or_else(invalid)
        });
        let failure = result.as_ref().err().map(|error| error.failure);
        metrics::count(&self.source, operation, failure, started.elapsed());
        result
    }

    fn request(&self, method: Method, path: &str, body: Option<Value>) -> Option<Request<Bytes>> {
        let base = self.settings.url.path().trim_end_matches('/');
        let mut parts = self.settings.url.clone().into_parts();
        parts.path_and_query = Some(format!("{base}/{path}").parse::<PathAndQuery>().ok()?);
        let mut request = Request::new(body.as_ref().map_or_else(Bytes::new, |body| body.to_string().into()));
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        *request.method_mut() = method;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if self.settings.mode == ApiMode::Rest {
            let mut key = HeaderValue::from_str(self.settings.key.reveal()).ok()?;
            key.set_sensitive(true);
            headers.insert(API_KEY, key);
        }
        Some(request)
    }

    async fn exchange(&self, operation: Operation, request: Request<Bytes>) -> Result<Bytes, ApiError> {
        let response = self.client.request(request).await.map_err(|error| {
            let failure = if error.is_connect() { Failure::Unreachable } else { Failure::Broken };
            ApiError::new(operation, failure, chain(&error))
        })?;
        self.read(operation, response).await
    }

    async fn read(&self, operation: Operation, response: Response<Incoming>) -> Result<Bytes, ApiError> {
        let (head, body) = response.into_parts();
        let received = receive(body, MAX_RESPONSE).await;
        if head.status.is_success() {
            return match received {
                Ok(received) if received.is_whole => Ok(received.body),
                Ok(_) => {
                    let why = "the answer is longer than any that it should give";
                    Err(ApiError::new(operation, Failure::Invalid, why))
                }
                Err(error) => Err(ApiError::new(operation, Failure::Broken, chain(&error))),
            };
        }
        let failure = match head.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Unauthorized,
            StatusCode::TOO_MANY_REQUESTS => Failure::RateLimited,
            status if status.is_server_error() => Failure::ServerError,
            // A redirect too: only the configured host gets the key.
            _ => Failure::Rejected,
        };
        let message = received.map(|received| error_message(&received.body)).unwrap_or_default();
        let message = excerpt(&message, &[self.settings.key.reveal()]);
        let why = match message.is_empty() {
            true => format!("answered {}", head.status),
            false => format!("answered {}: {message}", head.status),
        };
        let mut error = ApiError::new(operation, failure, why);
        error.retry_after = retry_after(&head.headers);
        Err(error)
    }
}

/// The provider's error message: `message` and `detail` of a JSON object.
fn error_message(body: &[u8]) -> String {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let words = ["message", "detail"].iter().filter_map(|name| error[*name].as_str());
    words.collect::<Vec<_>>().join("; ")
}

fn channel_path(organisation: &str, channel: &str) -> String {
    let segment = |id| utf8_percent_encode(id, PATH_SEGMENT);
    format!("commons/v1/organisations/{}/channels/{}", segment(organisation), segment(channel))
}

/// The document of a response, damaged or not. One that ends early is none: a page without its last items would count as the last.
fn whole(body: &[u8]) -> Option<Value> {
    let mut documents = json::read(body).ok()?.documents;
    let document = documents.drain(..).next()?;
    (!document.truncated).then_some(document.value)
}

const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(64));

/// How long to wait before retrying what failed for the `attempt`th time, from 1: what the provider requests, else by backoff.
pub fn pause(error: &ApiError, attempt: u32) -> Duration {
    error.retry_after.unwrap_or_else(|| BACKOFF.after(attempt))
}

#[cfg(test)]
mod tests;
