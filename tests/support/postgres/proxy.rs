//! A network between a client and a server, with the faults of one: it delays, hangs and cuts connections.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::url;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    ToClient,
}

/// It forwards connections to a port on loopback for as long as the test's process lives.
pub struct Proxy {
    port: u16,
    network: Arc<Network>,
}

#[derive(Default)]
struct Network {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    target: u16,
    delay: Duration,
    hanging: Vec<Direction>,
    refusing: bool,
    next_connection: u64,
    /// Both ends of each open connection.
    connections: HashMap<u64, [TcpStream; 2]>,
}

impl Proxy {
    /// To this port; each direction takes `delay`.
    pub fn start(target: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let network = Arc::new(Network::default());
        let proxy = Self { port, network: network.clone() };
        proxy.lead_to(target);
        proxy.delay(delay);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                network.connect(client);
            }
        });
        proxy
    }

    /// New connections go to this port from now on.
    pub fn lead_to(&self, target: u16) {
        self.change(|state| state.target = target);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        url("smscope", self.port, database)
    }

    /// Each direction takes so long from now on.
    pub fn delay(&self, delay: Duration) {
        self.change(|state| state.delay = delay);
    }

    /// Nothing goes through in either direction, and nobody is told: as when a network is partitioned.
    pub fn hang(&self) {
        self.change(|state| state.hanging = vec![Direction::ToServer, Direction::ToClient]);
    }

    /// Nothing goes through in one direction: with [`Direction::ToClient`] the server executes what nobody hears the result of.
    pub fn hang_one_way(&self, direction: Direction) {
        self.change(|state| state.hanging = vec![direction]);
    }

    /// All that waits goes through, and what comes later.
    pub fn resume(&self) {
        self.change(|state| state.hanging.clear());
    }

    /// Closes all connections at once; what they have not delivered is lost. New ones are accepted.
    pub fn cut(&self) {
        self.change(|state| {
            for stream in state.connections.drain().flat_map(|(_, ends)| ends) {
                // It may be closed already.
                let _closed = stream.shutdown(Shutdown::Both);
            }
        });
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refusing: bool) {
        self.change(|state| state.refusing = refusing);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.network.state.lock().unwrap());
        self.network.changed.notify_all();
    }
}

impl Network {
    /// Forwards a connection in threads of its own; one that cannot be made is closed.
    fn connect(self: &Arc<Self>, client: TcpStream) {
        let mut state = self.state.lock().unwrap();
        if state.refusing {
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", state.target)) else { return };
        let id = state.next_connection;
        state.next_connection += 1;
        let ends = [&client, &server].map(|stream| {
            stream.set_nodelay(true).unwrap();
            stream.try_clone().unwrap()
        });
        state.connections.insert(id, ends);
        drop(state);
        let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
        for ((from, to), direction) in [((client, server), Direction::ToServer), (back, Direction::ToClient)] {
            let (sender, receiver) = channel();
            let network = self.clone();
            std::thread::spawn(move || network.read(from, &sender));
            let network = self.clone();
            std::thread::spawn(move || network.write(id, &receiver, to, direction));
        }
    }

    /// Takes what comes, each part with the moment at which it is due.
    fn read(&self, mut from: TcpStream, parts: &Sender<(Instant, Vec<u8>)>) {
        let mut buffer = vec![0; 65_536];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let due = Instant::now() + self.state.lock().unwrap().delay;
            if parts.send((due, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    }

    fn write(&self, id: u64, parts: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream, direction: Direction) {
        for (due, part) in parts {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if !self.may_write(id, direction) || to.write_all(&part).is_err() {
                break;
            }
        }
        if self.may_write(id, direction) {
            // The other side may have closed it.
            let _closed = to.shutdown(Shutdown::Write);
        }
        if direction == Direction::ToClient {
            self.state.lock().unwrap().connections.remove(&id);
        }
    }

    /// Waits while the direction hangs; `false` once the connection has been cut.
    fn may_write(&self, id: u64, direction: Direction) -> bool {
        let state = self.state.lock().unwrap();
        let waits = |state: &mut State| state.connections.contains_key(&id) && state.hanging.contains(&direction);
        let state = self.changed.wait_while(state, waits).unwrap();
        state.connections.contains_key(&id)
    }
}
