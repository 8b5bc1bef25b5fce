//! One rule of a policy: what it looks at, from where on it applies, and what is then done.

use super::message::{Audience, Messages};
use super::opinion::SecondOpinion;
use super::taxonomy::{Principle, ViolationType};
use super::{Direction, Evidence};
use crate::classify::{Floors, Scores};
use crate::detect;
use regex::RegexSet;
use std::sync::Arc;

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Names the rule in logs and reports.
    pub name: Arc<str>,
    /// Which way the text goes.
    pub direction: Direction,
    /// The score that the threshold is held against.
    pub score: Score,
    /// The principles that the rule is for; all when empty.
    pub principles: Vec<Principle>,
    /// The violation types that the rule is for; all when empty.
    pub types: Vec<&'static ViolationType>,
    /// The audiences that the rule is for; all when empty, even those that are not known.
    pub audiences: Vec<Audience>,
    /// The tenants that the rule is for; all when empty, even those that are not known.
    pub tenants: Vec<Arc<str>>,
    /// What the text must say beside, if that is anything.
    pub patterns: Option<Patterns>,
    /// The rule applies from this probability on, 0 to 1.
    pub threshold: f32,
    /// The same for the last turn in the light of the turns before it.
    pub threshold_in_context: f32,
    /// When a judge model is asked, if ever.
    pub second_opinion: Option<SecondOpinion>,
    /// What is then done.
    pub effect: Effect,
    /// What the person reads in place of an answer, or before it.
    pub message: Messages,
    /// Whether it is only recorded that it applies, and the rules after it decide.
    pub is_shadow: bool,
    /// Whether it is read at all.
    pub is_enabled: bool,
}

/// A score that rules can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// [`Scores::violation`].
    Violation,
    /// [`Scores::manipulation`].
    Manipulation,
    /// [`Scores::crisis`].
    Crisis,
    /// None: the patterns of the rule decide by themselves.
    Pattern,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Let it pass.
    Allow,
    /// Let it pass and mark it.
    Flag,
    /// Change it, so that it may pass.
    Rewrite(Rewrite),
    /// Give help text before anything else.
    Escalate,
    /// Refuse.
    Block,
}

/// How a text is changed. It is removed, or words of the policy are put in its place; nothing is paraphrased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// A prompt passes with a system message that names the principle and asks for the ethical alternative; where nothing
    /// can be said to the LLM, it is refused.
    Steer,
    /// A completion becomes the rule's message.
    Replace,
    /// A completion loses its violating sentences.
    Excise,
    /// The LLM is asked once more, with the principle named.
    Regenerate,
    /// Identifiers of people are taken out. Not a rule's: the policy says it of a direction.
    Redact,
}

/// Regular expressions of which one must be found in a text, whatever its case; look-alike, styled and invisible characters
/// are read as what they look like. Searching takes time that grows with the text, never faster.
#[derive(Clone, Debug)]
pub struct Patterns {
    set: RegexSet,
}

/// A rule, and what it is held against.
#[derive(Clone, Copy, Debug)]
pub struct Weighed<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// The score that it names.
    pub probability: f32,
    /// From where on it applies.
    pub threshold: f32,
    /// Whether the rule is not sure, and leaves the text to a judge model where there is one.
    pub is_uncertain: bool,
    /// Whether it does; of several that do, the first decides.
    pub applies: bool,
}

impl Score {
    /// The name in policies.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Violation => "violation",
            Self::Manipulation => "manipulation",
            Self::Crisis => "crisis",
            Self::Pattern => "pattern",
        }
    }

    /// The score that is named.
    #[must_use]
    pub const fn of(self, scores: &Scores) -> f32 {
        match self {
            Self::Violation => scores.violation,
            Self::Manipulation => scores.manipulation,
            Self::Crisis => scores.crisis,
            Self::Pattern => 1.0,
        }
    }
}

