//! What the operator says: a [`Policy`] turns [`Scores`] into an [`Action`].
//!
//! [`Policy::decide`] is pure and total. [`mod@file`] reads policies, [`reload`] keeps the live one.

pub mod file;
pub mod message;
pub mod reload;
pub mod taxonomy;

use crate::classify::Scores;
use message::{Audience, Messages, Reader};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use taxonomy::Principle;

/// Rules in the order in which they are read: the first that applies decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The policy's name.
    pub name: String,
    /// Names this exact text of the policy: a short SHA-256.
    pub hash: String,
    /// What is done with what cannot be judged (images, audio, opaque files).
    pub unjudgeable: Unjudgeable,
    /// What is done while the model cannot judge.
    pub on_unavailable: OnUnavailable,
    /// Whether identifiers of people are taken out.
    pub phi: Phi,
    /// The rules, in the order of the file.
    pub rules: Vec<Rule>,
    /// What is said after a refusal, by the violated principle: what can be done instead.
    pub instead: BTreeMap<Principle, Messages>,
}

/// What is done with identifiers of people (protected health information), by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phi {
    /// Prompts: they are replaced by surrogates, which are put back in the answer.
    pub prompt: bool,
    /// Completions: they are masked.
    pub completion: bool,
}

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
    /// The audiences that the rule is for; all when empty, even those that are not known.
    pub audiences: Vec<Audience>,
    /// The rule applies from this probability on, 0 to 1.
    pub threshold: f32,
    /// The same for the last turn in the light of the turns before it.
    pub threshold_in_context: f32,
    /// What is then done.
    pub effect: Effect,
    /// What the person reads in place of an answer, or before it.
    pub message: Messages,
}

/// Which way a text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the LLM.
    Prompt,
    /// From the LLM.
    Completion,
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

impl Effect {
    /// Whether it leaves less than was said, for an ethical reason.
    const fn refuses(self) -> bool {
        matches!(self, Self::Block | Self::Rewrite(Rewrite::Replace | Rewrite::Excise | Rewrite::Regenerate))
    }
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

/// What is done with what cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjudgeable {
    /// It passes, reported as `scan=partial`.
    Allow,
    /// It is refused.
    Block,
}

/// What is done while the model cannot judge, by direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnUnavailable {
    /// Prompts.
    pub prompt: FailMode,
    /// Completions.
    pub completion: FailMode,
}

/// Whether text passes while nothing can judge it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailMode {
    /// It passes, reported as `scan=none`.
    Open,
    /// It is answered with 503 `guardrail_unavailable`.
    Closed,
}

/// What is known of one text when a policy decides.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What the model says.
    pub scores: &'a Scores,
    /// Whether the text is the last turn of a conversation, judged in the light of the turns before it.
    pub in_context: bool,
    /// Who the answer is for.
    pub reader: &'a Reader,
}

/// What the operator wants done with a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It passes.
    Allow,
    /// It passes, and is counted and logged as flagged.
    Flag,
    /// It is changed; what the notice says is put in its place, or tells what to do instead.
    Rewrite(Rewrite, Notice),
    /// The person gets help text first.
    Escalate(Notice),
    /// It is refused.
    Block(Notice),
}

/// What a person reads in place of an answer, and the rule that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The text to show.
    pub message: Arc<str>,
    /// The name of the rule.
    pub rule: Arc<str>,
}

impl Direction {
    /// `prompt` or `completion`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Completion => "completion",
        }
    }
}

impl Action {
    /// The action's name in headers, metrics and records.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Flag => "flag",
            Self::Rewrite(..) => "rewrite",
            Self::Escalate(_) => "escalate",
            Self::Block(_) => "block",
        }
    }

    /// Whether the text goes no further as it is.
    #[must_use]
    pub const fn stops(&self) -> bool {
        match self {
            Self::Block(_) | Self::Escalate(_) => true,
            Self::Rewrite(rewrite, _) => !matches!(rewrite, Rewrite::Redact),
            Self::Allow | Self::Flag => false,
        }
    }

    /// Rank when several texts of one message are decided: help comes before a refusal, a refusal before a mark.
    #[must_use]
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Flag => 1,
            Self::Rewrite(..) => 2,
            Self::Block(_) => 3,
            Self::Escalate(_) => 4,
        }
    }
}

