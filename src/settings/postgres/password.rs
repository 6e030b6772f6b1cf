//! Where the password of a PostgreSQL role is: in the URL, in a file of its own, or in a password file of libpq.
//!
//! Files are read for each connection, so that a changed password needs no restart.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;

use super::super::credentials;
use super::super::prelude::*;
use super::url::{Host, Url};

/// The origin of the password.
#[derive(Clone)]
pub(crate) enum Password {
    /// The server asks for none, or for a certificate.
    None,
    Fixed(Secret),
    /// The path of a file that has nothing else in it.
    File(Given),
    PassFile(PassFile),
}

/// A password file of libpq, such as `~/.pgpass`.
#[derive(Clone)]
pub(crate) struct PassFile {
    path: Given,
    /// Nobody has named it, so it need not be there.
    is_optional: bool,
}

const OWNERS_ALONE: &str = "mode 0600: a password file that others can read is not used";
const ENTRIES: &str = "a password file with lines of host:port:database:user:password";

impl Password {
    /// The password of `url` at `host`.
    ///
    /// # Errors
    /// A file cannot be read, or others can read it.
    pub fn read(&self, url: &Url, host: &Host) -> Result<Option<Secret>, ConfigError> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(password) => Ok(Some(password.clone())),
            Self::File(path) => credentials::password_file(path).map(Some),
            Self::PassFile(file) => file.read(url, host),
        }
    }
}

impl PassFile {
    pub fn named(path: Given) -> Self {
        Self { path, is_optional: false }
    }

    pub fn of_home(home: &str) -> Self {
        Self { path: Given::of_flag("~/.pgpass", &format!("{home}/.pgpass")), is_optional: true }
    }

    fn read(&self, url: &Url, host: &Host) -> Result<Option<Secret>, ConfigError> {
        let unread = |problem| self.path.wrong(format_args!("cannot be read: {problem}"), ENTRIES);
        let mode = match std::fs::metadata(self.path.text("a path")?) {
            Err(problem) if self.is_optional && problem.kind() == ErrorKind::NotFound => return Ok(None),
            found => found.map_err(unread)?.permissions().mode(),
        };
        if mode & 0o077 != 0 {
            return Err(self.path.wrong(format_args!("has mode {:04o}", mode & 0o7777), OWNERS_ALONE));
        }
        let text = self.path.file_verbatim(ENTRIES)?;
        Ok(entry(&text, host, &url.database, &url.user).map(Secret::new))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Fixed(_) => "Fixed",
            Self::File(_) => "File",
            Self::PassFile(_) => "PassFile",
        })
    }
}

/// The password of the first line that matches.
///
/// Source: the PostgreSQL manual, "The Password File" of libpq.
fn entry(text: &str, host: &Host, database: &str, user: &str) -> Option<String> {
    let port = host.port.to_string();
    let matches = |field: &str, value: &str| field == "*" || unescaped(field) == value;
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let (fields, password) = fields(line)?;
        let [of_host, of_port, of_database, of_user] = fields;
        let fits = (matches(of_host, &host.name) || host.is_socket() && of_host == "localhost")
            && matches(of_port, &port)
            && matches(of_database, database)
            && matches(of_user, user);
        fits.then(|| unescaped(password))
    })
}

/// The four fields of a line as they are written, and the rest. A colon behind a backslash ends no field.
fn fields(line: &str) -> Option<([&str; 4], &str)> {
    let (mut fields, mut rest) = ([""; 4], line);
    for field in &mut fields {
        let mut is_escaped = false;
        let end = rest.find(|c| {
            let is_end = c == ':' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        })?;
        (*field, rest) = (&rest[..end], &rest[end + 1..]);
    }
    Some((fields, rest))
}

fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(c) = characters.next() {
        text.push(if c == '\\' { characters.next().unwrap_or(c) } else { c });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn host(name: &str) -> Host {
        Host { name: name.to_owned(), port: 5432 }
    }

    #[test]
    fn the_first_line_of_a_password_file_that_matches_counts() {
        for (lines, password) in [
            ("db:5432:sms:smscope:s3cret", Some("s3cret")),
            ("*:*:*:*:s3cret\ndb:5432:sms:smscope:other", Some("s3cret")),
            ("other:5432:sms:smscope:no\n*:5432:sms:smscope:s3cret", Some("s3cret")),
            ("db:5433:*:*:no\ndb:*:other:*:no\ndb:*:*:other:no", None),
            ("#db:5432:sms:smscope:no", None),
            ("", None),
            ("db:5432:sms:smscope", None),
            ("db:5432:sms:smscope:", Some("")),
            (r"db:5432:sms:smscope:a\:b\\c:d", Some(r"a:b\c:d")),
            ("db:5432:sms:smscope:spaces are kept \r\n", Some("spaces are kept ")),
            ("localhost:5432:sms:smscope:no", None),
        ] {
            assert_eq!(entry(lines, &host("db"), "sms", "smscope").as_deref(), password, "{lines}");
        }
        let (escaped, own) = (r"*:*:a\:b:u\\v:s3cret", r"u\v");
        assert_eq!(entry(escaped, &host("::1"), "a:b", own).as_deref(), Some("s3cret"));
        assert_eq!(entry(r"\:\:1:*:*:*:s3cret", &host("::1"), "d", "u").as_deref(), Some("s3cret"));
        for of_a_socket in ["localhost", "/run/postgresql"] {
            let line = format!("{of_a_socket}:*:*:*:s3cret");
            assert_eq!(entry(&line, &host("/run/postgresql"), "d", "u").as_deref(), Some("s3cret"), "{line}");
        }
    }

    #[test]
    fn a_password_file_that_others_can_read_is_rejected() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(".pgpass");
        let url = Url::parse("postgresql://smscope@db/sms").unwrap();
        let of_home = Password::PassFile(PassFile::of_home(folder.path().to_str().unwrap()));
        let named = Password::PassFile(PassFile::named(Given::of_flag("PGPASSFILE", path.to_str().unwrap())));
        assert!(of_home.read(&url, &url.hosts[0]).unwrap().is_none());
        let missing = named.read(&url, &url.hosts[0]).unwrap_err().to_string();
        assert!(missing.starts_with("PGPASSFILE = ") && missing.contains("cannot be read"), "{missing}");
        fs::write(&path, "*:*:*:*:s3cret").unwrap();
        for (mode, is_used) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            for file in [&of_home, &named] {
                match file.read(&url, &url.hosts[0]) {
                    Ok(password) => assert_eq!((password.unwrap().reveal(), is_used), ("s3cret", true)),
                    Err(error) => {
                        let ending = format!("has mode {mode:04o}; expected {OWNERS_ALONE}");
                        assert!(!is_used && error.to_string().ends_with(&ending), "{error}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_file_with_the_password_is_read_as_it_is_now() {
        let folder = TempDir::new().unwrap();
        let url = Url::parse("postgresql://smscope@db/sms").unwrap();
        let path = folder.path().join("password");
        let password = Password::File(Given::of_flag("store.password_file", path.to_str().unwrap()));
        for (text, expected) in [("one\n", Some("one")), ("two words ", Some("two words ")), ("", None), ("a\nb", None)]
        {
            fs::write(&path, text).unwrap();
            let read = password.read(&url, &url.hosts[0]);
            assert_eq!(read.ok().flatten().as_ref().map(Secret::reveal), expected, "{text:?}");
        }
    }
}
