//! What of a request must be judged, and in which context.
//!
//! Every text that the LLM will read is judged alone. The last user turn is judged once more in the light of the turns
//! before it, so that a violation that is split over turns is seen whole. Turns that were answered already are judged
//! too, since a caller can write any history; one that violates counts unless the answer to it declined, or unless this
//! proxy refused it and the client dropped the refusal, so that an old, refused turn does not poison the ones after it.

use crate::classify::Input;
use crate::openai::request::{Message, Request, Role};

/// One thing to judge, and why it is judged.
pub(super) struct Exhibit {
    pub(super) input: Input,
    pub(super) standing: Standing,
}

/// How far an exhibit counts.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Said by the person who asks now: all scores count.
    Asked,
    /// Read by the LLM, but not said by the person who asks now: a cry for help in it is not one.
    Read,
    /// Answered already, by this text: it does not count when the answer declined.
    Answered(Input),
    /// Said before the last turn and never answered: it does not count when this proxy refused it.
    Unanswered(String),
    /// Said by the LLM, or put into its mouth: judged as a completion.
    Said,
}

/// Everything in `request` that must be judged.
pub(super) fn exhibits(request: &Request) -> Vec<Exhibit> {
    let mut exhibits: Vec<Exhibit> = request.definitions.iter().map(|text| alone(text, Standing::Read)).collect();
    for (position, message) in request.messages.iter().enumerate().filter(|(_, message)| !message.text.is_empty()) {
        let (earlier, later) = request.messages.split_at(position);
        let later = later.get(1..).unwrap_or_default();
        if message.role == Role::Assistant {
            exhibits.push(said(message, earlier));
        }
        exhibits.extend(standing(message, later).map(|standing| alone(&message.text, standing)));
    }
    exhibits.extend(in_context(&request.messages));
    exhibits.extend(request.prompts.iter().filter(|text| !text.is_empty()).map(|text| alone(text, Standing::Asked)));
    exhibits
}

/// What the LLM said, as the answer to the turn before it.
fn said(message: &Message, earlier: &[Message]) -> Exhibit {
    let asked = earlier.iter().rfind(|message| message.role == Role::User);
    let prompt = asked.map_or_else(String::new, |message| message.text.clone());
    Exhibit { input: Input::Completion { prompt, completion: message.text.clone() }, standing: Standing::Said }
}

/// How `message` counts when it is judged alone, given the messages after it; `None` for what the LLM itself said.
fn standing(message: &Message, later: &[Message]) -> Option<Standing> {
    let answer = later.iter().find(|message| message.role == Role::Assistant);
    // The answer settles the matter only if the conversation went on after it; else it is words put into the LLM's mouth.
    let goes_on = later.iter().rev().take_while(|message| message.role != Role::Assistant).count() > 0;
    match (message.role, answer) {
        (Role::Assistant, _) => later.is_empty().then_some(Standing::Read),
        (Role::System | Role::Tool, _) => Some(Standing::Read),
        // Another turn of the user came before any answer.
        (Role::User, _) if later.first().is_some_and(|next| next.role == Role::User) => {
            Some(Standing::Unanswered(message.text.clone()))
        }
        (Role::User, Some(answer)) if goes_on => Some(Standing::Answered(Input::Completion {
            prompt: message.text.clone(),
            completion: answer.text.clone(),
        })),
        (Role::User, _) => Some(Standing::Asked),
    }
}

/// The last user turn with the user and assistant turns before it, when there are any.
fn in_context(messages: &[Message]) -> Option<Exhibit> {
    let last = messages.iter().rposition(|message| message.role == Role::User && !message.text.is_empty())?;
    let (before, from) = messages.split_at(last);
    let spoken = before.iter().filter(|message| matches!(message.role, Role::User | Role::Assistant));
    let lines: Vec<String> = spoken.map(|message| format!("{}: {}\n", message.role.name(), message.text)).collect();
    let turn = from.first()?.text.clone();
    let input = Input::Conversation { context: lines.concat(), turn };
    (!lines.is_empty()).then_some(Exhibit { input, standing: Standing::Asked })
}

fn alone(text: &str, standing: Standing) -> Exhibit {
    Exhibit { input: Input::Prompt(text.to_owned()), standing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::request::Surface;
    use bytes::Bytes;
    use serde_json::{Value, json};

    fn plan(turns: &[(&str, &str)]) -> Vec<String> {
        let messages: Vec<Value> = turns.iter().map(|(role, text)| json!({"role": role, "content": text})).collect();
        let body = json!({ "messages": messages }).to_string();
        let request = Request::parse(Surface::Chat, Bytes::from(body), 64).unwrap();
        let show = |exhibit: Exhibit| {
            let text = match exhibit.input {
                Input::Prompt(text) => text,
                Input::Conversation { context, turn } => format!("{context}| {turn}"),
                Input::Completion { prompt, completion } => format!("{prompt} > {completion}"),
            };
            let standing = match exhibit.standing {
                Standing::Asked => "asked",
                Standing::Read => "read",
                Standing::Answered(_) => "answered",
                Standing::Unanswered(_) => "unanswered",
                Standing::Said => "said",
            };
            format!("{standing} {text}")
        };
        exhibits(&request).into_iter().map(show).collect()
    }

    #[test]
    fn a_single_turn_is_judged_alone() {
        assert_eq!(plan(&[("system", "s"), ("user", "u")]), ["read s", "asked u"]);
    }

    #[test]
    fn a_later_turn_is_judged_alone_and_in_context_and_history_as_answered() {
        assert_eq!(
            plan(&[("user", "a"), ("assistant", "b"), ("user", "c")]),
            ["answered a", "said a > b", "asked c", "asked user: a\nassistant: b\n| c"]
        );
    }

    #[test]
    fn words_put_into_the_mouth_of_the_llm_are_judged_and_settle_nothing() {
        assert_eq!(
            plan(&[("user", "a"), ("assistant", "Sure, here is")]),
            ["asked a", "said a > Sure, here is", "read Sure, here is"]
        );
    }

    #[test]
    fn several_turns_in_a_row_are_all_new() {
        assert_eq!(plan(&[("user", "a"), ("user", "b")]), ["unanswered a", "asked b", "asked user: a\n| b"]);
    }

    #[test]
    fn tool_results_are_read() {
        assert_eq!(
            plan(&[("user", "a"), ("assistant", "call"), ("tool", "t")]),
            ["answered a", "said a > call", "read t"]
        );
    }
}
