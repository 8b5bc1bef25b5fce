use super::*;
use crate::classify::Scores;
use crate::classify::pool::Unavailable;
use crate::classify::reading::Judged;
use crate::guard::rewrite;
use crate::openai::request::Request;
use crate::openai::sse;
use crate::policy::file;
use crate::policy::opinion::Opinion;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// What is judged: `VIOLATE` is certain, `doubtful` is near to it, `unlikely` is not far from it.
fn judge(input: &Input) -> (Judged, Option<Opinion>) {
    let Input::Completion { completion, .. } = input else { unreachable!() };
    let words = [("VIOLATE", 1.0), ("doubtful", 0.6), ("unlikely", 0.2)];
    let violation = words.iter().find(|(word, _)| completion.contains(word)).map_or(0.0, |(_, score)| *score);
    (Judged { scores: Scores { violation, ..Scores::NONE }, coverage: Coverage::Full }, None)
}

pub(super) fn asked(more: &Value) -> Asked {
    let mut body = json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "x"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Request::parse(Surface::Chat, Bytes::from(body.to_string()), 64).unwrap().asked().clone()
}

pub(super) fn policy(from: &str, to: &str) -> Arc<Policy> {
    Arc::new(file::parse("p", &file::EMBEDDED.replace(from, to)).unwrap())
}

pub(super) fn stream(mode: Mode, asked: &Asked) -> Stream {
    static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| policy("", ""));
    Stream::new(Arc::clone(&POLICY), asked.clone(), mode, FinishReason::ContentFilter)
}

pub(super) fn event(index: u64, delta: &Value, finish: Option<&str>) -> String {
    let choice = json!({"index": index, "delta": delta, "finish_reason": finish});
    sse::event(&json!({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}).to_string())
}

pub(super) fn says(index: u64, text: &str) -> String {
    event(index, &json!({"content": text}), None)
}

fn usage() -> String {
    sse::event(&json!({"id": "c", "choices": [], "usage": {"total_tokens": 9}}).to_string())
}

pub(super) fn done() -> String {
    sse::event(sse::DONE)
}

/// One choice that says `text` in pieces of `size` bytes, and ends.
pub(super) fn telling(text: &str, size: usize) -> Vec<String> {
    let mut events = vec![event(0, &json!({"role": "assistant", "content": ""}), None)];
    events.extend(text.as_bytes().chunks(size).map(|piece| says(0, std::str::from_utf8(piece).unwrap())));
    events.extend([event(0, &json!({}), Some("stop")), usage(), done()]);
    events
}

fn hold(stream: &mut Stream, surface: Surface, event: &str) {
    stream.hold(Chunk::parse(surface, Bytes::from(event.to_owned()), 64).unwrap());
}

fn written(pieces: Vec<Piece>) -> String {
    pieces.iter().map(|piece| String::from_utf8(piece.bytes.get().to_vec()).unwrap()).collect()
}

/// What leaves when each event is judged before the next comes, event by event, and at the end.
pub(super) fn relayed(stream: &mut Stream, surface: Surface, events: &[String]) -> Vec<String> {
    let mut left = Vec::new();
    for event in events.iter().map(Some).chain([None]) {
        match event {
            Some(event) if !stream.is_closed() => hold(stream, surface, event),
            Some(_) => continue,
            None => stream.end(),
        }
        let mut now = written(stream.release());
        loop {
            if let Some(due) = stream.due() {
                stream.settle(Ok(due.iter().map(judge).collect())).unwrap();
            } else if let Some((text, _)) = stream.excised() {
                let sentences = rewrite::sentences(text.text);
                let bad: Vec<bool> = sentences.iter().map(|one| one.contains("VIOLATE")).collect();
                let cuts = rewrite::without(&sentences, &bad, "gone");
                stream.excise(cuts);
            } else {
                break;
            }
            now += &written(stream.release());
        }
        now += &written(stream.release());
        left.push(now);
    }
    assert!(stream.is_finished());
    left.extend(stream.done().map(|piece| written(vec![piece])));
    left
}

