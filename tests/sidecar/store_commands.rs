//! What is stored, for those who may see it alone: `smscope export` and `smscope show`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::support::{Ended, HOOK, Launch, Smscope, request, require_tool};
use serde_json::{Value, json};

const NOBODY: u32 = 65_534;

fn filled(smscope: &Smscope) {
    let receipt = |id: &str, number: &str, status: &str| {
        json!({"messageId": id, "channel": {"type": "SMS", "flow": "OTP"}, "recipient": {"to": number}, "refClient": format!("order-{id}"),
            "body": {"text": "=1+1, \"quoted\"\nand more"}, "price": {"amount": "0.05", "currency": "EUR"},
            "status": {"value": status, "lookup": {"mccMnc": "20801", "network": "Orange"}}})
    };
    for body in [
        receipt("a", "33612345678", "ENROUTE"),
        receipt("a", "33612345678", "DELIVERED"),
        receipt("b", "33698765432", "UNDELIVERED"),
        json!({"messageId": "r", "direction": "MO", "from": "+33 6 12 34 56 78", "recipient": {"to": "36111"}, "body": {"text": "Merci"},
            "originMessageId": "a"}),
        json!({"nobody": "knows"}),
    ] {
        assert_eq!(smscope.post(HOOK, body.to_string()).status, 200);
    }
}

fn run(smscope: &Smscope, arguments: &[&str]) -> Ended {
    smscope.launch.clone().args(arguments).run()
}

