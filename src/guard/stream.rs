//! A streamed answer under judgement: what may leave, and when.
//!
//! Events are held in their order. One leaves when every text that it adds to was judged up to the end of a sentence
//! behind it, and was not near to a violation; where it was, one sentence later. What ends a choice leaves when each of
//! its texts was judged once more, whole. A refused choice is cut: what is held of it is dropped, and its message given.
//! Nothing here waits: [`relay`](crate::relay) reads, has judged and writes.

mod line;
mod mend;

use super::{Cleared, Scan, Verdict, conversation, refuses, unjudgeable};
use crate::classify::pool::Unavailable;
use crate::classify::reading::Judged;
use crate::classify::{Input, Scores};
use crate::detect::Coverage;
use crate::openai::chunk::{Chunk, Fragment};
use crate::openai::cut::Cut;
use crate::openai::refusal::{FinishReason, Seen};
use crate::openai::request::{Asked, Surface};
use crate::policy::{Action, Direction, Evidence, Notice, Policy, Rewrite};
use bytes::Bytes;
use line::Line;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a streamed answer is released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Sentence by sentence, each after it was judged.
    Window,
    /// When all of it was judged.
    Buffer,
    /// At once; it is judged behind, and cut then. What violates may have been seen.
    Async,
}

/// A text is near to a violation when it would be stopped if the odds of one were this many times what they are.
const NEAR: f32 = 4.0;

/// A streamed answer, as far as it has come.
pub struct Stream {
    policy: Arc<Policy>,
    asked: Arc<Asked>,
    mode: Mode,
    lines: BTreeMap<(u64, String), Line>,
    choices: BTreeMap<u64, Choice>,
    /// Whole texts that wait to be judged, and how many came and were judged.
    wholes: Vec<(u64, String)>,
    wholes_held: usize,
    wholes_judged: usize,
    /// What was judged and may pass, by keyed hash: streams say the same thing several times.
    settled: HashSet<u64>,
    hasher: RandomState,
    queue: VecDeque<Held>,
    judging: Option<Vec<Subject>>,
    cut: Cut,
    out: Vec<Piece>,
    verdict: Verdict,
    windows: u64,
    /// Whether the upstream has said all.
    is_over: bool,
    /// Whether everything is refused and the upstream may be left.
    is_closed: bool,
    /// Whether the policy wants another answer in place of this one.
    asks_again: bool,
    /// The text that is to lose its violating sentences once it is whole: what has left of it stays.
    excises: Option<((u64, String), Notice)>,
}

/// Bytes that may leave.
pub struct Piece {
    /// What is written.
    pub bytes: Cleared<Bytes>,
    /// How long it was held; `None` for words of ours.
    pub held: Option<Duration>,
    /// Whether it ends the stream.
    pub is_done: bool,
}

#[derive(Default)]
struct Choice {
    seen: Seen,
    has_ended: bool,
    is_refused: bool,
}

/// An event that waits.
struct Held {
    chunk: Chunk,
    /// How far each of its texts must have been cleared.
    reaches: Vec<((u64, String), Range<usize>)>,
    /// How many whole texts must have been judged.
    wholes: usize,
    since: Instant,
}

/// What one of the texts under judgement is.
enum Subject {
    /// A part of a line.
    Window { line: (u64, String), start: usize, end: usize },
    /// A line, all of it.
    Line { line: (u64, String), end: usize },
    /// Another text of a choice.
    Whole { choice: u64, hash: u64 },
}

impl Stream {
    /// A stream of which nothing has come.
    pub(super) fn new(policy: Arc<Policy>, asked: Asked, mode: Mode, finish: FinishReason) -> Self {
        let asked = Arc::new(asked);
        // What is released at once cannot be changed any more.
        let is_changed = !asked.surrogates.is_empty() || policy.phi.completion;
        let mode = if is_changed && mode == Mode::Async { Mode::Window } else { mode };
        Self {
            policy,
            cut: Cut::new(Arc::clone(&asked), finish),
            asked,
            mode,
            lines: BTreeMap::new(),
            choices: BTreeMap::new(),
            wholes: Vec::new(),
            wholes_held: 0,
            wholes_judged: 0,
            settled: HashSet::new(),
            hasher: RandomState::new(),
            queue: VecDeque::new(),
            judging: None,
            out: Vec::new(),
            verdict: Verdict::nothing(Direction::Completion, Scan::Full),
            windows: 0,
            is_over: false,
            is_closed: false,
            asks_again: false,
            excises: None,
        }
    }

