//! What the operator says: a [`Policy`] turns [`Scores`] into an [`Action`].
//!
//! [`Policy::decide`] is pure and total; what a judge said is [evidence](opinion) like the scores. [`mod@file`] reads
//! policies, [`reload`] keeps the live one. A policy carries its own [tests](expectation), which must hold before it is put
//! in force. Where a fleet follows the audit store, [`versions`] are kept there, and [`promotion`] says which of them holds.

pub mod backtest;
pub mod curve;
pub mod desk;
pub mod diff;
pub mod draft;
pub mod drift;
pub mod edit;
pub mod expectation;
pub mod file;
pub mod message;
pub mod opinion;
pub mod promotion;
pub mod reload;
pub mod rule;
pub mod shipped;
pub mod taxonomy;
pub mod tune;
pub mod versions;

use crate::classify::Scores;
use expectation::Expectation;
use file::Text;
use message::{Messages, Reader};
use opinion::Opinion;
use rule::{Effect, Rewrite, Rule, Weighed};
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
    /// What must hold before the policy is put in force.
    pub tests: Vec<Expectation>,
    /// What it was read from: its own file, and those that it extends in their order.
    pub texts: Vec<Text>,
    /// A policy in the shadow of this one: where it would do otherwise, that is recorded and changes nothing.
    pub beside: Option<Arc<Policy>>,
}

/// What is done with identifiers of people (protected health information), by direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phi {
    /// Prompts: they are replaced by surrogates, which are put back in the answer.
    pub prompt: bool,
    /// Completions: they are masked.
    pub completion: bool,
}

/// Which way a text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the LLM.
    Prompt,
    /// From the LLM.
    Completion,
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
    /// The text.
    pub text: &'a str,
    /// What the model says.
    pub scores: &'a Scores,
    /// Whether the text is the last turn of a conversation, judged in the light of the turns before it.
    pub in_context: bool,
    /// Who the answer is for.
    pub reader: &'a Reader,
    /// What a judge model says, or why it says nothing, where it was wanted.
    pub opinion: Option<Opinion>,
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

/// What a policy says of a text: the action, and by which rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// What is to be done.
    pub action: Action,
    /// The rule that says so; none where no rule applies.
    pub rule: Option<Arc<str>>,
    /// The rule that would have decided, were it not in the shadow.
    pub shadow: Option<Shadow>,
    /// What a judge model said, or why it said nothing, where that decided.
    pub opinion: Option<Opinion>,
}

/// A rule in the shadow that applies: it is recorded, and changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// What it would have done.
    pub effect: Effect,
    /// Its name.
    pub rule: Arc<str>,
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

impl Effect {
    /// The name of the [action](Action::id) that it leads to.
    #[must_use]
    pub const fn action(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Flag => "flag",
            Self::Rewrite(_) => "rewrite",
            Self::Escalate => "escalate",
            Self::Block => "block",
        }
    }

    /// As strong as the [action](Action::rank) that it leads to.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Flag => 1,
            Self::Rewrite(_) => 2,
            Self::Block => 3,
            Self::Escalate => 4,
        }
    }
}

impl Policy {
    /// The rules for a direction, each with what it is held against.
    #[must_use]
    pub fn weigh<'a>(&'a self, direction: Direction, evidence: Evidence<'_>) -> Vec<Weighed<'a>> {
        let rules = self.rules.iter().filter(|rule| rule.direction == direction && rule.is_enabled);
        rules.map(|rule| rule.weighed(direction, evidence)).collect()
    }

    /// What the first rule that applies says; [`Action::Allow`] when none does. Rules in the shadow are only named.
    #[must_use]
    pub fn decide(&self, direction: Direction, evidence: Evidence<'_>) -> Ruling {
        let (rule, shadow) = self.deciding(direction, evidence);
        let shadow = shadow.map(|rule| Shadow { effect: rule.effect, rule: Arc::clone(&rule.name) });
        let shadow = shadow.or_else(|| self.beside(rule, direction, evidence));
        let action = rule.map_or(Action::Allow, |rule| self.action(rule, evidence));
        let opinion = evidence.opinion.filter(|_| self.wants_opinion(direction, evidence).is_some());
        Ruling { action, rule: rule.map(|rule| Arc::clone(&rule.name)), shadow, opinion }
    }

    /// What the policy in the shadow would do otherwise than `rule`.
    fn beside(&self, rule: Option<&Rule>, direction: Direction, evidence: Evidence<'_>) -> Option<Shadow> {
        let beside = self.beside.as_ref()?;
        let (other, _) = beside.deciding(direction, evidence);
        let effect = |rule: Option<&Rule>| rule.map_or(Effect::Allow, |rule| rule.effect);
        let name = other.map_or("none", |rule| &rule.name);
        (effect(rule) != effect(other))
            .then(|| Shadow { effect: effect(other), rule: format!("{}/{name}", beside.name).into() })
    }

    /// The first rule that applies, and the first in the shadow that stands before it and does.
    fn deciding(&self, direction: Direction, evidence: Evidence<'_>) -> (Option<&Rule>, Option<&Rule>) {
        let mut applying = self.rules.iter().filter(|rule| rule.applies(direction, evidence));
        let mut shadow = None;
        let rule = applying.find(|rule| {
            if rule.is_shadow {
                shadow.get_or_insert(*rule);
            }
            !rule.is_shadow
        });
        (rule, shadow)
    }

