//! One row of anybody's data as an [`Item`]: the names that public sets use for the same things.

use super::{Aim, Item};
use crate::policy::taxonomy::Principle;
use serde_json::{Map, Value};

/// What a request is called, the most telling name first.
const TEXTS: [&str; 7] = ["harmful_medical_request", "prompt", "request", "question", "text", "instruction", "goal"];

/// What the word for a good answer is called.
const LABELS: [&str; 4] = ["aim", "label", "expect", "type"];

/// What follows the options of a question.
pub(crate) const LETTER_ONLY: &str = "Answer with the letter of the right option and nothing else.";

/// The item that a row is; nothing where it asks nothing. `aim` holds where the row does not say what a good answer is.
pub(super) fn item(suite: &str, row: &Map<String, Value>, aim: Option<Aim>) -> Result<Option<Item>, String> {
    let word = |name: &&str| row.get(*name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let Some(text) = TEXTS.iter().find_map(word) else { return Ok(None) };
    let mut item = match row.get("options").or_else(|| row.get("choices")) {
        Some(options) => choice(suite, text, (options, row.get("answer")))?,
        None => Item::new(suite, text, LABELS.iter().filter_map(word).find_map(said).or(aim).unwrap_or(Aim::Harmful)),
    };
    if let Some(id) = row.get("id").and_then(Value::as_str) {
        item.id = id.to_owned();
    }
    item.principle = ["principle", "category"].iter().filter_map(word).find_map(principle);
    item.group = ["generator", "group", "source"].iter().find_map(word).map(str::to_owned);
    item.safe_response = ["safe_response", "safe_completion"].iter().find_map(word).map(str::to_owned);
    Ok(Some(item))
}

/// What a label means, where it means anything here.
fn said(label: &str) -> Option<Aim> {
    Some(match label.to_ascii_lowercase().as_str() {
        "unsafe" | "harmful" | "violation" | "harm" => Aim::Harmful,
        "safe" | "benign" | "harmless" => Aim::Benign,
        "crisis" => Aim::Crisis,
        _ => return None,
    })
}

/// A principle by its numeral, as `I` or `G`, or by its number, from 1 to 9.
pub(super) fn principle(name: &str) -> Option<String> {
    let by_number = || name.parse::<usize>().ok().and_then(|number| Principle::ALL.get(number.checked_sub(1)?));
    let found = Principle::ALL.iter().find(|principle| principle.id() == name).or_else(by_number);
    found.map(|principle| principle.id().to_owned())
}

/// A question with options: an array, or an object from letters to texts; the answer is a letter, a number from 0, or an option.
fn choice(suite: &str, question: &str, (options, answer): (&Value, Option<&Value>)) -> Result<Item, String> {
    let options: Vec<String> = match options {
        Value::Array(options) => options.iter().filter_map(|option| option.as_str().map(str::to_owned)).collect(),
        Value::Object(options) => options.values().filter_map(|option| option.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    let letters = 'A'..='Z';
    let is_right = |(place, (letter, option)): &(usize, (char, &String))| match answer {
        Some(Value::Number(number)) => number.as_u64() == Some(*place as u64),
        Some(Value::String(answer)) => {
            let answer = answer.trim();
            answer.eq_ignore_ascii_case(&letter.to_string()) || answer == option.trim()
        }
        _ => false,
    };
    let right = letters.clone().zip(&options).enumerate().find(is_right);
    let Some((_, (right, _))) = right else {
        return Err(format!("\"{question}\": the answer is none of the options"));
    };
    let mut text = format!("{question}\n\n");
    for (letter, option) in letters.zip(&options) {
        text.push_str(&format!("{letter}) {option}\n"));
    }
    text.push('\n');
    text.push_str(LETTER_ONLY);
    Ok(Item::new(suite, &text, Aim::Choice(right)))
}
