//! The program inside what the systemd unit allows, as a process of its own: filters of system calls and a read-only file system,
//! made from the unit's own lines, a user that is not root, and the socket by which systemd is notified. There is no systemd here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;

use seccompiler::{BpfMap, TargetArch};
use serde_json::{Value, json};

use super::systemd::{NOBODY, UNIT, allowed, for_nobody, values, work};
use crate::support::read;
use crate::support::{HOOK, PATIENCE, Smscope, eventually, receipt};

/// Its name for the test harness, as which it is started.
const RUNNER: &str = "deploy::confined::becomes_the_program_inside_the_filters";

/// Sees that nothing but the state directory can be written, and that the rest is no longer root's.
const IN_A_READ_ONLY_ROOT: &str = r#"
mount --bind "$STATE" "$STATE"
mount -o remount,bind,ro /
exec setpriv --reuid="$NOBODY" --regid="$NOBODY" --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"#;

#[test]
#[ignore = "no test: the others start it as a process of its own, which then becomes the program"]
fn becomes_the_program_inside_the_filters() {
    let of = |name| std::env::var_os(name).unwrap_or_else(|| panic!("{name} is set by the tests that start this"));
    let filters = compiled(&fs::read(of("FILTERS")).unwrap());
    // By name: the list of what is allowed comes last, since it need not allow the making of a filter.
    for (_, filter) in filters.iter().collect::<BTreeMap<_, _>>() {
        seccompiler::apply_filter(filter).unwrap();
    }
    panic!("{}", Command::new(of("PROGRAM")).exec());
}

fn compiled(filters: &[u8]) -> BpfMap {
    let machine = TargetArch::try_from(std::env::consts::ARCH).expect("a machine that seccompiler knows");
    seccompiler::compile_from_json(filters, machine).unwrap()
}

/// The filters that systemd would make of the unit, by names in the order in which they are to be applied.
fn filters(unit: &str) -> Option<Value> {
    let call = |syscall: &str| json!({"syscall": syscall});
    let masked = |syscall: &str, index: u8, mask: u32, value: u32| {
        let condition = json!({"index": index, "type": "dword", "op": {"masked_eq": mask}, "val": value});
        json!({"syscall": syscall, "args": [condition]})
    };
    let refusing = |errno: u32, calls: Vec<Value>| json!({"mismatch_action": "allow", "match_action": {"errno": errno}, "filter": calls});
    const EPERM: u32 = 1;
    const ENOSYS: u32 = 38;
    const EAFNOSUPPORT: u32 = 97;
    let says_yes = |key: &str| values(unit, key) == ["yes"];
    let mut filters = serde_json::Map::new();

    let families = values(unit, "RestrictAddressFamilies").concat();
    let others = families.split_whitespace().map(|family| {
        let number = match family {
            "AF_UNIX" => 1,
            "AF_INET" => 2,
            "AF_INET6" => 10,
            other => panic!("{other}: which number is that?"),
        };
        json!({"index": 0, "type": "dword", "op": "ne", "val": number})
    });
    let others: Vec<Value> = others.collect();
    assert!(!others.is_empty());
    filters.insert("1 families".into(), refusing(EAFNOSUPPORT, vec![json!({"syscall": "socket", "args": others})]));
    if says_yes("MemoryDenyWriteExecute") {
        let (write_and_execute, execute) = (2 | 4, 4);
        let calls = [("mmap", write_and_execute), ("mprotect", execute), ("pkey_mprotect", execute)];
        let calls = calls.map(|(name, bits)| masked(name, 2, bits, bits)).to_vec();
        filters.insert("2 memory".into(), refusing(EPERM, calls));
    }
    if says_yes("RestrictNamespaces") {
        filters.insert("3 namespaces".into(), refusing(EPERM, ["unshare", "setns"].map(call).to_vec()));
        filters.insert("4 clone3".into(), refusing(ENOSYS, vec![call("clone3")]));
    }
    if says_yes("RestrictSUIDSGID") {
        let calls = [("chmod", 1), ("fchmod", 1), ("fchmodat", 2)];
        let bits = [0o4000, 0o2000];
        let calls = calls.iter().flat_map(|&(name, index)| bits.map(|bit| masked(name, index, bit, bit))).collect();
        filters.insert("5 suid".into(), refusing(EPERM, calls));
    }
    assert_eq!(values(unit, "SystemCallErrorNumber"), ["EPERM"]);
    // Each set of systemd's has calls of other machines too.
    let exists = |name: &str| {
        let filter = json!({"one": refusing(EPERM, vec![call(name)])}).to_string();
        seccompiler::compile_from_json(filter.as_bytes(), TargetArch::try_from(std::env::consts::ARCH).unwrap()).is_ok()
    };
    let calls: Vec<Value> =
        allowed(unit)?.iter().map(String::as_str).chain(["execve"]).filter(|name| exists(name)).map(call).collect();
    assert!(calls.len() > 150, "{}", calls.len());
    let only = json!({"mismatch_action": {"errno": EPERM}, "match_action": "allow", "filter": calls});
    filters.insert("9 calls".into(), only);
    Some(filters.into())
}