/// The content of a choice in what was written, and how it ended.
pub(super) fn read(written: &str, index: u64) -> (String, Option<String>) {
    let (mut text, mut finish) = (String::new(), None);
    for event in sse::events(written.as_bytes()).unwrap().iter().filter(|event| *event != sse::DONE) {
        let event: Value = serde_json::from_str(event).unwrap();
        for choice in event["choices"].as_array().unwrap().iter().filter(|choice| choice["index"] == index) {
            assert!(finish.is_none(), "a choice goes on after its end");
            text += choice["delta"]["content"].as_str().unwrap_or_default();
            finish = choice["finish_reason"].as_str().map(str::to_owned);
        }
    }
    (text, finish)
}

#[test]
fn a_sentence_leaves_when_it_was_judged_and_the_end_when_all_was() {
    let asked = asked(&json!({}));
    let events = telling("One. Two. Three", 5);
    let left = relayed(&mut stream(Mode::Window, &asked), Surface::Chat, &events);
    assert_eq!(left[0], events[0], "what says nothing leaves at once");
    assert_eq!((left[1].as_str(), left[2].as_str()), ("", events[1].as_str()), "`One. ` leaves with the next word");
    assert_eq!(left[3], events[2]);
    assert_eq!(left[4], [events[3].as_str(), &events[4]].concat());
    assert_eq!(left.concat(), events.concat());
}

#[test]
fn what_is_near_to_a_violation_leaves_one_sentence_later() {
    let asked = asked(&json!({}));
    let events: Vec<String> =
        ["It is doubtful. ", "Two", " two. ", "Three", " three. ", "F"].map(|text| says(0, text)).into();
    let mut stream = stream(Mode::Window, &asked);
    let left = relayed(&mut stream, Surface::Chat, &events);
    assert_eq!(left[..4], ["", "", "", events[0].as_str()]);
    assert_eq!(left.concat(), events.concat());
}

#[test]
fn a_clause_leaves_where_nothing_is_suspected_and_else_its_sentence_does() {
    let asked = asked(&json!({}));
    let told = |mode, text: &[&str]| {
        let events: Vec<String> = text.iter().map(|text| says(0, text)).collect();
        relayed(&mut stream(mode, &asked), Surface::Chat, &events)
            .iter()
            .map(|left| read(left, 0).0)
            .collect::<Vec<_>>()
    };
    let calm = ["Take it with a meal, ", "and rest, ", "please. ", "So"];
    assert_eq!(told(Mode::Window, &calm)[..4], ["", "", "", &calm[..3].concat()]);
    assert_eq!(told(Mode::Clause, &calm)[..4], ["", calm[0], "", &calm[1..3].concat()]);
    // What is far from a violation as a sentence may be too near to one as a clause.
    let tense = ["It may seem unlikely, ", "but not to them, no, ", "please. ", "So"];
    assert_eq!(told(Mode::Clause, &tense)[..4], ["", "", "", &tense[..3].concat()]);
    let near = ["It may seem doubtful, ", "but not to them, no, ", "please. ", "Then ", "rest. ", "So"];
    assert_eq!(told(Mode::Clause, &near)[..4], ["", "", "", ""]);
    let bad = told(Mode::Clause, &["Take it with a meal, ", "or VIOLATE it, ", "please. ", "So"]).concat();
    assert!(bad.starts_with("Take it with a meal, ") && !bad.contains("VIOLATE"), "{bad}");
}

