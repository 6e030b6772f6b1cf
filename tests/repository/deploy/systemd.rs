//! The unit, as systemd's own checks see it, and all that the program asks of the kernel, held against it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::{HOOK, Launch, Smscope, eventually, free_port, holds, program, receipt, succeeded};
use crate::support::{read, root};

pub const UNIT: &str = "deploy/systemd/smscope.service";

/// Somebody who is not root; the tests need not be root either.
pub const NOBODY: u32 = 65_532;

fn systemd_analyze(arguments: &[&str]) -> Option<Output> {
    let program = program("systemd-analyze", "systemd")?;
    Some(Command::new(program).args(arguments).env("SYSTEMD_COLORS", "0").output().unwrap())
}

/// The unit with the binary of this build: verify looks whether the program is there.
fn unit_of_this_build(folder: &Path) -> PathBuf {
    let unit = read(UNIT);
    let with_ours =
        unit.replace("ExecStart=/usr/local/bin/smscope", &format!("ExecStart={}", env!("CARGO_BIN_EXE_smscope")));
    assert_ne!(unit, with_ours);
    let path = folder.join("smscope.service");
    fs::write(&path, with_ours).unwrap();
    path
}

/// The values of a setting of a unit, one a line that has it.
pub fn values(unit: &str, key: &str) -> Vec<String> {
    let value = |line: &str| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned());
    unit.lines().filter_map(value).collect()
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let folder = TempDir::new().unwrap();
    let path = unit_of_this_build(folder.path());
    let Some(output) = systemd_analyze(&["verify", path.to_str().unwrap()]) else { return };
    // A setting that it does not know is a line, and no failure.
    assert_eq!(succeeded(&output), "");
}

#[test]
fn systemd_rates_the_exposure_of_the_unit_as_low() {
    let folder = TempDir::new().unwrap();
    let path = unit_of_this_build(folder.path());
    // 1.1 of 10, of which 0.8 are for being on the network at all.
    let arguments = ["security", "--no-pager", "--offline=true", "--threshold=12", path.to_str().unwrap()];
    let Some(output) = systemd_analyze(&arguments) else { return };
    assert!(succeeded(&output).contains("Overall exposure level for smscope.service"));
}

#[test]
fn it_is_restarted_unless_the_exit_code_is_permanent() {
    assert_eq!(values(&read(UNIT), "Restart"), ["on-failure"]);
    let never = format!("{} {}", smscope::commands::EXIT_USAGE, smscope::commands::EXIT_CONFIGURATION);
    assert_eq!(values(&read(UNIT), "RestartPreventExitStatus"), [never]);
}

/// The system calls that a unit allows, from systemd's own sets.
pub fn allowed(unit: &str) -> Option<BTreeSet<String>> {
    let mut allowed = BTreeSet::new();
    for filter in values(unit, "SystemCallFilter") {
        let taken_away = filter.starts_with('~');
        for set in filter.trim_start_matches('~').split(' ') {
            let calls = if set.starts_with('@') { members(set)? } else { BTreeSet::from([set.to_owned()]) };
            if taken_away {
                allowed.retain(|call| !calls.contains(call));
            } else {
                allowed.extend(calls);
            }
        }
    }
    Some(allowed)
}

/// The calls of a set such as `@system-service`, sets within it opened up.
fn members(set: &str) -> Option<BTreeSet<String>> {
    let listed = succeeded(&systemd_analyze(&["syscall-filter", "--no-pager", set])?);
    let mut calls = BTreeSet::new();
    for line in listed.lines().map(str::trim).filter(|line| !line.starts_with('#') && !line.is_empty()) {
        match line {
            _ if line == set => {}
            inner if inner.starts_with('@') => calls.extend(members(inner)?),
            call => {
                calls.insert(call.to_owned());
            }
        }
    }
    Some(calls)
}

/// Accepts webhooks, is scraped, and exports to an address where nothing listens.
pub fn work(smscope: &Smscope) {
    for id in 0..20 {
        assert_eq!(smscope.post(HOOK, receipt(&id.to_string(), "DELIVERED")).status, 200);
    }
    eventually("an export that fails, its host resolved", || {
        smscope.metric("smscope_export_failures_total", &[("signal", "logs")]) > 0.0
    });
    assert_eq!(smscope.ask_admin("GET", "/", &[]).status, 200);
}

