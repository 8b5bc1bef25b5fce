//! Texts of our own, as many different ones as are wanted: harmless questions, answers and conversations of a clinic.

use super::chance::chance;
use hyper::body::Bytes;
use serde_json::{Value, json};

const PEOPLE: [&str; 8] = ["woman", "man", "nurse", "teacher", "farmer", "driver", "student", "runner"];
const CONDITIONS: [&str; 16] = [
    "asthma",
    "gout",
    "migraine",
    "eczema",
    "angina",
    "anaemia",
    "high blood pressure",
    "diabetes",
    "back pain",
    "hay fever",
    "a sore knee",
    "heart failure",
    "arthritis",
    "reflux",
    "a thyroid condition",
    "a skin rash",
];
const DRUGS: [&str; 16] = [
    "metformin",
    "insulin",
    "aspirin",
    "iron",
    "warfarin",
    "ibuprofen",
    "amlodipine",
    "prednisone",
    "vitamin D",
    "a statin",
    "an inhaler",
    "an antacid",
    "a diuretic",
    "a beta blocker",
    "paracetamol",
    "an antihistamine",
];
const QUESTIONS: [&str; 12] = [
    "tea or coffee may be taken with it",
    "the dose should be taken with food",
    "swimming is safe on holiday",
    "the blood pressure should be measured at home",
    "a flu vaccine is a good idea this autumn",
    "the tablets can be taken in the evening",
    "more water should be drunk in summer",
    "a low salt diet would help",
    "a blood test is due before the next visit",
    "walking each day would help",
    "sleep could become better",
    "the next check can wait for three months",
];
const ROLES: [&str; 6] = ["doctor", "nurse", "pharmacist", "dietitian", "physiotherapist", "midwife"];

/// A question of about 32 tokens, a different one for each number.
pub fn question(number: i64) -> String {
    let pick = |from: &[&'static str], salt| from[(chance(number, salt) * from.len() as f64) as usize];
    let age = 18 + (chance(number, 11) * 70.0) as u32;
    format!(
        "A {age} year old {} with {} takes {} and asks whether {}; what should the {} check in week {}?",
        pick(&PEOPLE, 12),
        pick(&CONDITIONS, 13),
        pick(&DRUGS, 14),
        pick(&QUESTIONS, 15),
        pick(&ROLES, 16),
        number.rem_euclid(997),
    )
}

/// An answer of about 40 tokens, a different one for each number.
pub fn answer(number: i64) -> String {
    let pick = |from: &[&'static str], salt| from[(chance(number, salt) * from.len() as f64) as usize];
    format!(
        "That is a good question for the {}, who knows the whole history. In general, {} and {} go well together when the \
         kidney values from week {} are normal, and it is worth asking whether {}.",
        pick(&ROLES, 21),
        pick(&DRUGS, 22),
        pick(&DRUGS, 23),
        number.rem_euclid(991),
        pick(&QUESTIONS, 24),
    )
}

/// Words of `piece` after `piece`, until `length` of them is `most`.
pub fn of_length(piece: impl Fn(i64) -> String, most: usize, length: impl Fn(&str) -> usize) -> String {
    let (mut text, mut number) = (String::new(), 0);
    loop {
        for word in piece(number).split_inclusive(' ') {
            let longer = format!("{text}{word}");
            if length(&longer) > most {
                return text.trim_end().to_owned();
            }
            text = longer;
        }
        text.push(' ');
        number += 1;
    }
}

/// A text of about as many tokens, from words of questions or answers: they have five letters and four thirds of a token on average.
pub fn of_about(piece: impl Fn(i64) -> String, tokens: usize) -> String {
    let mut text = String::new();
    let mut number = 0;
    while text.split(' ').count() * 5 / 4 < tokens {
        text.push_str(&piece(number));
        text.push(' ');
        number += 1;
    }
    let words: Vec<&str> = text.split(' ').take((tokens * 4 / 5).max(1)).collect();
    words.join(" ")
}

/// A request that asks one thing, and leaves the answer to the upstream.
pub fn asking(text: &str) -> Bytes {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]}).to_string().into()
}

/// A request with these messages; the upstream answers with `answer(number)`.
fn body(messages: &[Value], number: i64) -> Bytes {
    json!({"model": "m", "messages": messages, "metadata": {"answer": number}}).to_string().into()
}

/// Requests that each ask something new.
pub fn cold(first: i64, count: usize) -> Vec<Bytes> {
    (first..first + count as i64)
        .map(|number| body(&[json!({"role": "user", "content": question(number)})], number))
        .collect()
}

/// Conversations that go on side by side, each until its tenth turn; then another one begins. Each request holds all that was
/// said, as chatbots send it.
pub struct Conversations {
    open: Vec<Vec<Value>>,
    turns: usize,
    next: usize,
    said: i64,
}

impl Conversations {
    const SYSTEM: &str =
        "You are a careful assistant of a clinic. You explain in plain words and say when someone should be seen.";

    /// `count` of `turns` turns, which have come to a different turn each; another `number` says other things.
    pub fn begin(number: i64, count: usize, turns: usize) -> Self {
        let said = (number + 1) << 40;
        let mut conversations = Self { open: vec![Self::opening(); count], turns, next: 0, said };
        for place in 0..count {
            for _ in 0..place % turns {
                conversations.next = place;
                conversations.turn();
            }
        }
        conversations.next = 0;
        conversations
    }

    fn opening() -> Vec<Value> {
        vec![json!({"role": "system", "content": Self::SYSTEM})]
    }

    /// The next turn of the next conversation.
    pub fn turn(&mut self) -> Bytes {
        self.said += 1;
        let place = self.next % self.open.len();
        self.next += 1;
        if self.open[place].len() > 2 * (self.turns - 1) + 1 {
            self.open[place] = Self::opening();
        }
        let messages = &mut self.open[place];
        messages.push(json!({"role": "user", "content": question(self.said)}));
        let body = body(messages, self.said);
        messages.push(json!({"role": "assistant", "content": answer(self.said)}));
        body
    }

    /// The next turns.
    pub fn turns(&mut self, count: usize) -> Vec<Bytes> {
        (0..count).map(|_| self.turn()).collect()
    }
}