#[track_caller]
fn lines(smscope: &Smscope, arguments: &[&str]) -> Vec<Value> {
    let ended = run(smscope, &[&["export"][..], arguments].concat());
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_export_has_each_selected_event_or_message_and_no_other() {
    let smscope = Smscope::start();
    filled(&smscope);
    let kinds = |arguments: &[&str]| -> Vec<String> {
        lines(&smscope, arguments).iter().map(|line| line["kind"].as_str().unwrap().to_owned()).collect()
    };
    let (enroute, delivered, failed) = ("message.enroute", "message.delivered", "message.failed");
    for (arguments, expected) in [
        (&[][..], &[enroute, delivered, failed, "reply.received", "webhook.unrecognized"][..]),
        (&["--recipient", "+33612345678"], &[enroute, delivered, "reply.received"]),
        (&["--recipient", "06 98 76 54 32", "--recipient", "33600000000"], &[failed]),
        (&["--message", "a"], &[enroute, delivered]),
        (&["--message", "a", "--recipient", "33698765432"], &[]),
        (&["--since", "1h"], &[enroute, delivered, failed, "reply.received", "webhook.unrecognized"]),
        (&["--since", "2100-01-01"], &[]),
        (&["--until", "2026-01-01"], &[]),
        (&["--until", "2100-01-01T00:00Z", "--message", "b"], &[failed]),
    ] {
        assert_eq!(kinds(arguments), expected, "{arguments:?}");
    }
    let reply = lines(&smscope, &["--message", "r"]).remove(0);
    assert_eq!(reply["number"], "33612345678");
    assert_eq!(
        (&reply["text"], &reply["source"], &reply["ref_client"]),
        (&json!("Merci"), &json!("smsmode"), &json!("order-a"))
    );

    let messages = lines(&smscope, &["--table", "messages", "--recipient", "0612345678"]);
    assert_eq!(messages.len(), 1);
    for (member, value) in [("message_id", "a"), ("state", "delivered"), ("number", "33612345678"), ("mccmnc", "20801")]
    {
        assert_eq!(messages[0][member], value);
    }
    assert_eq!(lines(&smscope, &["--table", "messages"]).len(), 2);
    let from_input = smscope.launch.clone().args(&["export", "--recipient", "-"]).run_with("0612345678\n");
    assert_eq!(from_input.stdout.lines().count(), 3, "{from_input:?}");
}

#[test]
fn csv_is_what_a_spreadsheet_reads_and_never_a_formula() {
    let smscope = Smscope::start();
    filled(&smscope);
    let ended = run(&smscope, &["export", "--format", "csv", "--message", "a"]);
    let (heading, rows) = ended.stdout.split_once('\n').unwrap();
    assert!(heading.starts_with("position,received_at,source,kind,"), "{heading}");
    assert!(rows.contains("\"'=1+1, \"\"quoted\"\"\nand more\""), "{rows}");
    let messages = run(&smscope, &["export", "--format", "csv", "--table", "messages"]).stdout;
    assert_eq!(messages.lines().count(), 3, "{messages}");
    let commas = |line: &str| line.matches(',').count();
    assert!(messages.lines().all(|line| commas(line) == commas(messages.lines().next().unwrap())), "{messages}");
}

#[test]
fn a_long_export_needs_no_memory_and_ends_when_its_reader_does() {
    let smscope = Smscope::start();
    let mut client = smscope.client();
    for batch in 0..40 {
        let receipts: Vec<Value> = (0..500)
            .map(|n| json!({"messageId": format!("{batch}-{n}"), "recipient": {"to": "33612345678"}, "status": {"value": "DELIVERED"},
                "body": {"text": "x".repeat(200)}}))
            .collect();
        assert_eq!(client.ask(crate::support::post(HOOK, Value::from(receipts).to_string())).result(), "accepted");
    }
    let export = |pipe: &str| {
        let mut command = Command::new("sh");
        let line = format!("(ulimit -v 200000; \"$0\" export --data-dir \"$1\") {pipe}");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_smscope"), smscope.launch.data_dir().to_str().unwrap()]);
        command.output().unwrap()
    };
    let all = export("");
    assert!(all.status.success(), "{}", String::from_utf8_lossy(&all.stderr));
    assert_eq!(String::from_utf8(all.stdout).unwrap().lines().count(), 20_000);
    let some = export("| head -n 3");
    assert_eq!(String::from_utf8(some.stdout).unwrap().lines().count(), 3);
    assert_eq!(String::from_utf8(some.stderr).unwrap(), "");
}

#[test]
fn a_journey_is_shown_by_id_or_reference_and_masked_by_default() {
    let smscope = Smscope::start();
    filled(&smscope);
    for id in ["a", "order-a"] {
        let shown = run(&smscope, &["show", id]).stdout;
        for part in [
            "message a of smsmode\n",
            "  to        +336•••••678, FR, SMS, OTP\n",
            "  reference order-a\n",
            "  state     delivered\n",
            "  network   Orange (20801)\n",
            "  cost      0.05 EUR\n",
            "enroute, ENROUTE\n",
            "delivered, DELIVERED\n",
            "reply, from +336•••••678\n",
        ] {
            assert!(shown.contains(part), "{part:?} in {shown}");
        }
        assert!(!shown.contains("612345678") && !shown.contains("Merci"), "{shown}");
    }
    let full = run(&smscope, &["show", "a", "--full"]).stdout;
    assert!(full.contains("to        +33612345678") && full.contains("\"Merci\""), "{full}");
    assert!(run(&smscope, &["show", "r"]).stdout.contains("reply, from +336•••••678"));
    let nothing = run(&smscope, &["show", "nothing"]);
    assert_eq!(nothing.code, Some(1));
    assert_eq!(nothing.stderr, "smscope: no message with this id or reference is in the store\n");
}

#[test]
fn where_there_is_no_store_that_is_one_line() {
    for arguments in [&["export"][..], &["show", "a"]] {
        let launch = Launch::new();
        let ended = launch.clone().args(arguments).run();
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(78), 1), "{ended:?}");
        assert!(!launch.data_dir().exists(), "nothing is made");
    }
}

/// As [`as_nobody`], for a test that says nothing where it cannot be had.
fn needs_nobody() -> Option<Launch> {
    require_tool("root", as_nobody(), "nobody else can become somebody else")
}

/// A data directory that is everybody's, with a copy of the program that everybody may run; `None` where this is not root, for whom
/// modes mean nothing.
fn as_nobody() -> Option<Launch> {
    let launch = Launch::new();
    let home = launch.home.path();
    if fs::metadata(home).unwrap().uid() != 0 {
        return None;
    }
    fs::set_permissions(home, fs::Permissions::from_mode(0o755)).unwrap();
    let program = home.join("smscope");
    fs::copy(env!("CARGO_BIN_EXE_smscope"), &program).unwrap();
    fs::create_dir(launch.data_dir()).unwrap();
    fs::set_permissions(launch.data_dir(), fs::Permissions::from_mode(0o777)).unwrap();
    Some(launch.program(program).user(NOBODY))
}

