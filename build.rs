//! Tells the binary what it was built from and by, for `smscope_build_info`, and writes the numbering plans of `src/number/plan.rs`.
//!
//! The names of variables do not start with `SMSCOPE_`: `cargo run` passes them on to the binary, which would read them as settings.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use phonenumber::Metadata;
use phonenumber::metadata::DATABASE;

fn main() {
    let plans: Vec<String> = (0..1000_u16).flat_map(|code| DATABASE.by_code(&code)).flatten().map(plan).collect();
    let directory = env::var("OUT_DIR").unwrap_or_default();
    let table = format!("static PLANS: [Plan; {}] = [{}];", plans.len(), plans.concat());
    fs::write(Path::new(&directory).join("plans.rs"), table).expect("OUT_DIR is writable");
    // Nearly a megabyte of relocations becomes 20 kB, and a start reads none of it.
    if has_packed_relocations() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    build_info();
}

/// Whether this machine, if the binary is made for it, has a glibc that reads packed relocations: 2.36 or newer.
fn has_packed_relocations() -> bool {
    let version = first_line("getconf", &["GNU_LIBC_VERSION"]).unwrap_or_default();
    let minor = version.strip_prefix("glibc 2.").and_then(|minor| minor.parse::<u32>().ok());
    env::var("HOST") == env::var("TARGET") && minor >= Some(36)
}

/// A line of Rust that makes one country's plan: what it takes to read a number and nothing else, so that the binary has neither the rest
/// of the metadata nor to unpack it.
fn plan(meta: &Metadata) -> String {
    // What a valid number may be; emergency and short numbers are not written to.
    let all = meta.descriptors();
    let kinds = [
        all.mobile(),
        all.fixed_line(),
        all.toll_free(),
        all.premium_rate(),
        all.shared_cost(),
        all.personal_number(),
        all.voip(),
        all.pager(),
        all.uan(),
        all.voicemail(),
    ];
    let kinds = kinds.iter().flatten();
    let mut lengths: Vec<u16> = kinds.clone().flat_map(|kind| kind.possible_length()).copied().collect();
    lengths.sort_unstable();
    lengths.dedup();
    let valid: Vec<&str> = kinds.map(|kind| kind.national_number().as_str()).collect();
    let trunk = meta.national_prefix_for_parsing().map(|prefix| prefix.as_str()).or(meta.national_prefix());
    format!(
        "Plan {{ code: {}, country: Country::new({:?}), lengths: &{lengths:?}, valid: {}, leading: {}, trunk: {}, transform: {:?} }},\n",
        meta.country_code(),
        meta.id(),
        pattern(&valid.join("|"), "$"),
        optional(meta.leading_digits().map(|leading| leading.as_str())),
        optional(trunk),
        meta.national_prefix_transform_rule(),
    )
}

fn optional(beginning: Option<&str>) -> String {
    beginning.map_or_else(|| "None".to_owned(), |text| format!("Some({})", pattern(text, "")))
}

/// The metadata's patterns are broken over lines, and not anchored.
fn pattern(text: &str, end: &str) -> String {
    let text: String = text.split_whitespace().collect();
    format!("Pattern::new({:?})", format!("^(?:{text}){end}"))
}

fn build_info() {
    let revision = env::var("BUILD_REVISION").ok().or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    let rustc = env::var("RUSTC").ok().and_then(|rustc| first_line(&rustc, &["--version"]));
    let rustc = rustc.and_then(|line| line.split(' ').nth(1).map(str::to_owned));
    println!("cargo::rustc-env=BUILD_REVISION={}", revision.unwrap_or_else(|| "unknown".into()));
    println!("cargo::rustc-env=BUILD_RUSTC={}", rustc.unwrap_or_else(|| "unknown".into()));
    println!("cargo::rerun-if-env-changed=BUILD_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    // A line is added to the log of HEAD by each commit and checkout. A file that is not there would mean: each time.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    first_line("git", arguments)
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}
