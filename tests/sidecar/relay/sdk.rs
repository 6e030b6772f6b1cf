//! What relays send, read by the public libraries of CloudEvents and Standard Webhooks.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::target::{Arrived, Target};
use crate::support::{HOOK, Smscope, receipt, require_tool, run_with_input};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx";

/// The event as the libraries have it; an error where one of them does not take the request. `None` where they are not installed.
fn read(arrived: &Arrived, secret: &str) -> Option<Result<Value, String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sidecar/relay/sdk");
    let installed = folder.join("node_modules/.installed").is_file().then_some(());
    require_tool("what reads relays", installed, "tests/sidecar/relay/sdk/setup.sh installs it")?;
    let headers: serde_json::Map<String, Value> =
        arrived.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let request = json!({"headers": headers, "body": String::from_utf8(arrived.body.clone()).unwrap()});
    let mut node = Command::new("node");
    let output = run_with_input(node.arg(folder.join("check.mjs")).arg(secret), &request.to_string());
    Some(match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    })
}

#[test]
fn the_libraries_of_cloudevents_and_standard_webhooks_accept_the_requests_of_a_relay() {
    let target = Target::start();
    let smscope = Smscope::with(&format!(
        "[[relay]]\nname = \"app\"\nurl = \"{}\"\nsecret = \"{SECRET}\"\nheaders = {{ authorization = \"Bearer s3cret\" }}\n",
        target.url("/events")
    ));
    smscope.post(HOOK, receipt("m-é-1", "DELIVERED"));
    let arrived = target.wait_for(1).remove(0);
    assert_eq!((arrived.method.as_str(), arrived.target.as_str()), ("POST", "/events"));
    assert_eq!(arrived.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(arrived.header("content-type"), Some("application/cloudevents+json; charset=utf-8"));
    let Some(event) = read(&arrived, SECRET) else { return };
    let event = event.unwrap();
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["id"], arrived.id());
    assert_eq!(event["type"], "sms.message.delivered");
    assert_eq!(event["source"], "/smscope/smsmode");
    assert_eq!(event["subject"], "m-é-1");
    assert_eq!(event["data"]["number"], "33612345678");

    let mut forged = arrived.clone();
    forged.request.body =
        String::from_utf8(forged.request.body).unwrap().replace("DELIVERED", "delivered").into_bytes();
    for (request, secret) in [(&arrived, OTHER_SECRET), (&forged, SECRET)] {
        let error = read(request, secret).unwrap().unwrap_err();
        assert!(error.contains("No matching signature"), "{error}");
    }
}
