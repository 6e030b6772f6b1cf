//! Documents and help are written in the words of the field.

use std::fs;

use regex::Regex;
use smscope::commands::command_line;

use super::documents;
use crate::support::{read, root};

/// Words of a dialect, as patterns, and the field's word for each.
const DIALECT: [(&str, &str); 24] = [
    ("kept", "stored"),
    ("told", "exported, reported, logged"),
    ("taken", "accepted"),
    ("hand(?:s|ed)? (?:it |them )?over", "submitted"),
    ("asks others|what (?:it|smscope) asks", "outbound jobs, polls"),
    ("who may|who enters", "authentication"),
    ("refusals?", "rejection, error"),
    ("turn(?:s|ed)? away", "rejected"),
    ("places", "connection slots, positions"),
    ("guess(?:es|ed|ing|er)?", "failed authentications"),
    ("made dear", "throttled"),
    ("comes? again", "retries"),
    ("work(?:s|ed)? off", "processes"),
    ("look(?:s|ed|ing)?", "checks, queries"),
    ("mend(?:s|ed|ing)?", "fix"),
    ("anew", "again"),
    ("who(?:m)?ever", "a client, the operator, a user"),
    ("roads?", "transport"),
    ("strangers?", "unauthenticated clients"),
    ("(?:sent|sends?|sending)(?: it| them)? again", "resent"),
    ("tr(?:y|ies|ied) again", "retries"),
    ("goes", "is deleted, expires"),
    ("(?:is|are) well", "is healthy"),
    ("repetitions?", "retry, duplicate"),
];

/// Where such a word has its ordinary meaning.
const ORDINARY: [&str; 4] = ["looks like", "look like", "looked up", "goes to"];

/// A text with every code span and ordinary use blanked, as long as before.
fn without_quotations(text: &str) -> String {
    let mut is_code = false;
    let shown = text.chars().map(|c| {
        is_code ^= c == '`';
        if (is_code || c == '`') && c != '\n' { ' ' } else { c }
    });
    ORDINARY.iter().fold(shown.collect(), |text, ordinary| text.replace(ordinary, ""))
}

/// A document with the lines of fenced blocks blanked, so that lines have their numbers.
fn prose(document: &str) -> String {
    let mut is_fenced = false;
    let lines = document.lines().map(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        if is_fenced || is_fence { "" } else { line }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The help of a command and of those under it, by what is typed for it.
fn helps(command: &mut clap::Command, name: &str) -> Vec<(String, String)> {
    let own = (format!("{name} --help"), command.render_long_help().to_string());
    let below = command.get_subcommands_mut().flat_map(|below| {
        let name = format!("{name} {}", below.get_name());
        helps(below, &name)
    });
    std::iter::once(own).chain(below).collect()
}

#[test]
fn documents_and_help_use_the_words_of_the_field() {
    let mut texts: Vec<(String, String)> = documents()
        .into_iter()
        .filter(|(path, _)| path != "CHANGELOG.md")
        .map(|(path, text)| (path, prose(&text)))
        .collect();
    for file in fs::read_dir(root().join("docs/runbooks")).unwrap() {
        let path = format!("docs/runbooks/{}", file.unwrap().file_name().into_string().unwrap());
        texts.push((path.clone(), prose(&read(&path))));
    }
    texts.extend(helps(&mut command_line(), "smscope"));
    let mut found = Vec::new();
    for (word, instead) in DIALECT {
        // A sentence may break between two words.
        let pattern = format!(r"(?i-u:\b(?:{})\b)", word.replace(' ', r"\s+"));
        let pattern = Regex::new(&pattern).unwrap();
        for (path, text) in &texts {
            let text = without_quotations(text);
            for hit in pattern.find_iter(&text) {
                let line = text[..hit.start()].matches('\n').count() + 1;
                let word = hit.as_str().split_whitespace().collect::<Vec<_>>().join(" ");
                found.push(format!("{path}:{line}: \"{word}\": write {instead}"));
            }
        }
    }
    assert!(found.is_empty(), "words of the dialect:\n{}", found.join("\n"));
}
