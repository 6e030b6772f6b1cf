//! The settings at the top of the file: the two listeners, the data directory, the public URL, the limit of a flood.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::prelude::*;

settings! {
    LISTEN: SocketAddr = setting("listen", "address and port", |given| address(given, "127.0.0.1:7672"),
        SocketAddr::to_string, "where webhooks are accepted").default("127.0.0.1:7672").example(r#""0.0.0.0:7672""#)
        .wrong(r#""7672""#).variable("SMSCOPE_LISTEN", "0.0.0.0:7672").flag("--listen");
    ADMIN_LISTEN: SocketAddr = setting("admin_listen", "address and port", |given| address(given, "127.0.0.1:7673"),
        SocketAddr::to_string, "metrics, health and the page; without `[admin]` for any client that reaches it")
        .default("127.0.0.1:7673").example(r#""10.0.0.5:7673""#).wrong(r#""localhost""#)
        .variable("SMSCOPE_ADMIN_LISTEN", "10.0.0.5:7673").flag("--admin-listen");
    DATA_DIR: PathBuf = setting("data_dir", "path", Given::path, |path| path.display().to_string(),
        "where everything is stored").default("./smscope-data").example(r#""/var/lib/smscope""#).wrong(r#""""#)
        .variable("SMSCOPE_DATA_DIR", "/var/lib/smscope").flag("--data-dir");
    PUBLIC_URL: String = setting("public_url", "URL", public_url, String::clone,
        "where the provider reaches smscope, if that is not the address of `listen`; a path may follow").url()
        .absent("none").example(r#""https://sms.example.com""#).wrong(r#""sms.example.com""#)
        .variable("SMSCOPE_PUBLIC_URL", "https://sms.example.com");
    RECIPIENT_FLOOD: usize = number("recipient_flood", |given| given.number(2..=100_000),
        "messages to one recipient within an hour at which `smscope_recipients_flooded_total` counts it").default("20")
        .example("50").wrong("1");
    CONFIG: PathBuf = variable("SMSCOPE_CONFIG", "/etc/smscope/smscope.toml", "path", Given::path,
        "the configuration file; there is none by default").wrong("/nonexistent.toml").flag("--config");
}

/// The configuration file, read before anything else.
pub(crate) fn configuration_file(inputs: &Inputs) -> Result<Option<(Given, PathBuf)>, ConfigError> {
    let given = inputs.outside_the_file(&CONFIG);
    given.map(|given| CONFIG.read(&given).map(|path| (given, path))).transpose()
}

/// The addresses of the webhook listener and the admin listener.
pub(crate) fn listeners(root: &mut Table) -> Result<(SocketAddr, SocketAddr), ConfigError> {
    let listen_given = root.given(&LISTEN);
    let listen = root.read(&LISTEN, listen_given.as_ref())?;
    let admin_given = root.given(&ADMIN_LISTEN);
    let admin_listen = root.read(&ADMIN_LISTEN, admin_given.as_ref())?;
    if collide(listen, admin_listen) {
        let of_admin = admin_given.map(|given| (given, "listen"));
        if let Some((given, other)) = of_admin.or(listen_given.map(|given| (given, "admin_listen"))) {
            let problem = format_args!("has the same port as {other}");
            return Err(given.wrong(problem, "a port of its own").beside_others());
        }
    }
    Ok((listen, admin_listen))
}

fn address(given: &Given, example: &str) -> Result<SocketAddr, ConfigError> {
    given.parse(&format!("an address and port such as {example}"), |text| text.parse().ok())
}

pub(crate) fn public_url(given: &Given) -> Result<String, ConfigError> {
    given.parse("an http or https URL without user or query, such as https://sms.example.com", |text| {
        let url = value::web_url(text)?;
        url.query().is_none().then(|| text.trim_end_matches(['/', '?']).to_owned())
    })
}

/// Whether the two cannot both be bound. Port 0 is a free port each time.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let same_address = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && same_address
}

/// The address under which this machine reaches a listener.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        // One of IPv6 by IPv4 as well: that is there where IPv6 is not.
        ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()),
        _ => listen,
    }
}
