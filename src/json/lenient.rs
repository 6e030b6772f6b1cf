//! The lenient reader. It reads each byte a bounded number of times.

use serde_json::{Map, Number, Value};

use super::{Document, is_space};

/// Levels of arrays and objects. serde_json has the same limit.
const MAX_DEPTH: usize = 127;

/// The documents of a text, trimmed; `None` if it does not begin as an object, an array or a string.
pub fn read(text: &str) -> Option<Vec<Document>> {
    let lines: Vec<&str> =
        text.split(['\n', '\r']).map(|line| line.trim_matches(is_space)).filter(|line| !line.is_empty()).collect();
    if are_documents(&lines) { read_lines(&lines) } else { read_sequence(text) }
}

/// Whether each line is a document, or would be: the first one is, or all begin like one and any is. An array with an element per line
/// is one document.
fn are_documents(lines: &[&str]) -> bool {
    let [first, .., last] = lines else { return false };
    let is_array = first.starts_with('[') && last.ends_with(']') && !is_balanced(first) && !is_balanced(last);
    let begin_alike = || lines.iter().all(|line| line.starts_with(['{', '[']));
    is_balanced(first) || (!is_array && begin_alike() && lines.iter().any(|line| is_balanced(line)))
}

/// Whether a line is one object or array, with separators after it at most.
fn is_balanced(line: &str) -> bool {
    line.starts_with(['{', '[']) && end_of_nested(line).is_some_and(|end| line[end..].chars().all(is_separator))
}

