//! The command line, the configuration and the data directory, as an operator sees them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use crate::support::{
    Ended, HOOK, Launch, OnATerminal, Smscope, TOKEN, eventually, on_path, post, receipt, request, require_tool,
};

/// The user `nobody`, whatever this machine calls it.
const NOBODY: u32 = 65534;

/// Refused for its configuration: one line, an exit code of its own, and nothing written.
fn refused(launch: Launch) -> String {
    let data_dir = launch.data_dir();
    let Ended { code, stdout, stderr } = launch.run();
    assert_eq!(code, Some(78), "{stderr}");
    assert_eq!(stdout, "");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(!data_dir.exists(), "nothing is written: {stderr}");
    stderr.trim_end().to_owned()
}

/// A port that is in use for as long as the listener lives.
fn taken() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn a_bad_setting_is_one_line_with_key_value_and_what_is_expected() {
    // Whoever bound ports before all settings are read would complain of this one instead.
    let (_listener, taken) = taken();
    let new = || Launch::new().env("SMSCOPE_ADMIN_LISTEN", &taken);
    for (launch, line) in [
        (
            new().env("SMSCOPE_LISTEN", "7672"),
            r#"SMSCOPE_LISTEN = "7672": expected an address and port such as 127.0.0.1:7672"#,
        ),
        (
            new().args(&["--listen", "here"]),
            r#"--listen = "here": expected an address and port such as 127.0.0.1:7672"#,
        ),
        (
            new().file("[http]\nbody_timeout = 10"),
            "http.body_timeout = 10: expected a duration such as 500ms, 15s or 72h, from 1ms to 1h",
        ),
        (
            new().file("[http]\nmax_body = \"1GiB\""),
            "http.max_body = \"1GiB\": expected a size such as 262144, 256KiB or 10GiB, from 1KiB to 16MiB",
        ),
        (
            new().env("SMSCOPE_STORE_RETENTION", "forever"),
            "SMSCOPE_STORE_RETENTION = \"forever\": expected a duration such as 500ms, 15s or 72h, from 1s to 3650d",
        ),
        (
            new().file("colour = \"red\""),
            "colour: unknown key at FILE:1; expected one of listen, admin_listen, data_dir, public_url, recipient_flood, http, admin, store, privacy, otlp, source, \
             account, self_probe, reconcile, conversations, opt_outs, relay, resend",
        ),
        (
            new().env("SMSCOPE_TOKEN", "short"),
            "SMSCOPE_TOKEN: expected tokens of at least 16 characters of A-Z a-z 0-9 - . _ ~, with commas between them",
        ),
        (
            new().env("SMSCOPE_CONFIG", "/nonexistent.toml"),
            "SMSCOPE_CONFIG = \"/nonexistent.toml\": cannot be read: No such file or directory (os error 2); \
             expected a TOML file in UTF-8",
        ),
        (
            new().env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
            "OTEL_EXPORTER_OTLP_ENDPOINT = \"collector\": expected a URL such as http://collector:4318",
        ),
    ] {
        let file = launch.home.path().join("smscope.toml");
        assert_eq!(refused(launch).replace(file.to_str().unwrap(), "FILE"), format!("smscope: {line}"));
    }
}

