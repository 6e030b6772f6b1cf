//! A stand-in for smsmode's API: it behaves as the real one is documented to, rejects everything else, remembers what it
//! was asked, and can fail in every way.
//!
//! REST v1: `GET commons/v1/organisations`, `GET commons/v1/channels`, `GET|PATCH
//! commons/v1/organisations/{id}/channels/{channelId}`, `GET|POST sms/v1/messages`, `GET rcs/v1/messages`, with X-Api-Key; lists are `{"items": […]}` with
//! `page` from 1 and `pageSize` from 1 to 100. Legacy: `GET http/1.6/credit.do?accessToken=…`.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::server::{self, Request, hang_up, respond};

/// The key that it accepts.
pub const API_KEY: &str = "k3y-of-the-stand-in";

/// One request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: String,
    /// X-Api-Key.
    pub key: Option<String>,
    pub body: String,
}

/// How a request fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status, with an error as the real one words it.
    Status(u16),
    /// 429 with Retry-After in seconds.
    TooMany(u64),
    /// A login page, say.
    NotJson,
    /// JSON of another shape.
    WrongShape,
    /// What it would have been, with a byte sequence replaced.
    Damaged(&'static str, &'static str),
    /// The head promises more than comes.
    Half,
    /// The answer comes so much later.
    Slow(Duration),
    /// The connection is closed without an answer.
    Hangup,
    /// To another URL.
    Redirect(String),
    /// An endless answer.
    Endless,
}

#[derive(Default)]
struct State {
    organisations: Vec<Value>,
    channels: Vec<Value>,
    messages: Vec<Value>,
    rcs_messages: Vec<Value>,
    credit: String,
    /// Each answers one request; the last one stays if `for_ever`.
    faults: Vec<Fault>,
    for_ever: bool,
    asked: Vec<Asked>,
}

/// A server that lives as long as the test's process.
#[derive(Clone)]
pub struct SmsmodeApi {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl SmsmodeApi {
    /// With one organisation and one channel.
    pub fn start() -> Self {
        let state = State {
            organisations: vec![json!({
                "organisationId": "org-1", "name": "Ours", "state": "ACTIVATED", "balance": {"amount": "1250.5"},
                "monthlyConsumption": 300, "monthlyConsumptionLimit": 5000
            })],
            channels: vec![channel("3f0c5a1e", "OTP")],
            credit: "1250.5".to_owned(),
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        let shared = state.clone();
        let address = server::start(move |request, stream| serve(&request, stream, &shared));
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn set_organisations(&self, organisations: Vec<Value>) {
        self.state.lock().unwrap().organisations = organisations;
    }

    pub fn set_channels(&self, channels: Vec<Value>) {
        self.state.lock().unwrap().channels = channels;
    }

    pub fn set_messages(&self, messages: Vec<Value>) {
        self.state.lock().unwrap().messages = messages;
    }

    pub fn set_rcs_messages(&self, messages: Vec<Value>) {
        self.state.lock().unwrap().rcs_messages = messages;
    }

    pub fn set_credit(&self, text: &str) {
        self.state.lock().unwrap().credit = text.to_owned();
    }

    /// The next requests fail so, one after the other.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        let mut state = self.state.lock().unwrap();
        state.faults = faults.into_iter().collect();
        state.for_ever = false;
    }

    /// Every request fails so from now on.
    pub fn always_fail(&self, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state.faults = vec![fault];
        state.for_ever = true;
    }

    pub fn recover(&self) {
        self.fail([]);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The channel's defaultCallbackUrlStatus and defaultCallbackUrlMo.
    pub fn callbacks(&self, channel: &str) -> (Value, Value) {
        let state = self.state.lock().unwrap();
        let channel = state.channels.iter().find(|known| known["channelId"] == channel).unwrap();
        (channel["defaultCallbackUrlStatus"].clone(), channel["defaultCallbackUrlMo"].clone())
    }
}

/// A channel of `org-1` without callbacks.
pub fn channel(id: &str, name: &str) -> Value {
    json!({
        "channelId": id, "organisationId": "org-1", "name": name, "type": "SMS", "flow": "OTP",
        "dailyConsumption": 12, "dailyConsumptionLimit": "500", "monthlyConsumption": 300.5, "monthlyConsumptionLimit": 5000,
        "defaultCallbackUrlStatus": null, "defaultCallbackUrlMo": null
    })
}

fn serve(request: &Request, stream: &mut dyn Write, state: &Mutex<State>) -> io::Result<()> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let asked = Asked {
        method: request.method.clone(),
        path: path.to_owned(),
        query: query.to_owned(),
        key: request.header("x-api-key").map(str::to_owned),
        body: String::from_utf8(request.body.clone()).unwrap(),
    };
    let (fault, response) = {
        let mut state = state.lock().unwrap();
        state.asked.push(asked.clone());
        let fault = match (state.faults.is_empty(), state.for_ever) {
            (true, _) => None,
            (false, true) => Some(state.faults[0].clone()),
            (false, false) => Some(state.faults.remove(0)),
        };
        let response = match &fault {
            None | Some(Fault::Slow(_) | Fault::Damaged(..)) => state.answer(&asked),
            Some(_) => (500, String::new()),
        };
        (fault, response)
    };
    speak(stream, fault, response)
}

fn speak(stream: &mut dyn Write, fault: Option<Fault>, (status, body): (u16, String)) -> io::Result<()> {
    const JSON: &str = "content-type: application/json";
    match fault {
        None => respond(stream, status, &[JSON], &body),
        Some(Fault::Damaged(from, to)) => respond(stream, status, &[JSON], &body.replace(from, to)),
        Some(Fault::Slow(time)) => {
            std::thread::sleep(time);
            respond(stream, status, &[JSON], &body)
        }
        Some(Fault::Status(status)) => respond(stream, status, &[JSON], &error(status, "no luck", "today")),
        Some(Fault::TooMany(seconds)) => {
            let retry = format!("retry-after: {seconds}");
            respond(stream, 429, &[JSON, &retry], &error(429, "Too Many Requests", "slower"))
        }
        Some(Fault::NotJson) => respond(stream, 200, &[JSON], "<html>Please log in</html>"),
        Some(Fault::WrongShape) => respond(stream, 200, &[JSON], "[17]"),
        Some(Fault::Half) => {
            write!(
                stream,
                "HTTP/1.1 200 X\r\n{JSON}\r\ncontent-length: 900\r\n\r\n{{\"items\":[{{\"channelId\":\"half"
            )?;
            hang_up()
        }
        Some(Fault::Hangup) => hang_up(),
        Some(Fault::Redirect(to)) => respond(stream, 302, &[JSON, &format!("location: {to}")], ""),
        Some(Fault::Endless) => {
            write!(stream, "HTTP/1.1 200 X\r\n{JSON}\r\ncontent-length: {}\r\n\r\n", usize::MAX >> 1)?;
            loop {
                stream.write_all(&[b' '; 1 << 16])?;
            }
        }
    }
}

fn error(status: u16, message: &str, detail: &str) -> String {
    json!({"title": "Error", "message": message, "detail": detail, "status": status.to_string()}).to_string()
}

impl State {
    fn answer(&mut self, asked: &Asked) -> (u16, String) {
        let path: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
        if path[..] == ["http", "1.6", "credit.do"] {
            return self.legacy(asked);
        }
        if asked.key.as_deref() != Some(API_KEY) {
            return (401, error(401, "Unauthorized", "the key is not known"));
        }
        match (asked.method.as_str(), &path[..]) {
            ("GET", ["commons", "v1", "organisations"]) => list(&self.organisations, &asked.query),
            ("GET", ["commons", "v1", "channels"]) => list(&self.channels, &asked.query),
            ("GET", ["sms", "v1", "messages"]) => list(&self.messages, &asked.query),
            ("GET", ["rcs", "v1", "messages"]) => list(&self.rcs_messages, &asked.query),
            ("GET" | "PATCH", ["commons", "v1", "organisations", organisation, "channels", id]) => {
                let is_it = |known: &&mut Value| known["channelId"] == *id && known["organisationId"] == *organisation;
                let Some(channel) = self.channels.iter_mut().find(is_it) else {
                    return (404, error(404, "Not Found", "no such channel"));
                };
                if asked.method == "PATCH"
                    && let Err(why) = patch(channel, &asked.body)
                {
                    return (400, error(400, "Bad Request", &why));
                }
                (200, channel.to_string())
            }
            ("POST", ["sms", "v1", "messages"]) => self.send(&asked.body),
            _ => (404, error(404, "Not Found", "no such path")),
        }
    }

