//! Whatever is written to a connection: each answer is one of ours or of hyper's, and the connection ends.
//!
//! The whole sidecar runs in this process, its store in memory. `TOKEN` in the input stands for the right token.
#![no_main]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use smscope::config::{Config, Flags};
use smscope::serve::{self, Listeners};
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};

const STATUSES: [&str; 12] = ["200", "400", "401", "403", "404", "405", "408", "413", "415", "417", "431", "503"];

fn sidecar() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let folder = tempfile::tempdir_in("/dev/shm").expect("memory").keep();
        let environment = HashMap::from([
            ("SMSCOPE_TOKEN", "a-token-for-the-fuzzer".to_owned()),
            ("SMSCOPE_DATA_DIR", folder.to_string_lossy().into_owned()),
            ("SMSCOPE_LISTEN", "127.0.0.1:0".to_owned()),
            ("SMSCOPE_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ]);
        let config = Config::load(&Flags::default(), &environment).expect("a configuration").config;
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listeners = Listeners::bind(&config).expect("ports");
                tell.send(listeners.webhook.local_addr().expect("an address")).expect("somebody waits");
                let ended = serve::serve(&config, listeners, |_, _| {}, std::future::pending()).await;
                panic!("the sidecar ended: {ended:?}");
            });
        });
        told.recv().expect("an address")
    })
}

/// From another address of the loopback network each time: wrong tokens from one and the same are answered a second late.
fn connect() -> TcpStream {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [_, a, b, c] = (NEXT.fetch_add(1, Ordering::Relaxed) & 0xff_ffff).to_be_bytes();
    let from = SocketAddr::from(([127, a, b, c.max(1)], 0));
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| Builder::new_current_thread().enable_io().build().expect("a runtime"));
    let stream = runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(from)?;
        socket.connect(sidecar()).await?.into_std()
    });
    let stream = stream.expect("it listens");
    stream.set_nonblocking(false).expect("a socket");
    stream
}

fuzz_target!(|input: &[u8]| {
    let mut bytes = Vec::with_capacity(input.len());
    let mut rest = input;
    while let Some(at) = rest.windows(5).position(|window| window == b"TOKEN") {
        bytes.extend_from_slice(&rest[..at]);
        bytes.extend_from_slice(b"a-token-for-the-fuzzer");
        rest = &rest[at + 5..];
    }
    bytes.extend_from_slice(rest);

    let mut stream = connect();
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    // It may have closed already.
    let _sent = stream.write_all(&bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answers = Vec::new();
    match stream.read_to_end(&mut answers) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it does not end"),
    }
    let text = String::from_utf8(answers).expect("answers are text");
    for answer in text.split("HTTP/1.").skip(1) {
        let status = answer.get(2..5).unwrap_or_default();
        assert!(STATUSES.contains(&status), "{answer}");
    }
    assert!(text.is_empty() || text.starts_with("HTTP/1."), "{text}");
});