impl Effect {
    /// What is done, by the word that policies have for it.
    pub const ALL: [(&'static str, Self); 8] = [
        ("allow", Self::Allow),
        ("flag", Self::Flag),
        ("steer", Self::Rewrite(Rewrite::Steer)),
        ("replace", Self::Rewrite(Rewrite::Replace)),
        ("excise", Self::Rewrite(Rewrite::Excise)),
        ("regenerate", Self::Rewrite(Rewrite::Regenerate)),
        ("escalate", Self::Escalate),
        ("block", Self::Block),
    ];

    /// The word in policies; `redact` is none of a rule.
    #[must_use]
    pub fn id(self) -> &'static str {
        Self::ALL.iter().find(|(_, effect)| *effect == self).map_or("redact", |(id, _)| id)
    }

    /// Whether it leaves less than was said, for an ethical reason.
    pub(super) const fn refuses(self) -> bool {
        matches!(self, Self::Block | Self::Rewrite(Rewrite::Replace | Rewrite::Excise | Rewrite::Regenerate))
    }

    /// Whether the rule may ask a judge: help must wait for nobody, and what lets pass must not be stretched over what another
    /// rule stops.
    pub(super) const fn may_ask(self) -> bool {
        matches!(self, Self::Block | Self::Rewrite(_))
    }

    /// Whether the rule needs words to say.
    pub(super) const fn speaks(self) -> bool {
        !matches!(self, Self::Allow | Self::Flag)
    }
}

impl Patterns {
    /// The largest set, compiled, in bytes.
    const LARGEST: usize = 4 << 20;

    /// Compiles patterns.
    ///
    /// # Errors
    /// What is wrong with one of them, or that they are too large together.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let set = regex::RegexSetBuilder::new(patterns).case_insensitive(true).size_limit(Self::LARGEST).build();
        set.map(|set| Self { set }).map_err(|error| error.to_string())
    }

    /// The patterns.
    #[must_use]
    pub fn all(&self) -> &[String] {
        self.set.patterns()
    }

    /// Whether one of them is found in `text`.
    #[must_use]
    pub fn find(&self, text: &str) -> bool {
        self.set.is_match(text) || (!text.is_ascii() && self.set.is_match(&detect::visible(text)))
    }
}

impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl Rule {
    pub(super) fn weighed(&self, direction: Direction, evidence: Evidence<'_>) -> Weighed<'_> {
        Weighed {
            rule: self,
            probability: self.score.of(evidence.scores),
            threshold: self.threshold_for(evidence),
            is_uncertain: self.is_uncertain(direction, evidence),
            applies: self.applies(direction, evidence),
        }
    }

    fn threshold_for(&self, evidence: Evidence<'_>) -> f32 {
        if evidence.in_context { self.threshold_in_context } else { self.threshold }
    }

    /// Whether it goes by probabilities below `floors`, or by the kind of what is below them.
    pub(super) fn reaches_below(&self, floors: &Floors) -> bool {
        let lowest = |threshold: f32| threshold - self.second_opinion.as_ref().map_or(0.0, |second| second.below);
        let (alone, in_context) = (lowest(self.threshold), lowest(self.threshold_in_context));
        self.is_enabled
            && match self.score {
                Score::Violation if self.direction == Direction::Completion => alone < floors.completion,
                Score::Violation => alone < floors.prompt || in_context < floors.conversation,
                Score::Manipulation => alone.min(in_context) < floors.manipulation,
                Score::Crisis => alone.min(in_context) < floors.crisis,
                Score::Pattern => !self.principles.is_empty() || !self.types.is_empty(),
            }
    }

    pub(super) fn applies(&self, direction: Direction, evidence: Evidence<'_>) -> bool {
        self.may_apply(direction, evidence) && self.finds(evidence.text)
    }

    fn finds(&self, text: &str) -> bool {
        self.patterns.as_ref().is_none_or(|patterns| patterns.find(text))
    }

    /// Whether the rule is not sure of a text that it looks at.
    pub(super) fn is_uncertain(&self, direction: Direction, evidence: Evidence<'_>) -> bool {
        self.doubts(evidence).is_some() && self.regards(direction, evidence) && self.finds(evidence.text)
    }

    /// What holds of a score that the rule is not sure of; a rule in the shadow has no doubts.
    fn doubts(&self, evidence: Evidence<'_>) -> Option<&SecondOpinion> {
        let (score, threshold) = (self.score.of(evidence.scores), self.threshold_for(evidence));
        let is_uncertain = |second: &&SecondOpinion| !self.is_shadow && second.is_uncertain(score, threshold);
        self.second_opinion.as_ref().filter(is_uncertain)
    }

    /// Whether it applies, whatever the text says.
    pub(super) fn may_apply(&self, direction: Direction, evidence: Evidence<'_>) -> bool {
        let is_over = self.score.of(evidence.scores) >= self.threshold_for(evidence);
        let applies = self.doubts(evidence).map_or(is_over, |second| second.applies(evidence.opinion, is_over));
        applies && self.regards(direction, evidence)
    }

    /// Whether it looks at texts of this kind.
    fn regards(&self, direction: Direction, evidence: Evidence<'_>) -> bool {
        let Evidence { scores, reader, .. } = evidence;
        let kind = || scores.likeliest();
        self.is_enabled
            && self.direction == direction
            && (self.audiences.is_empty() || reader.audience.is_some_and(|audience| self.audiences.contains(&audience)))
            && (self.tenants.is_empty() || reader.tenant.as_ref().is_some_and(|tenant| self.tenants.contains(tenant)))
            && (self.principles.is_empty() || self.principles.contains(&kind().principle))
            && (self.types.is_empty() || self.types.contains(&kind()))
    }
}

impl Weighed<'_> {
    /// How far the score is above the threshold, or below it.
    #[must_use]
    pub fn margin(&self) -> f32 {
        self.probability - self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_goes_by_what_the_first_layers_do_not_tell_says_so() {
        let floors = Floors { prompt: 0.3, conversation: 0.4, completion: 0.38, manipulation: 0.05, crisis: 0.05 };
        let rule = |text: &str| {
            let shipped = crate::policy::file::EMBEDDED;
            let rule = format!("{shipped}\n[[rules]]\nname = \"new\"\n{text}\naction = \"flag\"\n");
            let policy = crate::policy::file::parse("new.toml", &rule).unwrap();
            policy.reaches_below(&floors)
        };
        let prompt = "direction = \"prompt\"\nscore = \"violation\"";
        let completion = "direction = \"completion\"\nscore = \"violation\"";
        assert!(!rule(&format!("{prompt}\nthreshold = 0.5")));
        assert!(rule(&format!("{prompt}\nthreshold = 0.25")));
        assert!(rule(&format!("{prompt}\nthreshold = 0.5\nthreshold_in_context = 0.35")));
        assert!(!rule(&format!("{completion}\nthreshold = 0.39")) && rule(&format!("{completion}\nthreshold = 0.35")));
        assert!(rule("direction = \"prompt\"\nscore = \"crisis\"\nthreshold = 0.02"));
        assert!(!rule("direction = \"prompt\"\nscore = \"pattern\"\npatterns = [\"ward 9\"]"));
    }

    #[test]
    fn patterns_are_found_whatever_the_case_and_the_letters() {
        let patterns = Patterns::new([r"\bproject nightingale\b", "ward 9"]).unwrap();
        for text in ["About Project Nightingale, please", "WARD 9?", "project n\u{456}ghtingale", "ｗａｒｄ ９"] {
            assert!(patterns.find(text), "{text}");
        }
        assert!(!patterns.find("projects of nightingales on ward 19"));
        assert!(Patterns::new(["("]).unwrap_err().contains("unclosed group"));
        assert!(Patterns::new(["(a{1000}){1000}"]).is_err());
    }
}
