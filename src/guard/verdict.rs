//! What was found in one message, over all its texts.

use crate::classify::Scores;
use crate::detect::phi::Kind;
use crate::policy::opinion::Opinion;
use crate::policy::rule::Rewrite;
use crate::policy::taxonomy::{Principle, ViolationType};
use crate::policy::{Action, Direction, Notice, Ruling, Shadow};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much of a message was judged; more of it is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scan {
    /// All of it.
    Full,
    /// Its texts, but not its images, audio, files or encoded data.
    Partial,
    /// Nothing.
    None,
}

impl Scan {
    /// The word in headers and records.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::None => "none",
        }
    }
}

/// The strongest action over the texts of a message, and the scores of the text that called for it.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Which way the message went.
    pub direction: Direction,
    /// What the policy wants done.
    pub action: Action,
    /// The rule that wants it; none where no rule applies.
    pub rule: Option<Arc<str>>,
    /// The strongest rule in the shadow that applies.
    pub shadow: Option<Shadow>,
    /// What a judge model said of the text that the action rests on, or why it said nothing, where that decided.
    pub opinion: Option<Opinion>,
    /// The scores that the action rests on; where every text is allowed, those of the likeliest violation.
    pub scores: Scores,
    /// How much was judged.
    pub scan: Scan,
    /// How many identifiers of people were taken out, by kind.
    pub redacted: BTreeMap<Kind, u64>,
    /// The highest scores, by how the texts were looked at: what another policy would decide by.
    pub seen: BTreeMap<Sight, Scores>,
}

/// How a text was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    /// By itself, or as the answer to its question.
    Alone,
    /// As the last turn, in the light of the turns before it.
    Context,
    /// As what the LLM is said to have answered earlier.
    Said,
}

impl Verdict {
    /// The verdict on a message in which nothing was found.
    #[must_use]
    pub const fn nothing(direction: Direction, scan: Scan) -> Self {
        Self {
            direction,
            action: Action::Allow,
            rule: None,
            shadow: None,
            opinion: None,
            scores: Scores::NONE,
            scan,
            redacted: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Adds the judgement of one more text.
    pub(super) fn add(&mut self, Ruling { action, rule, shadow, opinion }: Ruling, scores: Scores) {
        let stronger = (action.rank(), scores.violation) >= (self.action.rank(), self.scores.violation);
        if stronger {
            (self.action, self.rule, self.opinion, self.scores) = (action, rule, opinion, scores);
        }
        let rank = |shadow: &Option<Shadow>| shadow.as_ref().map(|shadow| shadow.effect.rank());
        if rank(&shadow) > rank(&self.shadow) {
            self.shadow = shadow;
        }
    }

    /// Notes what the model said of one more text.
    pub(super) fn saw_as(&mut self, sight: Sight, scores: &Scores) {
        let seen = self.seen.remove(&sight);
        self.seen.insert(sight, seen.map_or_else(|| scores.clone(), |seen| seen.worst(scores.clone())));
    }

    /// Notes what was taken out; where nothing else was to be done, that is the action.
    pub(super) fn redacted(&mut self, counts: &BTreeMap<Kind, u64>) {
        if !counts.is_empty() && self.action == Action::Allow {
            let notice = Notice { message: "".into(), rule: "phi".into() };
            self.rule = Some(Arc::clone(&notice.rule));
            self.action = Action::Rewrite(Rewrite::Redact, notice);
        }
        for (kind, count) in counts {
            *self.redacted.entry(*kind).or_default() += count;
        }
    }

    /// Notes how much of one more text was judged.
    pub(super) fn saw(&mut self, scan: Scan) {
        self.scan = self.scan.max(scan);
    }

    /// The violated type, for a message that was flagged or refused by what the model says of it.
    #[must_use]
    pub fn violation(&self) -> Option<&'static ViolationType> {
        let is_stopped = self.action.stops() && !matches!(self.action, Action::Escalate(_));
        let violates = (is_stopped || self.action == Action::Flag) && self.scores != Scores::NONE;
        violates.then(|| self.scores.likeliest())
    }

    /// The violated principle.
    #[must_use]
    pub fn principle(&self) -> Option<Principle> {
        self.violation().map(|kind| kind.principle)
    }
}
