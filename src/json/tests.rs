//! What senders write and what it is read as.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Document, Documents, Json, MAX_WEIGHT, Unreadable, read, read_valid};

#[track_caller]
fn documents(text: impl AsRef<[u8]>) -> Documents {
    let start = &text.as_ref()[..text.as_ref().len().min(200)];
    read(text.as_ref()).unwrap_or_else(|why| panic!("{why:?}: {}", String::from_utf8_lossy(start)))
}

/// The values of what had to be repaired and is whole.
#[track_caller]
fn repaired(text: impl AsRef<[u8]>) -> Vec<Value> {
    let read = documents(text);
    assert!(read.repaired && read.documents.iter().all(|document| !document.truncated), "{read:?}");
    read.documents.into_iter().map(|document| document.value).collect()
}

/// The value of what ended early.
#[track_caller]
fn truncated(text: &str) -> Value {
    let mut read = documents(text);
    assert!(read.repaired, "{text}");
    let Document { value, truncated } = read.documents.pop().unwrap();
    assert!(truncated && read.documents.is_empty(), "{text}");
    value
}

#[test]
fn what_cannot_be_a_character_is_replaced_and_the_rest_stays() {
    for (text, expected) in [
        (&br#"{"a":"x \ud83d","b":1}"#[..], "x \u{fffd}"),
        (br#"{"a":"\ude00 x","b":1}"#, "\u{fffd} x"),
        (br#"{"a":"\ud83d\u0041","b":1}"#, "\u{fffd}A"),
        (br#"{"a":"\ud83d\ud83d\ude00","b":1}"#, "\u{fffd}\u{1f600}"),
        (br#"{"a":"\ud83d\n","b":1}"#, "\u{fffd}\n"),
        (br#"{"a":"\u12","b":1}"#, "\u{fffd}"),
        (br#"{"a":"\u","b":1}"#, "\u{fffd}"),
        (br#"{"a":"\uzzzz","b":1}"#, "\u{fffd}zzzz"),
        (br#"{"a":"\ud83d\u12","b":1}"#, "\u{fffd}\u{fffd}"),
        (b"{\"a\":\"\xc3\xa9t\xc3\",\"b\":1}", "\u{e9}t\u{fffd}"),
        (b"{\"a\":\"\xc3\xa9 \xf0\x9f\x98\",\"b\":1}", "\u{e9} \u{fffd}"),
        // Nothing in it is UTF-8: Latin-1, or what Windows makes of it.
        (b"{\"a\":\"\xe9t\xe9 10 \x80\",\"b\":1}", "\u{e9}t\u{e9} 10 \u{20ac}"),
    ] {
        assert_eq!(repaired(text), [json!({"a": expected, "b": 1})], "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn control_characters_stand_and_an_unknown_escape_is_what_it_shows() {
    for (written, expected) in [
        ("line1\nline2", "line1\nline2"),
        ("a\r\nb\tc\u{0}d", "a\r\nb\tc\u{0}d"),
        (r"l\'heure", "l'heure"),
        (r"50\€ \q\x41", "50€ qx41"),
        ("a\\\nb", "a\nb"),
    ] {
        let text = format!(r#"{{"a":"{written}","b":1}}"#);
        assert_eq!(repaired(&text), [json!({"a": expected, "b": 1})], "{written}");
    }
}

#[test]
fn a_number_that_is_none_is_null() {
    for written in
        ["NaN", "-NaN", "Infinity", "-Infinity", "1e999", "-1e999", ".", "1.2.3", "0x1F", "1_000", "--1", "None", "abc"]
    {
        let text = format!(r#"{{"a":{written},"b":1}}"#);
        assert_eq!(repaired(&text), [json!({"a": null, "b": 1})], "{written}");
        assert_eq!(repaired(format!("[{written},2]")), [json!([null, 2])], "{written}");
    }
    for written in ["0612345678", "+33612345678", "007"] {
        assert_eq!(repaired(format!(r#"{{"a":{written},"b":1}}"#)), [json!({"a": written, "b": 1})]);
    }
    assert_eq!(repaired("{'a': True, 'b': FALSE, 'c': None}"), [json!({"a": true, "b": false, "c": null})]);
}

#[test]
fn numbers_keep_their_digits() {
    let long = "1234567890".repeat(40);
    for written in
        ["12345678901234567890123", "18446744073709551616", "1.10", "1e5", "-0", "0.30000000000000004441", &long]
    {
        let read = documents(format!(r#"{{"id":{written},"b":[1]}}"#));
        assert_eq!(read.documents[0].value, json!({"id": written, "b": [1]}), "{written}");
        // Too large for a float is not JSON that others read, and the digits are there all the same.
        assert_eq!(read.repaired, written.len() > 300, "{written}");
    }
    let exact = json!({"id": 18_446_744_073_709_551_615_u64, "b": -9_223_372_036_854_775_808_i64, "amount": 0.045});
    assert_eq!(documents(exact.to_string()).documents[0].value, exact);
}

#[test]
fn what_follows_a_document_is_cut_off_unless_it_is_another() {
    let one = json!({"a": 1});
    for after in ["\0", "\0\0\n", "x", "}", "]]", ");", "\n</html>", "\n--end--", "\n\n\0garbage", ", ", "'"] {
        let read = documents(format!("{{\"a\":1}}{after}"));
        assert_eq!(read.documents, [Document { value: one.clone(), truncated: false }], "{after:?}");
    }
    assert_eq!(repaired(r#"{"a":1}{"b":2}"#), [one.clone(), json!({"b": 2})]);
    assert_eq!(repaired("{\"a\":1}, {\"b\":2}\0"), [one.clone(), json!({"b": 2})]);
    assert_eq!(repaired("\u{1e}{\"a\":1}\n\u{1e}{\"b\":2}\n"), [one, json!({"b": 2})]);
}

#[test]
fn lines_are_documents_and_a_bad_one_costs_only_itself() {
    let (a, b) = (json!({"a": 1}), json!({"b": 2}));
    for text in [
        "{\"a\":1}\n{\"b\":2}",
        "{\"a\":1}\r\n{\"b\":2}\r\n",
        "\n{\"a\":1}\n\n  \n{\"b\":2}\n\0",
        "{\"a\":1},\n{\"b\":2},",
    ] {
        assert_eq!(repaired(text), [a.clone(), b.clone()], "{text:?}");
    }
    assert_eq!(repaired("{\"a\":1}\noops\n{\"b\":2}"), [a.clone(), Value::Null, b.clone()]);
    assert_eq!(repaired("{\"a\":\"\\ud83d\"}\n{\"b\":NaN}"), [json!({"a": "\u{fffd}"}), json!({"b": null})]);
    // One that ends early does not take the next one with it, first or not.
    for (text, bad) in [("{\"a\":\"x\n{\"b\":2}", 0), ("{\"b\":2}\n{\"a\":\"x", 1)] {
        let read = documents(text);
        assert_eq!(read.documents[bad], Document { value: json!({}), truncated: true }, "{text:?}");
        assert_eq!(read.documents[1 - bad], Document { value: b.clone(), truncated: false }, "{text:?}");
    }
    // A line break in a text makes no lines, whatever its second line begins with.
    assert_eq!(repaired("{\"a\":\"x\n{y}\",\"b\":1}"), [json!({"a": "x\n{y}", "b": 1})]);
    assert_eq!(repaired("[\n{\"a\":1},\n{\"a\":NaN}\n]"), [json!([{"a": 1}, {"a": null}])]);
}

#[test]
fn an_array_with_an_element_per_line_is_one_document() {
    for number in ["1", "0.045", "1e3", "NaN"] {
        let array = format!(r#"[{{"a":1}},|{{"b":{number}}},|{{"c":"[x]"}}]"#);
        let on_one_line = documents(array.replace('|', ""));
        for line_feed in ["\n", "\r\n", "\n\n"] {
            assert_eq!(documents(array.replace('|', line_feed)), on_one_line, "{number} {line_feed:?}");
        }
        assert_eq!(on_one_line.documents[0].value.as_array().unwrap().len(), 3);
    }
    // Lines that are arrays of their own are documents still.
    assert_eq!(repaired("[1,2]\n[3]\n[NaN]").len(), 3);
}

#[test]
fn what_ends_early_has_what_stands_whole_in_it() {
    let text = r#"{"id":"m","status":{"value":"DELIVERED","n":12},"body":{"text":"some"}}"#;
    for (cut, expected) in [
        (r#","body":{"text":"so"#, json!({"id": "m", "status": {"value": "DELIVERED", "n": 12}, "body": {}})),
        (r#","bo"#, json!({"id": "m", "status": {"value": "DELIVERED", "n": 12}})),
        // A number, a word or a string that the end cuts through is absent.
        ("2}", json!({"id": "m", "status": {"value": "DELIVERED"}})),
        (r#"ED","n""#, json!({"id": "m", "status": {}})),
        (r#"m","#, json!({})),
    ] {
        let end = text.find(cut).unwrap() + if cut.starts_with(',') { cut.len() } else { 1 };
        assert_eq!(truncated(&text[..end]), expected, "{}", &text[..end]);
    }
    assert_eq!(truncated("{"), json!({}));
    assert_eq!(truncated("[{\"a\":1},{\"a\":"), json!([{"a": 1}, {}]));
    assert_eq!(truncated("[1,2"), json!([1]));
}

#[test]
fn what_templates_and_repr_write_is_read() {
    for (text, expected) in [
        (r#"{"a":1,"b":[1,2,],}"#, json!({"a": 1, "b": [1, 2]})),
        (r#"{,"a":1,,"b":2}"#, json!({"a": 1, "b": 2})),
        ("{\"a\":\"x\"\n\"b\":2}", json!({"a": "x", "b": 2})),
        (r#"{'a': 'l'été', 'b': "it's"}"#, json!({"a": "l'été", "b": "it's"})),
        (r#"{a:1, $b_c : "x"}"#, json!({"a": 1, "$b_c": "x"})),
        (r#"{"a":"he said "no" to it","b":1}"#, json!({"a": "he said \"no\" to it", "b": 1})),
        (r#"{"a":[1,{"b":2],"c":3}"#, json!({"a": [1, {"b": 2}], "c": 3})),
        (r#"{"a":{"b":[1,2},"c":3}"#, json!({"a": {"b": [1, 2]}, "c": 3})),
        (r#"{"a" "b":1}"#, json!({"a\" \"b": 1})),
        (r#"{{"x":1},"a":1}"#, json!({"a": 1})),
        ("{\"a\":\u{a0}1}", json!({"a": 1})),
    ] {
        assert_eq!(repaired(text), [expected], "{text}");
    }
}

#[test]
fn a_name_that_stands_twice_has_its_last_value_as_in_strict_reading() {
    assert_eq!(documents(r#"{"a":1,"a":2}"#).documents[0].value, json!({"a": 2}));
    assert_eq!(repaired(r#"{"a":1,"a":2,}"#), [json!({"a": 2})]);
}

#[test]
fn utf_16_is_read() {
    let text = r#"{"a":"été"}"#;
    for (mark, bytes) in [
        (vec![0xff, 0xfe], text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
        (vec![0xfe, 0xff], text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    ] {
        assert_eq!(repaired(&bytes), [json!({"a": "été"})]);
        assert_eq!(repaired([mark, bytes].concat()), [json!({"a": "été"})]);
    }
}

#[test]
fn what_is_nested_too_deep_is_null_and_the_rest_is_read() {
    let deep = |levels: usize| format!(r#"{{"a":1,"x":{}{},"b":2}}"#, "[".repeat(levels), "]".repeat(levels));
    for levels in [127, 500, 50_000] {
        let read = repaired(deep(levels));
        assert_eq!((&read[0]["a"], &read[0]["b"]), (&json!(1), &json!(2)), "{levels}");
    }
    assert!(!documents(deep(126)).repaired);
    for endless in ["[".repeat(200_000), "{\"a\":".repeat(40_000), "[{".repeat(40_000)] {
        assert!(documents(&endless).documents[0].truncated);
    }
}

#[test]
fn what_is_no_json_is_not_read_and_too_many_values_are_not() {
    for text in ["", " ", "\0", "a=b", "<a/>", "garbage {\"a\":1}", "tru", "12x"] {
        assert_eq!(read(text.as_bytes()), Err(Unreadable::NotJson), "{text:?}");
    }
    for text in ["{},", "0,"] {
        let many = format!("[{}0]", text.repeat(MAX_WEIGHT));
        assert_eq!(read(many.as_bytes()), Err(Unreadable::TooManyValues));
    }
    let message = r#"{"messageId":"67c15045-1067-4588-ba3c-000000000000","a":{},"b":{},"c":{},"d":{},"e":{},"f":[1,2,3,4,5,6,7,8]},"#;
    let batch = documents(format!("[{}]", message.repeat(1_000).trim_end_matches(',')));
    assert_eq!(batch.documents[0].value.as_array().unwrap().len(), 1_000);
}

/// A value as JSON has it, names and texts of any characters.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        "[\"\\\\/{}\\[\\],: \u{0}-\u{1f}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same, digits that a float has lost aside. `floats` compares two floats.
fn is_same(strict: &Value, lenient: &Value, floats: fn(f64, f64) -> bool) -> bool {
    match (strict, lenient) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| floats(a, b))
        }
        (Value::Number(number), Value::String(digits)) => {
            serde_json::from_str(digits).is_ok_and(|n: serde_json::Number| n == *number)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b, floats)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((name, a), (other, b))| name == other && is_same(a, b, floats))
        }
        _ => strict == lenient,
    }
}

/// Whether each member of the one is in the other.
fn is_borrowed(json: &Json<'_>, value: &Value) -> bool {
    match (json, value) {
        (Json::Array, Value::Array(_)) => true,
        (Json::Object(read), Value::Object(members)) => {
            read.iter().all(|(name, _)| members.contains_key(*name))
                && members.iter().all(|(name, value)| is_borrowed(&json[name.as_str()], value))
        }
        _ => !value.is_array() && !value.is_object() && *json == Json::from(value),
    }
}

/// Holds what is true of any text.
#[track_caller]
fn check(text: &str) {
    if let Some(json) = super::read_valid(text.as_bytes()) {
        let read = documents(text);
        assert!(!read.repaired && is_borrowed(&json, &read.documents[0].value), "{text}: {json:?}");
        assert!(is_borrowed(&Json::from(&read.documents[0].value), &read.documents[0].value), "{text}");
    }
    if let (Ok(strict), Some(lenient)) = (serde_json::from_str::<Value>(text), super::read_leniently(text)) {
        assert_eq!(lenient.len(), 1, "{text}");
        assert!(!lenient[0].truncated && is_same(&strict, &lenient[0].value, |a, b| a == b), "{text}: {lenient:?}");
    }
    if let Ok(read) = read(text.as_bytes()) {
        for document in read.documents {
            // Depth is bounded, so what was read can be written and read again. serde_json reads a float that it wrote to within its
            // last digit only (the feature float_roundtrip is off).
            let again = documents(document.value.to_string());
            let nearly = |a: f64, b: f64| (a - b).abs() <= 2.0 * f64::EPSILON * a.abs();
            assert!(!again.repaired && is_same(&again.documents[0].value, &document.value, nearly), "{text}");
        }
    }
}

/// Objects as text: names that stand twice or have escapes, floats, halves of characters.
fn any_object() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "amount", "\\u0061", "\u{e9}"]);
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "7",
        "-7",
        "-0",
        "1.5",
        "0.0450",
        "1e2",
        "1e999",
        "18446744073709551616",
        "[]",
        "[1.5]",
        "[[1,{}]]",
        r#""""#,
        r#""x""#,
        r#""\ud83d""#,
        r#""\ud83d\ude00 \u00e9\n""#,
        "\"x\ny\"",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 20, 5, move |inner| {
        prop::collection::vec((name.clone(), inner), 0..5).prop_map(|members| {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    })
}

#[test]
fn what_a_tree_of_values_would_read_otherwise_is_not_read_in_one_pass() {
    let deep = |levels: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    for text in [
        r#"{"a":1.5}"#,
        r#"{"a":[1.5]}"#,
        r#"{"a":-0}"#,
        r#"{"\u0061":1}"#,
        r#"{"a":"\ud83d"}"#,
        "{} {}",
        "{}x",
        &deep(127),
    ] {
        assert_eq!(read_valid(text.as_bytes()), None, "{text}");
    }
    assert_eq!(read_valid(format!("[{}0]", "0,".repeat(MAX_WEIGHT)).as_bytes()), None);
    for text in [r#"{"a":1,"b":{"a":"\u00e9"}}"#, r#"{"price":{"amount":0.0450}}"#, r#" {"a":1,"a":null} "#, &deep(126)]
    {
        assert!(read_valid(text.as_bytes()).is_some(), "{text}");
        check(text);
    }
}

proptest! {
    #[test]
    fn what_is_read_in_one_pass_is_what_a_tree_of_values_has(object in any_object()) {
        check(&object);
    }

    #[test]
    fn what_strict_reading_accepts_is_read_the_same(value in any_value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
        check(&text);
    }

    #[test]
    fn a_defect_anywhere_makes_nothing_panic(value in any_value(), at in any::<prop::sample::Index>(), defect in ".{0,2}|[\"'\\\\{}\\[\\],:\0\n]") {
        let text = value.to_string();
        let place = (0..=at.index(text.len())).rev().find(|place| text.is_char_boundary(*place)).unwrap();
        check(&text[..place]);
        check(&format!("{}{defect}{}", &text[..place], &text[place..]));
    }

    #[test]
    fn no_text_makes_it_panic(text in "[{}\\[\\]\",:'\\\\ud8u0-9eE+.\n tfn-]{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        check(&text);
        let _any = read(&bytes);
    }
}