    /// Takes the next event.
    pub fn hold(&mut self, mut chunk: Chunk) {
        self.cut.note(&chunk);
        for index in &chunk.said.choices {
            self.choices.entry(*index).or_default();
        }
        let mut reaches = Vec::new();
        for Fragment { line: key, text } in std::mem::take(&mut chunk.said.fragments) {
            let line = self.lines.entry(key.clone()).or_default();
            let start = line.text.len();
            line.text.push_str(&text);
            line.is_final = false;
            reaches.push((key, start..line.text.len()));
        }
        let wholes = std::mem::take(&mut chunk.said.wholes);
        self.wholes_held += wholes.len();
        self.wholes.extend(wholes);
        for index in &chunk.said.ends {
            self.choices.entry(*index).or_default().has_ended = true;
        }
        if chunk.said.opaque {
            self.verdict.saw(Scan::Partial);
            if refuses(&self.policy, true, Coverage::Full) {
                self.withhold(&chunk.said.choices.clone());
            }
        }
        self.is_over |= chunk.is_done();
        self.queue.push_back(Held { chunk, reaches, wholes: self.wholes_held, since: Instant::now() });
    }

    /// Notes that nothing more will come.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// What is to be judged now, if that is anything; until it is [settled](Self::settle), nothing more is.
    pub fn due(&mut self) -> Option<Vec<Input>> {
        if self.judging.is_some() || self.is_closed {
            return None;
        }
        let (mut subjects, mut inputs) = (Vec::new(), Vec::new());
        for (key, line) in &mut self.lines {
            let choice = self.choices.entry(key.0).or_default();
            if choice.is_refused || self.excises.is_some() {
                continue;
            }
            let is_whole = choice.has_ended || self.is_over;
            let Some((start, end)) = line.due(is_whole, self.mode) else { continue };
            let text = line.text.get(start..end).unwrap_or_default();
            let hash = self.hasher.hash_one(text);
            if text.trim().is_empty() || (is_whole && self.settled.contains(&hash)) {
                line.clear(end, is_whole);
                continue;
            }
            inputs.push(answer(&self.asked, key.0, text));
            let line = key.clone();
            subjects.push(if is_whole { Subject::Line { line, end } } else { Subject::Window { line, start, end } });
        }
        for (choice, text) in std::mem::take(&mut self.wholes) {
            let hash = self.hasher.hash_one(text.as_str());
            let is_refused = self.choices.get(&choice).is_some_and(|choice| choice.is_refused);
            if !is_refused && !text.trim().is_empty() && !self.settled.contains(&hash) {
                inputs.push(answer(&self.asked, choice, &text));
                subjects.push(Subject::Whole { choice, hash });
            }
        }
        if inputs.is_empty() {
            self.wholes_judged = self.wholes_held;
            return None;
        }
        // Those that come from now on are judged next time.
        self.windows += inputs.len() as u64;
        self.judging = Some(subjects);
        Some(inputs)
    }

