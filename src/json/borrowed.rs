//! Valid JSON in one pass, with its texts where they stand: what almost every body is, at a third of the cost of a [`Value`].

use std::borrow::Cow;
use std::fmt;
use std::ops::Index;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::ALWAYS_READ;

/// A JSON value that borrows from its text or from a [`Value`].
#[derive(Debug, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    /// Its elements are checked and dropped.
    Array,
    /// Of members with the same name the last one counts.
    Object(Vec<(&'a str, Json<'a>)>),
}

/// Reads one document. `None` for what [`read`](super::read) has to look at: damaged JSON, numbers that have to be read by their
/// digits, a name with an escape, a large body. Whatever this reads, `read` reads the same.
pub fn read_valid(bytes: &[u8]) -> Option<Json<'_>> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= ALWAYS_READ)?;
    serde_json::from_str(text).ok()
}

impl Json<'_> {
    pub fn is_object(&self) -> bool {
        matches!(self, Json::Object(_))
    }

    /// As [`keeps_digits`](super::keeps_digits): a float may have been written with other digits.
    fn keeps_digits(&self, name: Option<&str>) -> bool {
        !matches!(self, Json::Number(number) if number.is_f64()) || name == Some("amount")
    }
}

/// The member of an object; null for what is not there, as with [`Value`].
impl<'a> Index<&str> for Json<'a> {
    type Output = Json<'a>;

    fn index(&self, name: &str) -> &Json<'a> {
        let Json::Object(members) = self else { return &Json::Null };
        members.iter().rev().find(|(found, _)| *found == name).map_or(&Json::Null, |(_, value)| value)
    }
}

impl<'a> From<&'a Value> for Json<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Json::Null,
            Value::Bool(yes) => Json::Bool(*yes),
            Value::Number(number) => Json::Number(number.clone()),
            Value::String(text) => Json::Text(text.into()),
            Value::Array(_) => Json::Array,
            Value::Object(members) => {
                Json::Object(members.iter().map(|(name, value)| (name.as_str(), value.into())).collect())
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON whose numbers keep their digits")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(yes))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json<'de>, A::Error> {
        while let Some(element) = elements.next_element::<Json<'_>>()? {
            if !element.keeps_digits(None) {
                return Err(Error::custom("an element that is a float"));
            }
        }
        Ok(Json::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let mut object = Vec::with_capacity(8);
        while let Some((name, value)) = members.next_entry::<&str, Json<'_>>()? {
            if !value.keeps_digits(Some(name)) {
                return Err(Error::custom("a member that is a float"));
            }
            object.push((name, value));
        }
        Ok(Json::Object(object))
    }
}
