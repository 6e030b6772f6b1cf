//! Whether what was not recognized is a receipt in a spelling that is not known here.

/// Names of a message's id, in lower case and without punctuation.
const IDS: [&str; 10] =
    ["messageid", "msgid", "smsid", "id", "mid", "messageuuid", "messagesid", "smssid", "idmessage", "idsms"];

/// Names of its status.
const STATUSES: [&str; 12] = [
    "status",
    "statut",
    "state",
    "stat",
    "dlr",
    "dlrstatus",
    "deliverystatus",
    "messagestatus",
    "smsstatus",
    "statuscode",
    "deliverystate",
    "messagestate",
];

/// Whether names of an id and of a status stand in it, each with a value: in JSON, parameters, XML or a multipart form alike.
pub(super) fn is_like_a_receipt(text: &str) -> bool {
    let (mut has_id, mut has_status) = (false, false);
    let mut rest = text;
    while let Some(start) = rest.find(is_of_a_name) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_of_a_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        // No name is longer.
        if name.len() <= 20 && (!has_id || !has_status) {
            let name: String =
                name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
            let (is_id, is_status) = (IDS.contains(&name.as_str()), STATUSES.contains(&name.as_str()));
            if (is_id || is_status) && has_value(after) {
                has_id |= is_id;
                has_status |= is_status;
            }
        }
    }
    has_id && has_status
}

fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Whether what comes after a name is what comes before a value, and one.
fn has_value(after: &str) -> bool {
    let after = after.trim_start_matches(['"', '\'', '\\', ' ', '\t']);
    let Some(value) = after.strip_prefix([':', '=', '>', '\r', '\n']) else { return false };
    let value = value.trim_start_matches(|c: char| "\"'\\".contains(c) || c.is_whitespace());
    let starts = value.starts_with(|c: char| c.is_alphanumeric() || "{[+-%".contains(c));
    starts && !value.starts_with("null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_and_a_status_are_seen_in_whatever_form() {
        for text in [
            r#"{"message_id":"a","status":{"value":"X"}}"#,
            r#"{"deep":[{"msgId":7}],"delivery-status":"ok"}"#,
            r#"{"payload":"{\"messageId\":\"a\",\"status\":\"DELIVERED\"}"}"#,
            r#"{"messageId":"a","status":"DELIV"#,
            "SMSID=1&STATUT=2",
            "id=1&state=delivered",
            "<messageId>a</messageId><status>b</status>",
            "--x\r\nContent-Disposition: form-data; name=\"messageId\"\r\n\r\na\r\n--x\r\nContent-Disposition: form-data; name=\"status\"\r\n\r\nb",
        ] {
            assert!(is_like_a_receipt(text), "{text}");
        }
        for text in [
            "",
            r#"{"messageId":"a"}"#,
            r#"{"status":"ok"}"#,
            r#"{"messageId":"","status":"ok"}"#,
            r#"{"messageId":null,"status":"ok"}"#,
            r#"{"messageId":"status"}"#,
            r#"{"campaignId":"a","status":"ok"}"#,
            "the status of your id",
        ] {
            assert!(!is_like_a_receipt(text), "{text}");
        }
    }
}