fn modes(folder: &Path) -> Vec<(String, u32)> {
    let entry =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().mode() & 0o777);
    let mut modes: Vec<_> = fs::read_dir(folder).unwrap().map(|found| entry(found.unwrap())).collect();
    modes.sort();
    modes
}

#[test]
fn the_private_folder_is_its_owners_alone_whatever_the_umask() {
    for umask in ["0", "022", "0277"] {
        let launch = Launch::new().prepared_by(&format!("umask {umask}"));
        let launch = as_nobody().map_or(launch, |launch| launch.prepared_by(&format!("umask {umask}")));
        fs::create_dir_all(launch.data_dir()).unwrap();
        let smscope = launch.start();
        filled(&smscope);
        let private = launch.data_dir().join("private");
        assert_eq!(fs::metadata(&private).unwrap().mode() & 0o777, 0o700, "umask {umask}");
        let modes = modes(&private);
        for name in ["control", "hash-key", "instance-id", "lock", "smscope.db", "smscope.db-shm", "smscope.db-wal"] {
            let found = modes.iter().find(|(known, _)| known == name).map(|(_, mode)| *mode);
            assert_eq!(found, Some(0o600), "{name} with umask {umask}");
        }
        assert!(modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
    }
}

#[test]
fn files_that_others_could_read_are_closed_at_the_start_and_a_line_is_logged() {
    let smscope = Smscope::start();
    filled(&smscope);
    let launch = smscope.stop();
    let private = launch.data_dir().join("private");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(private.join("smscope.db"), fs::Permissions::from_mode(0o644)).unwrap();
    let smscope = launch.start();
    assert_eq!(fs::metadata(&private).unwrap().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(private.join("smscope.db")).unwrap().mode() & 0o777, 0o600);
    let warned = |line: &&str| line.contains("\"WARN\"") && line.contains("others could reach it");
    assert_eq!(smscope.stderr().lines().filter(warned).count(), 2, "{}", smscope.stderr());
}

#[test]
fn a_private_folder_of_another_user_is_rejected() {
    let Some(launch) = needs_nobody() else { return };
    let private = launch.data_dir().join("private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o777)).unwrap();
    let ended = launch.run();
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(78), 1), "{ended:?}");
    assert!(
        ended.stderr.contains(&format!("{private:?} to belong to user {NOBODY}, as whom smscope runs, and not")),
        "{ended:?}"
    );
    assert_eq!(modes(&private), [], "nothing is written there");
}

#[test]
fn no_other_user_can_read_the_store_or_request_an_erasure() {
    let Some(stranger) = needs_nobody() else { return };
    let smscope = Launch::new().start();
    filled(&smscope);
    fs::set_permissions(smscope.launch.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let data_dir = smscope.launch.data_dir();
    let stranger = stranger.env("SMSCOPE_DATA_DIR", data_dir.to_str().unwrap());
    for arguments in [&["export"][..], &["show", "a"], &["erase", "--yes", "--recipient", "33612345678"]] {
        let ended = stranger.clone().args(arguments).run();
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(78), 1), "{ended:?}");
        assert_eq!(ended.stdout, "");
    }
    assert_eq!(smscope.stored::<i64>("SELECT count(*) FROM messages WHERE number IS NULL"), 0);
    // The owner may, and so may root.
    let answer = smscope.ask(request("GET", HOOK, &[], ""));
    assert_eq!(answer.status, 200);
}

#[test]
fn an_erasure_by_root_leaves_the_store_to_its_owner() {
    let Some(launch) = needs_nobody() else { return };
    let smscope = launch.start();
    filled(&smscope);
    smscope.stop();
    let root = Launch::new().env("SMSCOPE_DATA_DIR", launch.data_dir().to_str().unwrap());
    let ended = root.args(&["erase", "--yes", "--recipient", "33612345678"]).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let private = launch.data_dir().join("private");
    for file in fs::read_dir(&private).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().uid(), NOBODY, "{:?}", file.file_name());
    }
    let smscope = launch.start();
    filled(&smscope);
}
