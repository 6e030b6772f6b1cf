//! `smscope health`: the health check of a container, since the image has no HTTP client.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::Exit;
use super::terminal::print;
use crate::config::{Config, Loaded};
use crate::outbound::trust;

/// For connecting, and for each part of the response.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Bytes of a response; it is one line.
const MAX_RESPONSE: u64 = 4096;

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Query instead whether it is alive, even if it cannot accept webhooks
    #[arg(long)]
    pub live: bool,
}

/// Queries the admin listener of the configuration.
///
/// # Errors
/// No response, or a negative one.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    let path = if arguments.live { "/livez" } else { "/readyz" };
    let (status, body) = query(config, path).map_err(|error| {
        Exit::Failure(format!("no smscope answers at admin_listen = \"{}\": {error}", config.admin_listen))
    })?;
    if status == "200" {
        print(&body);
        Ok(ExitCode::SUCCESS)
    } else {
        Err(Exit::Failure(body.trim_end().to_owned()))
    }
}

/// The status of the response, and its body.
fn query(config: &Config, path: &str) -> io::Result<(String, String)> {
    let stream = TcpStream::connect_timeout(&config.reachable_admin(), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let Some(tls) = &config.admin.tls else { return conversation(stream, path) };
    let own = trust::only(vec![tls.identity.certificate.clone()]);
    let name = ServerName::from(config.reachable_admin().ip());
    let client = ClientConnection::new(Arc::new(own), name).map_err(io::Error::other)?;
    conversation(StreamOwned::new(client, stream), path)
}

fn conversation(mut stream: impl Read + Write, path: &str) -> io::Result<(String, String)> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    stream.flush()?;
    let mut answer = String::new();
    stream.take(MAX_RESPONSE).read_to_string(&mut answer)?;
    let parts = answer.split_once("\r\n\r\n").and_then(|(head, body)| Some((head.split(' ').nth(1)?, body)));
    let (status, body) = parts.ok_or_else(|| io::Error::other("what answers does not speak HTTP"))?;
    Ok((status.to_owned(), body.to_owned()))
}
