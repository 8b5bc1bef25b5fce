//! When a rule of a policy file asks a judge model.

use super::read::{Reader, Section};
use crate::policy::opinion::{Otherwise, SecondOpinion};
use crate::policy::rule::{Effect, Rule, Score};
use toml_edit::{Item, Value};

const KEY: &str = "second_opinion";

/// What else a rule says that its second opinion depends on; nothing where that is faulty.
pub(super) struct Of<'a> {
    pub(super) base: Option<&'a Rule>,
    pub(super) score: Option<Score>,
    pub(super) effect: Option<Effect>,
    pub(super) thresholds: [Option<f32>; 2],
}

impl Reader<'_> {
    /// The second opinion of a rule, over that of the rule that it changes; `false` takes that away. `None` after a fault.
    #[expect(clippy::option_option, reason = "none is a fault, and none in it is a rule that asks nobody")]
    pub(super) fn second_opinion(&mut self, section: Section<'_>, of: &Of<'_>) -> Option<Option<SecondOpinion>> {
        let key = format!("{}{KEY}", section.at);
        let inherited = of.base.and_then(|base| base.second_opinion);
        let may_ask = of.score == Some(Score::Violation) && of.effect.is_some_and(Effect::may_ask);
        let item = section.table.get(KEY);
        let second = match item {
            // A rule that cannot ask any more has none.
            None => inherited.filter(|_| may_ask),
            Some(item) if item.as_bool() == Some(false) => None,
            Some(item) => Some(self.own_opinion((item, &key), inherited)?),
        };
        let Some(second) = second else { return Some(None) };
        let place = item.map_or_else(|| section.table.span(), Item::span);
        // What is faulty elsewhere is reported there.
        let (Some(_), Some(_), [Some(threshold), Some(in_context)]) = (of.score, of.effect, of.thresholds) else {
            return None;
        };
        if !may_ask {
            let message = "only a rule of the score violation that stops or changes texts asks for one";
            self.fault(place, &key, message);
            return None;
        }
        if second.below >= threshold.min(in_context) {
            let message = "expected less than the threshold: else every text would be uncertain";
            self.fault(place, &format!("{key}.below"), message);
            return None;
        }
        if second.above + threshold.max(in_context) >= 1.0 {
            let message = "expected less than 1 together with the threshold: else a judge could let everything pass";
            self.fault(place, &format!("{key}.above"), message);
            return None;
        }
        Some(Some(second))
    }

    fn own_opinion(&mut self, (item, key): (&Item, &str), base: Option<SecondOpinion>) -> Option<SecondOpinion> {
        let table = match item {
            Item::Table(table) => table.clone(),
            Item::Value(Value::InlineTable(table)) => table.clone().into_table(),
            _ => {
                let example = "expected { below = 0.2, above = 0.1, otherwise = \"threshold\" }, or false for none";
                self.fault(item.span(), key, example);
                return None;
            }
        };
        let section = Section { table: &table, at: &format!("{key}.") };
        self.known_keys(section, &["below", "above", "otherwise"]);
        let mut reach = |key: &str, base: Option<f32>| match table.contains_key(key) {
            true => self.probability(section, key),
            false => Some(base.unwrap_or_default()),
        };
        let below = reach("below", base.map(|base| base.below));
        let above = reach("above", base.map(|base| base.above));
        let otherwise = base.map_or(Otherwise::Threshold, |base| base.otherwise);
        let otherwise = self.one_of_or((section, "otherwise"), &Otherwise::ALL, Some(otherwise));
        let (below, above, otherwise) = (below?, above?, otherwise?);
        if below + above <= 0.0 {
            self.fault(item.span(), key, "expected below or above to be more than 0");
            return None;
        }
        Some(SecondOpinion { below, above, otherwise })
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::file::parse;
    use crate::policy::opinion::{Otherwise, SecondOpinion};

    #[test]
    fn a_second_opinion_is_inherited_key_by_key() {
        let folder = tempfile::tempdir().unwrap();
        let base = "name = \"base\"\nextends = \"ama\"\n[[rules]]\nname = \"violating-prompt\"\n\
                    [rules.second_opinion]\nbelow = 0.25\notherwise = \"apply\"\n";
        std::fs::write(folder.path().join("base.toml"), base).unwrap();
        let file = folder.path().join("p.toml").display().to_string();
        let of = |line: &str| {
            let text =
                format!("name = \"p\"\nextends = \"base.toml\"\n[[rules]]\nname = \"violating-prompt\"\n{line}\n");
            parse(&file, &text).map(|policy| policy.rules[1].second_opinion)
        };
        let second = |below, above, otherwise| Some(SecondOpinion { below, above, otherwise });
        assert_eq!(of("").unwrap(), second(0.25, 0.0, Otherwise::Apply));
        assert_eq!(of("second_opinion = { above = 0.05 }").unwrap(), second(0.25, 0.05, Otherwise::Apply));
        assert_eq!(of("second_opinion = { otherwise = \"skip\" }").unwrap(), second(0.25, 0.0, Otherwise::Skip));
        assert_eq!(of("second_opinion = false").unwrap(), None);
        assert_eq!(of("action = \"flag\"").unwrap(), None);
        let faults = of("threshold = 0.2").unwrap_err();
        assert_eq!((faults[0].line, &*faults[0].key), (3, "rules[0].second_opinion.below"));
        assert!(of("second_opinion = true").is_err());
    }
}
