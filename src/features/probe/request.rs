//! The request itself, and which smscope responded.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue, LOCATION, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::metrics::ProbeResult;
use super::{Failed, Step, Target};
use crate::outbound::{OUR_USER_AGENT, chain, receive, within};
use crate::probe_challenge;

/// Bytes of a response that are read: a probe's is twenty.
const MAX_RESPONSE: usize = 64 << 10;

/// A response as a probe should get it.
pub(super) struct ProbeReply {
    pub took: Duration,
    nonce: String,
    challenge_response: Option<String>,
}

pub(super) async fn open<S>(stream: S) -> Result<SendRequest<Empty<Bytes>>, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    // It ends with the sender; the request gets its errors.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// Makes `calls` requests, each with a nonce of its own.
pub(super) async fn call(
    target: &Target,
    sender: &mut SendRequest<Empty<Bytes>>,
    calls: usize,
) -> Result<Vec<ProbeReply>, Failed> {
    let mut replies = Vec::with_capacity(calls);
    for _ in 0..calls.max(1) {
        let nonce = probe_challenge::nonce().unwrap_or_default();
        let started = Instant::now();
        let exchange = async {
            // A server may have closed the connection after the response before.
            sender.ready().await.map_err(|error| broken(&error))?;
            let response = sender.send_request(request(target, &nonce)).await.map_err(|error| broken(&error))?;
            let (head, body) = response.into_parts();
            let body = receive(body, MAX_RESPONSE).await.map_or_else(|_| Bytes::new(), |received| received.body);
            Ok(Response::from_parts(head, body))
        };
        let response = match within(target.timeout, exchange).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) if !replies.is_empty() => break,
            Ok(Err(failed)) => return Err(failed),
            Err(late) => {
                let advice = "expected the proxy to reach smscope: is it running, and does the proxy know its port?";
                return Err((ProbeResult::Timeout, Step::failed("answer", late, advice)));
            }
        };
        let took = started.elapsed();
        check(&response)?;
        let challenge_response = response.headers().get(probe_challenge::HEADER).and_then(|value| value.to_str().ok());
        replies.push(ProbeReply { took, nonce, challenge_response: challenge_response.map(str::to_owned) });
    }
    Ok(replies)
}

fn request(target: &Target, nonce: &str) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    let path = target.url.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = path.into();
    let headers = request.headers_mut();
    let host = target.url.authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    headers.extend(host.map(|host| (HOST, host)));
    headers.insert(USER_AGENT, HeaderValue::from_static(OUR_USER_AGENT));
    if let Ok(nonce) = HeaderValue::from_str(nonce) {
        headers.insert(probe_challenge::HEADER, nonce);
    }
    request
}

fn broken(error: &hyper::Error) -> Failed {
    let advice = "expected HTTP/1.1 there, and the proxy to reach smscope";
    (ProbeResult::Rejected, Step::failed("answer", chain(error), advice))
}

/// Whether it is smscope's response to a probe. If not, the response itself is not shown: it may be any program's.
fn check(response: &Response<Bytes>) -> Result<(), Failed> {
    let status = response.status();
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    if status == StatusCode::OK && body["result"] == "probe" {
        return Ok(());
    }
    let is_smscopes = body["error"].is_string();
    let advice = match status.as_u16() {
        200 => "expected smscope: something else answers there, or the proxy adds parameters",
        300..=399 if response.headers().contains_key(LOCATION) => {
            "expected smscope itself: smsmode need not follow a redirect; use the URL that it leads to"
        }
        401 if is_smscopes => {
            "the token is right, and the source wants a header or credentials as well: the proxy has to add them"
        }
        403 if is_smscopes => {
            "the token is right, and the source's allow does not include this machine's address: it may still include the provider's"
        }
        404 if is_smscopes => {
            "expected the token that the running smscope has: is this its configuration and data directory, and does the proxy pass \
             the path on unchanged?"
        }
        401 | 403 => "expected smscope: a proxy or firewall wants credentials or forbids it",
        404 => "expected smscope: the proxy does not pass this path on",
        502..=504 => "the proxy does not reach smscope: is it running, and does the proxy know its port?",
        _ => "expected 200 and {\"result\":\"probe\"}",
    };
    Err((ProbeResult::Rejected, Step::failed("answer", format!("answered {status}"), advice)))
}

/// Whether the smscope that should have responded did, every time.
pub(super) fn identify(target: &Target, replies: &[ProbeReply]) -> (bool, Step) {
    let Some(key) = &target.challenge_key else {
        let why = "cannot tell which smscope answered: its data directory cannot be read here";
        return (true, Step::unknown("process", why));
    };
    if replies.iter().any(|reply| reply.challenge_response.is_none()) {
        let advice =
            "expected the header Smscope-Probe in the answer: an older smscope does not know it, or a proxy drops it";
        return (false, Step::failed("process", "it does not say which smscope it is", advice));
    }
    match replies.iter().all(|reply| reply.challenge_response == key.response(&reply.nonce)) {
        true => (true, Step::ok("process", "the smscope of this data directory")),
        false => {
            let advice = "expected the one with this data directory: does the URL lead to another machine or replica?";
            (false, Step::failed("process", "another smscope answered", advice))
        }
    }
}