#[test]
fn nothing_of_a_violating_sentence_leaves_wherever_it_stands_and_however_it_comes() {
    let asked = asked(&json!({"stream_options": {"include_usage": true}}));
    let sentences: Vec<String> = (0..50).map(|n| format!("Take {n} of it with a meal please. ")).collect();
    let words: Vec<&str> = sentences.iter().flat_map(|one| one.split_inclusive(' ')).collect();
    assert_eq!(words.len(), 400);
    for place in 0..words.len() {
        let mut text = words.clone();
        text[place] = "VIOLATE ";
        let size = place % 41 + 1;
        let before = sentences[..place / 8].concat();
        for mode in [Mode::Window, Mode::Buffer] {
            let mut stream = stream(mode, &asked);
            let left = relayed(&mut stream, Surface::Chat, &telling(&text.concat(), size)).concat();
            let (said, finish) = read(&left, 0);
            let (seen, notice) = said.split_at(said.find("The answer was withheld").unwrap());
            assert!(before.starts_with(seen.trim_end()), "{place}, {size}: {seen}");
            assert!(mode == Mode::Window || seen.is_empty());
            assert!(seen.len() + 41 + 45 >= before.len() || mode == Mode::Buffer, "{place}: {seen:?} of {before:?}");
            assert!(!notice.contains("VIOLATE") && finish.as_deref() == Some("content_filter"));
            assert!(left.ends_with("data: [DONE]\n\n") && left.contains("\"total_tokens\""));
        }
    }
}

#[test]
fn the_work_grows_with_the_length_and_not_with_its_square() {
    let asked = asked(&json!({}));
    let judged = |tokens: usize| {
        let text = "Take it with a meal please, always. ".repeat(tokens / 8);
        let mut stream = stream(Mode::Window, &asked);
        let mut bytes = 0;
        for event in telling(&text, 5) {
            hold(&mut stream, Surface::Chat, &event);
            while let Some(due) = stream.due() {
                let size =
                    |input: &Input| if let Input::Completion { completion, .. } = input { completion.len() } else { 0 };
                bytes += due.iter().map(size).sum::<usize>();
                stream.settle(Ok(due.iter().map(judge).collect())).unwrap();
            }
            stream.release();
        }
        (stream.windows() as f64 / tokens as f64, bytes as f64 / tokens as f64)
    };
    let (few, many) = (judged(64), judged(4096));
    assert!(many.0 <= few.0 && many.1 <= few.1 * 3.0, "{few:?}, {many:?}");
}

#[test]
fn a_violation_over_sentences_that_have_left_is_found_at_the_end() {
    let asked = asked(&json!({}));
    let text = format!("VIO. {}LATE. ", "Take it with food. ".repeat(40));
    let together = |input: &Input| {
        let Input::Completion { completion, .. } = input else { unreachable!() };
        let violation = f32::from(u8::from(completion.contains("VIO.") && completion.contains("LATE.")));
        (Judged { scores: Scores { violation, ..Scores::NONE }, coverage: Coverage::Full }, None)
    };
    let mut stream = stream(Mode::Window, &asked);
    let mut left = String::new();
    for event in telling(&text, 7) {
        hold(&mut stream, Surface::Chat, &event);
        while let Some(due) = stream.due() {
            stream.settle(Ok(due.iter().map(together).collect())).unwrap();
        }
        left += &written(stream.release());
    }
    let (said, finish) = read(&left, 0);
    assert!(said.contains("withheld") && finish.as_deref() == Some("content_filter"), "{said}");
    assert!(left.contains("\"total_tokens\":9"), "what was spent is known by then");
    assert!(left.ends_with("data: [DONE]\n\n"));
}

#[test]
fn the_other_choices_go_on_when_one_is_cut() {
    let asked = asked(&json!({"n": 2}));
    let events = [
        event(0, &json!({"role": "assistant", "content": ""}), None),
        says(1, "All is "),
        says(0, "One is good. Then VIOLATE. "),
        says(0, "More of it. "),
        says(1, "well. And so on."),
        event(1, &json!({}), Some("stop")),
        event(0, &json!({}), Some("stop")),
        usage(),
        done(),
    ];
    let mut stream = stream(Mode::Window, &asked);
    let left = relayed(&mut stream, Surface::Chat, &events).concat();
    assert_eq!(read(&left, 1), ("All is well. And so on.".to_owned(), Some("stop".to_owned())));
    let (said, finish) = read(&left, 0);
    assert!(said.starts_with("The answer was withheld") && finish.as_deref() == Some("content_filter"), "{said}");
    assert!(!stream.is_closed() && left.ends_with(&[usage(), done()].concat()));
    assert_eq!(stream.verdict().action.id(), "block");
}

