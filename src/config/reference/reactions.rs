//! The settings of what events set off: opt-outs, conversations, relays, resends.

use super::{Setting, key};

// What the authorities of a relay are looked at with.
const TLS_OF_RELAY: &str = r#"url = "https://app.example.com/sms""#;

// Who is told of what is to be sent again by others.
const TO_RESEND: &str = r#"[[relay]]
name = "sender"
url = "http://127.0.0.1:8080/"
events = ["resend.requested"]
"#;

pub(super) static SETTINGS: &[Setting] = &[
    key("opt_outs.enabled", "true or false", "false", "a list of who opted out is kept, by STOP and START, and shown on the admin listener")
        .example("true")
        .wrong(r#""yes""#),
    key(
        "opt_outs.scope",
        "word",
        "source",
        "which messages to an opted-out number are counted: `source`, all of the source; `sender`, those whose sender is what the \
         STOP was written to",
    )
    .example(r#""sender""#)
    .wrong(r#""number""#),
    key("opt_outs.api_token", "token", "made once and kept", "what `/v1/opt-outs` asks for")
        .example(r#""0123456789abcdef0123456789abcdef""#)
        .wrong(r#""s3cret""#)
        .beside("enabled = true"),
    key("opt_outs.api_token_file", "path", "made once and kept", "the same from a file")
        .example(r#""/etc/smscope/token""#)
        .wrong(r#""/nonexistent/token""#)
        .beside("enabled = true"),
    key("conversations.enabled", "true or false", "false", "a reply is matched to the message it answers by refClient and number as well")
        .example("true")
        .wrong(r#""yes""#),
    key("conversations.window", "duration", "3d", "how long the last message to a number may be answered without being named")
        .example(r#""12h""#)
        .wrong(r#""60d""#)
        .beside("enabled = true"),
    key("relay.name", "name", "", "`relay` of its metrics: 1 to 32 of a-z 0-9 - _")
        .example(r#""app""#)
        .wrong(r#""My App""#),
    key("relay.url", "URL", "", "where its events go; shown without path and query, which may hold a key")
        .example(r#""http://127.0.0.1:8080/sms""#)
        .wrong(r#""127.0.0.1:8080""#),
    key("relay.format", "word", "cloudevents", "`cloudevents` (1.0, structured JSON), or `raw`: the request as it came, without our token")
        .example(r#""raw""#)
        .wrong(r#""json""#),
    key("relay.events", "list", "any", "which events, such as `message.failed` or `reply.stop`; `message` or `reply` for all of those")
        .example(r#"["message.failed", "reply"]"#)
        .wrong(r#"["failed"]"#),
    key("relay.reasons", "list", "any", "failures of these reasons only")
        .example(r#"["handset_absent", "network"]"#)
        .wrong(r#"["absent"]"#),
    key("relay.sources", "list", "any", "of these sources only")
        .example(r#"["smsmode"]"#)
        .wrong(r#"["nobody"]"#),
    key("relay.channels", "list", "any", "of these channels only, in any case").example(r#"["SMS"]"#).wrong(r#""SMS""#),
    key("relay.flows", "list", "any", "of these flows only, in any case").example(r#"["MARKETING"]"#).wrong(r#""OTP""#),
    key("relay.countries", "list", "any", "of these countries only").example(r#"["FR", "BE"]"#).wrong(r#""FR""#),
    key("relay.campaigns", "list", "any", "of campaigns with these ids only").example(r#"["spring"]"#).wrong(r#"[""]"#),
    key("relay.keywords", "list", "any", "texts that begin with one of these words, whatever their case, accents and punctuation")
        .example(r#"["YES", "OUI", "1"]"#)
        .wrong(r#"["!"]"#),
    key("relay.pattern", "regular expression", "any", "texts in which this is found; `(?i)` in front takes any case")
        .example(r#""(?i)order \\d+""#)
        .wrong(r#""(""#),
    key("relay.fallback", "true or false", "false", "takes only what no relay with `keywords` or `pattern` took")
        .example("true")
        .wrong(r#""yes""#),
    key("relay.secret", "secret", "none", "signs what is sent, by Standard Webhooks")
        .example(r#""whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw""#)
        .wrong(r#""s3cret""#),
    key("relay.secret_file", "path", "none", "the same from a file")
        .example(r#""/etc/smscope/webhook-secret""#)
        .wrong(r#""/nonexistent/secret""#),
    key("relay.headers", "table of texts", "none", "added to each request")
        .example(r#"{ authorization = "Bearer s3cret" }"#)
        .wrong(r#""authorization=s3cret""#),
    key("relay.timeout", "duration", "10s", "of one attempt, to the end of its answer")
        .example(r#""3s""#)
        .wrong(r#""2h""#),
    key("relay.max_age", "duration", "1d", "how long an event is tried; then it is a dead letter. Until then it is kept, whatever `retention` is")
        .example(r#""6h""#)
        .wrong(r#""60d""#),
    key("relay.concurrency", "number", "8", "attempts at one time").example("2").wrong("0"),
    key(
        "relay.networks",
        "list",
        "public",
        "addresses that the URL's name may lead to besides those of the public internet, such as a cluster's. An address in the URL \
         itself, or `localhost`, needs no mention",
    )
    .example(r#"["10.0.0.0/8"]"#)
    .wrong(r#"["cluster"]"#),
    key("relay.certificate", "path", "", "the authorities that are trusted, instead of the system's: a PEM file")
        .example(r#""/etc/smscope/ca.pem""#)
        .wrong(r#""/nonexistent/ca.pem""#)
        .beside(TLS_OF_RELAY),
    key("resend.name", "name", "", "what metrics and log records call it: 1 to 32 of `a-z 0-9 - _`")
        .example(r#""absent""#)
        .wrong(r#""Absent""#),
    key("resend.reasons", "list", "handset_absent, network", "failures of these reasons, not `blacklisted`, `invalid_number` or `spam_filtered`. Receipts of the REST API tell no more than `unknown` of an absent handset")
        .example(r#"["handset_absent"]"#)
        .wrong(r#"["blacklisted"]"#),
    key("resend.sources", "list", "any", "of these sources only").example(r#"["smsmode"]"#).wrong(r#"["nobody"]"#),
    key("resend.channels", "list", "SMS", "of these channels only, in any case").example(r#"["SMS"]"#).wrong(r#""SMS""#),
    key("resend.flows", "list", "any", "of these flows only, in any case").example(r#"["TRANSACTIONAL"]"#).wrong(r#""OTP""#),
    key("resend.countries", "list", "any", "of these countries only").example(r#"["FR", "BE"]"#).wrong(r#""FR""#),
    key("resend.campaigns", "list", "any", "of campaigns with these ids only").example(r#"["spring"]"#).wrong(r#"[""]"#),
    key("resend.through", "word", "api", "`api`: smscope sends, by `[source.api]`; `relay`: relays with `resend.requested` among their `events` are told")
        .example(r#""relay""#)
        .wrong(r#""sms""#)
        .elsewhere(TO_RESEND),
    key("resend.delay", "duration", "5m", "from the arrival of the failure to the next message").example(r#""15m""#).wrong(r#""2d""#),
    key("resend.attempts", "number", "1", "messages at most that stand for the first one, one after the other").example("2").wrong("0"),
    key("resend.useful_for", "duration", "1h", "from when the first message was sent: nothing is sent for it later")
        .example(r#""6h""#)
        .wrong(r#""2d""#),
    key("resend.budget", "number", "100", "messages at most within any hour; what is beyond is given up").example("20").wrong("0"),
    key("resend.dry_run", "true or false", "false", "nothing is sent; log records and metrics tell what would have been")
        .example("true")
        .wrong(r#""yes""#),
];
