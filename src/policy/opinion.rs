//! A second opinion: near its threshold a rule may leave a text to a judge model. What the judge said is evidence like the
//! scores are; nothing here asks it.

use super::rule::Rule;
use super::{Direction, Evidence, Policy};
use crate::classify::Floors;

/// What is known from a judge model of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opinion {
    /// It goes against the principle.
    Violates,
    /// It does not.
    Harmless,
    /// It was not asked, for a reason that lies with whoever wrote the text: what is kept from the judge counts as a violation.
    Unsent,
    /// It said nothing, for a reason that lies with the judge: the policy's word holds.
    Silent(Silence),
}

/// Why a judge model said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// It did not answer in time.
    Timeout,
    /// Enough was asked in this minute.
    Budget,
    /// It failed so often that it is left alone for a while.
    Paused,
    /// There was no answer, or what it answered is no opinion.
    Answer,
    /// There is none.
    Judge,
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
    /// The words of a judge.
    const SAID: [(&'static str, Self); 2] = [("violates", Self::Violates), ("harmless", Self::Harmless)];

    /// The word in records and metrics.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Violates => "violates",
            Self::Harmless => "harmless",
            Self::Unsent => "unsent",
            Self::Silent(Silence::Timeout) => "none_timeout",
            Self::Silent(Silence::Budget) => "none_budget",
            Self::Silent(Silence::Paused) => "none_paused",
            Self::Silent(Silence::Answer) => "none_answer",
            Self::Silent(Silence::Judge) => "none_judge",
        }
    }

    /// The opinion on record by this word, where it decided. Why there was none is no opinion.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::said(id).or((id == Self::Unsent.id()).then_some(Self::Unsent))
    }

    /// The opinion of a judge that answers with this word, in whatever case.
    #[must_use]
    pub fn said(word: &str) -> Option<Self> {
        Self::SAID.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, opinion)| opinion)
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
            (Some(Opinion::Violates | Opinion::Unsent), _) => true,
            (Some(Opinion::Harmless), _) => false,
            (Some(Opinion::Silent(_)) | None, Otherwise::Apply) => true,
            (Some(Opinion::Silent(_)) | None, Otherwise::Skip) => false,
            (Some(Opinion::Silent(_)) | None, Otherwise::Threshold) => is_over,
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

    /// Whether some rule, here or in the policy beside it, goes by probabilities below `floors`.
    #[must_use]
    pub fn reaches_below(&self, floors: &Floors) -> bool {
        self.rules.iter().any(|rule| rule.reaches_below(floors))
            || self.beside.as_ref().is_some_and(|beside| beside.reaches_below(floors))
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
        let band = format!(
            "threshold_in_context = 0.8\nsecond_opinion = {{ below = 0.2, above = 0.1, otherwise = \"{otherwise}\" }}"
        );
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
            (0.31, Some(Opinion::Unsent), ("block", true)),
            (0.29, Some(Opinion::Unsent), ("allow", false)),
            (0.31, Some(Opinion::Silent(Silence::Timeout)), ("allow", true)),
            (0.55, Some(Opinion::Silent(Silence::Timeout)), ("block", true)),
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
    fn what_decided_is_read_from_a_record_and_why_nobody_did_is_not() {
        for opinion in [Opinion::Violates, Opinion::Harmless, Opinion::Unsent] {
            assert_eq!(Opinion::from_id(opinion.id()), Some(opinion));
        }
        for other in ["none_timeout", "none_judge", "", "of another version"] {
            assert_eq!(Opinion::from_id(other), None, "{other}");
        }
        assert_eq!([Opinion::said("Harmless"), Opinion::said("unsent")], [Some(Opinion::Harmless), None]);
    }

    #[test]
    fn the_embedded_policy_asks_nobody() {
        assert!(!parse("ama.toml", EMBEDDED).unwrap().may_want_opinions());
    }
}
