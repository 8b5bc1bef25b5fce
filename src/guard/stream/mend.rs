//! A streamed answer that is changed on its way: surrogates put back, identifiers masked, sentences taken out, another
//! answer in its place.

use super::line::Line;
use super::settle::Subject;
use super::{BESIDE, Mode, Piece, Stream};
use crate::guard::Cleared;
use crate::guard::completion::Text;
use crate::guard::surrogates::{Change, fitted};
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
    pub fn told(&mut self, answer: &Cleared<Bytes>) -> Piece {
        let seen = self.choices.values().map(|choice| choice.seen).max().unwrap_or_default();
        Piece::own(self.cut.told(answer.get(), seen))
    }

    /// A text that is to lose its violating sentences, now that it is whole, and the notice in their place.
    pub(crate) fn excised(&self) -> Option<(Text<'_>, &Notice)> {
        let (line, notice) = self.next_excise()?;
        let (policy, asked) = (&*self.policy, &*self.asked);
        let text = &self.lines.get(line)?.text;
        Some((Text { policy, asked, index: line.0, text }, notice))
    }

    /// Takes the sentences out of that text that it is to lose, so that it may go on; where that cannot be, or one of them has
    /// left already, its choice is refused.
    pub(crate) fn excise(&mut self, cuts: Option<Vec<Change>>) {
        let Some((key, notice)) = self.next_excise().map(|(key, notice)| (key.clone(), notice.clone())) else { return };
        self.excises.remove(&key);
        self.excised.insert(key.0, notice.clone());
        let line = self.lines.get_mut(&key);
        if !line.zip(cuts).is_some_and(|(line, cuts)| line.excise(cuts)) {
            self.refuse(key.0, &notice);
        }
    }

    /// The first text that is to lose sentences and is whole.
    fn next_excise(&self) -> Option<(&(u64, String), &Notice)> {
        let is_whole = |index| self.is_over || self.choices.get(&index).is_some_and(|choice| choice.has_ended);
        self.excises.iter().find(|(line, _)| is_whole(line.0))
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

    /// An event in which surrogates are put back, identifiers masked and sentences taken out, each where it ends; `None` when it
    /// would still say what was taken out, and its choice is refused.
    pub(super) fn redacted(&mut self, chunk: Chunk, reaches: &[((u64, String), Range<usize>)]) -> Option<Chunk> {
        let surrogates = &self.asked.surrogates;
        let cut: Vec<u64> = self.lines.iter().filter(|(_, line)| line.is_cut()).map(|((index, _), _)| *index).collect();
        let is_cut = chunk.said.choices.iter().any(|index| cut.contains(index));
        if surrogates.is_empty() && !self.policy.phi.completion && !is_cut {
            return Some(chunk);
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
            let of_cut = |line: &&Line| line.text == said;
            if let Some(left) = self.lines.values().filter(of_cut).find_map(Line::without) {
                return Some(left);
            }
            let changes = if masks { surrogates.masked(said).0 } else { Vec::new() };
            let masked = (!changes.is_empty()).then(|| fitted(said, &changes));
            surrogates.show(masked.as_deref().unwrap_or(said)).or(masked)
        });
        let is_changed = bytes != *chunk.bytes();
        let chunk = chunk.with_bytes(bytes);
        // Probabilities may run ahead of their text, or behind it.
        let chunk = if is_changed || is_cut { chunk.without_logprobs() } else { chunk };
        if !is_cut {
            return Some(chunk);
        }
        // Whatever way it came by: nothing says again what was taken out.
        let mut again = None;
        drop(chunk.with_strings(&mut |path, said| {
            let of = |((index, _), line): (&(u64, String), &Line)| line.repeats(said).then_some(*index);
            let is_said = !path.last().is_some_and(|key| CHOOSES.contains(&key.as_str()));
            again = again.or_else(|| self.lines.iter().filter(|_| is_said).find_map(of));
            None
        }));
        let Some(index) = again else { return Some(chunk) };
        if let Some(notice) = self.excised.get(&index).cloned() {
            self.refuse(index, &notice);
        }
        None
    }

    /// The text that sentences can be taken out of, in place of refusing the choice: what it says, not what it calls or thinks.
    pub(super) fn excisable(&self, subject: &Subject) -> Option<(u64, String)> {
        let is_said = |(_, place): &(u64, String)| {
            let is_plain = place.starts_with("response.output_text.delta") && !place.contains("/delta/");
            ["/delta/content", "/text"].contains(&place.as_str()) || is_plain
        };
        let line = match subject {
            Subject::Line { line, .. } | Subject::Window { line, .. } => line,
            // A text that comes again whole loses what it loses as it comes.
            Subject::Whole { choice, hash, .. } => self.lines.keys().find(|key| self.says(key, *choice, *hash))?,
        };
        (self.mode != Mode::Async && is_said(line)).then(|| line.clone())
    }

    /// Whether another answer can stand in place of this one: it is the only one, and nothing of it was seen.
    pub(super) fn can_ask_again(&self, choice: u64) -> bool {
        let seen = self.choices.get(&choice).map(|choice| choice.seen).unwrap_or_default();
        self.asked.choices == 1 && seen < Seen::Text && self.cut.can_go_on()
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
    use crate::policy::{Policy, file};
    use serde_json::json;
    use std::sync::Arc;

    /// A text of ASCII in pieces.
    fn cut(text: &str, size: usize) -> impl Iterator<Item = &str> {
        text.as_bytes().chunks(size).map(|piece| std::str::from_utf8(piece).unwrap())
    }

    fn excising() -> Arc<Policy> {
        policy(
            "action = \"block\"\n[rules.message]\nen = \"The answer",
            "action = \"excise\"\n[rules.message]\nen = \"The answer",
        )
    }

    #[test]
    fn what_stands_beside_an_excised_text_is_judged_too() {
        for thought in ["It VIOLATES", "It is well."] {
            let mut stream = Stream::new(excising(), asked(&json!({})), Mode::Window, FinishReason::ContentFilter);
            let events = [
                says(0, "Take one tablet a day with a meal, please. Now VIOLATE it. "),
                event(0, &json!({"reasoning_content": thought}), None),
                event(0, &json!({}), Some("stop")),
                done(),
            ];
            let left = relayed(&mut stream, Surface::Chat, &events).concat();
            assert!(!left.contains("VIOLATE"), "{left}");
            assert_eq!(left.contains(thought), thought == "It is well.", "{left}");
        }
    }

    #[test]
    fn each_choice_of_a_stream_loses_its_own_sentences() {
        let texts = [
            "Take one tablet a day with a meal, please. Now VIOLATE it. Come back in two weeks.",
            "Rest for a day or two and drink enough water.",
            "VIOLATE it at once! Take one tablet a day with a meal, please.",
        ];
        let expected = [
            "Take one tablet a day with a meal, please. [gone] Come back in two weeks.",
            texts[1],
            "[gone] Take one tablet a day with a meal, please.",
        ];
        for mode in [Mode::Window, Mode::Buffer] {
            for size in [3, 17, 200] {
                let asked = asked(&json!({"n": 3}));
                let mut stream = Stream::new(excising(), asked, mode, FinishReason::ContentFilter);
                let mut pieces: Vec<(usize, u64, &str)> = Vec::new();
                for (index, text) in (0..).zip(texts) {
                    pieces.extend(cut(text, size).enumerate().map(|(place, piece)| (place, index, piece)));
                }
                pieces.sort_unstable();
                let mut events: Vec<String> = pieces.iter().map(|(_, index, piece)| says(*index, piece)).collect();
                events.extend((0..3).map(|index| event(index, &json!({}), Some("stop"))));
                events.push(done());
                let left = relayed(&mut stream, Surface::Chat, &events).concat();
                for (index, expected) in (0..).zip(expected) {
                    let (said, finish) = read(&left, index);
                    assert_eq!((said.as_str(), finish.as_deref()), (expected, Some("stop")), "{mode:?} {size}");
                }
            }
        }
    }

    #[test]
    fn a_response_loses_its_sentences_wherever_they_come() {
        let text = "Take one tablet a day with a meal, please. Now VIOLATE it. Patient: Maria Sanchez is well.";
        let at = json!({"output_index": 0, "content_index": 0, "item_id": "i"});
        let with = |more: serde_json::Value| {
            let mut event = at.clone();
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            sse::event(&event.to_string())
        };
        let message = json!({"type": "message", "content": [{"type": "output_text", "text": text}]});
        for (mode, size) in [(Mode::Window, 3), (Mode::Window, 50), (Mode::Buffer, 7), (Mode::Buffer, 500)] {
            let delta = |piece: &str| {
                with(json!({"type": "response.output_text.delta", "delta": piece, "logprobs": [{"token": piece}]}))
            };
            let mut events: Vec<String> = cut(text, size).map(delta).collect();
            events.extend([
                with(json!({"type": "response.output_text.done", "text": text})),
                with(json!({"type": "response.output_item.done", "item": message})),
                sse::event(&json!({"type": "response.completed", "response": {"output": [message]}}).to_string()),
            ]);
            let redacts = file::EMBEDDED.replace("completion = \"pass\"", "completion = \"redact\"").replace(
                "action = \"block\"\n[rules.message]\nen = \"The answer",
                "action = \"excise\"\n[rules.message]\nen = \"The answer",
            );
            let policy = Arc::new(file::parse("p", &redacts).unwrap());
            let mut stream = Stream::new(policy, Asked::nothing(Surface::Responses), mode, FinishReason::ContentFilter);
            let left = relayed(&mut stream, Surface::Responses, &events).concat();
            let expected = "Take one tablet a day with a meal, please. [gone] Patient: [NAME] is well.";
            assert!(!left.contains("VIOLATE") && !left.contains("Sanchez"), "{left}");
            assert_eq!(left.matches(expected).count(), 3 + usize::from(size == 500), "{left}");
            assert!(!left.contains("null"), "{left}");
            let read = sse::events(left.as_bytes()).unwrap();
            let read: Vec<serde_json::Value> = read.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
            let said: String = read.iter().filter_map(|event| event["delta"].as_str()).collect();
            assert_eq!((said.as_str(), read.len()), (expected, events.len()));
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(10_000))]

        #[test]
        fn surrogates_come_back_however_the_answer_is_cut_into_pieces(
            words in proptest::collection::vec("[a-z]{1,6}[.,]? |1|2|3", 1..8),
            sizes in proptest::collection::vec(1_usize..9, 1..12),
            mode in proptest::sample::select(vec![Mode::Window, Mode::Clause, Mode::Buffer, Mode::Async]),
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
