//! The client against a stand-in that speaks, and fails, as the provider may.

use super::*;
use crate::secret::Secret;
use crate::smsmode::{API_KEY, Fault, SmsmodeApi as StandIn, channel};

fn settings(stand_in: &StandIn, mode: ApiMode) -> Api {
    Api {
        key: Secret::new(API_KEY.to_owned()),
        mode,
        url: stand_in.url().parse().unwrap(),
        timeout: Duration::from_secs(5),
        tls: None,
        proxy: None,
    }
}

fn source() -> SourceName {
    SourceName::new("smsmode").unwrap()
}

fn client(stand_in: &StandIn) -> SmsmodeApi {
    SmsmodeApi::new(&source(), settings(stand_in, ApiMode::Rest))
}

#[tokio::test]
async fn what_the_account_is_made_of_is_read_whether_numbers_are_numbers_or_texts() {
    let stand_in = StandIn::start();
    let api = client(&stand_in);
    let organisation = &api.organisations().await.unwrap()[0];
    assert!(organisation.is_active());
    assert_eq!((organisation.balance, organisation.monthly_limit), (Some(1_250_500_000), Some(5_000_000_000)));
    let channel = &api.channels().await.unwrap()[0];
    assert_eq!((channel.id.as_str(), channel.name.as_deref()), ("3f0c5a1e", Some("OTP")));
    assert_eq!((channel.daily_consumption, channel.daily_limit), (Some(12_000_000), Some(500_000_000)));
    assert_eq!(channel.monthly_consumption, Some(300_500_000));
    let asked = stand_in.asked();
    let seen: Vec<_> =
        asked.iter().map(|asked| (asked.method.as_str(), asked.path.as_str(), asked.query.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("GET", "/commons/v1/organisations", "page=1&pageSize=100"),
            ("GET", "/commons/v1/channels", "page=1&pageSize=100")
        ]
    );
    assert!(asked.iter().all(|asked| asked.key.as_deref() == Some(API_KEY)));
}

#[tokio::test]
async fn requests_to_the_api_use_the_proxy() {
    use crate::outbound::proxy_stand_in::ProxyStandIn;
    let stand_in = StandIn::start();
    let url = stand_in.url().parse::<Uri>().unwrap();
    let target = url.authority().unwrap().as_str().parse().unwrap();
    let proxy = ProxyStandIn::start(target, Some("Basic dTpw")).await;
    let proxied = crate::settings::Proxy {
        url: format!("http://{}/", proxy.address).parse().unwrap(),
        authorization: Some(HeaderValue::from_static("Basic dTpw")),
        variable: "HTTP_PROXY".to_owned(),
    };
    let url = "http://api.example/".parse().unwrap();
    let api = SmsmodeApi::new(&source(), Api { url, proxy: Some(proxied), ..settings(&stand_in, ApiMode::Rest) });
    api.organisations().await.unwrap();
    let heads = proxy.heads();
    assert!(heads[0].starts_with("get http://api.example/commons/v1/organisations?page=1"), "{heads:?}");
}

#[tokio::test]
async fn the_legacy_credit_is_a_number_in_text() {
    let stand_in = StandIn::start();
    let api = SmsmodeApi::new(&source(), settings(&stand_in, ApiMode::Legacy));
    for (text, credit) in [("1250.5", Some(1_250_500_000)), ("12,5\n", Some(12_500_000)), ("35 | error", None)] {
        stand_in.set_credit(text);
        assert_eq!(api.credit().await.ok(), credit, "{text}");
    }
    let asked = &stand_in.asked()[0];
    assert_eq!((asked.path.as_str(), &asked.key), ("/http/1.6/credit.do", &None), "{asked:?}");
}

#[tokio::test]
async fn callbacks_are_set_and_removed_and_ids_are_escaped_in_the_path() {
    let stand_in = StandIn::start();
    let api = client(&stand_in);
    let url = Some("https://sms.example.com/hooks/smsmode/t".to_owned());
    let wanted = Callbacks { status: url.clone(), mo: url };
    assert_eq!(api.set_callbacks("org-1", "3f0c5a1e", &wanted).await.unwrap().callbacks, wanted);
    assert_eq!(api.channel("org-1", "3f0c5a1e").await.unwrap().callbacks, wanted);
    let none = Callbacks::default();
    assert_eq!(api.set_callbacks("org-1", "3f0c5a1e", &none).await.unwrap().callbacks, none);
    let error = api.channel("..", "../organisations?page=1").await.unwrap_err();
    assert_eq!(error.failure, Failure::Rejected);
    let path = stand_in.asked().pop().unwrap().path;
    assert_eq!(path, "/commons/v1/organisations/%2E%2E/channels/%2E%2E%2Forganisations%3Fpage%3D1");
}

