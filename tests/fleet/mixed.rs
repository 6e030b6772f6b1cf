//! Faults of all kinds, mixed at random: of replicas, of the network of each, and of the server, which has a synchronous standby.

use std::time::Duration;

use crate::fleet::{Fleet, leads};
use crate::support::Smscope;
use crate::support::load::{Clients, Dice, Progress, soak, start_clients};
use crate::support::postgres::{Direction, Proxy, Server, Version};

/// `make soak` asks for more.
const FAULTS: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// SIGKILL of a replica.
    Kill,
    /// SIGSTOP of a replica, for longer than a lease now and then.
    Freeze,
    /// Its connections are closed.
    Cut,
    /// Its network delivers nothing, then everything.
    Hang,
    /// The server executes what the replica does not hear the result of.
    LoseAnswers,
    /// SIGKILL of the server, which starts again.
    ServerCrash,
    /// SIGKILL of the server, whose standby takes over and gets a standby of its own.
    Failover,
}

/// Replicas kill more often than anything else happens to them.
const KINDS: [Fault; 9] = [
    Fault::Kill,
    Fault::Kill,
    Fault::Kill,
    Fault::Freeze,
    Fault::Cut,
    Fault::Hang,
    Fault::LoseAnswers,
    Fault::ServerCrash,
    Fault::Failover,
];

/// What faults are done to.
struct Site<'a> {
    server: Server,
    standby: Server,
    proxies: &'a [Proxy],
    replicas: Vec<Smscope>,
    dice: Dice,
    /// How many of each kind, for the report of a run.
    done: Vec<Fault>,
}

impl Site<'_> {
    /// The leader every other time.
    fn victim(&mut self) -> usize {
        let leading = if self.dice.below(2) == 0 { self.replicas.iter().position(leads) } else { None };
        leading.unwrap_or(self.dice.below(self.replicas.len() as u64) as usize)
    }

    fn fault(&mut self) {
        let fault = KINDS[self.dice.below(KINDS.len() as u64) as usize];
        let victim = self.victim();
        self.done.push(fault);
        match fault {
            Fault::Kill => self.kill(victim),
            Fault::Freeze => {
                self.replicas[victim].signal("STOP");
                let long = if self.dice.below(4) == 0 { 6_000 } else { 0 };
                self.meanwhile(victim, long);
                self.replicas[victim].signal("CONT");
            }
            Fault::Cut => self.proxies[victim].cut(),
            Fault::Hang => {
                self.proxies[victim].hang();
                self.meanwhile(victim, 0);
                self.proxies[victim].resume();
            }
            Fault::LoseAnswers => {
                self.proxies[victim].hang_one_way(Direction::ToClient);
                self.pause(300);
                self.proxies[victim].cut();
                self.proxies[victim].resume();
            }
            Fault::ServerCrash => {
                self.server.kill();
                self.pause(500);
                self.server.restart();
            }
            Fault::Failover => {
                self.server.kill();
                self.pause(500);
                self.standby.promote();
                for proxy in self.proxies {
                    proxy.lead_to(self.standby.port());
                }
                let standby = self.standby.standby();
                self.standby.set_synchronous(&standby);
                self.server = std::mem::replace(&mut self.standby, standby);
            }
        }
    }

    /// While a fault lasts, another replica may be killed.
    fn meanwhile(&mut self, victim: usize, at_least: u64) {
        self.pause(1_500);
        std::thread::sleep(Duration::from_millis(at_least));
        if self.dice.below(3) == 0 {
            let other = (victim + 1) % self.replicas.len();
            self.done.push(Fault::Kill);
            self.kill(other);
        }
    }

    fn kill(&mut self, victim: usize) {
        let launch = self.replicas.remove(victim).kill();
        self.replicas.insert(victim, launch.start());
    }

    fn pause(&mut self, most: u64) {
        std::thread::sleep(Duration::from_millis(self.dice.below(most)));
    }

    fn run(&mut self, faults: u64, clients: &Clients<'_, '_>) {
        while (self.done.len() as u64) < faults {
            clients.until_acknowledged(10);
            self.pause(400);
            self.fault();
        }
        clients.until_acknowledged(10);
    }

    fn report(&self) -> String {
        let mut kinds = KINDS.to_vec();
        kinds.dedup();
        let count = |kind: Fault| self.done.iter().filter(|done| **done == kind).count();
        kinds.into_iter().map(|kind| format!("{kind:?} {}", count(kind))).collect::<Vec<_>>().join(", ")
    }
}

fn mixed_faults(count: usize, default_seed: u64) {
    let Some(server) = Server::start(Version::System) else { return };
    let (faults, seed) = (soak("FAULTS").unwrap_or(FAULTS), soak("SEED").unwrap_or(default_seed));
    println!("seed {seed}");
    let standby = server.standby();
    server.set_synchronous(&standby);
    let proxies: Vec<Proxy> = (0..count).map(|_| Proxy::start(server.port(), Duration::ZERO)).collect();
    let database = server.create_database();
    let urls: Vec<String> = proxies.iter().map(|proxy| proxy.url(&database)).collect();
    let fleet = Fleet::through(&server.url(&database), &urls);
    let (addresses, progress) = (fleet.addresses(), Progress::with_lost_answers());
    let replicas = fleet.start();
    let mut site = Site { server, standby, proxies: &proxies, replicas, dice: Dice::of(seed), done: Vec::new() };
    let truth = std::thread::scope(|scope| {
        let clients = start_clients(scope, &progress, &addresses, seed);
        site.run(faults, &clients);
        clients.finish()
    });
    println!("{count} replicas: {}; {progress}", site.report());
    Fleet::at(&site.server.url(&database), 0).agrees_with(&truth, &site.replicas);
}

#[test]
fn two_replicas_survive_mixed_faults() {
    mixed_faults(2, 5);
}

#[test]
fn three_replicas_survive_mixed_faults() {
    mixed_faults(3, 6);
}
