//! A second opinion: near its threshold a rule may leave a text to a judge model. What the judge said is evidence like the
//! scores are; nothing here asks it.

use super::rule::Rule;
use super::{Direction, Evidence, Policy};

/// What a judge model says of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It goes against the principle.
    Violates,
    /// It does not.
    Harmless,
}

/// When a rule is not sure: its band of scores, and what holds where there is no opinion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecondOpinion {
    /// How far the band reaches below the threshold.
    pub below: f32,
    /// How far it reaches above it; its end is no part of it.
    pub above: f32,
    /// What holds where nobody has an opinion.
    pub otherwise: Otherwise,
}

/// What holds of an uncertain text on which there is no opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// The threshold decides, as if there were no judge.
    Threshold,
    /// The rule applies.
    Apply,
    /// The rule does not apply, and the next ones are read.
    Skip,
}

impl Opinion {
    /// Both, with their words in records and in what a judge answers.
    pub const ALL: [(&'static str, Self); 2] = [("violates", Self::Violates), ("harmless", Self::Harmless)];

    /// The word.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Violates => "violates",
            Self::Harmless => "harmless",
        }
    }

    /// The opinion of this word.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == id).map(|(_, opinion)| opinion)
    }
}

impl Otherwise {
    /// What may hold, by its word in policies.
    pub const ALL: [(&'static str, Self); 3] =
        [("threshold", Self::Threshold), ("apply", Self::Apply), ("skip", Self::Skip)];

    /// The word in policies.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Apply => "apply",
            Self::Skip => "skip",
        }
    }
}

impl SecondOpinion {
    /// The band around a threshold: from where on, and up to where.
    #[must_use]
    pub fn band(&self, threshold: f32) -> (f32, f32) {
        (threshold - self.below, threshold + self.above)
    }

    /// Whether a rule with this threshold is not sure of a text.
    #[must_use]
    pub fn is_uncertain(&self, probability: f32, threshold: f32) -> bool {
        let (from, to) = self.band(threshold);
        from <= probability && probability < to
    }

    /// Whether the rule applies to a text that it is not sure of.
    pub(super) const fn applies(&self, opinion: Option<Opinion>, is_over: bool) -> bool {
        match (opinion, self.otherwise) {
            (Some(Opinion::Violates), _) | (None, Otherwise::Apply) => true,
            (Some(Opinion::Harmless), _) | (None, Otherwise::Skip) => false,
            (None, Otherwise::Threshold) => is_over,
        }
    }
}

impl Policy {
    /// The rule that leaves a text to a judge: it is read before any that decides, and is not sure.
    #[must_use]
    pub fn wants_opinion(&self, direction: Direction, evidence: Evidence<'_>) -> Option<&Rule> {
        if !self.may_want_opinions() {
            return None;
        }
        for rule in self.rules.iter().filter(|rule| !rule.is_shadow) {
            if rule.is_uncertain(direction, evidence) {
                return Some(rule);
            }
            if rule.applies(direction, evidence) {
                return None;
            }
        }
        None
    }

    /// Whether some rule in force asks a judge.
    #[must_use]
    pub fn may_want_opinions(&self) -> bool {
        self.rules.iter().any(|rule| rule.is_enabled && !rule.is_shadow && rule.second_opinion.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::Scores;
    use crate::policy::file::{EMBEDDED, parse};
    use crate::policy::message::Reader;

    /// What is done with a prompt of this score, and whether a judge is wanted, by a policy in which `rules` come after.
    fn decided(rules: &str, (violation, crisis): (f32, f32), opinion: Option<Opinion>) -> (&'static str, bool) {
        let policy = parse("p.toml", &format!("name = \"p\"\nextends = \"ama\"\n{rules}")).unwrap();
        let scores = Scores { violation, crisis, ..Scores::NONE };
        let evidence =
            Evidence { text: "ward 9", scores: &scores, in_context: false, reader: &Reader::default(), opinion };
        let ruling = policy.decide(Direction::Prompt, evidence);
        assert_eq!(ruling.opinion, opinion.filter(|_| policy.wants_opinion(Direction::Prompt, evidence).is_some()));
        (ruling.action.id(), policy.wants_opinion(Direction::Prompt, evidence).is_some())
    }

    fn band(otherwise: &str) -> String {
        let band = format!("second_opinion = {{ below = 0.2, above = 0.1, otherwise = \"{otherwise}\" }}");
        format!("[[rules]]\nname = \"violating-prompt\"\nthreshold = 0.5\n{band}\n")
    }

    #[test]
    fn in_the_band_the_opinion_decides_and_nowhere_else() {
        let (violates, harmless) = (Some(Opinion::Violates), Some(Opinion::Harmless));
        for (score, opinion, expected) in [
            (0.29, violates, ("allow", false)),
            (0.31, violates, ("block", true)),
            (0.31, harmless, ("allow", true)),
            (0.31, None, ("allow", true)),
            (0.55, None, ("block", true)),
            (0.55, harmless, ("allow", true)),
            (0.61, harmless, ("block", false)),
        ] {
            assert_eq!(decided(&band("threshold"), (score, 0.0), opinion), expected, "{score} {opinion:?}");
        }
        assert_eq!(decided(&band("apply"), (0.31, 0.0), None), ("block", true));
        assert_eq!(decided(&band("skip"), (0.55, 0.0), None), ("allow", true));
    }

    #[test]
    fn what_another_rule_decides_needs_no_opinion_and_gets_none() {
        let harmless = Some(Opinion::Harmless);
        // Help comes first.
        assert_eq!(decided(&band("skip"), (0.55, 1.0), harmless), ("escalate", false));
        let ward = "[[rules]]\nname = \"ward\"\ndirection = \"prompt\"\nscore = \"pattern\"\npatterns = [\"ward 9\"]\naction = \"block\"\nmessage = \"No.\"\n";
        // What comes behind still stops.
        assert_eq!(decided(&(band("skip") + ward), (0.55, 0.0), harmless), ("block", true));
        assert_eq!(decided(&(ward.to_owned() + &band("skip")), (0.55, 0.0), harmless), ("block", false));
        let shadow = band("skip") + "shadow = true\n";
        assert_eq!(decided(&shadow, (0.55, 0.0), harmless), ("allow", false));
    }

    #[test]
    fn the_embedded_policy_asks_nobody() {
        assert!(!parse("ama.toml", EMBEDDED).unwrap().may_want_opinions());
    }
}