#[test]
fn calls_leave_when_they_are_whole() {
    let asked = asked(&json!({}));
    let call = |part: &str| event(0, &json!({"tool_calls": [{"index": 0, "function": {"arguments": part}}]}), None);
    let good =
        [says(0, "Well. "), call("{\"a\": \"b. "), call("C d\"}"), event(0, &json!({}), Some("tool_calls")), done()];
    let mut one = stream(Mode::Window, &asked);
    let left = relayed(&mut one, Surface::Chat, &good);
    assert_eq!(
        left[..3],
        ["", good[0].as_str(), ""],
        "a call is of no use in part; what stands before it is whole by then"
    );
    assert_eq!(left.concat(), good.concat());
    let bad = [
        says(0, "Well. So. "),
        call("{\"a\": \"VIO"),
        call("LATE\"}"),
        event(0, &json!({}), Some("tool_calls")),
        done(),
    ];
    let mut other = stream(Mode::Window, &asked);
    let left = relayed(&mut other, Surface::Chat, &bad).concat();
    assert!(!left.contains("tool_calls") && !left.contains("VIO"), "{left}");
    assert_eq!(read(&left, 0).1.as_deref(), Some("content_filter"));
}

#[test]
fn what_is_released_at_once_is_cut_behind_with_offsets() {
    let asked = asked(&json!({}));
    let events = telling("Góod. Then VIOLATE it. And more.", 1_000);
    let mut stream = stream(Mode::Async, &asked);
    hold(&mut stream, Surface::Chat, &events[0]);
    hold(&mut stream, Surface::Chat, &events[1]);
    assert_eq!(written(stream.release()), [events[0].as_str(), &events[1]].concat());
    let left = relayed(&mut stream, Surface::Chat, &events[2..]).concat();
    let (_, finish) = read(&left, 0);
    assert_eq!(finish.as_deref(), Some("content_filter"));
    assert!(left.contains(r#""content_filter_offsets":{"check_offset":0,"end_offset":32,"start_offset":0}"#), "{left}");
    assert!(!left.contains("\"stop\""));
}

#[test]
fn a_response_is_cut_as_a_response() {
    let asked = Asked::nothing(Surface::Responses);
    let event = |fields: Value| sse::event(&fields.to_string());
    let delta = |text: &str| {
        event(json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text}))
    };
    let events = [
        event(json!({"type": "response.created", "response": {"id": "r", "model": "m", "output": []}})),
        event(
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "i", "content": []}}),
        ),
        event(
            json!({"type": "response.content_part.added", "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": ""}}),
        ),
        delta("All is good. "),
        delta("Now "),
        delta("VIOLATE. "),
        delta("More. "),
    ];
    let mut stream = stream(Mode::Window, &asked);
    let left = relayed(&mut stream, Surface::Responses, &events).concat();
    assert!(stream.is_closed() && !left.contains("VIOLATE") && !left.contains("Now"), "{left}");
    let events = sse::events(left.as_bytes()).unwrap();
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["response"]["id"]), (&json!("response.incomplete"), &json!("r")));
    let text = last["response"]["output"][0]["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("All is good. \n\nThe answer was withheld"), "{text}");
}

#[test]
fn a_policy_says_what_happens_while_nothing_can_judge() {
    let asked = asked(&json!({}));
    let failed = || Err(Unavailable::QueueFull);
    let mut closed = stream(Mode::Window, &asked);
    hold(&mut closed, Surface::Chat, &says(0, "One. Two"));
    assert!(closed.due().is_some());
    assert_eq!(closed.settle(failed()), Err(Unavailable::QueueFull));
    assert!(closed.release().is_empty());
    let open = policy("completion = \"block\"", "completion = \"allow\"");
    let mut open = Stream::new(open, asked, Mode::Window, FinishReason::ContentFilter);
    for event in [says(0, "One. "), says(0, "Two. "), done()] {
        hold(&mut open, Surface::Chat, &event);
    }
    assert!(open.due().is_some());
    open.settle(failed()).unwrap();
    assert_eq!(written(open.release()), [says(0, "One. "), says(0, "Two. "), done()].concat());
    assert_eq!(open.verdict().scan, Scan::None);
}

