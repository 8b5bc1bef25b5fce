//! A streamed answer under judgement: what may leave, and when.
//!
//! Events are held in their order. One leaves when every text that it adds to was judged up to the end of a sentence
//! behind it, and was not near to a violation; where it was, one sentence later. What ends a choice leaves when each of
//! its texts was judged once more, whole. A refused choice is cut: what is held of it is dropped, and its message given.
//! Nothing here waits: [`relay`](crate::relay) reads, has judged and writes.

mod line;
mod mend;
mod settle;

use super::{Cleared, Scan, Verdict, conversation, refuses};
use crate::classify::Input;
use crate::detect::Coverage;
use crate::openai::chunk::{Chunk, Fragment};
use crate::openai::cut::Cut;
use crate::openai::refusal::{FinishReason, Seen};
use crate::openai::request::{Asked, Surface};
use crate::policy::{Direction, Notice, Policy};
use bytes::Bytes;
use line::Line;
use settle::Subject;
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
    /// The same, and by clauses too where nothing is suspected: the beginning of a sentence that turns may be seen.
    Clause,
    /// When all of it was judged.
    Buffer,
    /// At once; it is judged behind, and cut then. What violates may have been seen.
    Async,
}

/// How the place of a text begins that stands beside the choices.
const BESIDE: &str = "beside";

/// A streamed answer, as far as it has come.
pub struct Stream {
    policy: Arc<Policy>,
    asked: Arc<Asked>,
    mode: Mode,
    lines: BTreeMap<(u64, String), Line>,
    choices: BTreeMap<u64, Choice>,
    /// Whole texts that wait to be judged, and how many came and were judged.
    wholes: Vec<(u64, String)>,
    /// Those that were judged, and are not what came piece by piece.
    apart: Vec<(u64, String)>,
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
    /// What stood beside the choices last, by its place.
    beside: BTreeMap<String, String>,
    /// Whether the upstream has said that it has said all, and whether it has.
    is_done: bool,
    is_over: bool,
    /// Whether everything is refused and the upstream may be left.
    is_closed: bool,
    /// Whether the policy wants another answer in place of this one.
    asks_again: bool,
    /// The texts that are to lose their violating sentences once they are whole; until then nothing more leaves.
    excises: BTreeMap<(u64, String), Notice>,
    /// What is said of those that have lost theirs, should one come again.
    excised: BTreeMap<u64, Notice>,
}

/// Bytes that may leave.
pub struct Piece {
    /// What is written.
    pub bytes: Cleared<Bytes>,
    /// How long it was held; `None` for words of ours.
    pub held: Option<Duration>,
    /// Whether it ends the stream.
    pub is_done: bool,
    /// Whether it says something.
    pub has_text: bool,
}

#[derive(Default)]
struct Choice {
    seen: Seen,
    has_ended: bool,
    end_has_left: bool,
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

impl Stream {
    /// A stream of which nothing has come.
    pub(super) fn new(policy: Arc<Policy>, asked: Asked, mode: Mode, finish: FinishReason) -> Self {
        let asked = Arc::new(asked);
        // What is released at once cannot be changed any more, and identifiers are found in whole sentences.
        let is_changed = !asked.surrogates.is_empty() || policy.phi.completion;
        let mode = if is_changed && matches!(mode, Mode::Async | Mode::Clause) { Mode::Window } else { mode };
        Self {
            policy,
            cut: Cut::new(Arc::clone(&asked), finish),
            asked,
            mode,
            lines: BTreeMap::new(),
            choices: BTreeMap::new(),
            wholes: Vec::new(),
            apart: Vec::new(),
            wholes_held: 0,
            wholes_judged: 0,
            settled: HashSet::new(),
            hasher: RandomState::new(),
            queue: VecDeque::new(),
            judging: None,
            out: Vec::new(),
            verdict: Verdict::nothing(Direction::Completion, Scan::Full),
            windows: 0,
            beside: BTreeMap::new(),
            is_done: false,
            is_over: false,
            is_closed: false,
            asks_again: false,
            excises: BTreeMap::new(),
            excised: BTreeMap::new(),
        }
    }

    /// What has come so far of each choice, judged or not.
    #[must_use]
    pub fn said(&self) -> BTreeMap<u64, Vec<String>> {
        let mut said: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for ((choice, _), line) in &self.lines {
            said.entry(*choice).or_default().push(line.text.clone());
        }
        for (choice, text) in &self.apart {
            let texts = said.entry(*choice).or_default();
            if !texts.contains(text) {
                texts.push(text.clone());
            }
        }
        said
    }

