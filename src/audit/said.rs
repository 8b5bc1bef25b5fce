//! What of a message is kept for reviewers, where texts are kept: the turns of a request, the texts of each choice. Identifiers
//! of people are left out where the policy takes them out.

use crate::guard::surrogates::Surrogates;
use crate::openai::request::{Request, Role};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What was asked: `messages` as a chat has them, `prompts` where those are asked, and what stood `beside` them.
#[must_use]
pub fn asked(request: &Request, without_phi: bool) -> Value {
    let mut hide = Hide::new(without_phi);
    let messages: Vec<Value> = request
        .messages
        .iter()
        .map(|message| {
            let role = match message.role {
                Role::System => "system",
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::Tool => "tool",
            };
            json!({"role": role, "content": hide.text(&message.text)})
        })
        .collect();
    let prompts: Vec<String> = request.prompts.iter().map(|prompt| hide.text(prompt)).collect();
    // What else was judged, and may be why it was stopped.
    let asides = request.messages.iter().flat_map(|message| &message.asides).chain(&request.definitions);
    let beside: Vec<String> = asides.map(|aside| hide.text(aside)).collect();
    let mut said = json!({ "messages": messages });
    for (key, texts) in [("prompts", prompts), ("beside", beside)] {
        if let (Some(said), false) = (said.as_object_mut(), texts.is_empty()) {
            said.insert(key.to_owned(), texts.into());
        }
    }
    said
}

/// What was answered: the texts of each choice.
#[must_use]
pub fn answered(choices: &BTreeMap<u64, Vec<String>>, without_phi: bool) -> Value {
    let mut hide = Hide::new(without_phi);
    let choices: Vec<Vec<String>> =
        choices.values().map(|texts| texts.iter().map(|text| hide.text(text)).collect()).collect();
    json!({ "choices": choices })
}

/// Leaves out identifiers, the same one in the same way throughout.
struct Hide(Option<Surrogates>);

impl Hide {
    fn new(without_phi: bool) -> Self {
        Self(without_phi.then(Surrogates::default))
    }

    fn text(&mut self, text: &str) -> String {
        let hidden = self.0.as_mut().and_then(|surrogates| surrogates.hide(text));
        hidden.unwrap_or_else(|| text.to_owned())
    }
}