#[test]
fn every_command_rejects_a_bad_configuration_alike() {
    for command in ["serve", "url", "check"] {
        let launch = Launch::new().file("[http]\nmax_connections = 0").args(&[command]);
        let expected = "smscope: http.max_connections = 0: expected a number from 1 to 65536";
        assert_eq!(refused(launch), expected, "{command}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_64_and_nothing_written() {
    for arguments in
        [&["--lisen", "x"][..], &["dance"], &["--listen"], &["check", "again"], &["serve", "--token", TOKEN]]
    {
        let launch = Launch::new().args(arguments);
        let data_dir = launch.data_dir();
        let ended = launch.run();
        assert_eq!(ended.code, Some(64), "{arguments:?}: {ended:?}");
        assert!(ended.stdout.is_empty() && ended.stderr.starts_with("error: "), "{arguments:?}: {ended:?}");
        assert!(!data_dir.exists(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_printed_to_stdout() {
    for (argument, beginning) in [("--help", "A sidecar that turns"), ("--version", "smscope ")] {
        let ended = Launch::new().args(&[argument]).run();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{argument}");
        assert!(ended.stdout.starts_with(beginning), "{ended:?}");
    }
}

#[test]
fn an_address_that_cannot_be_had_is_named_before_anything_is_written() {
    let (_listener, taken) = taken();
    for (variable, key, address, problem) in [
        ("SMSCOPE_LISTEN", "listen", &*taken, "Address already in use"),
        ("SMSCOPE_ADMIN_LISTEN", "admin_listen", &*taken, "Address already in use"),
        // An address for documentation, which no machine has.
        ("SMSCOPE_LISTEN", "listen", "192.0.2.1:7672", "Cannot assign requested address"),
    ] {
        let line = refused(Launch::new().env(variable, address));
        assert!(line.starts_with(&format!("smscope: {key} = \"{address}\": {problem}")), "{line}");
        assert!(line.ends_with("; expected an address and port that are free on this machine"), "{line}");
    }
}

#[test]
fn a_flag_wins_over_the_environment_the_environment_over_the_file_and_the_file_over_the_default() {
    let listen = |launch: Launch, arguments: &[&str]| {
        let ended = launch.args(&[&["check"], arguments].concat()).run();
        let line = ended.stdout.lines().find_map(|line| line.strip_prefix("listen ")).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let default = Launch::new().env("SMSCOPE_LISTEN", "");
    let file = default.clone().file("listen = \"127.0.0.1:1\"");
    let environment = file.clone().env("SMSCOPE_LISTEN", "127.0.0.1:2");
    assert_eq!(listen(default, &[]), ["127.0.0.1:7672", "default"]);
    let path = file.home.path().join("smscope.toml");
    assert_eq!(listen(file, &[]), ["127.0.0.1:1", path.to_str().unwrap()]);
    assert_eq!(listen(environment.clone(), &[]), ["127.0.0.1:2", "SMSCOPE_LISTEN"]);
    assert_eq!(listen(environment, &["--listen", "127.0.0.1:3"]), ["127.0.0.1:3", "--listen"]);
}

#[test]
fn a_given_token_is_shown_by_url_alone() {
    let launch = Launch::new().env("SMSCOPE_PUBLIC_URL", "https://sms.example.com/in/");
    let url = launch.clone().args(&["url"]).run();
    assert_eq!((url.code, &*url.stderr), (Some(0), ""));
    assert_eq!(url.stdout, format!("https://sms.example.com/in{HOOK}\n"));
    assert!(!launch.data_dir().exists(), "nothing is written for it");

    let check = launch.clone().args(&["check"]).run();
    assert_eq!((check.code, &*check.stderr), (Some(0), ""));
    assert!(check.stdout.contains(" https://sms.example.com/in/hooks/smsmode/<token> "), "{check:?}");
    assert!(!check.stdout.contains(TOKEN), "{check:?}");

    let smscope = launch.start();
    let announced = smscope.stdout();
    assert!(announced.contains("https://sms.example.com/in/hooks/smsmode/<token>\n"), "{announced}");
    assert!(!announced.contains(TOKEN) && !announced.contains("curl"), "{announced}");
}

#[test]
fn check_writes_nothing() {
    let launch = Launch::without_token().args(&["check"]);
    let data_dir = launch.data_dir();
    assert_eq!(launch.run().code, Some(0));
    assert!(!data_dir.exists());
}

#[test]
fn a_made_token_is_shown_on_a_terminal_alone_with_a_curl_line_that_works_as_it_stands() {
    let launch = Launch::without_token();
    let Some(started) = OnATerminal::start(&launch) else { return };
    let found =
        |beginning: &str| started.text.lines().find_map(|line| Some(line.strip_prefix(beginning)?.trim().to_owned()));
    let line = found("try it: ").unwrap();
    let output = Command::new("sh").arg("-c").arg(&line).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), r#"{"result":"accepted"}"#, "{line}: {said}");
    let url = found("callback URL (smsmode): ").unwrap();
    let token = url.rsplit('/').next().unwrap();
    assert!(token.len() >= 43, "256 bits: {token}");
    assert!(found("page: ").unwrap().starts_with("http://127.0.0.1:"));

    // What is started next finds the same token, and says on a pipe how to get at it.
    drop(started);
    let smscope = launch.start();
    let announced = smscope.stdout();
    assert!(!announced.contains(token) && !announced.contains("curl"), "{announced}");
    assert!(announced.contains("/hooks/smsmode/<token>\nwith its token: smscope url\npage: http://"), "{announced}");
    assert!(!smscope.stderr().contains(token), "the diagnostics do not say it");
    let asked = launch.args(&["url"]).run().stdout;
    assert!(asked.trim_end().ends_with(token), "url prints the same one while it runs: {asked}");
}

#[test]
fn url_makes_no_token_without_a_store_unless_a_flag_demands_it() {
    let launch = Launch::without_token();
    let refused = launch.clone().args(&["url"]).run();
    let line = format!(
        "smscope: data_dir = {:?}: no token has been made there for smsmode; expected the directory of a smscope that has run, or \
         `smscope url --create` to make one\n",
        launch.data_dir()
    );
    assert_eq!((refused.code, &*refused.stderr, &*refused.stdout), (Some(78), &*line, ""));
    assert!(!launch.data_dir().exists());
    // The traffic that is made up calls a smscope that runs; it makes no token either.
    assert_eq!(launch.clone().args(&["simulate", "--duration", "1s"]).run().code, Some(78));
    assert!(!launch.data_dir().exists());

    let made = launch.clone().args(&["url", "--create"]).run();
    assert_eq!(made.code, Some(0), "{made:?}");
    assert_eq!(launch.clone().args(&["url"]).run().stdout, made.stdout);
    let path = made.stdout.trim_end().split_once("127.0.0.1:0").unwrap().1.to_owned();
    let smscope = launch.start();
    assert_eq!(smscope.post(&path, receipt("m", "DELIVERED")).result(), "accepted");
    drop(smscope);

    // A source that has come to a store: its token can be made before the restart.
    let two = launch.file("[[source]]\nname = \"smsmode\"\n[[source]]\nname = \"second\"");
    let both = two.args(&["url"]).run();
    assert_eq!((both.code, both.stdout.lines().count()), (Some(0), 2), "{both:?}");
}

#[test]
fn commands_that_need_a_store_name_the_folder_in_which_there_is_none() {
    for arguments in [
        &["report"][..],
        &["show", "a"],
        &["export"],
        &["erase", "--yes", "--recipient", "+33612345678"],
        &["opt-outs", "list"],
        &["relay", "list"],
        &["reconcile", "--since", "1h"],
    ] {
        let launch = Launch::new().args(arguments);
        let data_dir = launch.data_dir();
        let ended = launch.run();
        let line = format!(
            "smscope: data_dir = {data_dir:?}: there is no store; expected the data directory of a smscope that has run (--data-dir, \
             SMSCOPE_DATA_DIR or data_dir in the configuration file)\n"
        );
        assert_eq!((ended.code, &*ended.stderr, &*ended.stdout), (Some(78), &*line, ""), "{arguments:?}");
        assert!(!data_dir.exists(), "{arguments:?}");
    }
}

#[test]
fn health_is_an_exit_code_and_a_reason() {
    let smscope = Launch::new().on_a_disk_that_may_fill_up().start();
    let launch = smscope.launch.clone().env("SMSCOPE_ADMIN_LISTEN", &smscope.admin.to_string());
    let asked = |arguments: &[&str]| {
        let ended = launch.clone().args(arguments).run();
        (ended.code, ended.stdout, ended.stderr)
    };
    let well = (Some(0), "ok\n".to_owned(), String::new());
    assert_eq!(asked(&["health"]), well);
    assert_eq!(asked(&["health", "--live"]), well);
    smscope.fill_disk();
    eventually("the store cannot write", || {
        smscope.post(HOOK, receipt("m", "DELIVERED"));
        asked(&["health"]).0 == Some(1)
    });
    let ill = (Some(1), String::new(), "smscope: not ready: the store cannot write\n".to_owned());
    assert_eq!(asked(&["health"]), ill);
    assert_eq!(asked(&["health", "--live"]), well);
    let admin = smscope.admin;
    drop(smscope);
    let (code, stdout, stderr) = asked(&["health"]);
    assert_eq!((code, &*stdout), (Some(1), ""));
    assert!(stderr.starts_with(&format!("smscope: no smscope answers at admin_listen = \"{admin}\": ")), "{stderr}");
}

#[test]
fn help_of_a_command_is_printed_by_help_as_well() {
    for arguments in [&["help"][..], &["help", "erase"], &["help", "opt-outs", "list"]] {
        let ended = Launch::new().args(arguments).run();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{arguments:?}");
        assert!(ended.stdout.contains("Usage: smscope"), "{ended:?}");
    }
}

#[test]
fn a_data_directory_has_one_user_at_a_time() {
    let first = Smscope::start();
    let data_dir = first.launch.data_dir();
    let second = first.launch.clone().run();
    assert_eq!(second.code, Some(78));
    let line = format!(
        "smscope: data_dir = {data_dir:?}: another smscope is using it; expected a data directory of its own\n"
    );
    assert_eq!((&*second.stderr, &*second.stdout), (&*line, ""));
    assert_eq!(first.post(HOOK, receipt("m", "DELIVERED")).result(), "accepted");
    let launch = first.launch.clone();
    drop(first);
    assert_eq!(launch.start().ask(post(HOOK, receipt("m", "DELIVERED"))).result(), "duplicate", "free after a kill");
}

#[test]
fn a_file_that_is_no_store_of_ours_is_left_alone() {
    for (content, problem) in [
        ("CREATE TABLE theirs (x)", "the database is not one of smscope's"),
        ("PRAGMA application_id = 0x736d7363; PRAGMA user_version = 99; CREATE TABLE later (x)", "newer than"),
    ] {
        let launch = Launch::new();
        let private = launch.data_dir().join("private");
        fs::create_dir_all(&private).unwrap();
        let database = private.join("smscope.db");
        rusqlite::Connection::open(&database).unwrap().execute_batch(content).unwrap();
        for (path, mode) in [(&private, 0o700), (&database, 0o600)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let ended = launch.run();
        assert_eq!(ended.code, Some(78), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(ended.stderr.starts_with("smscope: data_dir = ") && ended.stderr.contains(problem), "{ended:?}");
        let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
        let count: i64 =
            rusqlite::Connection::open(&database).unwrap().query_row(tables, [], |row| row.get(0)).unwrap();
        assert_eq!(count, 1, "{content}");
    }
}

/// A launch by a user who is not root. Root may write anywhere, and a test of permissions would pass for the wrong reason.
fn launch_by_nobody() -> Launch {
    by_nobody(Launch::new())
}

fn by_nobody(launch: Launch) -> Launch {
    let home = launch.home.path().to_owned();
    if fs::metadata(&home).unwrap().uid() != 0 {
        return launch;
    }
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    // The user nobody may not be able to reach the folder in which the program was built.
    let program = home.join("smscope");
    fs::copy(env!("CARGO_BIN_EXE_smscope"), &program).unwrap();
    launch.program(program).user(NOBODY)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let launch = launch_by_nobody();
    let data_dir = launch.data_dir();
    fs::create_dir(&data_dir).unwrap();
    let is_root = fs::metadata(&data_dir).unwrap().uid() == 0;
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(if is_root { 0o755 } else { 0o555 })).unwrap();
    let ended = launch.clone().run();
    assert_eq!(ended.code, Some(78), "{ended:?}");
    let problem = format!("smscope: data_dir = {data_dir:?}: Permission denied (os error 13); expected ");
    let expected = match is_root {
        true => format!(
            "{data_dir:?} to belong to user {NOBODY}, as whom smscope runs, and not to user 0 (chown -R {NOBODY}, or run it as user 0; \
             in Kubernetes runAsUser and fsGroup)\n"
        ),
        false => "a directory that smscope can make and write\n".to_owned(),
    };
    assert_eq!((&*ended.stderr, &*ended.stdout), (&*(problem + &expected), ""));

    // It is the permission that was lacking, nothing else.
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o755)).unwrap();
    if is_root {
        chown(&data_dir, Some(NOBODY), None).unwrap();
    }
    assert_eq!(launch.start().post(HOOK, receipt("m", "DELIVERED")).result(), "accepted");
}

#[test]
fn a_data_directory_of_another_user_names_what_belongs_to_whom() {
    let launch = by_nobody(Launch::without_token());
    let home = launch.home.path().to_owned();
    if fs::metadata(&home).unwrap().uid() != 0 {
        return;
    }
    // As a pod leaves it whose user is another one from now on.
    let (data_dir, private) = (launch.data_dir(), launch.data_dir().join("private"));
    fs::create_dir_all(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    chown(&data_dir, Some(NOBODY), None).unwrap();
    chown(&private, Some(4711), None).unwrap();
    let whose = |what: &Path, owner: u32| {
        format!("{what:?} to belong to user {NOBODY}, as whom smscope runs, and not to user {owner} ")
    };
    for arguments in [&["serve"][..], &["export"], &["url"]] {
        let ended = launch.clone().args(arguments).run();
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(78), 1), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(&whose(&private, 4711)), "{arguments:?}: {ended:?}");
    }
    // As a command leaves it that root has run.
    chown(&private, Some(NOBODY), None).unwrap();
    let token = private.join("token-smsmode");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let ended = launch.run();
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.stderr.contains(&whose(&token, 0)), "{ended:?}");
}

#[test]
fn a_data_directory_that_is_mounted_read_only_is_reported_as_such() {
    let launch = Launch::new();
    let data_dir = launch.data_dir();
    if fs::metadata(launch.home.path()).unwrap().uid() != 0 {
        return;
    }
    let Some(unshare) = require_tool("unshare", on_path("unshare"), "Debian has it in the package util-linux") else {
        return;
    };
    let used = launch.start();
    assert_eq!(used.post(HOOK, receipt("m", "DELIVERED")).result(), "accepted");
    used.stop();
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$1\"";
    let output = Command::new(unshare)
        .args(["--mount", "sh", "-c", script])
        .args([data_dir.as_os_str(), env!("CARGO_BIN_EXE_smscope").as_ref()])
        .env("SMSCOPE_DATA_DIR", &data_dir)
        .envs([("SMSCOPE_LISTEN", "127.0.0.1:0"), ("SMSCOPE_ADMIN_LISTEN", "127.0.0.1:0")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    let line = format!(
        "smscope: data_dir = {data_dir:?}: Read-only file system (os error 30); expected a file system that is mounted for writing\n"
    );
    assert_eq!(said, line);
}

#[test]
fn in_a_volume_that_is_open_to_all_what_is_private_stays_so() {
    let launch = Launch::without_token().prepared_by("umask 0");
    let data_dir = launch.data_dir();
    fs::create_dir(&data_dir).unwrap();
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o777)).unwrap();
    let smscope = launch.start();
    let url = launch.clone().args(&["url"]).run().stdout;
    let path = url.trim_end().split_once("127.0.0.1:0").unwrap().1.to_owned();
    assert_eq!(smscope.ask(request("POST", &path, &[], receipt("m", "DELIVERED"))).result(), "accepted");

    let private = data_dir.join("private");
    assert_eq!(mode(&data_dir), 0o777, "left as it was");
    assert_eq!(mode(&private), 0o700);
    let mut names = Vec::new();
    for file in fs::read_dir(&private).unwrap() {
        let file = file.unwrap().path();
        assert_eq!(mode(&file), 0o600, "{file:?}");
        names.push(file.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    let expected = [
        "control",
        "hash-key",
        "instance-id",
        "lock",
        "smscope.db",
        "smscope.db-shm",
        "smscope.db-wal",
        "token-smsmode",
    ];
    assert_eq!(names, expected, "and nothing else, while it runs");
    let outside: Vec<_> = fs::read_dir(&data_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(outside, ["private"], "all of it is inside");
}