impl Policy {
    /// The rules for a direction, each with what it is held against.
    #[must_use]
    pub fn weigh<'a>(&'a self, direction: Direction, evidence: Evidence<'_>) -> Vec<Weighed<'a>> {
        let rules = self.rules.iter().filter(|rule| rule.direction == direction);
        let weighed = |rule: &'a Rule| Weighed {
            rule,
            probability: rule.score.of(evidence.scores),
            threshold: rule.threshold_for(evidence),
            applies: rule.applies(direction, evidence),
        };
        rules.map(weighed).collect()
    }

    /// The action of the first rule that applies; [`Action::Allow`] when none does.
    #[must_use]
    pub fn decide(&self, direction: Direction, evidence: Evidence<'_>) -> Action {
        let Some(rule) = self.rules.iter().find(|rule| rule.applies(direction, evidence)) else {
            return Action::Allow;
        };
        let notice = || {
            let mut message = rule.message.text(&evidence.reader.languages);
            let principle = evidence.scores.likeliest().principle;
            if let (true, Some(instead)) = (rule.effect.refuses(), self.instead.get(&principle)) {
                message = Arc::from(format!("{message} {}", instead.text(&evidence.reader.languages)));
            }
            Notice { message, rule: Arc::clone(&rule.name) }
        };
        match rule.effect {
            Effect::Allow => Action::Allow,
            Effect::Flag => Action::Flag,
            Effect::Rewrite(rewrite) => Action::Rewrite(rewrite, notice()),
            Effect::Escalate => Action::Escalate(notice()),
            Effect::Block => Action::Block(notice()),
        }
    }

    /// Whether prompts may leave otherwise than they came.
    #[must_use]
    pub fn changes_prompts(&self) -> bool {
        self.phi.prompt || self.rewrites(Direction::Prompt, Rewrite::Steer)
    }

    /// Whether some rule for `direction` changes texts in this way.
    #[must_use]
    pub fn rewrites(&self, direction: Direction, rewrite: Rewrite) -> bool {
        let does = |rule: &Rule| rule.direction == direction && rule.effect == Effect::Rewrite(rewrite);
        self.rules.iter().any(does)
    }

    /// What is done with a text that nothing could judge.
    #[must_use]
    pub const fn fail_mode(&self, direction: Direction) -> FailMode {
        match direction {
            Direction::Prompt => self.on_unavailable.prompt,
            Direction::Completion => self.on_unavailable.completion,
        }
    }
}

impl Score {
    /// The name in policies.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Violation => "violation",
            Self::Manipulation => "manipulation",
            Self::Crisis => "crisis",
        }
    }

    /// The score that is named.
    #[must_use]
    pub const fn of(self, scores: &Scores) -> f32 {
        match self {
            Self::Violation => scores.violation,
            Self::Manipulation => scores.manipulation,
            Self::Crisis => scores.crisis,
        }
    }
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
    /// Whether it does; of several that do, the first decides.
    pub applies: bool,
}

impl Weighed<'_> {
    /// How far the score is above the threshold, or below it.
    #[must_use]
    pub fn margin(&self) -> f32 {
        self.probability - self.threshold
    }
}

impl Rule {
    fn threshold_for(&self, evidence: Evidence<'_>) -> f32 {
        if evidence.in_context { self.threshold_in_context } else { self.threshold }
    }

    fn applies(&self, direction: Direction, evidence: Evidence<'_>) -> bool {
        let Evidence { scores, reader, .. } = evidence;
        self.direction == direction
            && self.score.of(scores) >= self.threshold_for(evidence)
            && (self.audiences.is_empty() || reader.audience.is_some_and(|audience| self.audiences.contains(&audience)))
            && (self.principles.is_empty() || self.principles.contains(&scores.likeliest().principle))
    }
}

