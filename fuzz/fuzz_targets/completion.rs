//! Any answer is read or withheld; when all of it is refused, nothing of what it said is left.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use nonnocere::openai::completion::Completion;
use nonnocere::openai::moderation::annotated;
use nonnocere::openai::refusal::FinishReason;
use nonnocere::openai::request::{Asked, Surface};
use std::collections::BTreeMap;

const NO: &str = "no";

fuzz_target!(|answer: &[u8]| {
    for (surface, streamed) in [
        (Surface::Chat, false),
        (Surface::Chat, true),
        (Surface::Completions, true),
        (Surface::Responses, false),
        (Surface::Responses, true),
    ] {
        let parse = |bytes: Bytes| Completion::parse(surface, bytes, streamed, 64);
        let Ok(completion) = parse(Bytes::copy_from_slice(answer)) else { continue };
        let all: BTreeMap<u64, &str> = completion.choices.keys().map(|index| (*index, NO)).collect();
        if !all.is_empty() {
            let left = parse(completion.without(&Asked::nothing(surface), &all, FinishReason::ContentFilter)).expect("our own answers are read");
            assert!(left.choices.values().flatten().all(|text| text == NO));
        }
    }
    if let Ok(text) = std::str::from_utf8(answer) {
        let _ = annotated(text, true, &Default::default());
        let _ = annotated(text, false, &Default::default());
    }
});
