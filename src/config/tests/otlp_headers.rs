use super::*;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

fn headers(text: &str) -> Vec<(String, String)> {
    let config = loaded("", &[(ENDPOINT, "http://c"), (HEADERS, text)]).config;
    let shown = |(name, value): &(_, HeaderValue)| (format!("{name}"), value.to_str().unwrap().to_owned());
    config.otlp.logs.unwrap().headers.iter().map(shown).collect()
}

#[test]
fn headers_are_written_as_in_w3c_baggage() {
    for (text, expected) in [
        ("a=1", &[("a", "1")][..]),
        (" a = 1 ,\tb=2 ", &[("a", "1"), ("b", "2")]),
        ("a=1,,b=2,", &[("a", "1"), ("b", "2")]),
        ("a=", &[("a", "")]),
        ("a=b%20c%2Cd%3De%25", &[("a", "b c,d=e%")]),
        ("authorization=Basic%20dTpw", &[("authorization", "Basic dTpw")]),
        // As people write it, and as all SDKs take it.
        ("authorization=Basic dTpw==", &[("authorization", "Basic dTpw==")]),
        ("a=b+c", &[("a", "b+c")]),
        // Metadata of W3C Baggage is not taken for such, as the specification says.
        ("a=1;ttl=60,b=2", &[("a", "1;ttl=60"), ("b", "2")]),
        ("a=1;", &[("a", "1;")]),
        ("API-Key=1", &[("api-key", "1")]),
        ("%61pi=1", &[("api", "1")]),
        // Of one name the last.
        ("a=1,b=2,A=3", &[("b", "2"), ("a", "3")]),
    ] {
        let expected: Vec<_> = expected.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(headers(text), expected, "{text}");
    }
}

#[test]
fn header_values_are_marked_as_sensitive() {
    let config = loaded("", &[(ENDPOINT, "http://c"), (HEADERS, "a=hidden")]).config;
    assert!(config.otlp.logs.as_ref().unwrap().headers.iter().all(|(_, value)| value.is_sensitive()));
    assert!(!format!("{config:?}").contains("hidden"));
}

#[test]
fn what_cannot_be_metadata_is_refused_for_grpc_alone() {
    for (text, problem, expected) in [
        ("grpc-timeout=hidden", "header grpc-timeout", "a name that gRPC does not use itself"),
        ("Connection=hidden", "header connection", "a name that gRPC does not use itself"),
        ("a=1,hidden+hidden=", "the name of a header", "a name of a-z 0-9 - _ ."),
        ("id-bin=hidden!", "the value of header id-bin", "base64, as the name ends in -bin"),
        ("a=hidden%09", "the value of header a", "printable ASCII"),
    ] {
        let file = "[otlp.logs]\nprotocol = \"grpc\"\n[otlp.metrics]\nexporter = \"none\"\n";
        let line = rejected(file, &[(ENDPOINT, "http://c"), (HEADERS, text)]);
        assert_eq!(line, format!("{HEADERS}: {problem} cannot be sent over gRPC; expected {expected}"));
        loaded("", &[(ENDPOINT, "http://c"), (HEADERS, text)]);
    }
    let file = "[otlp]\nprotocol = \"grpc\"\nendpoint = \"http://c\"\nheaders = { \"te-bin\" = \"hidden!\" }";
    let line = "otlp.headers.te-bin: the value of header te-bin cannot be sent over gRPC; \
                expected base64, as the name ends in -bin";
    assert_eq!(rejected(file, &[]), line);
    for text in ["a=1", "x.y_z-1=2", "id-bin=AAEC", "id-bin=AAE", "id-bin=AAE=", "id-bin="] {
        loaded("", &[(ENDPOINT, "http://c"), (PROTOCOL, "grpc"), (HEADERS, text)]);
    }
}
