//! A streamed answer that is changed on its way: surrogates put back, identifiers masked, sentences taken out, another
//! answer in its place.

use super::settle::Subject;
use super::{BESIDE, Held, Mode, Piece, Stream};
use crate::guard::Cleared;
use crate::guard::completion::Text;
use crate::guard::surrogates::{changed, fitted};
use crate::openai::chunk::Chunk;
use crate::openai::data::is_data;
use crate::openai::refusal::Seen;
use crate::openai::request::Surface;
use crate::policy::{Action, Notice};
use bytes::Bytes;
use std::collections::BTreeMap;
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

/// Whose text a path in a chunk leads to, and which of its texts; places in lists are left out, since some name themselves.
fn placed(path: &[String], indices: &BTreeMap<String, u64>) -> (u64, String) {
    match path {
        [choices, place, rest @ ..] if choices == "choices" => {
            (indices.get(place).copied().unwrap_or_default(), keys(rest.iter().map(String::as_str)))
        }
        path => (0, format!("{BESIDE}/beside/{}", keys(path.iter().map(String::as_str)))),
    }
}

fn keys<'a>(steps: impl Iterator<Item = &'a str>) -> String {
    let keys: Vec<&str> = steps.filter(|step| step.parse::<usize>().is_err()).collect();
    keys.join("/")
}

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
        let Some(rest) = rest.map(str::to_owned) else {
            self.refuse(key.0, &notice);
            return self.release();
        };
        // What else is held leaves as far as it was judged.
        let mut pieces: Vec<Piece> = self.cut.pending_help().into_iter().map(Piece::own).collect();
        for held in std::mem::take(&mut self.queue) {
            let is_cleared = self.is_cleared(&held);
            let Held { chunk, reaches, since, .. } = held;
            let is_of_line = reaches.iter().any(|(line, _)| *line == key);
            let is_end = !chunk.said.ends.is_empty() || chunk.is_done() || chunk.has_no_choices();
            if is_of_line || is_end {
                self.queue.push_back(Held { chunk, reaches, since, wholes: 0 });
                continue;
            }
            if !is_cleared {
                continue;
            }
            let chunk = self.redacted(chunk, &reaches);
            self.cut.left(&chunk);
            let bytes = Cleared::new(chunk.bytes().clone());
            pieces.push(Piece { bytes, held: Some(since.elapsed()), is_done: false });
            let choice = self.choices.entry(key.0).or_default();
            choice.seen = choice.seen.max(Seen::Role);
        }
        let seen = self.choices.get(&key.0).map(|choice| choice.seen).unwrap_or_default();
        let surrogates = &self.asked.surrogates;
        let (masks, counts) =
            if self.policy.phi.completion { surrogates.masked(&rest) } else { (Vec::new(), BTreeMap::new()) };
        let rest = changed(&rest, &masks);
        let rest = surrogates.show(&rest).unwrap_or(rest);
        self.verdict.redacted(&counts);
        let ends = self.queue.iter().find(|held| !held.chunk.said.ends.is_empty());
        pieces.push(Piece::own(self.cut.rest((key.0, seen), &rest, ends.map(|held| &held.chunk))));
        let is_beside = |chunk: &Chunk| chunk.is_done() || (chunk.usage().is_some() && chunk.has_no_choices());
        let others = std::mem::take(&mut self.queue).into_iter().filter(|held| is_beside(&held.chunk));
        pieces.extend(others.map(|Held { chunk, since, .. }| {
            let bytes = Cleared::new(chunk.bytes().clone());
            self.cut.left(&chunk);
            Piece { bytes, held: Some(since.elapsed()), is_done: chunk.is_done() }
        }));
        pieces
    }

    /// Help that was not given, where nothing more of the answer will come.
    pub(crate) fn last_help(&mut self) -> Vec<Piece> {
        self.cut.last_help().into_iter().map(Piece::own).collect()
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
            let is_json = key.1.contains("arguments") || line.text.trim_start().starts_with('{');
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
            let (index, place) = placed(path, &indices);
            let of_fragment = |((of, at), old, _): &&((u64, String), String, String)| {
                let at = keys(at.trim_start_matches('/').split('/'));
                old == said && ((*of == index && at == place) || (is_response && key == "delta"))
            };
            if let Some((_, _, new)) = pieces.iter().find(of_fragment) {
                return Some(new.clone());
            }
            // In a response, what came in fragments comes again whole, and other texts come whole only.
            if !is_response || CHOOSES.contains(&key) || is_data(key, said) {
                return None;
            }
            let changes = if masks { surrogates.masked(said).0 } else { Vec::new() };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::phi::Kind;
    use crate::guard::stream::tests::{asked, done, event, policy, read, relayed, says, stream, telling};
    use crate::guard::surrogates::Surrogates;
    use crate::openai::refusal::FinishReason;
    use crate::openai::request::Asked;
    use crate::openai::sse;
    use serde_json::json;
    use std::sync::Arc;

    #[test]
    fn what_stands_beside_an_excised_text_is_judged_too() {
        let policy = policy(
            "action = \"block\"\n[rules.message]\nen = \"The answer",
            "action = \"excise\"\n[rules.message]\nen = \"The answer",
        );
        for thought in ["It VIOLATES", "It is well."] {
            let mut stream = Stream::new(policy.clone(), asked(&json!({})), Mode::Window, FinishReason::ContentFilter);
            let events = [
                says(0, "Take one tablet a day with a meal, please. Now VIOLATE it. "),
                event(0, &json!({"reasoning_content": thought}), None),
                event(0, &json!({}), Some("stop")),
                done(),
            ];
            let mut left = relayed(&mut stream, Surface::Chat, &events).concat();
            left.extend(
                stream
                    .rest(Some("Take one tablet a day with a meal, please. [gone] ".to_owned()))
                    .iter()
                    .map(|piece| String::from_utf8_lossy(piece.bytes.get()).into_owned()),
            );
            assert!(!left.contains("VIOLATE"), "{left}");
            assert_eq!(left.contains(thought), thought == "It is well.", "{left}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(10_000))]

        #[test]
        fn surrogates_come_back_however_the_answer_is_cut_into_pieces(
            words in proptest::collection::vec("[a-z]{1,6}[.,]? |1|2|3", 1..8),
            sizes in proptest::collection::vec(1_usize..9, 1..12),
            mode in proptest::sample::select(vec![Mode::Window, Mode::Buffer, Mode::Async]),
        ) {
            let mut surrogates = Surrogates::default();
            let originals = ["Maria Sanchez", "415-555-0132", "MRN 4471920"];
            let hidden = originals.map(|original| format!("[{}]", surrogates.surrogate(Kind::Name, original)));
            let told = |names: [&str; 3]| -> String {
                let word = |word: &String| word.parse::<usize>().map_or(word.clone(), |place| format!("{} ", names[place - 1]));
                words.iter().map(word).collect()
            };
            let text = told([&hidden[0], &hidden[1], &hidden[2]]);
            let mut asked = asked(&json!({}));
            asked.surrogates = Arc::new(surrogates);
            let mut stream = stream(mode, &asked);
            let (mut events, mut rest, mut sizes) = (Vec::new(), text.as_str(), sizes.iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                events.push(says(0, piece));
                rest = after;
            }
            events.push(done());
            let left = relayed(&mut stream, Surface::Chat, &events).concat();
            proptest::prop_assert_eq!(read(&left, 0).0, told(originals));
        }
    }

    #[test]
    fn identifiers_in_an_answer_are_masked_where_the_policy_says_so() {
        let policy = policy("completion = \"pass\"", "completion = \"redact\"");
        let mut stream = Stream::new(policy, asked(&json!({})), Mode::Window, FinishReason::ContentFilter);
        let events = telling("Take 5 mg. Patient: Maria Sanchez, MRN 4471920, was seen. Her BP is 120/80.", 3);
        let left = relayed(&mut stream, Surface::Chat, &events).concat();
        assert_eq!(read(&left, 0).0, "Take 5 mg. Patient: [NAME], MRN [MRN], was seen. Her BP is 120/80.");
        assert_eq!(stream.verdict().action.id(), "rewrite");
        assert_eq!(stream.verdict().redacted.values().sum::<u64>(), 2);
    }

    #[test]
    fn a_response_is_masked_where_its_text_comes_again() {
        let policy = policy("completion = \"pass\"", "completion = \"redact\"");
        let mut stream =
            Stream::new(policy, Asked::nothing(Surface::Responses), Mode::Window, FinishReason::ContentFilter);
        let text = "Patient: Maria Sanchez is well.";
        let events = [
            json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text}),
            json!({"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": text}),
            json!({"type": "response.completed", "response": {"output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]}}),
        ];
        let left =
            relayed(&mut stream, Surface::Responses, &events.map(|event| sse::event(&event.to_string()))).concat();
        assert!(!left.contains("Sanchez") && left.matches("Patient: [NAME] is well.").count() == 3, "{left}");
    }
}
