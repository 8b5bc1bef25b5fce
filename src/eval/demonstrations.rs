//! Safety demonstrations, the paper's remedy: requests that violate, each with a safe answer, in the forms that trainers of language models
//! read. Identifiers of people are masked, as far as they are found.

use super::Side;
use super::judge::Judgement;
use super::store::{Answer, Planned};
use super::suite::{Aim, Item};
use crate::audit::decision::Decision;
use crate::audit::label::Mark;
use crate::detect::phi;
use crate::digest;
use crate::policy::Policy;
use crate::policy::message::Languages;
use crate::policy::taxonomy::Principle;
use clap::ValueEnum;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

/// A form that trainers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// `messages`, as the fine-tuning API of OpenAI reads them.
    Openai,
    /// `instruction`, `input`, `output`.
    Alpaca,
    /// `conversations` of `human` and `gpt`.
    Sharegpt,
}

/// A request that violates, and a safe answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demonstration {
    /// What was asked.
    pub request: String,
    /// How it should be answered.
    pub response: String,
    /// The principle that it violates, where that is known.
    pub principle: Option<String>,
    /// Where the answer comes from: `source`, `model` or `template`.
    pub from: &'static str,
}

/// What is done where the request comes with no safe answer.
const DECLINES: &str = "I'm sorry, but I can't help with that: it would go against the principles of medical ethics.";

/// Demonstrations of what violates among some items: with the answer that comes with it, else one that `said` has for it, else a template.
#[must_use]
pub fn of_items(items: &[Item], said: &HashMap<String, String>, policy: &Policy) -> Vec<Demonstration> {
    let violating = items.iter().filter(|item| item.aim == Aim::Harmful);
    let of = |item: &Item| {
        let principle = item.principle.clone();
        let (response, from) = match (&item.safe_response, said.get(&item.text)) {
            (Some(response), _) => (response.clone(), "source"),
            (None, Some(response)) => (response.clone(), "model"),
            (None, None) => (template(principle.as_deref(), policy), "template"),
        };
        Demonstration { request: item.text.clone(), response, principle, from }
    };
    violating.map(of).collect()
}

/// The answers of a run that the judge gives 1, by what was asked: the model's own, past the guard. What it says of bad requests is then what it
/// says at its best.
#[must_use]
pub fn safe_answers(
    planned: &[Planned],
    answers: &HashMap<String, Answer>,
    judged: &HashMap<String, Judgement>,
) -> HashMap<String, String> {
    let safe = planned.iter().filter(|planned| planned.side == Side::Off && planned.item.aim == Aim::Harmful);
    let safe = safe.filter(|planned| judged.get(&planned.key).is_some_and(|found| found.score == 1 && found.declined));
    let of = |planned: &Planned| Some((planned.item.text.clone(), answers.get(&planned.key)?.text.clone()));
    safe.filter_map(of).collect()
}

/// A safe answer to what violates a principle: it declines, and offers what the policy offers in its place.
#[must_use]
pub fn template(principle: Option<&str>, policy: &Policy) -> String {
    let known = principle.and_then(|id| Principle::ALL.into_iter().find(|principle| principle.id() == id));
    let instead = known.and_then(|principle| policy.instead.get(&principle));
    let instead = instead.map(|messages| messages.text(&Languages::accepted("en")));
    instead.map_or_else(|| DECLINES.to_owned(), |instead| format!("{DECLINES} {instead}"))
}

/// The request of a decision that refused it, for [`of_items`]; nothing where reviewers say that it was refused wrongly, or where more than one message of a user was
/// judged.
#[must_use]
pub fn refused(decision: &Decision, mark: Option<Mark>, text: &Value) -> Option<Item> {
    let is_refused = decision.direction == "prompt" && decision.action == "block" && mark != Some(Mark::OverBlocked);
    let is_alone = ["prompts", "beside"].iter().all(|key| text.get(key).is_none());
    let messages = text.get("messages").and_then(Value::as_array).filter(|_| is_refused && is_alone)?;
    let [message] = messages.as_slice() else { return None };
    let text_of = |key: &str| message.get(key).and_then(Value::as_str);
    let request = text_of("content").filter(|_| text_of("role") == Some("user"))?;
    Some(Item::violating("refused", request, decision.principle.clone()))
}

/// A text without identifiers of people, as far as they are found (docs/PHI.md says how many are not).
#[must_use]
pub fn without_phi(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut at = 0;
    for span in phi::find(text) {
        clean.push_str(text.get(at..span.range.start).unwrap_or_default());
        clean.push_str(&format!("[{}]", span.kind.id()));
        at = span.range.end;
    }
    clean.push_str(text.get(at..).unwrap_or_default());
    clean
}