    /// Takes the verdicts on what was [due](Self::due).
    ///
    /// # Errors
    /// [`Unavailable`] when nothing could judge it and the policy fails closed.
    pub fn settle(&mut self, judged: Result<Vec<Judged>, Unavailable>) -> Result<(), Unavailable> {
        let subjects = self.judging.take().unwrap_or_default();
        let judged = match judged {
            Ok(judged) => judged.into_iter().map(Some).collect(),
            Err(why) => {
                super::pass_unjudged(&self.policy, Direction::Completion, why)?;
                self.verdict.saw(Scan::None);
                subjects.iter().map(|_| None).collect::<Vec<_>>()
            }
        };
        for (subject, judged) in subjects.into_iter().zip(judged) {
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

    /// What may leave now, in its order.
    pub fn release(&mut self) -> Vec<Piece> {
        while let Some(held) = self.queue.front() {
            if !self.may_leave(held) {
                break;
            }
            let Some(Held { chunk, reaches, since, .. }) = self.queue.pop_front() else { break };
            let chunk = self.redacted(chunk, &reaches);
            let is_refused = |index| self.choices.get(&index).is_some_and(|choice| choice.is_refused);
            let Some(bytes) = chunk.without(&is_refused) else { continue };
            self.out.extend(self.cut.help(&chunk).into_iter().map(Piece::own));
            let bytes = self.cut.shifted(&chunk, bytes);
            for index in &chunk.said.choices {
                let has_text = reaches.iter().any(|((of, _), _)| of == index);
                let choice = self.choices.entry(*index).or_default();
                choice.seen = choice.seen.max(if has_text { Seen::Text } else { Seen::Role });
            }
            self.cut.left(&chunk);
            let held = Some(since.elapsed());
            self.out.push(Piece { bytes: Cleared::new(bytes), held, is_done: chunk.is_done() });
        }
        std::mem::take(&mut self.out)
    }

    /// By which surface it was asked for.
    #[must_use]
    pub fn surface(&self) -> Surface {
        self.asked.surface
    }

    /// Whether anything has come.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether there is nothing left to read, to judge or to write.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let is_empty = self.queue.is_empty() || self.excises.is_some();
        self.is_closed || (self.is_over && is_empty && self.judging.is_none())
    }

    /// Whether the upstream is of no more use: everything is refused, and it is still at it.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What was found so far.
    #[must_use]
    pub const fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// How many texts were given to the model.
    #[must_use]
    pub const fn windows(&self) -> u64 {
        self.windows
    }

    /// The chunk that says what was `found`, where the surface has one.
    #[must_use]
    pub fn moderation(&self, found: &serde_json::Value) -> Option<Piece> {
        self.cut.moderation(found).map(Piece::own)
    }

    /// The end of a stream that was cut and that its upstream did not end.
    #[must_use]
    pub fn done(&self) -> Option<Piece> {
        let is_cut = self.asks_again || self.choices.values().any(|choice| choice.is_refused);
        if is_cut { self.cut.done().map(Piece::own) } else { None }
    }

    /// Whether a held event may leave.
    fn may_leave(&self, held: &Held) -> bool {
        let said = &held.chunk.said;
        let refused = |index: &u64| self.choices.get(index).is_some_and(|choice| choice.is_refused);
        if self.excises.is_some() {
            return false;
        }
        if !said.choices.is_empty() && said.choices.iter().all(refused) {
            return true;
        }
        let is_final = |index: &u64| refused(index) || self.is_final(*index);
        if !said.ends.iter().all(is_final) || (held.chunk.is_done() && !self.choices.keys().all(is_final)) {
            return false;
        }
        let is_cleared = |(line, part): &((u64, String), Range<usize>)| {
            refused(&line.0) || self.lines.get(line).is_some_and(|line| line.cleared >= part.end)
        };
        match self.mode {
            Mode::Async => true,
            Mode::Buffer if !self.is_over || !self.choices.keys().all(is_final) => false,
            _ if said.of_call && !said.choices.iter().all(is_final) => false,
            _ => self.wholes_judged >= held.wholes && held.reaches.iter().all(is_cleared),
        }
    }

    /// Whether all texts of a choice were judged whole.
    fn is_final(&self, index: u64) -> bool {
        let has_ended = self.is_over || self.choices.get(&index).is_some_and(|choice| choice.has_ended);
        let mut lines = self.lines.range((index, String::new())..).take_while(|((of, _), _)| *of == index);
        has_ended && lines.all(|(_, line)| line.is_final) && self.wholes_judged == self.wholes_held
    }

    /// Decides on one text; whether it is near to a violation, or `None` when it is refused.
    fn decide(&mut self, subject: &Subject, Judged { scores, coverage }: Judged) -> Option<bool> {
        let choice = subject.choice();
        if coverage != Coverage::Full {
            self.verdict.saw(Scan::Partial);
        }
        if refuses(&self.policy, false, coverage) {
            self.withhold(&[choice]);
            return None;
        }
        let decide = |scores: &Scores| {
            let languages = &self.asked.languages;
            self.policy.decide(Direction::Completion, Evidence { scores, in_context: false, languages })
        };
        let action = decide(&scores);
        let raised = Scores { violation: raised(scores.violation), ..scores.clone() };
        let is_near = decide(&raised).stops();
        let notice = match &action {
            Action::Block(notice) | Action::Escalate(notice) | Action::Rewrite(_, notice) => Some(notice.clone()),
            Action::Allow | Action::Flag => None,
        };
        let excises = matches!(&action, Action::Rewrite(Rewrite::Excise, _)) && self.can_excise(subject);
        let asks_again = matches!(&action, Action::Rewrite(Rewrite::Regenerate, _)) && self.can_ask_again(choice);
        self.verdict.add(action, scores);
        if let (Mode::Async, Some((line, span))) = (self.mode, subject.span()) {
            let text = self.lines.get(line).map_or("", |line| line.text.as_str());
            let characters = |end: usize| text.get(..end).map_or(0, |text| text.chars().count());
            let span = characters(span.start)..characters(span.end);
            self.out.extend(self.cut.offsets(choice, span, notice.is_some()).map(Piece::own));
        }
        match notice {
            None => Some(is_near),
            Some(notice) if excises => {
                self.excises = subject.span().map(|(line, _)| (line.clone(), notice));
                None
            }
            Some(_) if asks_again => {
                self.asks_again = true;
                self.queue.clear();
                self.is_closed = true;
                None
            }
            Some(notice) => {
                self.refuse(choice, &notice);
                None
            }
        }
    }

    /// Lets a text pass that was judged.
    fn pass(&mut self, subject: Subject, is_near: bool) {
        match subject {
            Subject::Whole { hash, .. } => {
                self.settled.insert(hash);
            }
            Subject::Line { line, end } => {
                if let Some(line) = self.lines.get_mut(&line) {
                    self.settled.insert(self.hasher.hash_one(line.text.get(..end).unwrap_or_default()));
                    line.clear(end, true);
                }
            }
            Subject::Window { line, start, end } => {
                if let Some(line) = self.lines.get_mut(&line) {
                    if start == 0 {
                        self.settled.insert(self.hasher.hash_one(line.text.get(..end).unwrap_or_default()));
                    }
                    let before = line.judged;
                    line.clear(end, false);
                    line.cleared = if is_near { before } else { end };
                }
            }
        }
    }

    /// Refuses what cannot be judged.
    fn withhold(&mut self, choices: &[u64]) {
        let (notice, verdict) = unjudgeable(Direction::Completion);
        self.verdict.saw(verdict.scan);
        self.verdict.add(verdict.action, verdict.scores);
        choices.iter().for_each(|choice| self.refuse(*choice, &notice));
    }

    /// Cuts a choice. When nothing else is left, the stream is closed, at once if its upstream would go on.
    fn refuse(&mut self, index: u64, notice: &Notice) {
        let choice = self.choices.entry(index).or_default();
        if std::mem::replace(&mut choice.is_refused, true) {
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
    const fn choice(&self) -> u64 {
        match self {
            Self::Window { line, .. } | Self::Line { line, .. } => line.0,
            Self::Whole { choice, .. } => *choice,
        }
    }

    /// The line, and which part of it.
    fn span(&self) -> Option<(&(u64, String), Range<usize>)> {
        match self {
            Self::Window { line, start, end } => Some((line, *start..*end)),
            Self::Line { line, end } => Some((line, 0..*end)),
            Self::Whole { .. } => None,
        }
    }
}

impl Piece {
    /// Words of ours.
    fn own(text: String) -> Self {
        Self { bytes: Cleared::new(Bytes::from(text)), held: None, is_done: false }
    }
}

/// A text of an answer, as the answer to its question.
fn answer(asked: &Asked, choice: u64, text: &str) -> Input {
    Input::Completion { prompt: conversation::excerpt(asked.question(choice)), completion: text.to_owned() }
}

/// A probability whose odds are [`NEAR`] times what they were.
fn raised(probability: f32) -> f32 {
    NEAR * probability / (NEAR * probability + (1.0 - probability)).max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests;
