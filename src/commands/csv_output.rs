//! CSV output of commands: RFC 4180 by the `csv` crate, columns by the type of a row, and no cell that a spreadsheet reads as a formula.

use std::io::{self, Write};

use serde::de::value::Error;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// Rows with the same columns.
pub struct CsvOutput<W: Write>(csv::Writer<W>);

impl<W: Write> CsvOutput<W> {
    /// # Errors
    /// `out` cannot be written.
    pub fn new(out: W, columns: &[&str]) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(columns)?;
        Ok(Self(writer))
    }

    /// A row of cells that are written as they are.
    ///
    /// # Errors
    /// It cannot be written, or has another number of cells than there are columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<[u8]>>) -> io::Result<()> {
        Ok(self.0.write_record(cells)?)
    }

    /// The members of an object, each under its column; nothing for one that is not there, JSON for a nested one.
    ///
    /// # Errors
    /// As [`CsvOutput::row`].
    pub fn object(&mut self, columns: &[&str], object: &Map<String, Value>) -> io::Result<()> {
        self.row(columns.iter().map(|column| cell(object.get(*column))))
    }

    /// # Errors
    /// It cannot be written to its end.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A whole CSV of cells that are written as they are.
pub fn csv_text<C: AsRef<[u8]>>(
    columns: &[&str],
    rows: impl IntoIterator<Item = impl IntoIterator<Item = C>>,
) -> String {
    let mut text = Vec::new();
    let write = || -> io::Result<()> {
        let mut csv = CsvOutput::new(&mut text, columns)?;
        rows.into_iter().try_for_each(|row| csv.row(row))?;
        csv.finish()
    };
    // Writing to memory cannot fail.
    let _infallible = write();
    String::from_utf8_lossy(&text).into_owned()
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => harmless(text),
        Some(other) => other.to_string(),
    }
}

/// `text`, quoted if a spreadsheet would read it as a formula: much of it is external input.
pub fn harmless(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("{guard}{text}")
}

/// The names of a struct's fields, in their order, as serde knows them.
pub fn fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    let _asked_for_the_names_only = T::deserialize(Names(&mut fields));
    fields
}

/// Records the field names that a type declares when it is deserialized.
struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("there is nothing to be read"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("this is no struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_cannot_break_out_of_csv_or_become_a_formula() {
        let columns = ["text"];
        for (value, line) in [
            (json!("SMS"), "SMS"),
            (json!("a,b"), "\"a,b\""),
            (json!("a\"b"), "\"a\"\"b\""),
            (json!("two\nlines"), "\"two\nlines\""),
            (json!("=1+1"), "'=1+1"),
            (json!("@x"), "'@x"),
            (json!("-1,=2"), "\"'-1,=2\""),
            (json!(-1), "-1"),
            (json!({"a": "b,c"}), "\"{\"\"a\"\":\"\"b,c\"\"}\""),
            (json!(["=1", 2]), "\"[\"\"=1\"\",2]\""),
        ] {
            let mut out = Vec::new();
            let mut csv = CsvOutput::new(&mut out, &columns).unwrap();
            csv.object(&columns, json!({"text": value, "another": 1}).as_object().unwrap()).unwrap();
            csv.finish().unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), format!("text\n{line}\n"), "{value}");
        }
    }
}