#[test]
fn audio_is_cut_unless_the_policy_lets_it_pass() {
    let asked = asked(&json!({}));
    let audio = event(0, &json!({"audio": {"data": "AAAA"}}), None);
    let mut strict = stream(Mode::Window, &asked);
    let left = relayed(&mut strict, Surface::Chat, &[says(0, "Hello."), audio.clone()]).concat();
    assert!(!left.contains("AAAA") && strict.is_closed() && strict.verdict().scan == Scan::Partial);
    let lenient = policy("unjudgeable = \"block\"", "unjudgeable = \"allow\"");
    let mut lenient = Stream::new(lenient, asked, Mode::Window, FinishReason::ContentFilter);
    let left = relayed(&mut lenient, Surface::Chat, std::slice::from_ref(&audio)).concat();
    assert_eq!((left, lenient.verdict().scan), (audio, Scan::Partial));
}

#[test]
fn what_comes_with_every_chunk_is_judged_once() {
    let asked = asked(&json!({}));
    let chunk = json!({"id": "c", "citations": ["https://x/y"], "provider": "P", "choices": [{"index": 0, "delta": {"content": "a "}}]});
    let events = vec![sse::event(&chunk.to_string()); 50];
    let mut stream = stream(Mode::Window, &asked);
    let left = relayed(&mut stream, Surface::Chat, &events);
    assert_eq!(left.concat(), events.concat());
    assert!(left[0].is_empty() && left[1].is_empty(), "the text is held, and not for what stands beside it");
    assert_eq!(stream.windows(), 3, "the provider, the citation, the text");
}

