//! `smscope man` and `smscope completions`: generated from the command line by clap's own tools.

use std::process::ExitCode;

use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::terminal::print;
use super::{EXIT_CODES, Exit, command_line};
use crate::config::reference::{self, Declaration};

/// `smscope completions`: the script that makes `shell` complete smscope's commands and flags.
///
/// # Errors
/// None.
pub fn completions(shell: Shell) -> Result<ExitCode, Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command_line(), "smscope", &mut script);
    print(&String::from_utf8_lossy(&script));
    Ok(ExitCode::SUCCESS)
}

/// `smscope man`: the manual page.
///
/// # Errors
/// It cannot be rendered.
pub fn run() -> Result<ExitCode, Exit> {
    print(&man_page().map_err(Exit::failure)?);
    Ok(ExitCode::SUCCESS)
}

/// smscope(1), in roff.
fn man_page() -> std::io::Result<String> {
    let command = command_line();
    let mut page = Vec::new();
    let man = Man::new(command.clone()).manual("User commands");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    commands(&command, &mut page)?;
    page.extend(settings().to_roff().into_bytes());
    man.render_version_section(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// The commands with their own options, on this page: there are no others to refer to.
fn commands(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    page.extend(Roff::new().control("SH", ["COMMANDS"]).to_roff().into_bytes());
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let heading = format!("smscope {}", command.get_name());
        page.extend(Roff::new().control("SS", [heading.as_str()]).text([roman(about)]).to_roff().into_bytes());
        if command.get_arguments().next().is_some() {
            let mut options = Vec::new();
            Man::new(command.clone()).render_options_section(&mut options)?;
            // Headings of options would end the section of the commands.
            let options = String::from_utf8_lossy(&options);
            let lines = options.lines().filter(|line| !line.starts_with(".SH "));
            page.extend(lines.flat_map(|line| [line, "\n"]).flat_map(str::bytes));
        }
    }
    Ok(())
}

/// Exit codes, the keys of the configuration file, and the variables.
fn settings() -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        roff.control("TP", []).text([bold(code.to_string())]).text([roman(*meaning)]);
    }
    roff.control("SH", ["CONFIGURATION FILE"]).text([roman(
        "In TOML. A flag wins over the environment, the environment over the file, the file over the default.",
    )]);
    for setting in reference::settings().filter(|setting| !setting.key.is_empty()) {
        let mut head = vec![bold(setting.key), roman(" = "), italic(setting.kind)];
        if !setting.default().is_empty() {
            head.push(roman(format!(" [default: {}]", setting.default())));
        }
        item(&mut roff, head, setting.meaning);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    let (of_keys, others): (Vec<_>, Vec<_>) = reference::settings().partition(|setting| !setting.key.is_empty());
    for &Declaration { key, variable, meaning, .. } in of_keys.into_iter().chain(others) {
        if let Some((variable, _)) = variable {
            item(&mut roff, vec![bold(variable)], if key.is_empty() { meaning } else { key });
        }
    }
    item(&mut roff, vec![bold("RUST_LOG")], "level of the diagnostics on stderr, info by default");
    roff
}

fn item(roff: &mut Roff, head: Vec<Inline>, text: &str) {
    roff.control("TP", []).text(head).text([roman(text.replace('`', ""))]);
}
