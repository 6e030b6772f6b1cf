//! Binding a listener's address.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Listens on `address`. `[::]` is every address of this machine, also where the kernel has no IPv6.
///
/// # Errors
/// A port that is in use or an address that is not this machine's.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    match listen_at(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && has_no_ipv6(&error) => {
            listen_at(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        listening => listening,
    }
}

fn has_no_ipv6(error: &std::io::Error) -> bool {
    /// EAFNOSUPPORT of Linux, which the standard library has no kind for.
    const NO_SUCH_FAMILY: i32 = 97;
    error.raw_os_error() == Some(NO_SUCH_FAMILY) || error.kind() == std::io::ErrorKind::AddrNotAvailable
}

fn listen_at(address: SocketAddr) -> std::io::Result<TcpListener> {
    /// Connections that may wait to be accepted, as far as the kernel allows (net.core.somaxconn, 4096 by default). The usual 128
    /// overflow when a provider opens a few hundred at once, and a client that is rejected there retries after a second only.
    const BACKLOG: u32 = 4096;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port whose last connections still linger can be bound again after a restart.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn every_address_is_ipv4_as_well_and_no_ipv6_is_no_obstacle() {
        let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let listener = bind(everywhere).unwrap();
        let by_ipv4 = SocketAddr::from((Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port()));
        TcpStream::connect(by_ipv4).unwrap();
        // As on a node whose kernel was started with ipv6.disable=1; the filter is that of this thread alone.
        let without_ipv6 = std::thread::spawn(move || {
            let refused = r#"{"it": {"mismatch_action": "allow", "match_action": {"errno": 97}, "filter": [
                {"syscall": "socket", "args": [{"index": 0, "type": "dword", "op": "eq", "val": 10}]}]}}"#;
            let machine = std::env::consts::ARCH.try_into().unwrap();
            let filters = seccompiler::compile_from_json(refused.as_bytes(), machine).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            seccompiler::apply_filter(&filters["it"]).unwrap();
            runtime.block_on(async {
                assert!(listen_at(everywhere).is_err());
                bind(everywhere).unwrap().local_addr().unwrap()
            })
        });
        assert!(without_ipv6.join().unwrap().is_ipv4());
    }

    #[tokio::test]
    async fn hundreds_of_connections_at_once_wait_to_be_accepted() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        // Nothing accepts; the kernel would leave the 130th without an answer if the queue were the usual one.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(900));
        let connected: std::io::Result<Vec<TcpStream>> = (0..600).map(connect).collect();
        assert_eq!(connected.unwrap().len(), 600);
    }
}
