//! The unit, as systemd's own checks see it, and all that the program asks of the kernel, held against it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;
use tempfile::TempDir;

use crate::peers::process::Process;
use crate::peers::{Http, TOKEN, eventually, free_port, holds, on_path, require_tool};
use crate::{read, root};

pub const UNIT: &str = "deploy/systemd/smscope.service";

/// Somebody who is not root; the tests need not be root either.
pub const NOBODY: u32 = 65_532;

fn systemd_analyze(arguments: &[&str]) -> Option<Output> {
    let how = "Debian has it in the package systemd";
    let program = require_tool("systemd-analyze", on_path("systemd-analyze"), how)?;
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

fn passes(output: &Output) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let folder = TempDir::new().unwrap();
    let path = unit_of_this_build(folder.path());
    let Some(output) = systemd_analyze(&["verify", path.to_str().unwrap()]) else { return };
    // A setting that it does not know is a line, and no failure.
    assert_eq!(passes(&output), "");
}

#[test]
fn systemd_finds_the_unit_well_guarded() {
    let folder = TempDir::new().unwrap();
    let path = unit_of_this_build(folder.path());
    // 1.1 of 10, of which 0.8 are for being on the network at all.
    let arguments = ["security", "--no-pager", "--offline=true", "--threshold=12", path.to_str().unwrap()];
    let Some(output) = systemd_analyze(&arguments) else { return };
    assert!(passes(&output).contains("Overall exposure level for smscope.service"));
}

#[test]
fn it_is_started_again_unless_that_would_not_help() {
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
    let listed = passes(&systemd_analyze(&["syscall-filter", "--no-pager", set])?);
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

/// What the program asked of the kernel, one call a line, from its start through webhooks, a scrape, an export that nobody takes,
/// and its end.
fn traced(folder: &Path) -> Option<Vec<String>> {
    let strace = require_tool("strace", on_path("strace"), "Debian has it in the package strace")?;
    let (trace, state) = (folder.join("trace"), folder.join("state"));
    fs::create_dir(&state).unwrap();
    fs::write(&trace, "").unwrap();
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    // The program where anybody may run it, as it is when it is installed.
    let program = folder.join("smscope");
    fs::copy(env!("CARGO_BIN_EXE_smscope"), &program).unwrap();
    if is_root {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        for path in [&trace, &state] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let (webhooks, admin) = (free_port(), free_port());
    let mut command = Command::new(strace);
    command
        // Daemonized, strace is not between us and the program.
        .args(["--follow-forks", "--daemonize", "--string-limit=256"])
        .arg("--output")
        .arg(&trace)
        .arg(&program)
        .env_clear()
        .env("SMSCOPE_LISTEN", format!("127.0.0.1:{webhooks}"))
        .env("SMSCOPE_ADMIN_LISTEN", format!("127.0.0.1:{admin}"))
        .env("SMSCOPE_DATA_DIR", state.join("smscope"))
        .env("SMSCOPE_TOKEN", TOKEN)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://localhost:{}", free_port()))
        .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
        .current_dir("/");
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut process = Process::start("smscope", &mut command, &folder.join("log"));
    let http = Http::new();
    let get = |path: &str| http.get(&format!("http://127.0.0.1:{admin}{path}"));
    process.until_ready(|| get("/readyz").and_then(|reply| holds(reply.status == 200, || reply.body)));
    for id in 0..20 {
        let receipt =
            json!({"messageId": id.to_string(), "recipient": {"to": "33612345678"}, "status": {"value": "DELIVERED"}});
        let url = format!("http://127.0.0.1:{webhooks}/hooks/smsmode/{TOKEN}");
        assert_eq!(http.post_json(&url, &receipt.to_string()).unwrap().status, 200);
    }
    eventually("an export that fails", || {
        let page = get("/metrics")?.body;
        let failed =
            |line: &str| line.starts_with("smscope_export_failures_total{signal=\"logs\"}") && !line.ends_with(" 0");
        holds(page.lines().any(failed), || page)
    });
    assert_eq!(get("/").unwrap().status, 200);
    let status = process.terminate();
    assert!(status.success(), "{status}");
    eventually("the whole trace", || {
        let text = fs::read_to_string(&trace).unwrap();
        holds(text.trim_end().ends_with("+++ exited with 0 +++"), || "strace is still writing".to_owned())
    });
    Some(
        fs::read_to_string(&trace)
            .unwrap()
            .lines()
            .map(|line| line.split_once(' ').unwrap().1.trim().to_owned())
            .collect(),
    )
}

/// The name of a call's line; `None` for signals, ends, and the second half of what was interrupted.
fn name(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('(')?;
    (!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')).then_some(name)
}

#[test]
fn the_program_asks_the_kernel_for_nothing_that_the_unit_forbids() {
    let Some(allowed) = allowed(&read(UNIT)) else { return };
    assert!(allowed.contains("fdatasync") && !allowed.contains("chown") && !allowed.contains("setpriority"));
    let folder = TempDir::new().unwrap();
    let Some(lines) = traced(folder.path()) else { return };

    let used: BTreeSet<&str> = lines.iter().filter_map(|line| name(line)).collect();
    assert!(used.contains("fdatasync") && used.contains("accept4"), "{used:?}");
    // execve is strace's own, as it would be systemd's.
    let forbidden: Vec<&&str> = used.iter().filter(|&&call| !allowed.contains(call) && call != "execve").collect();
    assert!(forbidden.is_empty(), "SystemCallFilter forbids {forbidden:?}");

    let families = values(&read(UNIT), "RestrictAddressFamilies").concat();
    for line in lines.iter().filter(|line| line.starts_with("socket(")) {
        let family = line.trim_start_matches("socket(").split(',').next().unwrap();
        // glibc asks for the kernel's list of addresses first, and goes on without it.
        assert!(families.split(' ').any(|allowed| allowed == family) || family == "AF_NETLINK", "{line}");
    }
    for line in lines.iter().filter(|line| line.starts_with("mmap(") || line.starts_with("mprotect(")) {
        assert!(!(line.contains("PROT_WRITE") && line.contains("PROT_EXEC")), "MemoryDenyWriteExecute forbids {line}");
    }
    // Also what a container's read-only root asks for.
    let state = folder.path().join("state").to_str().unwrap().to_owned();
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