    fn action(&self, rule: &Rule, Evidence { scores, reader, .. }: Evidence<'_>) -> Action {
        let notice = || {
            let mut message = rule.message.text(&reader.languages);
            let principle = scores.likeliest().principle;
            if let (true, Some(instead)) = (rule.effect.refuses(), self.instead.get(&principle)) {
                message = Arc::from(format!("{message} {}", instead.text(&reader.languages)));
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

    /// The tenants that its rules and tests name.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<str>> {
        let of_rules = self.rules.iter().flat_map(|rule| &rule.tenants);
        of_rules.chain(self.tests.iter().filter_map(|test| test.tenant.as_ref()))
    }

    /// Whether prompts may leave otherwise than they came.
    #[must_use]
    pub fn changes_prompts(&self) -> bool {
        self.phi.prompt || self.rewrites(Direction::Prompt, Rewrite::Steer)
    }

    /// Whether some rule for `direction` changes texts in this way.
    #[must_use]
    pub fn rewrites(&self, direction: Direction, rewrite: Rewrite) -> bool {
        let is_live = |rule: &Rule| rule.is_enabled && !rule.is_shadow;
        let does =
            |rule: &Rule| is_live(rule) && rule.direction == direction && rule.effect == Effect::Rewrite(rewrite);
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

/// `name@hash`, as headers and records show a policy.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::message::Audience;
    use super::rule::{Patterns, Score};
    use super::*;

    fn rule(direction: Direction, score: Score, threshold: f32, effect: Effect) -> Rule {
        let name = format!("{effect:?}");
        Rule {
            name: name.as_str().into(),
            direction,
            score,
            principles: vec![],
            types: vec![],
            audiences: vec![],
            tenants: vec![],
            patterns: None,
            threshold,
            threshold_in_context: threshold,
            effect,
            message: Messages::one("en", "m"),
            second_opinion: None,
            is_shadow: false,
            is_enabled: true,
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
            tests: vec![],
            texts: vec![],
            beside: None,
        }
    }

    fn ruling(policy: &Policy, direction: Direction, text: &str, scores: &Scores) -> Ruling {
        let evidence = Evidence { text, scores, in_context: false, reader: &Reader::default(), opinion: None };
        policy.decide(direction, evidence)
    }

    fn decide(policy: &Policy, direction: Direction, scores: &Scores) -> &'static str {
        ruling(policy, direction, "", scores).action.id()
    }

    #[test]
    fn a_rule_in_the_shadow_is_named_and_the_next_one_decides() {
        let mut first = rule(Direction::Prompt, Score::Violation, 0.5, Effect::Block);
        first.is_shadow = true;
        let flag = rule(Direction::Prompt, Score::Violation, 0.4, Effect::Flag);
        let mut off = rule(Direction::Prompt, Score::Violation, 0.4, Effect::Block);
        off.is_enabled = false;
        let policy = policy(vec![off, first, flag]);
        let of = |violation| ruling(&policy, Direction::Prompt, "", &Scores { violation, ..Scores::NONE });
        let (high, low) = (of(0.6), of(0.45));
        assert_eq!((high.action.id(), high.rule.as_deref()), ("flag", Some("Flag")));
        assert_eq!(high.shadow.map(|shadow| (shadow.effect.id(), shadow.rule)), Some(("block", "Block".into())));
        assert_eq!((low.action.id(), low.shadow), ("flag", None));
        assert_eq!(of(0.1), Ruling { action: Action::Allow, rule: None, shadow: None, opinion: None });
    }

    #[test]
    fn a_policy_in_the_shadow_is_named_where_it_would_do_otherwise() {
        let mut ours = policy(vec![rule(Direction::Prompt, Score::Violation, 0.5, Effect::Block)]);
        let mut other = policy(vec![rule(Direction::Prompt, Score::Violation, 0.9, Effect::Block)]);
        other.name = "v2".into();
        ours.beside = Some(Arc::new(other));
        let of = |violation| ruling(&ours, Direction::Prompt, "", &Scores { violation, ..Scores::NONE });
        assert_eq!([of(0.1).shadow, of(0.95).shadow], [None, None]);
        assert_eq!(of(0.6).shadow, Some(Shadow { effect: Effect::Allow, rule: "v2/none".into() }));
        assert_eq!(of(0.6).action.id(), "block");
    }

    #[test]
    fn a_rule_with_patterns_looks_at_the_text() {
        let mut named = rule(Direction::Prompt, Score::Pattern, 0.0, Effect::Block);
        named.patterns = Some(Patterns::new(["ward 9"]).unwrap());
        let policy = policy(vec![named]);
        let of = |text| ruling(&policy, Direction::Prompt, text, &Scores::NONE).action.id();
        assert_eq!([of("Who is on Ward 9?"), of("Who is on ward 8?")], ["block", "allow"]);
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
            let evidence = Evidence { text: "", scores: &scores, in_context: false, reader: &reader, opinion: None };
            policy.decide(Direction::Prompt, evidence).action.id()
        };
        assert_eq!(decide(Some(Audience::Patient)), "block");
        assert_eq!(decide(Some(Audience::Clinician)), "allow");
        assert_eq!(decide(None), "allow");
    }

    #[test]
    fn a_rule_for_a_tenant_leaves_the_others_alone() {
        let mut for_anna = rule(Direction::Prompt, Score::Violation, 0.5, Effect::Block);
        for_anna.tenants = vec!["st-anna".into(), "west".into()];
        let policy = policy(vec![for_anna]);
        let scores = Scores { violation: 0.9, ..Scores::NONE };
        let decide = |tenant: Option<&str>| {
            let reader = Reader { tenant: tenant.map(Arc::from), ..Reader::default() };
            let evidence = Evidence { text: "", scores: &scores, in_context: false, reader: &reader, opinion: None };
            policy.decide(Direction::Prompt, evidence).action.id()
        };
        assert_eq!([decide(Some("st-anna")), decide(Some("west"))], ["block", "block"]);
        assert_eq!([decide(Some("st-anna-2")), decide(None)], ["allow", "allow"]);
        assert_eq!(policy.tenants().count(), 2);
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
