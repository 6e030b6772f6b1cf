//! What several tables have of credentials: tokens, passwords, and the files that have them.

use super::prelude::*;
use super::value::TOKEN_EXPECTED;
use crate::secret::{CandidateDigest, Secret};

#[derive(Clone, Debug)]
pub struct Basic {
    pub user: String,
    pub password: Secret,
}

impl Basic {
    /// Whether `credentials`, `user:password`, are these, in time that does not depend on them.
    pub fn matches(&self, credentials: &[u8]) -> bool {
        let Some(colon) = credentials.iter().position(|byte| *byte == b':') else { return false };
        let user = Secret::new(self.user.clone()).matches(&CandidateDigest::of(&credentials[..colon]));
        let password = self.password.matches(&CandidateDigest::of(&credentials[colon + 1..]));
        user & password
    }
}

/// The table `basic` of `parent`: the user, and the password or the file that has it.
pub(crate) fn basic(
    parent: &mut Table,
    user: &Setting<String>,
    [password, password_file]: [&Setting<Secret>; 2],
) -> Result<Option<Basic>, ConfigError> {
    let Some(mut table) = parent.optional_table("basic")? else {
        parent.show("basic", "none", None);
        return Ok(None);
    };
    let given = table.take(user).ok_or_else(|| table.missing(user.name(), USER_EXPECTED))?;
    let user = user.read(&given)?;
    let password = required(&mut table, password, password_file)?;
    parent.show("basic", format_args!("{user}:<token>"), table.origin());
    table.finish()?;
    Ok(Some(Basic { user, password }))
}

const USER_EXPECTED: &str = "a user name without a colon";

/// The part after a colon would be a password.
pub(crate) fn user(given: &Given) -> Result<String, ConfigError> {
    given.parse(USER_EXPECTED, |text| (!text.is_empty() && !text.contains(':')).then(|| text.to_owned()))
}

/// A secret that has to be there, in the file that is named if it is not given itself.
pub(crate) fn required(
    table: &mut Table,
    own: &Setting<Secret>,
    file: &Setting<Secret>,
) -> Result<Secret, ConfigError> {
    match table.either(own, file)? {
        Some((_, secret)) => Ok(secret),
        None => Err(table.missing(own.name(), &format!("it or {}", file.name()))),
    }
}

const PASSWORD_EXPECTED: &str = "a text that is not empty, of printable characters";

pub(crate) fn password(given: &Given) -> Result<Secret, ConfigError> {
    password_that(given, |_| true)
}

pub(crate) fn password_file(given: &Given) -> Result<Secret, ConfigError> {
    password_file_that(given, |_| true)
}

/// A password for which `fits` holds.
pub(crate) fn password_that(given: &Given, fits: fn(&str) -> bool) -> Result<Secret, ConfigError> {
    let text = given.verbatim(PASSWORD_EXPECTED)?;
    printable(text, fits).ok_or_else(|| given.bad(PASSWORD_EXPECTED))
}

pub(crate) fn password_file_that(given: &Given, fits: fn(&str) -> bool) -> Result<Secret, ConfigError> {
    let text = given.file_verbatim("a file with the secret in it")?;
    printable(&text, fits).ok_or_else(|| given.wrong("not a usable secret", PASSWORD_EXPECTED))
}

fn printable(text: &str, fits: fn(&str) -> bool) -> Option<Secret> {
    let is_good = !text.is_empty() && !text.contains(char::is_control) && fits(text);
    is_good.then(|| Secret::new(text.to_owned()))
}

pub(crate) fn token(given: &Given) -> Result<Secret, ConfigError> {
    given.parse(TOKEN_EXPECTED, token_of)
}

pub(crate) fn token_file(given: &Given) -> Result<Secret, ConfigError> {
    let text = given.file("a file with the token in it")?;
    token_of(&text).ok_or_else(|| given.wrong("not a usable token", TOKEN_EXPECTED))
}

/// Tokens as a list of the file.
pub(crate) fn tokens(given: &Given) -> Result<Vec<Secret>, ConfigError> {
    given.list("tokens", TOKEN_EXPECTED, token_of)
}

/// Tokens with commas between them.
pub(crate) fn listed_tokens(given: &Given) -> Result<Vec<Secret>, ConfigError> {
    let expected = format!("tokens of {TOKEN_EXPECTED}, with commas between them");
    given.parse(&expected, |text| text.split(',').map(|item| token_of(item.trim())).collect())
}

/// Tokens in a file, one a line.
pub(crate) fn tokens_of_file(given: &Given) -> Result<Vec<Secret>, ConfigError> {
    let text = given.file("a file with one token a line")?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let tokens = lines.map(|(at, line)| {
        let problem = || given.wrong(format_args!("line {} is not a token", at + 1), TOKEN_EXPECTED);
        token_of(line.trim()).ok_or_else(problem)
    });
    let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
    if tokens.is_empty() {
        return Err(given.wrong("no token in it", "one token a line"));
    }
    Ok(tokens)
}

/// Tokens in several such files.
pub(crate) fn tokens_of_files(given: &Given) -> Result<Vec<Secret>, ConfigError> {
    let tokens = given.items("files of tokens")?.iter().map(tokens_of_file).collect::<Result<Vec<_>, _>>()?;
    Ok(tokens.concat())
}

fn token_of(text: &str) -> Option<Secret> {
    value::fits_as_token(text).then(|| Secret::new(text.to_owned()))
}
