//! What of a request must be judged, and in which context.
//!
//! Every text that the LLM will read is judged alone. The last user turn is judged once more in the light of the turns
//! before it, so that a violation that is split over turns is seen whole. Turns that were answered already are judged
//! too, since a caller can write any history; one that violates counts unless the answer to it declined, or unless this
//! proxy refused it and the client dropped the refusal, so that an old, refused turn does not poison the ones after it.

use crate::classify::Input;
use crate::openai::request::{Message, Request, Role, Surface};
use crate::policy::Direction;

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

impl Exhibit {
    /// Which way it goes, or went.
    pub(super) fn direction(&self) -> Direction {
        if self.standing == Standing::Said { Direction::Completion } else { Direction::Prompt }
    }

    /// Whether it counts whatever stands beside it.
    pub(super) const fn counts(&self) -> bool {
        matches!(self.standing, Standing::Asked | Standing::Read | Standing::Said)
    }
}

/// Everything in `request` that must be judged.
pub(super) fn exhibits(request: &Request) -> Vec<Exhibit> {
    let mut exhibits: Vec<Exhibit> = request.definitions.iter().map(|text| alone(text, Standing::Read)).collect();
    exhibits.extend(turns(&request.messages));
    exhibits.extend(in_context(&request.messages));
    // What is embedded is a document: nobody in it asks for help now.
    let is_document = request.asked().surface == Surface::Embeddings;
    let standing = || if is_document { Standing::Read } else { Standing::Asked };
    exhibits.extend(request.prompts.iter().filter(|text| !text.is_empty()).map(|text| alone(text, standing())));
    exhibits
}

/// Every turn by itself, in one walk from the last to the first.
fn turns(messages: &[Message]) -> Vec<Exhibit> {
    let questions = questions(messages);
    let mut exhibits = Vec::new();
    // Of what comes after the turn: the next answer, whether the user speaks after it, and whether the user speaks next.
    let (mut answer, mut goes_on, mut user_speaks, mut user_is_next) = (None, false, false, false);
    for (message, question) in messages.iter().zip(&questions).rev() {
        exhibits.extend(message.asides.iter().map(|text| alone(text, Standing::Read)));
        if !message.speaks() {
            continue;
        }
        match message.role {
            Role::Assistant => {
                if !user_speaks {
                    // Words put into the LLM's mouth, for it to go on from.
                    exhibits.push(alone(&message.text, Standing::Read));
                }
                let input = Input::Completion { prompt: question.clone(), completion: message.text.clone() };
                exhibits.push(Exhibit { input, standing: Standing::Said });
                (answer, goes_on, user_is_next) = (Some(&message.text), user_speaks, false);
            }
            Role::System | Role::Tool => exhibits.push(alone(&message.text, Standing::Read)),
            Role::User => {
                let standing = match answer {
                    _ if user_is_next => Standing::Unanswered(message.text.clone()),
                    // An answer settles the matter only if the user went on after it.
                    Some(answer) if goes_on => Standing::Answered(Input::Completion {
                        prompt: excerpt(&message.text),
                        completion: answer.clone(),
                    }),
                    _ => Standing::Asked,
                };
                exhibits.push(alone(&message.text, standing));
                (user_speaks, user_is_next) = (true, true);
            }
        }
    }
    exhibits.reverse();
    exhibits
}

/// For each turn, what the user had said since the LLM spoke, or the user's last words before that.
fn questions(messages: &[Message]) -> Vec<String> {
    let mut said = String::new();
    let mut is_new = false;
    let mut questions = Vec::new();
    for message in messages {
        questions.push(if message.role == Role::Assistant { excerpt(&said) } else { String::new() });
        match message.role {
            Role::User if message.speaks() => {
                if !is_new {
                    said.clear();
                } else {
                    said.push('\n');
                }
                said.push_str(&message.text);
                is_new = true;
            }
            Role::Assistant => is_new = false,
            _ => {}
        }
    }
    questions
}

/// The last user turn with the user and assistant turns before it, when there are any.
fn in_context(messages: &[Message]) -> Option<Exhibit> {
    let last = messages.iter().rposition(|message| message.role == Role::User && message.speaks())?;
    let (before, from) = messages.split_at(last);
    let spoken =
        before.iter().filter(|message| matches!(message.role, Role::User | Role::Assistant) && message.speaks());
    let lines: Vec<String> = spoken.map(|message| format!("{}: {}\n", message.role.name(), message.text)).collect();
    let turn = from.first()?.text.clone();
    let input = Input::Conversation { context: lines.concat(), turn };
    (!lines.is_empty()).then_some(Exhibit { input, standing: Standing::Asked })
}

fn alone(text: &str, standing: Standing) -> Exhibit {
    Exhibit { input: Input::Prompt(text.to_owned()), standing }
}

/// How much of a question is kept to judge its answers by: the model reads its head and its tail, far fewer than these bytes.
const EXCERPT: usize = 8 * 1024;

/// The head and the tail of a long question, so that a history does not cost its square.
pub(super) fn excerpt(question: &str) -> String {
    if question.len() <= EXCERPT {
        return question.to_owned();
    }
    let head = question.get(..question.floor_char_boundary(EXCERPT / 2)).unwrap_or_default();
    let tail = question.get(question.ceil_char_boundary(question.len() - EXCERPT / 2)..).unwrap_or_default();
    format!("{head}\n{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;
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
            ["asked a", "said a > call", "read call", "read t"]
        );
    }

    #[test]
    fn an_empty_turn_answers_nothing_and_asks_nothing() {
        for empty in ["", " ", "\n"] {
            assert_eq!(
                plan(&[("user", "a"), ("assistant", "no"), ("user", empty)]),
                ["asked a", "said a > no", "read no"]
            );
            assert_eq!(plan(&[("user", "a"), ("user", empty)]), ["asked a"]);
        }
        assert_eq!(
            plan(&[("user", "a"), ("assistant", "no"), ("system", "s")]),
            ["asked a", "said a > no", "read no", "read s"]
        );
    }

    #[test]
    fn the_question_of_a_long_turn_is_its_head_and_tail() {
        let long = format!("head{}tail", "é".repeat(10_000));
        let short = excerpt(&long);
        assert!(short.len() < EXCERPT + 2 && short.starts_with("headé") && short.ends_with("étail"));
        assert_eq!(excerpt("short"), "short");
    }
}
