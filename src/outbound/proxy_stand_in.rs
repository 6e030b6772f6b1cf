//! A forward proxy for tests: it forwards every request and every tunnel to one address, and records the requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

pub struct ProxyStandIn {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl ProxyStandIn {
    /// One that leads to `target`, for those who show `authorization` if there is any.
    pub async fn start(target: SocketAddr, authorization: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move { serve(stream, target, authorization, &seen).await });
            }
        });
        Self { address, heads }
    }

    /// The request heads so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// A request as the server gets it: `GET /x` for `GET http://host/x`.
fn in_origin_form(request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(&request[..request.len().min(1000)]).into_owned();
    let Some((method, rest)) = text.split_once(" http://") else { return request.to_vec() };
    let host = rest.find('/').unwrap_or(0);
    let skipped = method.len() + " http://".len() + host;
    [method.as_bytes(), b" ", &request[skipped..]].concat()
}

async fn serve(
    mut client: TcpStream,
    target: SocketAddr,
    authorization: Option<&str>,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut read = Vec::new();
    let end = loop {
        client.read_buf(&mut read).await.ok().filter(|count| *count > 0)?;
        if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
    let is_known = authorization
        .is_none_or(|value| head.contains(&format!("proxy-authorization: {}", value.to_ascii_lowercase())));
    let is_tunnel = head.starts_with("connect ");
    seen.lock().unwrap().push(head);
    if !is_known {
        let denied = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        return client.write_all(denied).await.ok();
    }
    let mut server = TcpStream::connect(target).await.ok()?;
    match is_tunnel {
        true => client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?,
        false => server.write_all(&in_origin_form(&read)).await.ok()?,
    }
    copy_bidirectional(&mut client, &mut server).await.ok().map(drop)
}
