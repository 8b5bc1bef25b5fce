//! A text that is to become a policy: what it may extend, and what is wrong with it.

use super::Policy;
use super::file::{self, Base, Fault};
use toml_edit::{Array, ArrayOfTables, Item};

/// So many rules may stand in a draft.
const MOST: usize = 100;

/// What drafts begin as, and may extend beside the [shipped](super::shipped) policies. No file on the disk is read for one:
/// whoever writes a draft need not be let see what stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    bases: Vec<Base>,
}

impl Ground {
    /// The ground that a policy is: it may be extended by its version (`extends = "v3"`), and what its own text extends stays
    /// what it was when it came in force, so that a draft which begins as that text means the same.
    #[must_use]
    pub fn of(policy: &Policy, version: Option<i64>) -> Self {
        let mut bases = Vec::new();
        if let Some((own, others)) = policy.texts.split_first() {
            let document = file::document(&own.file, &own.text).ok();
            let extends = document.as_ref().and_then(|document| document.get("extends")).and_then(Item::as_str);
            bases.extend(extends.map(|name| Base { name: name.to_owned(), texts: others.to_vec() }));
            bases.extend(version.map(|version| Base { name: format!("v{version}"), texts: policy.texts.clone() }));
        }
        Self { bases }
    }

    /// The policy that a draft is.
    ///
    /// # Errors
    /// Every fault of it, with its line and key.
    pub fn read(&self, name: &str, text: &str) -> Result<Policy, Vec<Fault>> {
        let file = format!("{name}.toml");
        let document = file::document(&file, text).ok();
        let rules = document.as_ref().and_then(|document| document.get("rules"));
        let rules = rules.map_or(0, |rules| {
            let tables = rules.as_array_of_tables().map_or(0, ArrayOfTables::len);
            tables + rules.as_array().map_or(0, Array::len)
        });
        // The patterns of each may take megabytes.
        if rules > MOST {
            let message = format!("{rules} rules, and a draft has at most {MOST}");
            return Err(vec![Fault { file, line: 1, key: "rules".to_owned(), message }]);
        }
        file::parse_among(&file, text, &self.bases)
    }

    /// What a draft may extend.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.bases.iter().map(|base| base.name.as_str())
    }
}

/// A text as it came from a form, with the ends of lines that files have.
#[must_use]
pub fn plain(text: &str) -> String {
    // PostgreSQL takes no NUL, and TOML has none.
    let mut text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}");
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// The text of a new draft that changes nothing of a policy yet.
#[must_use]
pub fn extending(name: &str, base: &str) -> String {
    format!("name = {:?}\nextends = {:?}\n", name, base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_has_a_hundred_rules_at_most() {
        let rule = "direction = \"prompt\"\nscore = \"violation\"\nthreshold = 0.5\naction = \"flag\"\n";
        let rules = |many| {
            let all = (0..many).map(|place| format!("[[rules]]\nname = \"r{place}\"\n{rule}"));
            extending("p", "ama") + &all.collect::<String>()
        };
        assert_eq!(Ground::default().read("p", &rules(100)).unwrap().rules.len(), 104);
        let faults = Ground::default().read("p", &rules(101)).unwrap_err();
        assert_eq!(faults[0].message, "101 rules, and a draft has at most 100");
    }

    #[test]
    fn a_draft_extends_what_is_in_force_and_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.toml");
        std::fs::write(&path, "name = \"base\"\nextends = \"ama\"\nunjudgeable = \"allow\"").unwrap();
        let ours = folder.path().join("ours.toml");
        std::fs::write(&ours, "# Ours.\nname = \"ours\"\nextends = \"base.toml\"\n").unwrap();
        let policy = file::open(&ours).unwrap();
        std::fs::remove_file(&path).unwrap();
        let ground = Ground::of(&policy, Some(3));
        assert_eq!(ground.names().collect::<Vec<_>>(), ["base.toml", "v3"]);
        let same = ground.read("draft", &policy.texts[0].text).unwrap();
        assert_eq!((same.rules, same.unjudgeable), (policy.rules.clone(), policy.unjudgeable));
        assert_eq!(ground.read("draft", &extending("mine", "v3")).unwrap().texts.len(), 4);
        assert!(ground.read("draft", &extending("mine", "patient")).is_ok());
        for file in ["/etc/passwd", "../secret.toml", &path.display().to_string(), "v2"] {
            let faults = ground.read("draft", &extending("mine", file)).unwrap_err();
            let Fault { line, key, message, .. } = &faults[0];
            assert_eq!((*line, key.as_str()), (2, "extends"), "{file}");
            assert!(message.starts_with("expected one of base.toml, v3, ama"), "{message}");
        }
    }

    #[test]
    fn lines_end_as_in_files() {
        assert_eq!(plain("a\r\nb\rc"), "a\nb\nc\n");
        assert_eq!(plain(""), "");
    }
}
