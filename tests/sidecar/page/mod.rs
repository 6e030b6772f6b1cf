//! The page at `/`, seen by a real browser on the real binary.

mod access;
mod browser;
mod figures;
mod safety;

use std::path::PathBuf;

use crate::support::{HOOK, Launch, Smscope, request};
use browser::{Browser, Screen};

/// A phone and a desk, by day and by night.
const SCREENS: [Screen; 4] = [
    Screen { width: 360, height: 740, scheme: "light" },
    Screen { width: 360, height: 740, scheme: "dark" },
    Screen { width: 1440, height: 900, scheme: "light" },
    Screen { width: 1440, height: 900, scheme: "dark" },
];

/// Two sources on every address, with a collector that is not there.
fn start_open_to_all() -> Smscope {
    let sources = "[[source]]\nname = \"smsmode\"\ntokens = [\"t0ken-of-the-tests\"]\n\
                   [[source]]\nname = \"marketing-spain\"\ntokens = [\"another-t0ken-of-the-tests\"]\n";
    Launch::without_token()
        .env("SMSCOPE_ADMIN_LISTEN", "0.0.0.0:0")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        .file(sources)
        .start()
}

fn url(smscope: &Smscope) -> String {
    format!("http://127.0.0.1:{}/", smscope.admin.port())
}

/// A receipt with all that the page shows of one, and with what it must not show.
fn receipt(id: &str, to: &str, status: &str) -> String {
    format!(
        r#"{{"messageId":"{id}","channel":{{"type":"SMS","flow":"OTP"}},"direction":"MT","recipient":{{"to":"{to}"}},"body":{{"text":"Your code is 424242"}},"status":{{{status}}}}}"#
    )
}

fn accepted(smscope: &Smscope, body: &str) {
    assert_eq!(smscope.post(HOOK, body).result(), "accepted", "{body}");
}

/// Some life: 40 delivered (3 of them read), 5 failed (one delivered after all), 4 enroute, 1 scheduled, a reply, a STOP, 5
/// duplicates, something unrecognized, and two with a wrong token, one of them for no source.
fn send_some_webhooks(smscope: &Smscope) {
    let orange = r#""lookup":{"mccMnc":"20801","network":"Orange F"}"#;
    for n in 0..40 {
        let (id, number) = (format!("{n:08x}-9d5a-4c56-8d38-2d1f6f1f3a6b"), format!("336123450{n:02}"));
        accepted(smscope, &receipt(&id, &number, &format!(r#""value":"DELIVERED",{orange}"#)));
        if n < 3 {
            accepted(smscope, &receipt(&id, &number, &format!(r#""value":"READ",{orange}"#)));
        }
    }
    let proximus = r#""lookup":{"mccMnc":"20601","network":"Proximus"}"#;
    let details = ["INVALID_PHONE_NUMBER", "SPAM", "SPAM", "BLACKLISTED", "INSUFFICIENT_CREDIT"];
    for (n, detail) in details.into_iter().enumerate() {
        let (id, number) = (format!("f{n}000000-4c56-8d38-9d5a-2d1f6f1f3a6b"), format!("3247012345{n}"));
        accepted(
            smscope,
            &receipt(&id, &number, &format!(r#""value":"UNDELIVERABLE","detail":"{detail}",{proximus}"#)),
        );
    }
    accepted(smscope, &receipt("f1000000-4c56-8d38-9d5a-2d1f6f1f3a6b", "32470123451", r#""value":"DELIVERED""#));
    for n in 0..5 {
        let status = if n == 0 { "SCHEDULED" } else { "ENROUTE" };
        let id = format!("e{n}000000-8d38-9d5a-4c56-2d1f6f1f3a6b");
        let body = receipt(&id, "33698765432", &format!(r#""value":"{status}""#));
        accepted(smscope, &body);
        assert_eq!(smscope.post(HOOK, &body).result(), "duplicate");
    }
    for (id, text) in [("a1000000-9d5a-4c56", "Merci !"), ("a2000000-9d5a-4c56", "STOP")] {
        let sides = r#""direction":"MO","from":"33612345678","recipient":{"to":"36180"}"#;
        accepted(smscope, &format!(r#"{{"messageId":"{id}",{sides},"body":{{"text":"{text}"}}}}"#));
    }
    assert_eq!(smscope.post(HOOK, r#"{"hello":"world"}"#).result(), "unrecognized");
    for path in ["/hooks/smsmode/wrong", "/hooks/nobody/wrong"] {
        assert_eq!(smscope.ask(request("POST", path, &[], "{}")).status, 404);
    }
}

/// Where pictures of the page are put, for people to check.
fn picture(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{name}.png"))
}
