//! Any answer is read or withheld, whole and streamed; when all of it is refused, nothing of what it said is left.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use nonnocere::openai::chunk::Chunk;
use nonnocere::openai::completion::Completion;
use nonnocere::openai::cut::Cut;
use nonnocere::openai::json::parse;
use nonnocere::openai::moderation::annotated;
use nonnocere::openai::refusal::{FinishReason, Seen};
use nonnocere::openai::request::{Asked, Surface};
use nonnocere::openai::sse::{Decoder, events};
use std::collections::BTreeMap;
use std::sync::Arc;

const NO: &str = "no";
const FINISH: FinishReason = FinishReason::ContentFilter;

fuzz_target!(|answer: &[u8]| {
    for surface in [Surface::Chat, Surface::Completions, Surface::Responses] {
        whole(surface, answer);
        streamed(surface, answer);
    }
    if let Ok(text) = std::str::from_utf8(answer) {
        let _ = annotated(text, true, &Default::default());
        let _ = annotated(text, false, &Default::default());
    }
});

fn whole(surface: Surface, answer: &[u8]) {
    let read = |bytes: Bytes| Completion::parse(surface, bytes, 64);
    let Ok(completion) = read(Bytes::copy_from_slice(answer)) else { return };
    let all: BTreeMap<u64, &str> = completion.choices.keys().map(|index| (*index, NO)).collect();
    if !all.is_empty() {
        let left = completion.without(&Asked::nothing(surface), &all, FINISH);
        let left = read(left.into_bytes()).expect("our own answers are read");
        assert!(left.choices.values().flatten().all(|text| text == NO));
    }
}

/// A stream is the same in one piece and byte by byte, and can be cut after each of its events.
fn streamed(surface: Surface, answer: &[u8]) {
    let (mut decoder, mut slow) = (Decoder::default(), Decoder::default());
    decoder.push(answer);
    let mut fast: Vec<Bytes> = std::iter::from_fn(|| decoder.next_event()).collect();
    fast.extend(decoder.rest());
    let mut steps = Vec::new();
    for byte in answer {
        slow.push(&[*byte]);
        steps.extend(std::iter::from_fn(|| slow.next_event()));
    }
    steps.extend(slow.rest());
    assert_eq!(fast, steps);
    assert_eq!(fast.concat(), answer);
    let mut cut = Cut::new(Arc::new(Asked::nothing(surface)), FINISH);
    for event in fast {
        let Ok(chunk) = Chunk::parse(surface, event, 64) else { return };
        if let Some(left) = chunk.without(&|_| true) {
            events(&left).expect("our own events are read");
        }
        cut.note(&chunk);
        cut.left(&chunk);
        for event in events(cut.choice(0, NO, Seen::Text).as_bytes()).expect("our own events are read") {
            parse(event.as_bytes(), 64).expect("our own events are JSON");
        }
    }
}
