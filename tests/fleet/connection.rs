//! How a replica connects: TLS, passwords, several hosts; and what `smscope check` and `smscope store` say of a server.

use std::fs;
use std::path::PathBuf;

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::Value;

use crate::support::certificates::Authority;
use crate::support::postgres::{Server, Version, query};
use crate::support::{Ended, Launch, eventually, free_port, holds};

const PASSWORD: &str = "s3cret/pass@word";
/// The same in a URL.
const ENCODED: &str = "s3cret%2Fpass%40word";

/// A server that is reached by TLS and a password alone, its authority, and a database in it.
struct Secured {
    server: Server,
    authority: Authority,
    database: String,
    launch: Launch,
}

impl Secured {
    /// With a certificate for `names`; `None`: there is no server.
    fn new(names: &[&str], needs_client_certificate: bool) -> Option<Self> {
        let server = Server::start(Version::System)?;
        let authority = Authority::new("ours");
        let identity = authority.sign(names, 2099, ExtendedKeyUsagePurpose::ServerAuth);
        let of_clients = needs_client_certificate.then(|| authority.pem());
        server.set_password(PASSWORD);
        let database = server.create_database();
        server.require_tls(&identity.certificate, &identity.key, of_clients.as_deref());
        let secured = Self { server, authority, database, launch: Launch::new() };
        secured.file("ca.pem", &secured.authority.pem());
        Some(secured)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.launch.home.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// With these credentials and parameters; `FOLDER` in them is where the files are.
    fn url(&self, credentials: &str, parameters: &str) -> String {
        let folder = self.launch.home.path().to_str().unwrap();
        let parameters = parameters.replace("FOLDER", folder);
        format!("postgresql://{credentials}@127.0.0.1:{}/{}?{parameters}", self.server.port(), self.database)
    }

    /// Runs a command on a database, and makes sure that nothing it prints shows a password.
    fn run(&self, url: &str, arguments: &[&str]) -> Ended {
        run(self.launch.clone(), url, arguments)
    }
}

fn run(launch: Launch, url: &str, arguments: &[&str]) -> Ended {
    let ended = launch.env("SMSCOPE_STORE_URL", url).env("RUST_LOG", "trace").args(arguments).run();
    for output in [&ended.stdout, &ended.stderr] {
        for secret in [PASSWORD, ENCODED, "s3cret"] {
            assert!(!output.contains(secret), "{arguments:?} shows the password: {output}");
        }
    }
    ended
}

#[test]
fn a_server_is_verified_by_its_authority_and_its_name() {
    let Some(secured) = Secured::new(&["127.0.0.1"], false) else { return };
    let credentials = format!("smscope:{ENCODED}");
    for mode in ["", "&sslmode=verify-full", "&sslmode=verify-ca", "&sslmode=require"] {
        let ended = secured.run(&secured.url(&credentials, &format!("sslrootcert=FOLDER/ca.pem{mode}")), &["check"]);
        assert_eq!(ended.code, Some(0), "{mode}: {ended:?}");
        assert!(ended.stdout.contains("PostgreSQL 1"), "{}", ended.stdout);
    }
    let encrypted = "SELECT count(*) FROM pg_stat_ssl WHERE ssl";
    let replica = secured
        .launch
        .clone()
        .env("SMSCOPE_STORE_URL", &secured.url(&credentials, "sslrootcert=FOLDER/ca.pem"))
        .start();
    assert_ne!(secured.server.sql("postgres", encrypted), "0");
    assert!(!replica.stderr().contains("s3cret"), "{}", replica.stderr());
}

#[test]
fn a_server_that_cannot_be_trusted_is_rejected_in_one_line_that_says_why() {
    let Some(secured) = Secured::new(&["db.example.com"], false) else { return };
    let credentials = format!("smscope:{ENCODED}");
    secured.file("other-ca.pem", &Authority::new("another").pem());
    let host = format!("127.0.0.1:{}", secured.server.port());
    for (parameters, why) in [
        ("sslrootcert=FOLDER/ca.pem", "certificate not valid for name \"127.0.0.1\""),
        ("sslrootcert=FOLDER/other-ca.pem", "UnknownIssuer"),
        ("sslrootcert=FOLDER/other-ca.pem&sslmode=verify-ca", "UnknownIssuer"),
        ("sslmode=disable", "no pg_hba.conf entry"),
    ] {
        let url = secured.url(&credentials, parameters);
        let ended = secured.run(&url, &["store", "status"]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("smscope: ")).collect();
        let [line] = &lines[..] else { panic!("{ended:?}") };
        assert!(line.contains(&host) && line.contains(why), "{line}");
    }
    // Under another name, its authority alone counts.
    let ended = secured.run(&secured.url(&credentials, "sslrootcert=FOLDER/ca.pem&sslmode=verify-ca"), &["check"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_one() {
    let Some(secured) = Secured::new(&["127.0.0.1"], true) else { return };
    let client = secured.authority.client();
    let (certificate, key) = (secured.file("client.pem", &client.certificate), secured.file("client.key", &client.key));
    let credentials = format!("smscope:{ENCODED}");
    let files = format!("sslrootcert=FOLDER/ca.pem&sslcert={}&sslkey={}", certificate.display(), key.display());
    let ended = secured.run(&secured.url(&credentials, &files), &["check"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("client certificate "), "{}", ended.stdout);
    let without = secured.run(&secured.url(&credentials, "sslrootcert=FOLDER/ca.pem"), &["check"]);
    assert_eq!(without.code, Some(1), "{without:?}");
}

#[test]
fn a_password_that_changes_in_its_file_needs_no_restart() {
    let Some(secured) = Secured::new(&["127.0.0.1"], false) else { return };
    let file = secured.file("password", PASSWORD);
    let launch = secured.launch.clone().env("SMSCOPE_STORE_PASSWORD_FILE", file.to_str().unwrap());
    let replica = launch.env("SMSCOPE_STORE_URL", &secured.url("smscope", "sslrootcert=FOLDER/ca.pem")).start();
    let receipt = |id: &str| crate::support::provider::receipt(id, "DELIVERED", serde_json::json!({}));
    replica.accept(&receipt("one"));
    secured.server.set_password("s3cret-number-2");
    fs::write(&file, "s3cret-number-2\n").unwrap();
    // What is open stays open; so it has to connect again.
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'smscope'";
    assert_ne!(secured.server.sql("postgres", end), "0");
    eventually("it stores again", || holds(replica.is_ready(), || replica.stderr()));
    replica.accept(&receipt("two"));
    // A file that has not been changed yet is a line that does not show it.
    fs::write(&file, "s3cret-wrong").unwrap();
    secured.server.sql("postgres", end);
    eventually("it says so", || {
        let log = replica.stderr();
        holds(log.contains("password authentication failed for user"), || log)
    });
    assert!(!replica.stderr().contains("s3cret"), "{}", replica.stderr());
}

#[test]
fn of_several_hosts_the_one_that_takes_writes_is_used() {
    let Some(server) = Server::start(Version::System) else { return };
    let standby = server.standby();
    let (database, nobody) = (server.create_database(), free_port());
    let hosts = format!("127.0.0.1:{nobody},127.0.0.1:{},127.0.0.1:{}", standby.port(), server.port());
    let url = format!("postgresql://smscope@{hosts}/{database}");
    let ended = run(Launch::new(), &url, &["check"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("a failover may lose the last acknowledged events"), "{}", ended.stdout);
    server.set_synchronous(&standby);
    let ended = run(Launch::new(), &url, &["check"]);
    assert!(!ended.stdout.contains("failover"), "{}", ended.stdout);
    server.set_asynchronous();
    server.stop();
    let ended = run(Launch::new(), &url, &["check"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let refused = format!("127.0.0.1:{nobody}: error connecting to server: Connection refused");
    let read_only = format!("127.0.0.1:{}: error connecting to server: database does not allow writes", standby.port());
    assert!(ended.stderr.contains(&refused) && ended.stderr.contains(&read_only), "{}", ended.stderr);
}

#[test]
fn a_server_that_loses_what_it_acknowledged_is_not_served_with() {
    let Some(server) = Server::start(Version::System) else { return };
    let url = server.url(&server.create_database());
    server.set("fsync", "off");
    for arguments in [&["check"][..], &["serve"]] {
        let ended = run(Launch::new(), &url, arguments);
        assert_eq!(ended.code, Some(78), "{ended:?}");
        assert!(ended.stderr.contains("the server has fsync = off"), "{}", ended.stderr);
        assert!(ended.stderr.contains("store.unsafe = true"), "{}", ended.stderr);
    }
    let replica = Launch::new().file("[store]\nunsafe = true").env("SMSCOPE_STORE_URL", &url).start();
    assert!(replica.stderr().contains("the server has fsync = off"), "{}", replica.stderr());
    assert_eq!(replica.metrics().sum("smscope_store_synchronous", &[]), 1.0);
}

#[test]
fn a_migration_prints_what_it_would_run_and_status_what_is_there() {
    let Some(server) = Server::shared() else { return };
    let database = server.create_database();
    let url = server.url(&database);
    let store = |arguments: &[&str]| run(Launch::new(), &url, &[&["store"], arguments].concat());
    let missing = store(&["status"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
    assert!(missing.stderr.contains("expected smscope store migrate before"), "{missing:?}");

    let dry = store(&["migrate", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert_eq!(query(&url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'smscope'").unwrap(), "0");
    // It is what makes the tables: all but the identity, whose values are random.
    let by_hand = server.url(&server.create_database());
    let (identity, others): (Vec<&str>, Vec<&str>) =
        dry.stdout.split_inclusive(";\n").partition(|sql| sql.contains("$1"));
    assert_eq!(identity.len(), 1, "{}", dry.stdout);
    query(&by_hand, &others.concat()).unwrap();

    assert_eq!(store(&["migrate"]).stdout, "made the tables, version 1\n");
    assert_eq!(store(&["migrate"]).stdout, "the tables are of version 1 already\n");
    assert_eq!(store(&["migrate", "--dry-run"]).stdout, "-- the tables are of version 1 already\n");
    let columns = "SELECT string_agg(concat_ws(' ', table_name, column_name, data_type, is_nullable), ',' ORDER BY table_name, \
         column_name) FROM information_schema.columns WHERE table_schema = 'smscope'";
    assert_eq!(query(&by_hand, columns).unwrap(), query(&url, columns).unwrap());

    let replica = Launch::new().env("SMSCOPE_STORE_URL", &url).start();
    replica.accept(&crate::support::provider::receipt("one", "DELIVERED", serde_json::json!({})));
    let shown = eventually("the event is in the journal", || {
        let shown: Value = serde_json::from_str(&store(&["status", "--json"]).stdout).unwrap();
        // It reads the inbox before the journal.
        let is_processed = shown["journal"]["newest"].is_number() && shown["inbox"]["requests"] == 0;
        holds(is_processed, || shown.to_string()).map(|()| shown)
    });
    assert_eq!(shown["schema"], 1);
    assert_eq!(shown["leader"]["leads"], true);
    assert_eq!(shown["replicas"].as_array().unwrap().len(), 1);
    assert_eq!(shown["inbox"]["requests"], 0);
    assert!(shown["tables"].as_array().unwrap().iter().any(|table| table["name"] == "journal"), "{shown}");
    let text = store(&["status"]).stdout;
    assert!(text.contains(shown["fleet_id"].as_str().unwrap()) && text.contains("lease until"), "{text}");

    server.sql(&database, "UPDATE smscope.schema_version SET version = 99");
    assert_eq!(store(&["migrate"]).stdout, "the tables are of version 99 already\n");
    assert_eq!(store(&["migrate", "--dry-run"]).stdout, "-- the tables are of version 99 already\n");
    assert!(store(&["status"]).stdout.contains("99"));
    server.sql(&database, "UPDATE smscope.schema_version SET oldest_reader = 99");
    for arguments in [&["status"][..], &["migrate"], &["migrate", "--dry-run"]] {
        let newer = store(arguments);
        assert_eq!(newer.code, Some(78), "{newer:?}");
        assert!(newer.stderr.contains("schema 99 of smscope, newer than 1"), "{newer:?}");
    }
}

#[test]
fn a_role_that_may_not_make_schemas_uses_its_own() {
    let Some(server) = Server::shared() else { return };
    let database = server.create_database();
    server.sql("postgres", &format!("ALTER DATABASE {database} OWNER TO postgres"));
    server.sql(&database, "CREATE SCHEMA smscope AUTHORIZATION smscope");
    let ended = run(Launch::new(), &server.url(&database), &["store", "migrate"]);
    assert_eq!((ended.code, &*ended.stdout), (Some(0), "made the tables, version 1\n"), "{ended:?}");
}

#[test]
fn the_commands_are_about_a_fleet_alone() {
    let ended = Launch::new().args(&["store", "status"]).run();
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains("store.url: missing; expected"), "{}", ended.stderr);
}
