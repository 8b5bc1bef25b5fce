//! Strict JSON: bounded depth, and no key twice in an object, since two readers may disagree on which one counts.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// Why a body was not read. Holds no text of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is not JSON.
    Syntax,
    /// It is nested deeper than the limit.
    Depth,
    /// An object has a key twice.
    DuplicateKey,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, line, column } = self;
        let what = match kind {
            FaultKind::Syntax => "the body is not valid JSON",
            FaultKind::Depth => "the body is nested too deeply",
            FaultKind::DuplicateKey => "an object has the same key twice",
        };
        write!(f, "{what} (line {line}, column {column})")
    }
}

/// Reads one JSON value of at most `max_depth` nested arrays and objects.
///
/// # Errors
/// A [`Fault`] with its position.
pub fn parse(bytes: &[u8], max_depth: usize) -> Result<Value, Fault> {
    let kind = Cell::new(FaultKind::Syntax);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let node = Node { depth_left: max_depth, kind: &kind };
    let parsed = node.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| Fault { kind: kind.get(), line: error.line(), column: error.column() })
}

/// The same, where a surrogate without its other half is U+FFFD: some servers cut an emoji over two fragments.
///
/// # Errors
/// A [`Fault`] with its position.
pub fn parse_mended(text: &str, max_depth: usize) -> Result<Value, Fault> {
    parse(text.as_bytes(), max_depth).or_else(|_| parse(mended(text).as_bytes(), max_depth))
}

pub(super) fn mended(json: &str) -> String {
    let mut mended = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((before, after)) = rest.split_once('\\') {
        mended.push_str(before);
        rest = after;
        let unit = |text: &str| u16::from_str_radix(text.strip_prefix('u')?.get(..4)?, 16).ok();
        let low = |text: &str| text.get(5..).and_then(|text| unit(text.strip_prefix('\\')?));
        let taken = match (unit(rest), low(rest)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 11,
            (Some(0xD800..=0xDFFF), _) => {
                mended.push_str("\\ufffd");
                rest = rest.get(5..).unwrap_or_default();
                continue;
            }
            _ => rest.chars().next().map_or(0, char::len_utf8),
        };
        let (escape, after) = rest.split_at_checked(taken).unwrap_or((rest, ""));
        mended.push('\\');
        mended.push_str(escape);
        rest = after;
    }
    mended + rest
}

#[derive(Clone, Copy)]
struct Node<'a> {
    depth_left: usize,
    kind: &'a Cell<FaultKind>,
}

impl Node<'_> {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left, ..self }),
            None => {
                self.kind.set(FaultKind::Depth);
                Err(E::custom("too deep"))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            let value = entries.next_value_seed(inner)?;
            if object.insert(key, value).is_some() {
                self.kind.set(FaultKind::DuplicateKey);
                return Err(A::Error::custom("duplicate key"));
            }
        }
        Ok(Value::Object(object))
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_their_kind_and_place() {
        let kind = |text: &str| parse(text.as_bytes(), 3).unwrap_err().kind;
        assert_eq!(kind("{"), FaultKind::Syntax);
        assert_eq!(kind("[1] x"), FaultKind::Syntax);
        assert_eq!(kind("\u{feff}{}"), FaultKind::Syntax);
        assert_eq!(kind(r#"{"a": "\ud800"}"#), FaultKind::Syntax);
        assert_eq!(kind("[[[[1]]]]"), FaultKind::Depth);
        assert_eq!(kind(r#"{"a": 1, "\u0061": 2}"#), FaultKind::DuplicateKey);
        let fault = parse(b"{\"a\":\n  nope}", 3).unwrap_err();
        assert_eq!((fault.line, fault.column), (2, 4));
    }

    #[test]
    fn valid_json_is_read_as_serde_json_reads_it() {
        let text = r#"{"b": [1, -2, 1.5, 18446744073709551615, true, null, "é\n"], "a": {"c": {}}}"#;
        assert_eq!(parse(text.as_bytes(), 3).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn half_an_emoji_is_read_where_that_is_asked_for() {
        let text = |json: &str| parse_mended(json, 3).unwrap().as_str().unwrap().to_owned();
        assert_eq!(text(r#""a \ud83d""#), "a \u{fffd}");
        assert_eq!(text(r#""\ude00 c\\ud83d \ud83d\ude00""#), "\u{fffd} c\\ud83d \u{1f600}");
        assert_eq!(mended(r#"{"a": "\n\u00e9\\"}"#), r#"{"a": "\n\u00e9\\"}"#);
        assert_eq!(mended(r"\ud83"), r"\ud83");
    }

    #[test]
    fn nesting_far_beyond_the_limit_is_a_fault_and_no_crash() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(parse(deep.as_bytes(), 64).unwrap_err().kind, FaultKind::Depth);
    }
}
