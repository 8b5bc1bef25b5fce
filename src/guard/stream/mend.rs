//! A streamed answer that is changed on its way: surrogates put back, identifiers masked, sentences taken out, another
//! answer in its place.

use super::{Held, Piece, Stream, Subject};
use crate::guard::Cleared;
use crate::guard::completion::Text;
use crate::openai::chunk::Chunk;
use crate::openai::refusal::Seen;
use crate::openai::request::Surface;
use crate::policy::{Action, Notice};
use bytes::Bytes;
use std::ops::Range;

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
        let seen = self.lines.get(&key).map_or("", |line| line.text.get(..line.cleared).unwrap_or_default());
        // What has left cannot be taken back; it is what the text begins with, unless it was found wanting by itself.
        let Some(rest) = left.as_deref().and_then(|left| left.strip_prefix(seen)) else {
            self.refuse(key.0, &notice);
            return self.release();
        };
        let rest = self.asked.surrogates.show(rest).unwrap_or_else(|| rest.to_owned());
        let ends = self.queue.iter().find(|held| !held.chunk.said.ends.is_empty());
        let mut pieces = vec![Piece::own(self.cut.rest(key.0, &rest, ends.map(|held| &held.chunk)))];
        let others = std::mem::take(&mut self.queue).into_iter().filter(|held| held.chunk.said.choices.is_empty());
        pieces.extend(others.map(|Held { chunk, since, .. }| {
            let bytes = Cleared::new(chunk.bytes().clone());
            self.cut.left(&chunk);
            Piece { bytes, held: Some(since.elapsed()), is_done: chunk.is_done() }
        }));
        pieces
    }

    /// The refusal of a stream for which there is no other answer.
    #[must_use]
    pub fn refused(&self) -> Piece {
        let message = match &self.verdict.action {
            Action::Rewrite(_, notice) | Action::Block(notice) | Action::Escalate(notice) => &*notice.message,
            Action::Allow | Action::Flag => "",
        };
        Piece::own(self.cut.choice(0, message, Seen::Role))
    }

    /// An event in which surrogates are put back and identifiers masked, each where it ends.
    pub(super) fn redacted(&mut self, chunk: Chunk, reaches: &[((u64, String), Range<usize>)]) -> Chunk {
        let surrogates = &self.asked.surrogates;
        if surrogates.is_empty() && !self.policy.phi.completion {
            return chunk;
        }
        let mut pieces = Vec::new();
        for (key, part) in reaches {
            let Some(line) = self.lines.get_mut(key) else { continue };
            let masked = line.change(surrogates, self.policy.phi.completion);
            self.verdict.redacted(&masked);
            if let Some(new) = line.piece(part.clone()) {
                let old = line.text.get(part.clone()).unwrap_or_default().to_owned();
                pieces.push((key.1.rsplit('/').next().unwrap_or_default(), old, new));
            }
        }
        let is_response = self.asked.surface == Surface::Responses;
        let bytes = chunk.with_strings(&mut |key, said| {
            let of_fragment = |(name, old, _): &&(&str, String, String)| {
                (*name == key || is_response && key == "delta") && old == said
            };
            match pieces.iter().find(of_fragment) {
                Some((_, _, new)) => Some(new.clone()),
                // In a response, what came in fragments comes again whole.
                None if is_response && key != "delta" => surrogates.show(said),
                None => None,
            }
        });
        chunk.with_bytes(bytes)
    }

    /// Whether sentences can be taken out of a text: it is what the only choice says, and no call.
    pub(super) fn can_excise(&self, subject: &Subject) -> bool {
        let is_said = subject.span().is_some_and(|((_, place), _)| place == "/delta/content" || place == "/text");
        let has_calls = self.queue.iter().any(|held| held.chunk.said.of_call);
        is_said && !has_calls && self.asked.choices == 1 && self.asked.surface != Surface::Responses
    }

    /// Whether another answer can stand in place of this one: it is the only one, and nothing of it was seen.
    pub(super) fn can_ask_again(&self, choice: u64) -> bool {
        let seen = self.choices.get(&choice).map(|choice| choice.seen).unwrap_or_default();
        self.asked.choices == 1 && seen < Seen::Text && self.asked.surface != Surface::Responses
    }
}