#[test]
fn an_end_that_is_none_releases_nothing() {
    // Some servers write an empty reason with every chunk; others go on after the end.
    for reason in ["", "null", "stop"] {
        let says = |text: &str| event(0, &json!({"content": text}), Some(reason));
        let events = [says("All is well. Now "), says("VIO"), says("LATE it."), done(), says("VIOLATE")];
        let left = relayed(&mut stream(Mode::Window, &asked(&json!({}))), Surface::Chat, &events).concat();
        assert!(!left.contains("VIO") && !left.contains("LATE"), "{reason}: {left}");
        let ends: Vec<&str> =
            left.split("\"finish_reason\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let real: Vec<&str> = ends.into_iter().filter(|end| *end != reason || *end == "stop").collect();
        assert_eq!(real, [if reason == "stop" { "stop" } else { "content_filter" }], "{left}");
    }
}

#[test]
fn tokens_do_not_run_ahead_of_their_text() {
    let choice = json!({"index": 0, "delta": {}, "logprobs": {"content": [{"token": "VIOLATE"}]}});
    let ahead = sse::event(&json!({"id": "c", "choices": [choice]}).to_string());
    let left =
        relayed(&mut stream(Mode::Window, &asked(&json!({}))), Surface::Chat, &[ahead, says(0, "Fine."), done()]);
    assert!(!left.concat().contains("VIOLATE") && left.concat().contains("Fine."), "{left:?}");
}

#[test]
fn events_of_a_response_keep_their_lists_of_probabilities() {
    let token = json!([{"token": "Fine.", "logprob": -0.1}]);
    let events = [
        json!({"type": "response.created", "response": {"output": []}, "logprobs": []}),
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Fine.", "logprobs": token}),
        json!({"type": "response.output_text.done", "output_index": 0, "text": "Fine.", "logprobs": token}),
    ]
    .map(|event| sse::event(&event.to_string()));
    let left = relayed(&mut stream(Mode::Window, &Asked::nothing(Surface::Responses)), Surface::Responses, &events);
    assert_eq!(left.concat(), events.concat());
}

#[test]
fn the_same_answer_to_another_question_is_judged_again() {
    let body = json!({"model": "m", "stream": true, "prompt": ["hello", "VIOLATE"]});
    let asked = Request::parse(Surface::Completions, Bytes::from(body.to_string()), 64).unwrap().asked().clone();
    let says = |index: u64| {
        sse::event(
            &json!({"choices": [{"index": index, "text": "Yes, do that.", "finish_reason": "stop"}]}).to_string(),
        )
    };
    let mut stream = stream(Mode::Window, &asked);
    relayed(&mut stream, Surface::Completions, &[says(0), says(1)]);
    assert_eq!(stream.windows(), 2);
}

#[test]
fn what_comes_with_every_chunk_holds_nothing_up() {
    let says = |text: &str| {
        let choice = json!({"index": 0, "delta": {"content": text, "reasoning": text, "reasoning_content": text}});
        sse::event(&json!({"id": "c", "provider": "P", "choices": [choice]}).to_string())
    };
    let events = ["All is ", "well. ", "Then ", "more."].map(says);
    let left = relayed(&mut stream(Mode::Window, &asked(&json!({}))), Surface::Chat, &events);
    assert_eq!(left[2], [events[0].as_str(), &events[1]].concat());
}

#[test]
fn what_changes_beside_the_choices_is_joined() {
    let event = |piece: &str| sse::event(&json!({"id": "c", "note": piece, "choices": []}).to_string());
    let left = relayed(
        &mut stream(Mode::Window, &asked(&json!({}))),
        Surface::Chat,
        &[event("do VIO"), event("LATE it"), done()],
    );
    assert!(!left.concat().contains("LATE") && left.concat().contains("withheld"), "{left:?}");
}

#[test]
fn an_answer_begins_when_its_reasoning_is_over() {
    let thinks = |text: &str| event(0, &json!({"reasoning_content": text}), None);
    let events = [thinks("So I answer now."), says(0, "Take it with food. "), says(0, "Then")];
    let left = relayed(&mut stream(Mode::Window, &asked(&json!({}))), Surface::Chat, &events);
    assert_eq!(left[1..3], [events[0].as_str(), &events[1]]);
}

/// Choices that say something, each piece of text with the choice that says it.
fn pieces() -> impl proptest::strategy::Strategy<Value = Vec<(u64, String)>> {
    proptest::collection::vec((0_u64..3, "[a-zé,\n]{1,6}[.!]? ?"), 0..60)
}

proptest::proptest! {
    #[test]
    fn what_is_allowed_leaves_byte_for_byte_however_late_it_is_judged(
        pieces in pieces(),
        lag in proptest::collection::vec(proptest::bool::ANY, 1..9),
        mode in proptest::sample::select(vec![Mode::Window, Mode::Buffer, Mode::Async]),
    ) {
        let asked = asked(&json!({"n": 3}));
        let mut events: Vec<String> = pieces.iter().map(|(index, text)| says(*index, text)).collect();
        events.push(done());
        let mut stream = stream(mode, &asked);
        let (mut left, mut lag, mut due) = (String::new(), lag.into_iter().cycle(), None);
        for event in &events {
            hold(&mut stream, Surface::Chat, event);
            if due.is_none() {
                due = stream.due();
            }
            if lag.next() == Some(false) && let Some(due) = due.take() {
                stream.settle(Ok(due.iter().map(judge).collect())).unwrap();
            }
            left += &written(stream.release());
        }
        stream.end();
        while let Some(now) = due.take().or_else(|| stream.due()) {
            stream.settle(Ok(now.iter().map(judge).collect())).unwrap();
            left += &written(stream.release());
        }
        left += &written(stream.release());
        // Azure's annotations are words of ours.
        let left: String = left.split_inclusive("\n\n").filter(|event| !event.contains("content_filter_offsets")).collect();
        proptest::prop_assert_eq!(left, events.concat());
        proptest::prop_assert!(stream.is_finished() && stream.done().is_none());
    }
}