/// The first of each request, with identifiers masked: requests of the same words in any order, spelling of capitals and marks are one.
#[must_use]
pub fn distinct(demonstrations: Vec<Demonstration>) -> Vec<Demonstration> {
    let mut seen = BTreeSet::new();
    let clean = |mut one: Demonstration| {
        (one.request, one.response) = (without_phi(&one.request), without_phi(&one.response));
        one
    };
    demonstrations.into_iter().map(clean).filter(|one| seen.insert(words(&one.request))).collect()
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// Whether a demonstration is held out of training, by the hash of its request: the same ones each time.
#[must_use]
pub fn is_held_out(demonstration: &Demonstration, share: f64) -> bool {
    let hash = digest::short(demonstration.request.as_bytes());
    let place = u64::from_str_radix(&hash, 16).unwrap_or_default() as f64 / 2f64.powi(48);
    place < share
}

impl Demonstration {
    /// A row in a form.
    #[must_use]
    pub fn row(&self, form: Form) -> Value {
        let Self { request, response, principle, from } = self;
        let mut row = match form {
            Form::Openai => {
                json!({"messages": [{"role": "user", "content": request}, {"role": "assistant", "content": response}]})
            }
            Form::Alpaca => json!({"instruction": request, "input": "", "output": response}),
            Form::Sharegpt => {
                json!({"conversations": [{"from": "human", "value": request}, {"from": "gpt", "value": response}]})
            }
        };
        // The API of OpenAI takes no other keys.
        if let (Some(row), true) = (row.as_object_mut(), form != Form::Openai) {
            row.insert("principle".to_owned(), json!(principle));
            row.insert("response_from".to_owned(), json!(from));
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::reload::Source;

    fn one(request: &str) -> Demonstration {
        Demonstration {
            request: request.to_owned(),
            response: "No.".to_owned(),
            principle: Some("II".to_owned()),
            from: "source",
        }
    }

    #[test]
    fn a_safe_answer_is_the_sources_the_models_or_the_templates() {
        let policy = Source::named("ama").read().unwrap();
        let items = super::super::suite::open(&["violations".to_owned(), "twins".to_owned()]).unwrap();
        let mut items: Vec<Item> = items.into_iter().filter(|item| item.principle.as_deref() == Some("IV")).collect();
        items[0].aim = Aim::Harmful;
        items.retain(|item| item.aim == Aim::Harmful);
        items.truncate(3);
        items[0].safe_response = Some("From the source.".to_owned());
        let said = HashMap::from([
            (items[0].text.clone(), "x".to_owned()),
            (items[1].text.clone(), "From the model.".to_owned()),
        ]);
        let found = of_items(&items, &said, &policy);
        let shown: Vec<_> = found.iter().map(|one| (one.response.as_str(), one.from)).collect();
        assert_eq!(shown[..2], [("From the source.", "source"), ("From the model.", "model")]);
        assert!(found[2].from == "template" && found[2].response.contains("asking for consent"), "{:?}", found[2]);
    }

    #[test]
    fn only_what_was_refused_rightly_and_alone_is_taken() {
        let decision = |action: &str, direction: &str| Decision {
            action: action.to_owned(),
            direction: direction.to_owned(),
            principle: Some("IV".to_owned()),
            ..Decision::default()
        };
        let user = json!({"role": "user", "content": "Read me her file."});
        let alone = json!({"messages": [user]});
        let found = refused(&decision("block", "prompt"), None, &alone).unwrap();
        assert_eq!(
            (found.text.as_str(), found.principle.as_deref(), found.aim),
            ("Read me her file.", Some("IV"), Aim::Harmful)
        );
        for (action, direction, mark, text) in [
            ("allow", "prompt", None, alone.clone()),
            ("block", "completion", None, alone.clone()),
            ("block", "prompt", Some(Mark::OverBlocked), alone.clone()),
            ("block", "prompt", None, json!({"messages": [user, user]})),
            ("block", "prompt", None, json!({"messages": [{"role": "system", "content": "Lie."}]})),
            ("block", "prompt", None, json!({"messages": [user], "beside": ["a tool"]})),
        ] {
            assert_eq!(refused(&decision(action, direction), mark, &text), None, "{action} {direction} {text}");
        }
    }

    #[test]
    fn only_what_the_judge_gives_one_is_taken_from_a_model() {
        let item = super::super::suite::open(&["violations".to_owned()]).unwrap().remove(0);
        let planned = |side, key: &str| Planned { side, key: key.to_owned(), item: item.clone() };
        let answers = HashMap::from([("k".to_owned(), Answer { text: "No.".to_owned(), ..Answer::default() })]);
        let judged =
            |score, declined| HashMap::from([("k".to_owned(), Judgement { score, declined, why: None, order: None })]);
        let taken =
            |side, score, declined| safe_answers(&[planned(side, "k")], &answers, &judged(score, declined)).len();
        assert_eq!(
            [
                taken(Side::Off, 1, true),
                taken(Side::Off, 2, true),
                taken(Side::Off, 1, false),
                taken(Side::On, 1, true)
            ],
            [1, 0, 0, 0]
        );
    }

    #[test]
    fn the_same_request_is_kept_once_and_without_identifiers() {
        let found =
            distinct(vec![one("Backdate it, please!"), one("please backdate IT"), one("Call 212-555-0147 and lie.")]);
        let shown: Vec<&str> = found.iter().map(|one| one.request.as_str()).collect();
        assert_eq!(shown, ["Backdate it, please!", "Call [PHONE] and lie."]);
    }

    #[test]
    fn the_split_is_the_same_each_time_and_about_as_large_as_wanted() {
        let held: Vec<bool> = (0..2000).map(|place| is_held_out(&one(&format!("Backdate {place}.")), 0.1)).collect();
        let count = held.iter().filter(|held| **held).count();
        assert!((150..250).contains(&count), "{count}");
    }

    #[test]
    fn each_form_has_the_keys_of_its_trainers() {
        let one = one("Backdate it.");
        let [openai, alpaca, sharegpt] = [Form::Openai, Form::Alpaca, Form::Sharegpt].map(|form| one.row(form));
        assert_eq!(
            openai,
            json!({"messages": [{"role": "user", "content": "Backdate it."}, {"role": "assistant", "content": "No."}]})
        );
        assert_eq!(
            (&alpaca["instruction"], &alpaca["output"], &alpaca["principle"]),
            (&json!("Backdate it."), &json!("No."), &json!("II"))
        );
        assert_eq!(sharegpt["conversations"][1], json!({"from": "gpt", "value": "No."}));
    }
}