/// Where the object or array ends that `text` begins with; `None` if the text ends before.
fn end_of_nested(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    // All that is compared is ASCII, which is no part of another character.
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// A line that holds no document is an element that is none, as long as the others are a list: beside a single one it is what
/// follows that.
fn read_lines(lines: &[&str]) -> Option<Vec<Document>> {
    let mut documents = Vec::with_capacity(lines.len());
    let mut bad = 0;
    for line in lines {
        match read_sequence(line) {
            Some(read) => documents.extend(read),
            None => {
                bad += 1;
                documents.push(Document { value: Value::Null, truncated: false });
            }
        }
    }
    if documents.len() - bad <= 1 {
        documents.retain(|document| !document.value.is_null());
    }
    (!documents.is_empty()).then_some(documents)
}

/// One document, and those that follow it directly.
pub fn read_sequence(text: &str) -> Option<Vec<Document>> {
    let mut reader = Reader { text, at: 0, depth: 0, arrays: 0, objects: 0, truncated: false };
    let mut documents = Vec::new();
    loop {
        reader.skip(is_separator);
        match reader.peek() {
            Some(b'{' | b'[') => {}
            Some(b'"') if documents.is_empty() => {}
            _ => break,
        }
        let value = reader.value();
        let truncated = std::mem::take(&mut reader.truncated);
        documents.extend(value.map(|value| Document { value, truncated }));
    }
    (!documents.is_empty()).then_some(documents)
}

/// What stands between documents, elements and members; too many of it or none is no defect.
fn is_separator(c: char) -> bool {
    c == ',' || is_space(c)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Of arrays and objects that are open, and how many of each.
    depth: usize,
    arrays: usize,
    objects: usize,
    /// The text ended inside of the document.
    truncated: bool,
}

/// The role of a string, which determines what follows its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Name,
    Value,
    Document,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, unwanted: impl Fn(char) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches(unwanted).len();
    }

    fn skip_space(&mut self) {
        self.skip(is_space);
    }

    /// Moves on by one character.
    fn step(&mut self) {
        self.at += self.text[self.at..].chars().next().map_or(0, char::len_utf8);
    }

    /// `None` if the end of the text cuts through it.
    fn value(&mut self) -> Option<Value> {
        self.skip_space();
        match self.peek() {
            None => {
                self.truncated = true;
                None
            }
            Some(b'{' | b'[') if self.depth == MAX_DEPTH => {
                self.skip_nested();
                Some(Value::Null)
            }
            Some(b'{') => Some(self.object()),
            Some(b'[') => Some(self.array()),
            Some(quote @ (b'"' | b'\'')) => {
                let role = if self.depth == 0 { Role::Document } else { Role::Value };
                self.string(quote, role).map(Value::String)
            }
            Some(_) => self.word(),
        }
    }

    fn array(&mut self) -> Value {
        self.at += 1;
        self.depth += 1;
        self.arrays += 1;
        let mut values = Vec::new();
        loop {
            self.skip(is_separator);
            match self.peek() {
                None => {
                    self.truncated = true;
                    break;
                }
                Some(b']') => {
                    self.at += 1;
                    break;
                }
                // The end of what is around it: its own is missing.
                Some(b'}') if self.objects > 0 => break,
                Some(b'}' | b':') => self.at += 1,
                Some(_) => values.extend(self.value()),
            }
        }
        self.arrays -= 1;
        self.depth -= 1;
        Value::Array(values)
    }

    fn object(&mut self) -> Value {
        self.at += 1;
        self.depth += 1;
        self.objects += 1;
        let mut members = Map::new();
        loop {
            self.skip(is_separator);
            let name = match self.peek() {
                None => {
                    self.truncated = true;
                    break;
                }
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                Some(b']') if self.arrays > 0 => break,
                Some(b']' | b':') => {
                    self.at += 1;
                    continue;
                }
                Some(b'{' | b'[') => {
                    self.skip_nested();
                    continue;
                }
                Some(quote @ (b'"' | b'\'')) => self.string(quote, Role::Name),
                Some(_) => Some(self.bare().to_owned()),
            };
            self.skip_space();
            if self.peek() == Some(b':') {
                self.at += 1;
                if let (Some(name), Some(value)) = (name, self.value()) {
                    members.insert(name, value);
                }
            }
        }
        self.objects -= 1;
        self.depth -= 1;
        Value::Object(members)
    }

    /// What stands without quotes, up to the next space or punctuation; one character at least.
    fn bare(&mut self) -> &str {
        let start = self.at;
        self.skip(|c| !(c.is_whitespace() || c.is_control() || ",:{}[]\"'".contains(c)));
        if self.at == start {
            self.step();
        }
        &self.text[start..self.at]
    }

    /// A word or a number. Where the text ends with it, it may be half of one.
    fn word(&mut self) -> Option<Value> {
        let word = self.bare().to_owned();
        if self.at == self.text.len() {
            self.truncated = true;
            return None;
        }
        if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") {
            return Some(Value::Bool(word.eq_ignore_ascii_case("true")));
        }
        Some(number(word))
    }

    /// An object or array without its content.
    fn skip_nested(&mut self) {
        let end = end_of_nested(&self.text[self.at..]);
        self.truncated |= end.is_none();
        self.at = end.map_or(self.text.len(), |end| self.at + end);
    }

    /// A string from its first quote on; `None` if the text ends before it does.
    fn string(&mut self, quote: u8, role: Role) -> Option<String> {
        self.at += 1;
        let mut string = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.bytes().position(|byte| byte == quote || byte == b'\\').unwrap_or(rest.len());
            string.push_str(&rest[..plain]);
            self.at += plain;
            match self.peek() {
                None => {
                    self.truncated = true;
                    return None;
                }
                Some(b'\\') => self.escape(&mut string),
                Some(_) => {
                    self.at += 1;
                    if self.is_end(role) {
                        return Some(string);
                    }
                    string.push(char::from(quote));
                }
            }
        }
    }

    /// Whether the quote before this place ends a string: what comes next is what comes after one. Else it is a part of it that
    /// nobody escaped.
    fn is_end(&self, role: Role) -> bool {
        let rest = &self.text[self.at..];
        let next = rest.trim_start_matches(is_space);
        match (next.bytes().next(), role) {
            (None, _) | (_, Role::Document) => true,
            (Some(byte), Role::Name) => byte == b':',
            (Some(b',' | b'}' | b']'), Role::Value) => true,
            // A comma is missing at the end of a line.
            (Some(b'"'), Role::Value) => rest[..rest.len() - next.len()].contains('\n'),
            (Some(_), Role::Value) => false,
        }
    }

    fn escape(&mut self, string: &mut String) {
        self.at += 1;
        let Some(escaped) = self.text[self.at..].chars().next() else { return };
        self.at += escaped.len_utf8();
        string.push(match escaped {
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.unicode(),
            shown => shown,
        });
    }

    /// The character of an escape behind its `\u`, and of the one after it if both are one.
    fn unicode(&mut self) -> char {
        let Some(unit) = self.unit() else { return char::REPLACEMENT_CHARACTER };
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        let after = self.at;
        if self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            if let Some(low @ 0xdc00..0xe000) = self.unit() {
                return char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
                    .unwrap_or(char::REPLACEMENT_CHARACTER);
            }
        }
        // The other half is missing, and what is there instead is read by itself.
        self.at = after;
        char::REPLACEMENT_CHARACTER
    }

    /// Four hexadecimal digits; `None`, behind those that there are, if there are fewer.
    fn unit(&mut self) -> Option<u32> {
        let digits = self.text[self.at..].bytes().take(4).take_while(u8::is_ascii_hexdigit).count();
        let unit = &self.text[self.at..self.at + digits];
        self.at += digits;
        if digits == 4 { u32::from_str_radix(unit, 16).ok() } else { None }
    }
}

/// A number with its digits: a string where a number of serde_json would be written otherwise, or where only a leading zero or plus
/// keeps it from being one. `null` for what is none.
fn number(word: String) -> Value {
    let digits = word.strip_prefix('+').unwrap_or(&word);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match serde_json::from_str::<Number>(&word) {
        Ok(number) if number.to_string() == word => Value::Number(number),
        Ok(_) => Value::String(word),
        Err(_) if is_integer => Value::String(word),
        Err(_) => Value::Null,
    }
}
