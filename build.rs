//! Tells the binary what it was built from and by, for `smscope_build_info`.

use std::env;
use std::process::Command;

fn main() {
    let revision =
        env::var("SMSCOPE_REVISION").ok().or_else(|| first_line("git", &["rev-parse", "--short=12", "HEAD"]));
    let rustc = env::var("RUSTC").ok().and_then(|rustc| first_line(&rustc, &["--version"]));
    let rustc = rustc.and_then(|line| line.split(' ').nth(1).map(str::to_owned));
    println!("cargo::rustc-env=SMSCOPE_REVISION={}", revision.unwrap_or_else(|| "unknown".into()));
    println!("cargo::rustc-env=SMSCOPE_RUSTC={}", rustc.unwrap_or_else(|| "unknown".into()));
    println!("cargo::rerun-if-env-changed=SMSCOPE_REVISION");
    println!("cargo::rerun-if-changed=.git/HEAD");
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}
