//! Whether a body is a web page: a captive portal or a login wall answers any request with one, and with success.

use std::sync::LazyLock;

use regex::bytes::Regex;

/// A tag that a page begins with, after what may precede it: a byte order mark, white space, an XML declaration, comments.
///
/// Source: WHATWG, "MIME Sniffing", the patterns of text/html.
static BEGINNING: LazyLock<Regex> = LazyLock::new(|| {
    let before = r"(?:\xef\xbb\xbf)?(?:[ \t\n\f\r]|<\?.*?\?>|<!--.*?-->)*";
    let tags = "!doctype|html|head|body|script|iframe|h1|div|font|table|a|style|title|b|br|p|meta|center|form";
    Regex::new(&format!(r"(?is-u)^{before}<(?:{tags})(?:[ \t\n\f\r/>]|$)")).expect("the pattern is valid")
});

/// By its label, or by its beginning. An empty body is no page.
pub(super) fn is_one(content_type: &str, body: &[u8]) -> bool {
    let labeled = ["text/html", "application/xhtml"].iter().any(|page| content_type.starts_with(page));
    !body.is_empty() && (labeled || BEGINNING.is_match(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_recognized_by_its_label_or_by_its_beginning() {
        for (content_type, body) in [
            ("text/html", "Sign in"),
            ("text/html; charset=utf-8", "<x>"),
            ("application/xhtml+xml", "<x>"),
            ("", "<!DOCTYPE html><title>Sign in</title>"),
            ("application/json", "\u{feff} \r\n<HTML lang=en>"),
            ("text/plain", "<?xml version=\"1.0\"?>\n<!-- portal -->\n<html>"),
            ("application/x-protobuf", "<script>location = '/login'</script>"),
            ("", "<meta http-equiv=refresh content='0'>"),
            ("", "<html"),
        ] {
            assert!(is_one(content_type, body.as_bytes()), "{content_type} {body}");
        }
        for (content_type, body) in [
            ("text/html", ""),
            ("text/plain", "OK"),
            ("", "accepted <html>"),
            ("", "<accepted/>"),
            ("application/xml", "<?xml version=\"1.0\"?><status>ok</status>"),
            ("", "<?xml"),
            ("", "<"),
            ("application/json", "\"<html>\""),
        ] {
            assert!(!is_one(content_type, body.as_bytes()), "{content_type} {body}");
        }
    }
}