/// A launch whose home another user can enter, with a copy of the program and a folder for its state there; whether these tests
/// are run by root.
pub fn for_nobody() -> (Launch, bool) {
    let unreachable = format!("http://localhost:{}", free_port());
    let launch = Launch::new().env("OTEL_EXPORTER_OTLP_ENDPOINT", &unreachable);
    let home = launch.home.path().to_owned();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    fs::create_dir(home.join("state")).unwrap();
    let launch = launch.env("SMSCOPE_DATA_DIR", home.join("state/smscope").to_str().unwrap());
    // Where anybody may run it, as it is when it is installed.
    fs::copy(env!("CARGO_BIN_EXE_smscope"), home.join("smscope")).unwrap();
    if is_root {
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
        chown(home.join("state"), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    (launch, is_root)
}

/// What the system calls of the program, one a line, from its start through webhooks, a scrape, an export that fails,
/// and its end; and the one folder that it may write to.
fn traced() -> Option<(Vec<String>, String)> {
    let strace = program("strace", "strace")?;
    let (launch, is_root) = for_nobody();
    let home = launch.home.path().to_owned();
    let trace = home.join("state/trace");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let program = path(&home.join("smscope"));
    // Daemonized, strace is not between us and the program.
    let options = ["--follow-forks", "--daemonize", "--string-limit=256", "--output", &path(&trace), &program];
    let mut launch = launch.program(strace).args(&options).env("OTEL_METRIC_EXPORT_INTERVAL", "200");
    if is_root {
        launch = launch.user(NOBODY);
    }
    let smscope = launch.start();
    work(&smscope);
    let launch = smscope.stop();
    eventually("the whole trace", || {
        let text = fs::read_to_string(&trace).unwrap();
        holds(text.trim_end().ends_with("+++ exited with 0 +++"), || "strace is still writing".to_owned())
    });
    let text = fs::read_to_string(&trace).unwrap();
    let calls = text.lines().map(|line| line.split_once(' ').unwrap().1.trim().to_owned()).collect();
    Some((calls, path(launch.data_dir().parent().unwrap())))
}

/// The name of a call's line; `None` for signals, ends, and the second half of what was interrupted.
fn name(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('(')?;
    (!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')).then_some(name)
}

#[test]
fn the_program_makes_no_system_call_that_the_unit_forbids() {
    let Some(allowed) = allowed(&read(UNIT)) else { return };
    assert!(allowed.contains("fdatasync") && !allowed.contains("chown") && !allowed.contains("setpriority"));
    let Some((lines, state)) = traced() else { return };

    let used: BTreeSet<&str> = lines.iter().filter_map(|line| name(line)).collect();
    assert!(used.contains("fdatasync") && used.contains("accept4"), "{used:?}");
    // execve is strace's own, as it would be systemd's.
    let forbidden: Vec<&&str> = used.iter().filter(|&&call| !allowed.contains(call) && call != "execve").collect();
    assert!(forbidden.is_empty(), "SystemCallFilter forbids {forbidden:?}");

    let families = values(&read(UNIT), "RestrictAddressFamilies").concat();
    for line in lines.iter().filter(|line| line.starts_with("socket(")) {
        let family = line.trim_start_matches("socket(").split(',').next().unwrap();
        // glibc queries the kernel's list of addresses first, and continues without it.
        assert!(families.split(' ').any(|allowed| allowed == family) || family == "AF_NETLINK", "{line}");
    }
    for line in lines.iter().filter(|line| line.starts_with("mmap(") || line.starts_with("mprotect(")) {
        assert!(!(line.contains("PROT_WRITE") && line.contains("PROT_EXEC")), "MemoryDenyWriteExecute forbids {line}");
    }
    // Also what a container's read-only root asks for.
    for line in &lines {
        let changes = match name(line) {
            Some("openat" | "open") => ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| line.contains(flag)),
            Some(call) => ["mkdir", "unlink", "rename", "link", "symlink", "truncate", "chmod"]
                .iter()
                .any(|verb| call.strip_prefix(verb).is_some_and(|rest| ["", "at", "at2"].contains(&rest))),
            None => false,
        };
        assert!(!changes || line.contains(&state), "ProtectSystem=strict forbids {line}");
    }
    assert!(root().join(UNIT).is_file());
}