#[tokio::test]
async fn a_sent_message_has_the_given_fields_and_the_response_has_the_shape_of_a_receipt() {
    let stand_in = StandIn::start();
    let api = client(&stand_in);
    let message = Outgoing {
        to: "33612345678".into(),
        text: "Hello".into(),
        from: None,
        ref_client: Some("order-1".into()),
        callback_url_status: None,
        callback_url_mo: None,
    };
    let sent = api.send(&message).await.unwrap();
    assert_eq!(sent["status"]["value"], "ENROUTE");
    assert_eq!(api.messages(MessageList::of("SMS"), 1).await.unwrap(), [sent]);
    let asked = &stand_in.asked()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/sms/v1/messages"));
    assert_eq!(asked.body, r#"{"body":{"text":"Hello"},"recipient":{"to":"33612345678"},"refClient":"order-1"}"#);
}

#[tokio::test]
async fn lists_are_read_to_their_last_page() {
    let stand_in = StandIn::start();
    for (count, pages) in [(99, 1), (100, 2), (205, 3)] {
        stand_in.set_channels((0..count).map(|at| channel(&format!("c{at}"), "many")).collect());
        let before = stand_in.asked().len();
        assert_eq!(client(&stand_in).channels().await.unwrap().len(), count);
        assert_eq!(stand_in.asked().len() - before, pages, "{count}");
    }
}

#[tokio::test]
async fn each_failure_has_a_class_and_one_line_without_the_key() {
    let stand_in = StandIn::start();
    let elsewhere = StandIn::start();
    let mut quick = settings(&stand_in, ApiMode::Rest);
    quick.timeout = Duration::from_millis(300);
    let quick = SmsmodeApi::new(&source(), quick);
    for (fault, failure, is_transient, may_have_succeeded, says) in [
        (Fault::Status(401), Failure::Unauthorized, false, false, "answered 401 Unauthorized: no luck; today"),
        (Fault::Status(403), Failure::Unauthorized, false, false, "answered 403"),
        (Fault::Status(404), Failure::Rejected, false, false, "answered 404"),
        (Fault::TooMany(7), Failure::RateLimited, true, false, "answered 429"),
        (Fault::Status(500), Failure::ServerError, true, true, "answered 500"),
        (Fault::Status(503), Failure::ServerError, true, true, "answered 503"),
        (Fault::NotJson, Failure::Invalid, true, true, "answered, but not with a list of items"),
        (Fault::WrongShape, Failure::Invalid, true, true, "answered, but not with a list of items"),
        (Fault::Half, Failure::Broken, true, true, "end of file before message length reached"),
        (Fault::Hangup, Failure::Broken, true, true, "connection closed before message completed"),
        (Fault::Slow(Duration::from_secs(2)), Failure::Timeout, true, true, "no answer within 300ms"),
        (Fault::Endless, Failure::Invalid, true, true, "longer than any"),
        (Fault::Redirect(elsewhere.url()), Failure::Rejected, false, false, "answered 302 Found"),
    ] {
        stand_in.fail([fault.clone()]);
        let api = if matches!(fault, Fault::Slow(_)) { &quick } else { &client(&stand_in) };
        let error = api.channels().await.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.failure, failure, "{fault:?}: {text}");
        assert_eq!((error.is_transient(), error.may_have_succeeded()), (is_transient, may_have_succeeded), "{fault:?}");
        assert!(text.starts_with("smsmode's API (channels): ") && text.contains(says), "{fault:?}: {text}");
        assert!(!text.contains(API_KEY) && text.lines().count() == 1, "{text}");
        let (low, high) = if fault == Fault::TooMany(7) { (7.0, 7.0) } else { (0.5, 1.0) };
        assert!((low..=high).contains(&pause(&error, 1).as_secs_f64()), "{fault:?}");
    }
    assert_eq!(elsewhere.asked(), [], "a redirect is not followed");
    stand_in.recover();
    assert!(client(&stand_in).channels().await.is_ok());
}

#[tokio::test]
async fn a_closed_port_and_a_wrong_key_have_classes_of_their_own() {
    let stand_in = StandIn::start();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut settings = settings(&stand_in, ApiMode::Rest);
    settings.key = Secret::new("another-key".into());
    let error = SmsmodeApi::new(&source(), settings.clone()).channels().await.unwrap_err();
    assert_eq!(error.failure, Failure::Unauthorized);
    settings.url = format!("http://{closed}/").parse().unwrap();
    let error = SmsmodeApi::new(&source(), settings).channels().await.unwrap_err();
    assert_eq!((error.failure, error.may_have_succeeded()), (Failure::Unreachable, false));
    assert!(error.to_string().ends_with("Connection refused (os error 111)"), "{error}");
}

#[tokio::test]
async fn a_path_of_the_base_url_is_part_of_the_request() {
    let stand_in = StandIn::start();
    let mut settings = settings(&stand_in, ApiMode::Rest);
    settings.url = format!("{}behind/", stand_in.url()).parse().unwrap();
    let _not_found = SmsmodeApi::new(&source(), settings).channels().await;
    assert_eq!(stand_in.asked()[0].path, "/behind/commons/v1/channels");
}
