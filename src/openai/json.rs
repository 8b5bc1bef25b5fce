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
    fn nesting_far_beyond_the_limit_is_a_fault_and_no_crash() {
        let deep = "[".repeat(1_000_000);
        assert_eq!(parse(deep.as_bytes(), 64).unwrap_err().kind, FaultKind::Depth);
    }
}
