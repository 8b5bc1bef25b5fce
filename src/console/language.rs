//! The languages of the console: every text stands in both where it is used.

use crate::policy::message::{Languages, Messages};

/// A language that the console speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Spanish.
    Es,
}

impl Language {
    /// Every language, with its own name for itself.
    pub const ALL: [(Self, &'static str); 2] = [(Self::En, "English"), (Self::Es, "Español")];

    /// Its code (ISO 639).
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
        }
    }

    /// The language of a code.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.iter().map(|(language, _)| *language).find(|language| language.id() == id)
    }

    /// The one that an `Accept-Language` header asks for; English where it asks for none that is spoken.
    #[must_use]
    pub fn wanted(header: &str) -> Self {
        let mut codes = Messages::default();
        Self::ALL.iter().for_each(|(language, _)| codes.add(language.id(), language.id()));
        Self::from_id(&codes.text(&Languages::accepted(header))).unwrap_or_default()
    }

    /// The text in this language.
    #[must_use]
    pub const fn say<'a>(self, english: &'a str, spanish: &'a str) -> &'a str {
        match self {
            Self::En => english,
            Self::Es => spanish,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_asks_for_is_spoken() {
        for (header, language) in [("es-MX, en;q=0.5", Language::Es), ("de", Language::En), ("", Language::En)] {
            assert_eq!(Language::wanted(header), language, "{header}");
        }
        assert_eq!(Language::from_id("es"), Some(Language::Es));
        assert_eq!(Language::from_id("fr"), None);
    }
}