/// What one start is made of.
struct Confined {
    smscope: Smscope,
    notified: UnixDatagram,
}

fn start(unit: &str) -> Option<Confined> {
    let filters = filters(unit)?.to_string();
    let (launch, is_root) = for_nobody();
    let home = launch.home.path().to_owned();
    let at = |name: &str| home.join(name).to_str().unwrap().to_owned();
    fs::copy(std::env::current_exe().unwrap(), at("runner")).unwrap();
    fs::write(at("filters"), filters).unwrap();
    let notified = UnixDatagram::bind(at("notify")).unwrap();
    notified.set_read_timeout(Some(PATIENCE)).unwrap();
    fs::set_permissions(at("notify"), fs::Permissions::from_mode(0o777)).unwrap();
    let (runner, test) = (at("runner"), [RUNNER, "--exact", "--ignored", "--nocapture"]);
    let launch = if is_root {
        let arguments = ["--mount", "sh", "-e", "-c", IN_A_READ_ONLY_ROOT, "sh", &runner];
        launch.program("unshare").args(&[&arguments[..], &test].concat())
    } else {
        launch.program(runner).args(&test)
    };
    let launch = launch.envs([
        ("STATE", at("state")),
        ("NOBODY", NOBODY.to_string()),
        ("FILTERS", at("filters")),
        ("PROGRAM", at("smscope")),
        ("NOTIFY_SOCKET", at("notify")),
        ("WATCHDOG_USEC", "400000".to_owned()),
    ]);
    Some(Confined { smscope: launch.start(), notified })
}

impl Confined {
    fn notified_of(&self, state: &str) {
        let mut bytes = [0; 256];
        for _ in 0..100 {
            let length = self.notified.recv(&mut bytes).unwrap_or_else(|error| panic!("{state}: {error}"));
            match std::str::from_utf8(&bytes[..length]).unwrap() {
                said if said == state => return,
                // Comes all the time.
                "WATCHDOG=1" => {}
                other => panic!("{other} instead of {state}"),
            }
        }
        panic!("{state} does not come");
    }
}

#[test]
fn inside_the_units_sandbox_it_serves_responds_to_commands_and_ends_without_an_error() {
    let Some(confined) = start(&read(UNIT)) else { return };
    confined.notified_of("READY=1");
    work(&confined.smscope);

    let erased = Command::new(env!("CARGO_BIN_EXE_smscope"))
        .args(["erase", "--yes", "--recipient", "33612345678"])
        .env_clear()
        .env("SMSCOPE_DATA_DIR", confined.smscope.launch.data_dir())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&erased.stdout);
    assert!(erased.status.success() && said.contains("of messages: 20"), "{said}{erased:?}");

    confined.smscope.signal("HUP");
    eventually("a line about the signal", || confined.smscope.stderr().contains("SIGHUP"));
    for _ in 0..3 {
        confined.notified_of("WATCHDOG=1");
    }
    confined.smscope.signal("TERM");
    confined.notified_of("STOPPING=1");
    let ended = confined.smscope.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn without_a_control_socket_it_logs_a_warning_and_serves() {
    let unit = read(UNIT);
    let without = unit.replace(" AF_UNIX\n", "\n");
    assert_ne!(unit, without);
    let Some(Confined { smscope, .. }) = start(&without) else { return };
    assert_eq!(smscope.post(HOOK, receipt("m", "DELIVERED")).status, 200);

    let socket = smscope.launch.data_dir().join("private/control");
    let log = smscope.stderr();
    let warnings: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of_it = |line: &&Value| line["message"].as_str().is_some_and(|said| said.contains(socket.to_str().unwrap()));
    let of_it: Vec<&Value> = warnings.iter().filter(of_it).collect();
    assert_eq!(of_it.len(), 1, "{log}");
    let said = of_it[0]["message"].as_str().unwrap();
    assert!(of_it[0]["level"] == "WARN" && said.contains("Address family not supported"), "{said}");
    for command in ["erase", "reconcile", "reprocess", "relay retry", "opt-outs"] {
        assert!(said.contains(command), "{said}");
    }
    smscope.stop();
}