/// `name@hash`, as headers and records show a policy.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(direction: Direction, score: Score, threshold: f32, effect: Effect) -> Rule {
        let name = format!("{effect:?}");
        Rule {
            name: name.as_str().into(),
            direction,
            score,
            principles: vec![],
            audiences: vec![],
            threshold,
            threshold_in_context: threshold,
            effect,
            message: Messages::one("en", "m"),
        }
    }

    fn policy(rules: Vec<Rule>) -> Policy {
        let on_unavailable = OnUnavailable { prompt: FailMode::Closed, completion: FailMode::Open };
        Policy {
            name: "p".into(),
            hash: "h".into(),
            unjudgeable: Unjudgeable::Block,
            on_unavailable,
            rules,
            phi: Phi::default(),
            instead: BTreeMap::new(),
        }
    }

    fn decide(policy: &Policy, direction: Direction, scores: &Scores) -> &'static str {
        policy.decide(direction, Evidence { scores, in_context: false, reader: &Reader::default() }).id()
    }

    #[test]
    fn the_first_rule_that_applies_decides() {
        let policy = policy(vec![
            rule(Direction::Prompt, Score::Crisis, 0.5, Effect::Escalate),
            rule(Direction::Prompt, Score::Violation, 0.9, Effect::Block),
            rule(Direction::Prompt, Score::Violation, 0.5, Effect::Flag),
        ]);
        let scores = |violation, crisis| Scores { violation, crisis, ..Scores::NONE };
        assert_eq!(decide(&policy, Direction::Prompt, &scores(0.95, 0.6)), "escalate");
        assert_eq!(decide(&policy, Direction::Prompt, &scores(0.9, 0.4)), "block");
        assert_eq!(decide(&policy, Direction::Prompt, &scores(0.8, 0.0)), "flag");
        assert_eq!(decide(&policy, Direction::Prompt, &scores(0.4, 0.4)), "allow");
    }

    #[test]
    fn a_rule_for_prompts_leaves_completions_alone() {
        let policy = policy(vec![rule(Direction::Prompt, Score::Violation, 0.1, Effect::Block)]);
        assert_eq!(decide(&policy, Direction::Completion, &Scores { violation: 1.0, ..Scores::NONE }), "allow");
    }

    #[test]
    fn a_rule_for_an_audience_leaves_the_others_alone() {
        let mut for_patients = rule(Direction::Prompt, Score::Violation, 0.5, Effect::Block);
        for_patients.audiences = vec![Audience::Patient];
        let policy = policy(vec![for_patients]);
        let scores = Scores { violation: 0.9, ..Scores::NONE };
        let decide = |audience| {
            let reader = Reader { audience, ..Reader::default() };
            policy.decide(Direction::Prompt, Evidence { scores: &scores, in_context: false, reader: &reader }).id()
        };
        assert_eq!(decide(Some(Audience::Patient)), "block");
        assert_eq!(decide(Some(Audience::Clinician)), "allow");
        assert_eq!(decide(None), "allow");
    }

    #[test]
    fn a_rule_for_a_principle_leaves_the_others_alone() {
        let mut for_privacy = rule(Direction::Prompt, Score::Violation, 0.5, Effect::Block);
        for_privacy.principles = vec![Principle::IV];
        let policy = policy(vec![for_privacy]);
        for (index, kind) in taxonomy::VIOLATION_TYPES.iter().enumerate() {
            let mut scores = Scores { violation: 0.9, ..Scores::NONE };
            scores.types[index] = 1.0;
            let expected = if kind.principle == Principle::IV { "block" } else { "allow" };
            assert_eq!(decide(&policy, Direction::Prompt, &scores), expected, "{}", kind.id);
        }
    }
}
