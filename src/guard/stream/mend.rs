//! A streamed answer that is changed on its way: surrogates put back, identifiers masked, sentences taken out, another
//! answer in its place.

use super::settle::Subject;
use super::{Held, Mode, Piece, Stream};
use crate::guard::Cleared;
use crate::guard::completion::Text;
use crate::guard::surrogates::{Change, changed, fitted, mask};
use crate::openai::chunk::Chunk;
use crate::openai::refusal::Seen;
use crate::openai::request::Surface;
use crate::policy::{Action, Notice};
use bytes::Bytes;
use std::ops::Range;

/// Keys of a response under which nobody says anything.
const CHOOSES: [&str; 12] = [
    "type",
    "id",
    "role",
    "item_id",
    "call_id",
    "object",
    "status",
    "model",
    "name",
    "instructions",
    "previous_response_id",
    "service_tier",
];

impl Stream {
    /// Whether another answer is wanted in place of this one, of which no text has left.
    #[must_use]
    pub const fn asks_again(&self) -> bool {
        self.asks_again
    }

    /// A whole answer that was cleared, as the rest of this stream.
    #[must_use]
    pub fn told(&self, answer: &Cleared<Bytes>) -> Piece {
        let seen = self.choices.values().map(|choice| choice.seen).max().unwrap_or_default();
        Piece::own(self.cut.told(answer.get(), seen))
    }

    /// The text that is to lose its violating sentences, now that it is whole, and the notice in their place.
    pub(crate) fn excised(&self) -> Option<(Text<'_>, &Notice)> {
        let (line, notice) = self.excises.as_ref()?;
        let (policy, asked) = (&*self.policy, &*self.asked);
        let text = &self.lines.get(line)?.text;
        Some((Text { policy, asked, index: line.0, text }, notice))
    }

    /// What is left of that text, as the rest of this stream; where nothing sound is, its refusal.
    pub(crate) fn rest(&mut self, left: Option<String>) -> Vec<Piece> {
        let Some((key, notice)) = self.excises.take() else { return Vec::new() };
        let seen = self.lines.get(&key).map_or("", |line| line.text.get(..line.left).unwrap_or_default());
        let has_calls = self.queue.iter().any(|held| held.chunk.said.of_call);
        // What has left cannot be taken back; it is what the text begins with, unless it was found wanting by itself.
        let rest = left.as_deref().and_then(|left| left.strip_prefix(seen)).filter(|_| !has_calls);
        let Some(rest) = rest else {
            self.refuse(key.0, &notice);
            return self.release();
        };
        let surrogates = &self.asked.surrogates;
        let masks = if self.policy.phi.completion { surrogates.masks(rest) } else { Vec::new() };
        let masks: Vec<Change> = masks.into_iter().map(|(place, kind)| (place, mask(kind))).collect();
        let rest = changed(rest, &masks);
        let rest = surrogates.show(&rest).unwrap_or(rest);
        let ends = self.queue.iter().find(|held| !held.chunk.said.ends.is_empty());
        let mut pieces: Vec<Piece> = self.cut.pending_help().into_iter().map(Piece::own).collect();
        pieces.push(Piece::own(self.cut.rest(key.0, &rest, ends.map(|held| &held.chunk))));
        let is_beside = |chunk: &Chunk| chunk.is_done() || (chunk.usage().is_some() && chunk.has_no_choices());
        let others = std::mem::take(&mut self.queue).into_iter().filter(|held| is_beside(&held.chunk));
        pieces.extend(others.map(|Held { chunk, since, .. }| {
            let bytes = Cleared::new(chunk.bytes().clone());
            self.cut.left(&chunk);
            Piece { bytes, held: Some(since.elapsed()), is_done: chunk.is_done() }
        }));
        pieces
    }

    /// Help that was not given yet, since nothing of the answer has left.
    pub(crate) fn pending_help(&mut self) -> Vec<Piece> {
        self.cut.pending_help().into_iter().map(Piece::own).collect()
    }

    /// The refusal of a stream for which there is no other answer.
    pub fn refused(&mut self) -> Piece {
        let message = match &self.verdict.action {
            Action::Rewrite(_, notice) | Action::Block(notice) | Action::Escalate(notice) => &*notice.message,
            Action::Allow | Action::Flag => "",
        }
        .to_owned();
        let events = self.cut.choice(0, &message, Seen::Role);
        Piece::own(events + &self.cut.usage().unwrap_or_default())
    }

    /// An event in which surrogates are put back and identifiers masked, each where it ends.
    pub(super) fn redacted(&mut self, chunk: Chunk, reaches: &[((u64, String), Range<usize>)]) -> Chunk {
        let surrogates = &self.asked.surrogates;
        if surrogates.is_empty() && !self.policy.phi.completion {
            return chunk;
        }
        let masks = self.policy.phi.completion;
        let mut pieces = Vec::new();
        for (key, part) in reaches {
            let Some(line) = self.lines.get_mut(key) else { continue };
            let is_json = key.1.ends_with("arguments");
            self.verdict.redacted(&line.change(surrogates, masks, is_json));
            if let Some(new) = line.piece(part.clone()) {
                let old = line.text.get(part.clone()).unwrap_or_default().to_owned();
                pieces.push((key.clone(), old, new));
            }
        }
        let indices = chunk.indices();
        let is_response = self.asked.surface == Surface::Responses;
        let bytes = chunk.with_strings(&mut |path, said| {
            let key = path.last().map_or("", String::as_str);
            let of_fragment = |((index, place), old, _): &&((u64, String), String, String)| {
                let is_there =
                    place.rsplit('/').next() == Some(key) && path.get(1).and_then(|at| indices.get(at)) == Some(index);
                old == said && (is_there || (is_response && key == "delta"))
            };
            if let Some((_, _, new)) = pieces.iter().find(of_fragment) {
                return Some(new.clone());
            }
            // In a response, what came in fragments comes again whole, and other texts come whole only.
            if !is_response || CHOOSES.contains(&key) {
                return None;
            }
            let found = if masks { surrogates.masks(said) } else { Vec::new() };
            let changes: Vec<Change> = found.into_iter().map(|(place, kind)| (place, mask(kind))).collect();
            let masked = (!changes.is_empty()).then(|| fitted(said, &changes));
            surrogates.show(masked.as_deref().unwrap_or(said)).or(masked)
        });
        let is_changed = bytes != *chunk.bytes();
        let chunk = chunk.with_bytes(bytes);
        if is_changed { chunk.without_logprobs() } else { chunk }
    }

    /// Whether sentences can be taken out of a text: it is what the only choice says, and no call.
    pub(super) fn can_excise(&self, subject: &Subject) -> bool {
        let is_said = subject.span().is_some_and(|((_, place), _)| place == "/delta/content" || place == "/text");
        let has_calls = self.queue.iter().any(|held| held.chunk.said.of_call);
        let is_held = self.mode != Mode::Async && self.asked.choices == 1 && self.asked.surface != Surface::Responses;
        is_said && !has_calls && is_held
    }

    /// Whether another answer can stand in place of this one: it is the only one, and nothing of it was seen.
    pub(super) fn can_ask_again(&self, choice: u64) -> bool {
        let seen = self.choices.get(&choice).map(|choice| choice.seen).unwrap_or_default();
        self.asked.choices == 1 && seen < Seen::Text && self.asked.surface != Surface::Responses
    }
}
