//! Planning, setting and taking back, against the stand-in for the provider's API.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::secret::Secret;
use crate::settings::{Api, ApiMode};
use crate::smsmode::{API_KEY, Fault, SmsmodeApi as StandIn, channel};

const URL: &str = "https://sms.example.com/hooks/smsmode/t0ken-of-the-tests";

fn api(stand_in: &StandIn) -> (SourceName, SmsmodeApi) {
    let source = SourceName::new("smsmode").unwrap();
    let settings = Api {
        key: Secret::new(API_KEY.to_owned()),
        mode: ApiMode::Rest,
        url: stand_in.url().parse().unwrap(),
        timeout: Duration::from_secs(5),
        tls: None,
        proxy: None,
    };
    let api = SmsmodeApi::new(&source, settings);
    (source, api)
}

#[tokio::test]
async fn a_plan_shows_changes_without_tokens_and_applying_it_leaves_nothing_to_do() {
    let stand_in = StandIn::start();
    let mut other = channel("77aa", "Marketing");
    other["defaultCallbackUrlStatus"] = "https://old.example.com/sms?key=s3cret".into();
    other["defaultCallbackUrlMo"] = "https://sms.example.com/hooks/smsmode/an-older-token-than-this".into();
    stand_in.set_channels(vec![channel("3f0c5a1e", "OTP"), other]);
    let (source, api) = api(&stand_in);

    let changes = plan(&source, &api, URL, &[]).await.unwrap();
    assert_eq!(
        shown(&changes),
        "\
channel 3f0c5a1e \"OTP\" (source smsmode)
  defaultCallbackUrlStatus - none
                           + https://sms.example.com/hooks/smsmode/<token>
  defaultCallbackUrlMo     - none
                           + https://sms.example.com/hooks/smsmode/<token>
channel 77aa \"Marketing\" (source smsmode)
  defaultCallbackUrlStatus - https://old.example.com/…
                           + https://sms.example.com/hooks/smsmode/<token>
  defaultCallbackUrlMo     - https://sms.example.com/hooks/smsmode/<token>, with another token
                           + https://sms.example.com/hooks/smsmode/<token>
"
    );
    for change in &changes {
        apply(&api, change).await.unwrap();
    }
    assert_eq!(stand_in.callbacks("77aa"), (json!(URL), json!(URL)));
    let again = plan(&source, &api, URL, &[]).await.unwrap();
    assert!(!again.iter().any(Change::changes));

    for change in changes {
        let back = refreshed(&api, change.reverse()).await.unwrap();
        assert_eq!(back.before.status.as_deref(), Some(URL));
        apply(&api, &back).await.unwrap();
    }
    assert_eq!(stand_in.callbacks("3f0c5a1e"), (json!(null), json!(null)));
    assert_eq!(stand_in.callbacks("77aa").0, "https://old.example.com/sms?key=s3cret");
}

#[tokio::test]
async fn channels_can_be_selected_and_a_missing_one_is_named() {
    let stand_in = StandIn::start();
    stand_in.set_channels(vec![channel("a", "A"), channel("b", "B")]);
    let (source, api) = api(&stand_in);
    let picked = plan(&source, &api, URL, &["b".to_owned()]).await.unwrap();
    assert_eq!(picked.iter().map(|change| change.channel.as_str()).collect::<Vec<_>>(), ["b"]);
    let error = plan(&source, &api, URL, &["c".to_owned()]).await.unwrap_err();
    assert_eq!(error, ConnectError::NoSuchChannel("c".into()));
    stand_in.set_channels(vec![]);
    assert_eq!(plan(&source, &api, URL, &[]).await.unwrap_err(), ConnectError::NoChannel);
}

#[tokio::test]
async fn a_channel_without_an_organisation_belongs_to_the_only_one() {
    let stand_in = StandIn::start();
    // The list says less than the channel, as lists do.
    let (source, api) = api(&stand_in);
    stand_in.set_organisations(vec![json!({"organisationId": "org-1"}), json!({"organisationId": "org-2"})]);
    assert!(plan(&source, &api, URL, &[]).await.is_ok(), "it says itself");
    let mut bare = channel("3f0c5a1e", "OTP");
    bare.as_object_mut().unwrap().remove("organisationId");
    stand_in.set_channels(vec![bare]);
    let error = plan(&source, &api, URL, &[]).await.unwrap_err();
    assert_eq!(error, ConnectError::NoOrganisation("3f0c5a1e".into()));
}

#[tokio::test]
async fn an_error_of_the_provider_is_an_error_and_no_change_counts_as_applied() {
    let stand_in = StandIn::start();
    let (source, api) = api(&stand_in);
    let changes = plan(&source, &api, URL, &[]).await.unwrap();
    for fault in [Fault::Status(401), Fault::Status(500), Fault::Half, Fault::NotJson] {
        stand_in.fail([fault.clone()]);
        assert!(apply(&api, &changes[0]).await.is_err(), "{fault:?}");
    }
    assert_eq!(stand_in.callbacks("3f0c5a1e"), (json!(null), json!(null)));
}

#[test]
fn previous_values_are_stored_for_the_owner_alone_last_in_first_out() {
    let folder = TempDir::new().unwrap();
    let undo = Undo::of(folder.path());
    let change = |id: &str| Change {
        source: SourceName::new("smsmode").unwrap(),
        organisation: "org-1".into(),
        channel: id.into(),
        name: None,
        before: Callbacks::default(),
        after: Callbacks { status: Some(URL.into()), mo: None },
    };
    assert_eq!(undo.last().unwrap(), []);
    undo.remember(&[change("a"), change("b")]).unwrap();
    undo.remember(&[change("c")]).unwrap();
    let mode = std::fs::metadata(folder.path().join("connect-undo.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(undo.last().unwrap(), [change("c")]);
    undo.forget_last().unwrap();
    assert_eq!(undo.last().unwrap(), [change("a"), change("b")]);
    undo.forget_last().unwrap();
    assert_eq!(undo.last().unwrap(), []);
    std::fs::write(folder.path().join("connect-undo.json"), "not ours").unwrap();
    assert!(undo.remember(&[change("d")]).is_err(), "what cannot be read is not written over");
}