    fn legacy(&self, asked: &Asked) -> (u16, String) {
        if asked.method != "GET" || asked.query != format!("accessToken={API_KEY}") {
            return (200, "32 | authentication error".to_owned());
        }
        (200, self.credit.clone())
    }

    fn send(&mut self, body: &str) -> (u16, String) {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let known = ["recipient", "body", "from", "refClient", "callbackUrlStatus", "callbackUrlMo"];
        let is_known = body.as_object().is_some_and(|body| body.keys().all(|key| known.contains(&key.as_str())));
        if !is_known || !body["recipient"]["to"].is_string() || !body["body"]["text"].is_string() {
            return (400, error(400, "Bad Request", "recipient and body are needed, and nothing unknown"));
        }
        let mut message = body;
        message["messageId"] = format!("sent-{}", self.messages.len()).into();
        message["acceptedAt"] = "2026-01-01T12:00:00".into();
        message["type"] = "SMS".into();
        message["direction"] = "MT".into();
        message["status"] = json!({"value": "ENROUTE"});
        self.messages.insert(0, message.clone());
        (201, message.to_string())
    }
}

fn patch(channel: &mut Value, body: &str) -> Result<(), String> {
    let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    for (key, value) in body.as_object().ok_or("an object is needed")? {
        let is_callback = ["defaultCallbackUrlStatus", "defaultCallbackUrlMo"].contains(&key.as_str());
        let fits = value.is_null() || value.as_str().is_some_and(|url| url.starts_with("http") && url.len() <= 255);
        if !is_callback || !fits {
            return Err(format!("{key} is not taken"));
        }
        channel[key] = value.clone();
    }
    Ok(())
}

/// A page of a list; anything but `page` from 1 and `pageSize` from 1 to 100 is rejected.
fn list(items: &[Value], query: &str) -> (u16, String) {
    let (mut page, mut size) = (1, 20);
    for (name, value) in query.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| pair.split_once('=')) {
        match (name, value.parse::<usize>()) {
            ("page", Ok(number @ 1..)) => page = number,
            ("pageSize", Ok(number @ 1..=100)) => size = number,
            _ => return (400, error(400, "Bad Request", &format!("Query parameter: {name} invalid"))),
        }
    }
    let items: Vec<&Value> = items.iter().skip((page - 1) * size).take(size).collect();
    (200, json!({"items": items}).to_string())
}