    /// Notes a whole text that did not come piece by piece too.
    fn comes_apart(&mut self, choice: u64, text: &str) {
        let came = self.lines.iter().any(|((of, _), line)| *of == choice && line.text == text);
        if !came && !self.apart.iter().any(|(of, apart)| *of == choice && apart == text) {
            self.apart.push((choice, text.to_owned()));
        }
    }

    /// Takes the next event.
    pub fn hold(&mut self, mut chunk: Chunk) {
        // Nothing follows the end.
        if self.is_closed || self.is_done {
            return;
        }
        self.is_done = chunk.is_done();
        self.cut.note(&chunk);
        for index in &chunk.said.choices {
            self.choices.entry(*index).or_default();
        }
        let mut reaches = Vec::new();
        let fragments = std::mem::take(&mut chunk.said.fragments);
        let going_on: Vec<(u64, String)> = fragments.iter().map(|fragment| fragment.line.clone()).collect();
        for Fragment { line: key, text } in fragments {
            // Whoever goes on has not ended.
            self.choices.entry(key.0).or_default().has_ended = false;
            let is_left =
                |other: &(u64, String)| other.0 == key.0 && !going_on.contains(other) && !other.1.starts_with(BESIDE);
            self.lines.iter_mut().filter(|(other, _)| is_left(other)).for_each(|(_, line)| line.is_behind = true);
            let part = self.lines.entry(key.clone()).or_default().grow(&text);
            reaches.push((key, part));
        }
        // What stands beside the choices comes again with each event; where it changes, it may go on.
        for Fragment { line: (choice, place), text } in std::mem::take(&mut chunk.said.beside) {
            let key = (choice, format!("{BESIDE}{place}"));
            if self.beside.insert(key.1.clone(), text.clone()).is_none_or(|last| last != text) {
                // It is judged by itself, and with what it may go on from.
                let line = self.lines.entry(key.clone()).or_default();
                if !line.text.is_empty() {
                    chunk.said.wholes.push((choice, text.clone()));
                }
                let part = line.grow(&text);
                (line.is_behind, line.is_beside) = (true, true);
                reaches.push((key, part));
            }
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
            if choice.is_refused || self.excises.contains_key(key) {
                continue;
            }
            let is_whole = choice.has_ended || self.is_over;
            let Some((start, end)) = line.due(is_whole, self.mode) else { continue };
            let text = line.text.get(start..end).unwrap_or_default();
            let hash = self.hasher.hash_one((self.asked.question(key.0), text));
            if is_whole && (text.trim().is_empty() || self.settled.contains(&hash)) {
                line.clear(end, true);
                continue;
            }
            if text.trim().is_empty() {
                line.skip(end);
                continue;
            }
            inputs.push(answer(&self.asked, key.0, text));
            let line = key.clone();
            subjects.push(if is_whole { Subject::Line { line, end } } else { Subject::Window { line, start, end } });
        }
        for (choice, text) in std::mem::take(&mut self.wholes) {
            let hash = self.hasher.hash_one((self.asked.question(choice), text.as_str()));
            let is_refused = self.choices.get(&choice).is_some_and(|choice| choice.is_refused);
            let is_excised = self.excises.keys().any(|key| self.says(key, choice, hash));
            if !is_refused && !is_excised && !text.trim().is_empty() && !self.settled.contains(&hash) {
                inputs.push(answer(&self.asked, choice, &text));
                subjects.push(Subject::Whole { choice, hash, text });
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

    /// The choice of each text that is [due](Self::due), until it is settled.
    #[must_use]
    pub fn choices_due(&self) -> Vec<u64> {
        self.judging.iter().flatten().map(Subject::choice).collect()
    }

    /// What may leave now, in its order.
    pub fn release(&mut self) -> Vec<Piece> {
        while let Some(held) = self.queue.front() {
            if !self.may_leave(held) {
                break;
            }
            let Some(Held { chunk, reaches, since, .. }) = self.queue.pop_front() else { break };
            let Some(chunk) = self.redacted(chunk, &reaches) else { continue };
            let is_said = |(of, place): &(u64, String), index| *of == index && !place.starts_with(BESIDE);
            let has_text = |index: u64| reaches.iter().any(|(line, part)| is_said(line, index) && !part.is_empty());
            // Probabilities that run ahead of their text were not judged with it.
            let is_silent = |index: &u64| !has_text(*index);
            let is_ahead = self.asked.surface != Surface::Responses && chunk.said.choices.iter().any(is_silent);
            let chunk = if is_ahead { chunk.without_logprobs() } else { chunk };
            for (key, part) in &reaches {
                if let Some(line) = self.lines.get_mut(key) {
                    line.left = line.left.max(part.end);
                }
            }
            // Nothing is said behind an end that has left.
            let is_gone = |index| {
                self.choices.get(&index).is_some_and(|one| one.is_refused || (one.end_has_left && has_text(index)))
            };
            let Some(bytes) = chunk.without(&is_gone) else { continue };
            self.out.extend(self.cut.help(&chunk).into_iter().map(Piece::own));
            let bytes = self.cut.behind_help(&chunk, bytes);
            for index in &chunk.said.choices {
                let choice = self.choices.entry(*index).or_default();
                choice.seen = choice.seen.max(if has_text(*index) { Seen::Text } else { Seen::Role });
                choice.end_has_left |= chunk.said.ends.contains(index);
            }
            self.cut.left(&chunk);
            let held = Some(since.elapsed());
            // A response has no other end.
            let is_end = self.asked.surface == Surface::Responses && !chunk.said.ends.is_empty();
            let (is_done, has_text) = (chunk.is_done() || is_end, reaches.iter().any(|(_, part)| !part.is_empty()));
            self.out.push(Piece { bytes: Cleared::new(bytes), held, is_done, has_text });
        }
        std::mem::take(&mut self.out)
    }

    /// Whether the upstream has said that it has said all.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.is_done
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
        self.is_closed || (self.is_over && self.queue.is_empty() && self.judging.is_none())
    }

    /// Whether the upstream is of no more use: everything is refused, and it is still at it.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// By what it is judged: the policy, and what was asked.
    #[must_use]
    pub fn terms(&self) -> (Arc<Policy>, Arc<Asked>) {
        (Arc::clone(&self.policy), Arc::clone(&self.asked))
    }

    /// How it is released.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
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
        if !self.excises.is_empty() {
            return false;
        }
        if !said.choices.is_empty() && said.choices.iter().all(refused) {
            return true;
        }
        let is_final = |index: &u64| refused(index) || self.is_final(*index);
        if !said.ends.iter().all(is_final) || (held.chunk.is_done() && !self.choices.keys().all(is_final)) {
            return false;
        }
        match self.mode {
            Mode::Async => true,
            Mode::Buffer if !self.is_over || !self.choices.keys().all(is_final) => false,
            _ if said.of_call && !said.choices.iter().all(is_final) => false,
            _ => self.is_cleared(held),
        }
    }

    /// Whether all that an event says was judged and may leave, or is refused anyhow.
    fn is_cleared(&self, held: &Held) -> bool {
        let is_cleared = |(line, part): &((u64, String), Range<usize>)| {
            let is_refused = self.choices.get(&line.0).is_some_and(|choice| choice.is_refused);
            is_refused || self.lines.get(line).is_some_and(|line| line.cleared >= part.end)
        };
        self.wholes_judged >= held.wholes && held.reaches.iter().all(is_cleared)
    }

    /// Whether a line is the choice's text that has this hash.
    fn says(&self, key: &(u64, String), choice: u64, hash: u64) -> bool {
        let said = |line: &Line| self.hasher.hash_one((self.asked.question(choice), line.text.as_str()));
        key.0 == choice && self.lines.get(key).is_some_and(|line| said(line) == hash)
    }

    /// Whether all texts of a choice were judged whole.
    fn is_final(&self, index: u64) -> bool {
        let has_ended = self.is_over || self.choices.get(&index).is_some_and(|choice| choice.has_ended);
        let mut lines = self.lines.range((index, String::new())..).take_while(|((of, _), _)| *of == index);
        has_ended && lines.all(|(_, line)| line.is_final) && self.wholes_judged == self.wholes_held
    }
}

impl Piece {
    /// Words of ours.
    fn own(text: String) -> Self {
        Self { bytes: Cleared::new(Bytes::from(text)), held: None, is_done: false, has_text: true }
    }
}

/// A text of an answer, as the answer to its question.
fn answer(asked: &Asked, choice: u64, text: &str) -> Input {
    Input::Completion { prompt: conversation::excerpt(asked.question(choice)), completion: text.to_owned() }
}

#[cfg(test)]
mod tests;
