//! What a person reads in place of an answer, or before it, in their language.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The language that is spoken where none that is wanted is there.
pub const DEFAULT: &str = "en";

/// A text in one language or several, by their codes (ISO 639: `en`, `es`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages(BTreeMap<String, Arc<str>>);

impl Messages {
    /// A text in one language.
    #[must_use]
    pub fn one(language: &str, text: &str) -> Self {
        Self(BTreeMap::from([(language.to_owned(), Arc::from(text))]))
    }

    /// Adds a text in a language.
    pub fn add(&mut self, language: &str, text: &str) {
        self.0.insert(language.to_owned(), Arc::from(text));
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every text with its language.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(language, text)| (language.as_str(), &**text))
    }

    /// The text in the first language of `wanted` that there is; else in English, else in any.
    #[must_use]
    pub fn text(&self, wanted: &Languages) -> Arc<str> {
        let wanted = wanted.0.iter().map(String::as_str).chain([DEFAULT]);
        let found = wanted.filter_map(|language| self.0.get(language)).next().or(self.0.values().next());
        found.map_or_else(|| Arc::from(""), Arc::clone)
    }
}

/// Who an answer is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// What they read.
    pub languages: Languages,
    /// Who they are, where the operator says so.
    pub audience: Option<Audience>,
    /// Whose request it is, where a gateway in front says so.
    pub tenant: Option<Arc<str>>,
    /// Whether it is about records of substance-use treatment (42 CFR Part 2), of which nothing more than a decision is kept.
    pub part2: bool,
}

/// Whether a tenant can have this name.
#[must_use]
pub fn is_tenant(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=LONGEST_TENANT).contains(&name.len()) && name.bytes().all(is_plain)
}

/// What a name of a tenant is made of.
pub const TENANT_NAMES: &str = "names are of a-z, 0-9, \".\", \"_\" and \"-\", at most 64 bytes";

const LONGEST_TENANT: usize = 64;

/// Who a route is for. What a physician may ask, a patient may need to be answered otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Patients and those around them.
    Patient,
    /// Physicians, nurses, pharmacists.
    Clinician,
    /// Administration, billing, insurers.
    Staff,
    /// Research and teaching.
    Research,
}

impl Audience {
    /// All, with their names in policies and configurations.
    pub const ALL: [(&'static str, Self); 4] = [
        ("patient", Self::Patient),
        ("clinician", Self::Clinician),
        ("staff", Self::Staff),
        ("research", Self::Research),
    ];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, audience)| *audience)
    }

    /// Their names, to be told.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }

    /// Its name in policies, configurations and records.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Clinician => "clinician",
            Self::Staff => "staff",
            Self::Research => "research",
        }
    }
}

/// Languages that a client reads, the best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Languages(Vec<String>);

impl Languages {
    /// Those of an `Accept-Language` header (RFC 9110, section 12.5.4); regions are left out. At most eight are read.
    #[must_use]
    pub fn accepted(header: &str) -> Self {
        let ranges = header.split(',').take(8).filter_map(|range| {
            let (tag, weight) = range.split_once(';').unwrap_or((range, ""));
            let language = tag.trim().split('-').next()?.to_ascii_lowercase();
            let weight = weight.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.trim().parse::<f32>().ok())?;
            let is_code = (2..=3).contains(&language.len()) && language.bytes().all(|byte| byte.is_ascii_lowercase());
            (is_code && weight > 0.0).then_some((language, weight))
        });
        let mut ranges: Vec<(String, f32)> = ranges.collect();
        ranges.sort_by(|one, other| other.1.total_cmp(&one.1));
        Self(ranges.into_iter().map(|(language, _)| language).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tenants_are_plain() {
        for name in ["st-anna", "a", "7.north_wing", &"a".repeat(64)] {
            assert!(is_tenant(name), "{name}");
        }
        for name in ["", "St-Anna", "st anna", "a/b", "é", "a,b", &"a".repeat(65)] {
            assert!(!is_tenant(name), "{name}");
        }
    }

    #[test]
    fn the_best_language_that_there_is_is_spoken() {
        let mut messages = Messages::one("en", "no");
        messages.add("es", "no, gracias");
        messages.add("fr", "non");
        let said = |header: &str| messages.text(&Languages::accepted(header)).to_string();
        assert_eq!(said("fr-CA, en;q=0.5"), "non");
        assert_eq!(said("de, es;q=0.4, fr;q=0.9"), "non");
        assert_eq!(said("ES"), "no, gracias");
        for other in ["", "de", "*", "fr;q=0", "fr;q=x", "français", ";;;,"] {
            assert_eq!(said(other), "no", "{other}");
        }
        assert_eq!(&*Messages::one("de", "nein").text(&Languages::default()), "nein");
    }
}
