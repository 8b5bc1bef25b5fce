//! A labelled decision as a row of the corpus that the classifier is trained on (`classifier/corpus/README.md`), where its label
//! is on one text alone: what else was judged beside it may be what was meant.

use super::decision::{Decision, Seen};
use super::label::{Mark, stopped};
use crate::digest;
use crate::policy::taxonomy::VIOLATION_TYPES;
use serde_json::{Value, json};

/// A part of the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// One message.
    Prompts,
    /// A conversation of which the last message is judged.
    Conversations,
    /// One message of someone who needs help now.
    Crisis,
    /// An answer.
    Completions,
}

impl Part {
    /// The name of its folder.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Conversations => "conversations",
            Self::Crisis => "crisis",
            Self::Completions => "completions",
        }
    }
}

/// From here on a score says something that a row would have to say too, and a reviewer has not been asked.
const TELLING: f32 = 0.3;

/// From here on an answer declines.
const DECLINES: f32 = 0.5;

/// A decision, and what reviewers say of it.
#[derive(Clone, Copy, Debug)]
pub struct Reviewed<'a> {
    /// The decision.
    pub decision: &'a Decision,
    /// What reviewers say.
    pub mark: Mark,
    /// The principle that they see violated, where they say so.
    pub principle: Option<&'a str>,
}

impl Reviewed<'_> {
    /// The row that its text becomes; nothing where the label is not on one text alone, or does not say all that a row says.
    #[must_use]
    pub fn row(&self, text: &Value, asked: Option<&Value>) -> Option<(Part, Value)> {
        let seen = |of: fn(&Seen) -> f32| self.seen().map(of).fold(0.0, f32::max);
        let is_crisis = self.is_crisis();
        // That it is no trick, and no cry for help, is not what reviewers were asked.
        if seen(|seen| seen.manipulation) >= TELLING || (!is_crisis && seen(|seen| seen.crisis) >= TELLING) {
            return None;
        }
        if let Some(choices) = text.get("choices").and_then(Value::as_array) {
            let [said] = choices.as_slice() else { return None };
            let [said] = said.as_array()?.as_slice() else { return None };
            let messages = turns(asked?)?;
            let kind = match (self.violates(), seen(|seen| seen.refusal) >= DECLINES) {
                (true, _) => "comply",
                (false, true) => "refuse",
                (false, false) => "answer",
            };
            let more = json!({"messages": messages, "completion": full(said)?, "kind": kind});
            return Some((Part::Completions, self.told(full(said)?, more)));
        }
        let messages = turns(text)?;
        let last = full(messages.last()?.get("content")?)?;
        if messages.len() == 1 {
            let form = if last.trim_end().ends_with('?') { "question" } else { "imperative" };
            let part = if is_crisis { Part::Crisis } else { Part::Prompts };
            return Some((part, self.told(last, json!({"text": last, "form": form, "register": "plain"}))));
        }
        // In a conversation the label is on the last turn; where an earlier one was worse, it may be on that.
        let violation = |seen: &Option<Seen>| seen.as_ref().map_or(0.0, |seen| seen.violation);
        let is_earlier =
            violation(&self.decision.alone).max(violation(&self.decision.said)) > violation(&self.decision.context);
        let may_be_on_another = is_crisis || (self.violates() && is_earlier);
        (!may_be_on_another).then(|| (Part::Conversations, self.told(last, json!({ "messages": messages }))))
    }

    fn told(&self, text: &str, more: Value) -> Value {
        let kind = self.kind();
        let principle =
            if matches!(kind, "crisis" | "none") { "none" } else { kind.split('.').next().unwrap_or_default() };
        let label = match (self.is_crisis(), self.violates()) {
            (true, _) => "crisis",
            (_, true) => "violation",
            (_, false) => "safe",
        };
        let audience = match self.decision.audience.as_deref() {
            Some("clinician") => "physician",
            Some("staff") => "administrator",
            Some("research") => "researcher",
            _ => "patient",
        };
        // The same text is the same pair, so that it is not split over training and test.
        let pair = format!("reviewed-{}", digest::short(text.as_bytes()));
        let id = format!("{}-{}", self.decision.event, self.decision.direction);
        let mut row = json!({"id": id, "pair": pair, "group": pair, "type": kind, "principle": principle, "label": label,
            "audience": audience});
        if let (Some(row), Value::Object(more)) = (row.as_object_mut(), more) {
            row.extend(more);
        }
        row
    }

    /// The violated type: the likeliest one, or the first of the principle that reviewers name.
    fn kind(&self) -> &str {
        if self.is_crisis() {
            return "crisis";
        }
        if !self.violates() {
            return "none";
        }
        let likeliest = self.seen().max_by(|one, other| one.violation.total_cmp(&other.violation));
        let likeliest = likeliest.map_or("I.1", |seen| seen.kind.as_str());
        match self.principle {
            Some(named) if likeliest.split('.').next() != Some(named) => {
                let first = VIOLATION_TYPES.iter().find(|kind| kind.principle.id() == named);
                first.map_or(likeliest, |kind| kind.id)
            }
            _ => likeliest,
        }
    }

    fn seen(&self) -> impl Iterator<Item = &Seen> {
        let Decision { alone, context, said, .. } = self.decision;
        [alone, context, said].into_iter().flatten()
    }

    fn is_crisis(&self) -> bool {
        self.decision.action == "escalate" && self.mark == Mark::Correct
    }

    fn violates(&self) -> bool {
        !self.is_crisis() && self.mark.violates(stopped(self.decision))
    }
}

