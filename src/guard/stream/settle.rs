//! The verdicts on a streamed answer, and what they do to it.

use super::{Mode, Piece, Stream};
use crate::classify::Scores;
use crate::classify::pool::Unavailable;
use crate::classify::reading::Judged;
use crate::detect::Coverage;
use crate::guard::{Scan, Sight, pass_unjudged, refuses, unjudgeable};
use crate::policy::opinion::Opinion;
use crate::policy::rule::Rewrite;
use crate::policy::{Action, Direction, Evidence, Notice, Ruling};
use std::hash::BuildHasher;
use std::ops::Range;

/// A text is near to a violation when it would be stopped if the odds of one were this many times what they are: of
/// sentences, and of the clauses of one, of which the rest is not known.
const NEAR: f32 = 4.0;
const NEAR_CLAUSE: f32 = 40.0;

/// What one of the texts under judgement is.
pub(super) enum Subject {
    /// A part of a line.
    Window { line: (u64, String), start: usize, end: usize },
    /// A line, all of it.
    Line { line: (u64, String), end: usize },
    /// Another text of a choice.
    Whole { choice: u64, hash: u64, text: String },
}

impl Stream {
    /// Takes the verdicts on what was [due](Self::due), each with what a judge said of it.
    ///
    /// # Errors
    /// [`Unavailable`] when nothing could judge it and the policy fails closed.
    pub fn settle(&mut self, judged: Result<Vec<(Judged, Option<Opinion>)>, Unavailable>) -> Result<(), Unavailable> {
        let subjects = self.judging.take().unwrap_or_default();
        let judged = match judged {
            Ok(judged) => judged.into_iter().map(Some).collect(),
            Err(why) => {
                pass_unjudged(&self.policy, Direction::Completion, why)?;
                self.verdict.saw(Scan::None);
                subjects.iter().map(|_| None).collect::<Vec<_>>()
            }
        };
        for (subject, judged) in subjects.into_iter().zip(judged) {
            if self.choices.get(&subject.choice()).is_some_and(|choice| choice.is_refused) || self.asks_again {
                continue;
            }
            if let Subject::Whole { choice, text, .. } = &subject {
                self.comes_apart(*choice, text);
            }
            let near = match judged {
                None => false,
                Some(judged) => match self.decide(&subject, judged) {
                    Some(near) => near,
                    None => continue,
                },
            };
            self.pass(subject, near);
        }
        // Whole texts that came while these were judged wait in `wholes`.
        self.wholes_judged = self.wholes_held - self.wholes.len();
        Ok(())
    }

    /// Decides on one text; whether it is near to a violation, or `None` when it is refused.
    fn decide(&mut self, subject: &Subject, (judged, opinion): (Judged, Option<Opinion>)) -> Option<bool> {
        let Judged { scores, coverage } = judged;
        let choice = subject.choice();
        if coverage != Coverage::Full {
            self.verdict.saw(Scan::Partial);
        }
        if refuses(&self.policy, false, coverage) {
            self.withhold(&[choice]);
            return None;
        }
        let text = self.text_of(subject);
        let decide = |scores: &Scores, opinion| {
            let reader = &self.asked.reader;
            self.policy.decide(Direction::Completion, Evidence { text, scores, in_context: false, reader, opinion })
        };
        let ruling = decide(&scores, opinion);
        let action = ruling.action.clone();
        let odds = if self.is_clause(subject) { NEAR_CLAUSE } else { NEAR };
        let raised = Scores { violation: raised(scores.violation, odds), ..scores.clone() };
        // A band must not switch off what holds back: raised into it, a text counts as one that the judge finds violating.
        let is_near = decide(&raised, Some(Opinion::Violates)).action.stops();
        let notice = match &action {
            Action::Block(notice) | Action::Escalate(notice) | Action::Rewrite(_, notice) => Some(notice.clone()),
            Action::Allow | Action::Flag => None,
        };
        let excises = match &action {
            Action::Rewrite(Rewrite::Excise, _) => self.excisable(subject),
            _ => None,
        };
        let asks_again = matches!(&action, Action::Rewrite(Rewrite::Regenerate, _)) && self.can_ask_again(choice);
        self.verdict.saw_as(Sight::Alone, &scores);
        self.verdict.add(ruling, scores);
        if let (Mode::Async, Some((line, span))) = (self.mode, subject.span()) {
            let text = self.lines.get(line).map_or("", |line| line.text.as_str());
            let characters = |end: usize| text.get(..end).map_or(0, |text| text.chars().count());
            let span = characters(span.start)..characters(span.end);
            self.out.extend(self.cut.offsets(choice, span, notice.is_some()).map(Piece::own));
        }
        match (notice, excises) {
            (None, _) => Some(is_near),
            (Some(notice), Some(line)) => {
                self.excises.insert(line, notice);
                None
            }
            (Some(_), None) if asks_again => {
                self.excises.clear();
                self.asks_again = true;
                self.queue.clear();
                self.is_closed = true;
                None
            }
            (Some(notice), None) => {
                self.refuse(choice, &notice);
                None
            }
        }
    }

