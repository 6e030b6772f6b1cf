//! multipart/form-data (RFC 7578): the names and values of its parts.

use std::ops::Range;

/// One part: its name, and where in the body its value is.
pub(super) struct Part {
    pub name: String,
    pub value: Range<usize>,
}

/// The parts that have a name, in their order; `None` if this is no multipart body. One without its closing delimiter is read to its
/// end. The boundary that the body begins with counts where the header has none, or another one.
pub(super) fn parts(content_type: Option<&str>, body: &[u8]) -> Option<Vec<Part>> {
    let delimiter = delimiter(content_type, body)?;
    let mut parts: Vec<Part> = Vec::new();
    // The part that is being read: its name, and where its value begins once its headers have ended.
    let mut open: Option<(Option<String>, Option<usize>)> = None;
    let mut at = 0;
    let close = |open: Option<(Option<String>, Option<usize>)>, end: usize, parts: &mut Vec<Part>| {
        if let Some((Some(name), Some(start))) = open {
            // The line break before a delimiter belongs to it.
            let value = &body[start..end];
            let value = value.strip_suffix(b"\n").unwrap_or(value);
            let value = value.strip_suffix(b"\r").unwrap_or(value);
            parts.push(Part { name, value: start..start + value.len() });
        }
    };
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let start = at;
        at += line.len();
        if line.starts_with(&delimiter) {
            close(open.take(), start, &mut parts);
            if line[delimiter.len()..].starts_with(b"--") {
                break;
            }
            open = Some((None, None));
            continue;
        }
        if let Some((name, value @ None)) = &mut open {
            if line.trim_ascii().is_empty() {
                *value = Some(at);
            } else if let Some(found) = name_in(line) {
                *name = Some(found);
            }
        }
    }
    close(open, body.len(), &mut parts);
    (!parts.is_empty()).then_some(parts)
}

/// `--` and the boundary.
fn delimiter(content_type: Option<&str>, body: &[u8]) -> Option<Vec<u8>> {
    let is_multipart =
        content_type.is_some_and(|t| t.trim_start().get(..10).is_some_and(|t| t.eq_ignore_ascii_case("multipart/")));
    if !is_multipart && !body.trim_ascii_start().starts_with(b"--") {
        return None;
    }
    let first = body.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty())?.trim_ascii();
    let named = content_type.filter(|_| is_multipart).and_then(|t| parameter(t, "boundary")).map(|b| format!("--{b}"));
    if let Some(named) = named
        && (first.starts_with(named.as_bytes()) || !first.starts_with(b"--"))
    {
        return Some(named.into_bytes());
    }
    let has_head = || {
        body.iter()
            .take(1024)
            .copied()
            .collect::<Vec<u8>>()
            .to_ascii_lowercase()
            .windows(19)
            .any(|w| w == b"content-disposition")
    };
    // A boundary has 70 characters at most.
    (first.starts_with(b"--") && (3..=72).contains(&first.len()) && (is_multipart || has_head()))
        .then(|| first.to_vec())
}

/// The name in a Content-Disposition header.
fn name_in(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    let (header, value) = line.split_once(':')?;
    if !header.trim().eq_ignore_ascii_case("content-disposition") {
        return None;
    }
    parameter(value, "name").map(str::to_owned)
}

/// A parameter of a header, without its quotes.
fn parameter<'a>(header: &'a str, wanted: &str) -> Option<&'a str> {
    header.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(content_type: Option<&str>, body: &str) -> Option<Vec<(String, String)>> {
        let parts = parts(content_type, body.as_bytes())?;
        Some(parts.into_iter().map(|part| (part.name, body[part.value].to_owned())).collect())
    }

    const BODY: &str = "--x\r\nContent-Disposition: form-data; name=\"statut\"\r\n\r\n11\r\n--x\r\n\
                        content-disposition:form-data;name=smsID\r\nContent-Type: text/plain\r\n\r\na\r\nb\r\n--x--\r\nafter";

    #[test]
    fn the_parts_are_found_by_the_boundary_of_the_header_or_of_the_body() {
        let expected = Some(vec![("statut".to_owned(), "11".to_owned()), ("smsID".to_owned(), "a\r\nb".to_owned())]);
        for content_type in [
            Some("multipart/form-data; boundary=x"),
            Some("Multipart/Form-Data; charset=utf-8; BOUNDARY=\"x\""),
            Some("multipart/form-data"),
            Some("multipart/form-data; boundary=other"),
            Some("application/json"),
            None,
        ] {
            assert_eq!(fields(content_type, BODY), expected, "{content_type:?}");
            assert_eq!(fields(content_type, &format!("\r\n{BODY}")), expected, "{content_type:?}");
        }
        assert_eq!(fields(None, &BODY.replace("\r\n", "\n").replace("a\nb", "a\r\nb")), expected);
    }

    #[test]
    fn one_that_ends_early_has_what_there_is() {
        let cut = &BODY[..BODY.find("--x--").unwrap()];
        assert_eq!(fields(None, cut).unwrap()[1].1, "a\r\nb");
        assert_eq!(fields(None, "--x\r\nContent-Disposition: form-data; name=\"a\""), None);
    }

    #[test]
    fn what_is_no_multipart_body_is_none() {
        for body in ["", "--", "--x", "-- a text --\nand more", "statut=11", "{}"] {
            assert_eq!(fields(None, body), None, "{body}");
            assert_eq!(fields(Some("multipart/form-data; boundary=x"), body), None, "{body}");
        }
    }
}
