//! The completions and the manual page: made from the command line as it is, and of use where they end up.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{Launch, on_path, require_tool};
use smscope::commands;

/// What `smscope` prints, with a configuration that it must not care for.
fn printed(arguments: &[&str]) -> String {
    let launch = Launch::new().file("colour = \"red\"").args(arguments);
    let data_dir = launch.data_dir();
    let ended = launch.run();
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{arguments:?}");
    assert!(!data_dir.exists(), "nothing is written: {arguments:?}");
    ended.stdout
}

/// The commands there are, whatever they are.
fn commands() -> Vec<String> {
    let line = commands::command_line();
    let names: Vec<String> = line.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    assert!(
        ["serve", "url", "check", "report", "simulate", "man"]
            .iter()
            .all(|name| names.iter().any(|other| other == name))
    );
    names
}

/// What a program makes of `input`; `None` when there is no such program on this machine.
fn fed(program: &str, arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let how = format!("Debian has it in the package {program}");
    let mut command = Command::new(require_tool(program, on_path(program), &how)?);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn each_shell_gets_a_script_with_every_command_and_flag() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for command in commands() {
            assert!(script.contains(&command), "{command} for {shell}");
        }
        for flag in ["config", "listen", "admin-listen", "data-dir", "since"] {
            assert!(script.contains(flag), "--{flag} for {shell}");
        }
    }
}

#[test]
fn the_scripts_are_ones_that_their_shells_can_read() {
    for (shell, arguments) in [("bash", &["-n"][..]), ("zsh", &["-n"]), ("fish", &["--no-execute", "/dev/stdin"])] {
        if let Some((good, said)) = fed(shell, arguments, &printed(&["completions", shell])) {
            assert!(good && said.is_empty(), "{shell}: {said}");
        }
    }
}

#[test]
fn bash_completes_a_command_by_its_beginning() {
    let ask = "COMP_WORDS=(smscope chec); COMP_CWORD=1; _smscope smscope chec smscope; echo \"${COMPREPLY[@]}\"";
    let script = printed(&["completions", "bash"]) + ask;
    if let Some((good, said)) = fed("bash", &["--norc"], &script) {
        assert!(good, "{said}");
        assert_eq!(said.trim(), "check");
    }
}

#[test]
fn a_shell_that_is_not_known_is_a_usage_error() {
    let ended = Launch::new().args(&["completions", "klingon"]).run();
    assert_eq!(ended.code, Some(64));
    assert!(ended.stderr.contains("bash, elvish, fish, powershell, zsh"), "{}", ended.stderr);
}

#[test]
fn the_manual_page_has_commands_settings_variables_and_exit_codes() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH smscope 1"), "{page}");
    for section in
        ["NAME", "SYNOPSIS", "OPTIONS", "COMMANDS", "\"EXIT STATUS\"", "\"CONFIGURATION FILE\"", "ENVIRONMENT"]
    {
        assert!(page.lines().any(|line| line == format!(".SH {section}")), "{section}");
    }
    assert!(!page.contains(".SH SIMULATION"), "options stand under their command");
    for command in commands() {
        assert!(page.lines().any(|line| line == format!(".SS \"smscope {command}\"")), "{command}");
    }
}

#[test]
fn groff_renders_the_manual_page_without_a_complaint() {
    let Some((good, text)) = fed("groff", &["-man", "-Tascii", "-ww", "-P-cbou"], &printed(&["man"])) else { return };
    assert!(good && !text.contains("warning") && !text.contains("error:"), "{text}");
    for part in ["smscope check", "store.retention = duration [default: 30d]", "SMSCOPE_LISTEN", "RUST_LOG", "78 "] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