    fn text_of<'a>(&'a self, subject: &'a Subject) -> &'a str {
        match (subject, subject.span()) {
            (Subject::Whole { text, .. }, _) => text,
            (_, Some((line, span))) => self.lines.get(line).and_then(|line| line.text.get(span)).unwrap_or_default(),
            (_, None) => "",
        }
    }

    /// Whether a text ends within a sentence.
    fn is_clause(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Window { line, end, .. } => self.lines.get(line).is_some_and(|line| line.is_within(*end)),
            Subject::Line { .. } | Subject::Whole { .. } => false,
        }
    }

    /// Lets a text pass that was judged.
    fn pass(&mut self, subject: Subject, is_near: bool) {
        match subject {
            Subject::Whole { hash, .. } => {
                self.settled.insert(hash);
            }
            Subject::Line { line: key, end } => {
                if let Some(line) = self.lines.get_mut(&key) {
                    let text = line.text.get(..end).unwrap_or_default();
                    self.settled.insert(self.hasher.hash_one((self.asked.question(key.0), text)));
                    line.clear(end, true);
                }
            }
            Subject::Window { line: key, start, end } => {
                let is_clause = self.is_clause(&Subject::Window { line: key.clone(), start, end });
                if let Some(line) = self.lines.get_mut(&key) {
                    if start == 0 {
                        let text = line.text.get(..end).unwrap_or_default();
                        self.settled.insert(self.hasher.hash_one((self.asked.question(key.0), text)));
                    }
                    // A clause that is held waits for the end of its sentence.
                    let before = if is_clause { line.cleared } else { line.cleared.max(line.sentence) };
                    line.clear(end, false);
                    line.sentence = if is_clause { line.sentence } else { end };
                    // A text that has been left behind is not read on.
                    let is_last = line.is_behind && end == line.text.len();
                    line.cleared = if is_near && !is_last { before } else { end };
                }
            }
        }
    }

    /// Refuses what cannot be judged.
    pub(super) fn withhold(&mut self, choices: &[u64]) {
        let (notice, verdict) = unjudgeable(Direction::Completion);
        self.verdict.saw(verdict.scan);
        let rule = Some(std::sync::Arc::clone(&notice.rule));
        self.verdict.add(Ruling { action: verdict.action, rule, shadow: None, opinion: None }, verdict.scores);
        choices.iter().for_each(|choice| self.refuse(*choice, &notice));
    }

    /// Cuts a choice. When nothing else is left, the stream is closed, at once if its upstream would go on.
    pub(super) fn refuse(&mut self, index: u64, notice: &Notice) {
        self.excises.retain(|line, _| line.0 != index);
        self.asks_again = false;
        let choice = self.choices.entry(index).or_default();
        if std::mem::replace(&mut choice.is_refused, true) || choice.end_has_left {
            return;
        }
        let events = self.cut.choice(index, &notice.message, choice.seen);
        self.out.push(Piece::own(events));
        let asked = usize::try_from(self.asked.choices).unwrap_or(usize::MAX).max(self.choices.len());
        let is_refused = self.choices.values().filter(|choice| choice.is_refused).count() >= asked;
        let has_ended = self.choices.values().all(|choice| choice.has_ended) || self.is_over;
        if is_refused && (!has_ended || self.cut.ends_at_once()) {
            self.out.extend(self.cut.usage().map(Piece::own));
            self.queue.clear();
            self.is_closed = true;
        }
    }
}

impl Subject {
    pub(super) const fn choice(&self) -> u64 {
        match self {
            Self::Window { line, .. } | Self::Line { line, .. } => line.0,
            Self::Whole { choice, .. } => *choice,
        }
    }

    /// The line, and which part of it.
    pub(super) fn span(&self) -> Option<(&(u64, String), Range<usize>)> {
        match self {
            Self::Window { line, start, end } => Some((line, *start..*end)),
            Self::Line { line, end } => Some((line, 0..*end)),
            Self::Whole { .. } => None,
        }
    }
}

/// A probability whose odds are `odds` times what they were.
fn raised(probability: f32, odds: f32) -> f32 {
    odds * probability / (odds * probability + (1.0 - probability)).max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{asked, policy, relayed, says};
    use super::*;
    use crate::openai::refusal::FinishReason;
    use crate::openai::request::Surface;
    use serde_json::json;

    #[test]
    fn a_rule_that_is_not_sure_holds_what_is_near_to_a_violation_all_the_same() {
        let asked = asked(&json!({}));
        let band =
            "name = \"violating-completion\"\nsecond_opinion = { below = 0.05, above = 0.2, otherwise = \"skip\" }";
        let policy = policy("name = \"violating-completion\"", band);
        let mut stream = Stream::new(policy, asked, Mode::Window, FinishReason::ContentFilter);
        // With odds four times as high, it is in the band.
        let events: Vec<String> =
            ["It is doubtful. ", "Two", " two. ", "Three", " three. ", "F"].map(|text| says(0, text)).into();
        let left = relayed(&mut stream, Surface::Chat, &events);
        assert_eq!(left[..4], ["", "", "", events[0].as_str()]);
    }
}
