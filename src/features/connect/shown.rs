//! Changes for people: without tokens, yet with enough to distinguish URLs.

use hyper::http::Uri;

use super::Change;

/// Each channel with its two URLs, before and after.
pub fn shown(changes: &[Change]) -> String {
    changes.iter().map(of_channel).collect()
}

fn of_channel(change: &Change) -> String {
    let name = change.name.as_deref().map(|name| format!(" {name:?}")).unwrap_or_default();
    let mut text = format!("channel {}{name} (source {})\n", change.channel, change.source);
    for (field, before, after) in [
        ("defaultCallbackUrlStatus", &change.before.status, &change.after.status),
        ("defaultCallbackUrlMo", &change.before.mo, &change.after.mo),
    ] {
        let (was, will) = (url(before.as_deref()), url(after.as_deref()));
        text += &match before == after {
            true => format!("  {field:<24}   {was}\n"),
            // Two that differ in the hidden token only.
            false if was == will => format!("  {field:<24} - {was}, with another token\n  {:<24} + {will}\n", ""),
            false => format!("  {field:<24} - {was}\n  {:<24} + {will}\n", ""),
        };
    }
    text
}

/// A callback URL of smscope without its token; of any other URL only the host, since any part may be a secret.
fn url(url: Option<&str>) -> String {
    let Some(text) = url else { return "none".to_owned() };
    let Ok(uri) = text.parse::<Uri>() else { return "…".to_owned() };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return "…".to_owned() };
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let segments: Vec<&str> = uri.path().split('/').collect();
    match &segments[..] {
        [before @ .., "hooks", source, _token] if uri.query().is_none() => {
            format!("{scheme}://{host}{}/hooks/{source}/<token>", before.join("/"))
        }
        _ if uri.path() == "/" && uri.query().is_none() => format!("{scheme}://{host}/"),
        _ => format!("{scheme}://{host}/…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_no_secret_in_any_part_of_it() {
        for (text, expected) in [
            ("https://sms.example.com/hooks/smsmode/s3cret", "https://sms.example.com/hooks/smsmode/<token>"),
            ("https://x/behind/it/hooks/a/s3cret", "https://x/behind/it/hooks/a/<token>"),
            ("https://x/hooks/a/s3cret?key=s3cret", "https://x/…"),
            ("https://user:s3cret@x/callback/s3cret", "https://x/…"),
            ("https://x/?key=s3cret", "https://x/…"),
            ("https://x", "https://x/"),
            ("s3cret", "…"),
            ("", "…"),
        ] {
            assert_eq!(url(Some(text)), expected, "{text}");
        }
        assert_eq!(url(None), "none");
    }
}
