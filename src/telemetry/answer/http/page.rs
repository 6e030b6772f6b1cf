//! Whether a body is a web page, which a captive portal or a login wall answers to any request, with success.
//!
//! Source: WHATWG, "MIME Sniffing", the patterns of text/html.

/// What a page begins with, in lower case, behind what may stand before it.
const BEGINNINGS: [&str; 19] = [
    "<!doctype",
    "<html",
    "<head",
    "<body",
    "<script",
    "<iframe",
    "<h1",
    "<div",
    "<font",
    "<table",
    "<a",
    "<style",
    "<title",
    "<b",
    "<br",
    "<p",
    "<meta",
    "<center",
    "<form",
];

/// By its label, or by how it begins. Nothing at all is no page.
pub(super) fn is_one(content_type: &str, body: &[u8]) -> bool {
    let labeled = ["text/html", "application/xhtml"].iter().any(|page| content_type.starts_with(page));
    !body.is_empty() && (labeled || begins_like_one(body))
}

fn begins_like_one(body: &[u8]) -> bool {
    let mut rest = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    // A declaration of XML and comments may come first.
    while let Some(after) = skipped(rest, b"<?", b"?>").or_else(|| skipped(rest, b"<!--", b"-->")) {
        rest = after.trim_ascii_start();
    }
    BEGINNINGS.iter().any(|beginning| {
        let Some((start, after)) = rest.split_at_checked(beginning.len()) else { return false };
        // `<a` is a tag, `<abc` another one.
        let ends = after.first().is_none_or(|byte| byte.is_ascii_whitespace() || b">/".contains(byte));
        start.eq_ignore_ascii_case(beginning.as_bytes()) && ends
    })
}

/// What follows `open … close`, all of the rest when it is not closed.
fn skipped<'a>(text: &'a [u8], open: &[u8], close: &[u8]) -> Option<&'a [u8]> {
    let inside = text.strip_prefix(open)?;
    let end = inside.windows(close.len()).position(|window| window == close);
    Some(end.map_or(&[], |at| &inside[at + close.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_by_its_label_or_by_its_beginning() {
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
