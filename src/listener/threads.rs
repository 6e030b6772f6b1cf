//! The threads on which connections are served.

use std::io;
use std::num::NonZero;

use tokio::runtime::{Builder, Handle, Runtime};

/// Threads of a listener's own, each with a runtime to itself. A connection stays on the thread that it is given: what arrives on it
/// wakes no other one in vain, and whatever else the process does takes no turn before it.
pub struct Threads(Vec<Runtime>);

impl Threads {
    /// # Errors
    /// One cannot be started.
    pub fn start(count: NonZero<usize>) -> io::Result<Self> {
        let start = |_| Builder::new_multi_thread().worker_threads(1).thread_name("connections").enable_all().build();
        (0..count.get()).map(start).collect::<io::Result<_>>().map(Self)
    }

    pub(super) fn handles(&self) -> impl Iterator<Item = &Handle> + Clone {
        self.0.iter().map(Runtime::handle)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // A runtime that is dropped where tasks run waits for its end, which is a panic there.
        self.0.drain(..).for_each(Runtime::shutdown_background);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::thread;
    use std::time::Duration;

    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::{Request, Response, StatusCode};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::listener::{Limits, Service, serve, text};
    use crate::tasks::Task;

    struct NameOfThread;

    impl Service for NameOfThread {
        const CONNECTION: Task = Task::Connection;

        async fn respond(&self, _: Request<Incoming>, _: SocketAddr) -> Response<Full<Bytes>> {
            let thread = thread::current();
            text(StatusCode::OK, format!("{} {:?}\n", thread.name().unwrap_or_default(), thread.id()))
        }
    }

    async fn thread_of(client: &mut TcpStream) -> String {
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut response = Vec::new();
        while !response.ends_with(b")\n") {
            client.read_buf(&mut response).await.unwrap();
        }
        String::from_utf8(response).unwrap().lines().last().unwrap().to_owned()
    }

    #[tokio::test]
    async fn each_connection_stays_on_its_thread_and_all_end_with_the_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let minute = Duration::from_secs(60);
        let limits = Limits {
            max_connections: 10,
            header_timeout: minute,
            handshake_timeout: None,
            write_timeout: minute,
            drain_timeout: minute,
            http: http1::Builder::new(),
        };
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let threads = Threads::start(NonZero::new(2).unwrap()).unwrap();
        let served = tokio::spawn(async move {
            serve(listener, NameOfThread, &limits, Some(threads), None, async { drop(ended.await) }).await;
        });
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut names = Vec::new();
        for client in &mut clients {
            let name = thread_of(client).await;
            assert!(name.starts_with("connections "), "{name}");
            assert_eq!(thread_of(client).await, name);
            names.push(name);
        }
        assert_ne!(names[0], names[1]);
        assert_eq!(names[..2], names[2..], "in turns");
        end.send(()).unwrap();
        served.await.unwrap();
        assert_eq!(clients[0].read(&mut [0]).await.unwrap(), 0, "closed");
    }
}