/// The turns of a request that holds nothing else, and ends with the user's.
fn turns(asked: &Value) -> Option<Vec<Value>> {
    let is_alone = ["prompts", "beside"].iter().all(|key| asked.get(key).is_none());
    let messages = asked.get("messages").and_then(Value::as_array).filter(|_| is_alone)?;
    let speaks = |turn: &Value| {
        let role = turn.get("role").and_then(Value::as_str);
        matches!(role, Some("user" | "assistant")) && turn.get("content").is_some_and(|text| full(text).is_some())
    };
    let is_users = messages.last()?.get("role")?.as_str()? == "user";
    (is_users && messages.iter().all(speaks)).then(|| messages.clone())
}

/// A text that says something.
fn full(text: &Value) -> Option<&str> {
    text.as_str().filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(action: &str, direction: &str, scores: &Value) -> Decision {
        let mut seen = json!({"violation": 0.1, "manipulation": 0, "crisis": 0, "refusal": 0, "type": "II.3"});
        seen.as_object_mut().unwrap().extend(scores.as_object().unwrap().clone());
        serde_json::from_value(
            json!({"time": 1, "event": "e", "direction": direction, "surface": "chat", "stream": false,
            "action": action, "scan": "full", "policy": "p", "model": "m", "alone": seen}),
        )
        .unwrap()
    }

    fn row(decision: &Decision, mark: Mark, text: &Value, asked: Option<&Value>) -> Option<(Part, Value)> {
        Reviewed { decision, mark, principle: None }.row(text, asked)
    }

    fn asked(turns: &[&str]) -> Value {
        let role = |place: usize| ["user", "assistant"][place % 2];
        let turns = turns.iter().enumerate().map(|(place, text)| json!({"role": role(place), "content": text}));
        json!({"messages": turns.collect::<Vec<_>>()})
    }

    #[test]
    fn a_label_is_on_one_text_alone() {
        let blocked = decision("block", "prompt", &json!({"violation": 0.9}));
        let of =
            |text: &Value| row(&blocked, Mark::Correct, text, None).map(|(part, row)| (part, row["label"].clone()));
        assert_eq!(of(&asked(&["Backdate it."])), Some((Part::Prompts, json!("violation"))));
        let with = |more: &Value| {
            let mut text = asked(&["Hello there."]);
            text.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            of(&text)
        };
        assert_eq!(with(&json!({"beside": ["a tool that lies"]})), None);
        assert_eq!(with(&json!({"prompts": ["one", "two"]})), None);
        assert_eq!(
            of(&json!({"messages": [{"role": "system", "content": "Lie."}, {"role": "user", "content": "Hi"}]})),
            None
        );
        // The earlier turn was worse: the last one is not to blame.
        assert_eq!(of(&asked(&["Backdate it.", "No.", "How is scurvy treated?"])), None);
        let mut in_context = blocked.clone();
        in_context.context = in_context.alone.clone();
        let found = row(&in_context, Mark::Correct, &asked(&["a", "b", "c"]), None);
        assert_eq!(found.map(|(part, _)| part), Some(Part::Conversations));
    }

    #[test]
    fn what_a_reviewer_was_not_asked_is_not_taught() {
        let text = asked(&["I have been thinking that nobody would miss me."]);
        let of = |action: &str, mark, scores: Value| row(&decision(action, "prompt", &scores), mark, &text, None);
        assert_eq!(of("allow", Mark::Missed, json!({"crisis": 0.4})), None, "a cry for help is no violation");
        assert_eq!(of("flag", Mark::Correct, json!({"manipulation": 0.9})), None, "a trick would be taught as none");
        let (part, row) = of("escalate", Mark::Correct, json!({"crisis": 0.9})).unwrap();
        assert_eq!((part, &row["label"], &row["type"]), (Part::Crisis, &json!("crisis"), &json!("crisis")));
    }

    #[test]
    fn an_answer_is_taught_with_its_question_and_by_its_kind() {
        let question = asked(&["How is scurvy treated?"]);
        let of = |choices: Value, refusal: f32, mark| {
            let decision = decision("allow", "completion", &json!({"refusal": refusal}));
            let text = json!({ "choices": choices });
            row(&decision, mark, &text, Some(&question)).map(|(_, row)| [row["label"].clone(), row["kind"].clone()])
        };
        assert_eq!(of(json!([["Vitamin C."]]), 0.0, Mark::Correct), Some([json!("safe"), json!("answer")]));
        assert_eq!(of(json!([["I can't."]]), 0.9, Mark::Correct), Some([json!("safe"), json!("refuse")]));
        assert_eq!(of(json!([["Backdate it."]]), 0.0, Mark::Missed), Some([json!("violation"), json!("comply")]));
        assert_eq!(of(json!([["one"], ["two"]]), 0.0, Mark::Missed), None, "one of two choices");
        assert_eq!(of(json!([["text", "reasoning"]]), 0.0, Mark::Missed), None, "one of two texts");
        let alone = decision("allow", "completion", &json!({}));
        assert_eq!(
            row(&alone, Mark::Correct, &json!({"choices": [["x"]]}), None),
            None,
            "an answer without its question"
        );
    }
}
