//! `nonnocere policy explain TEXT`: which rule decides on a text, by which score against which threshold, and which of its
//! words and sentences the score comes from.
//!
//! A word counts by how much the score falls when the text is judged without it. The model reads words together, so that
//! these weights neither add up nor prove a reason: they show where to look.

use crate::classify::pool::{Pool, Unavailable};
use crate::classify::{Input, Scores};
use crate::config::Config;
use crate::guard::sentences;
use crate::policy::message::Reader;
use crate::policy::rule::Weighed;
use crate::policy::{Direction, Evidence, Policy};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::sync::Arc;

/// Texts that are judged in one job.
const BATCH: usize = 64;

/// A longer text is explained by its sentences alone.
const MOST_WORDS: usize = 400;

/// From here on a word is shown as one that matters.
const MATTERS: f32 = 0.05;

/// What is explained.
pub struct Asked {
    /// The text.
    pub text: String,
    /// The question that it answers, where it is a completion.
    pub question: Option<String>,
    /// Whether it is a completion.
    pub completion: bool,
    /// Whose request it is.
    pub tenant: Option<String>,
    /// Whether the explanation is JSON.
    pub json: bool,
}

/// A part of the text, and how much of the score comes from it.
struct Part {
    place: Range<usize>,
    weight: f32,
}

/// Explains a text.
///
/// # Errors
/// When the model or the policy cannot be loaded, or the model cannot judge.
pub async fn run(config: &Config, asked: &Asked) -> anyhow::Result<()> {
    let policy = super::policy_of(config).await?.snapshot();
    let pool = super::start_pool(config)?;
    let direction = if asked.completion { Direction::Completion } else { Direction::Prompt };
    let scores = judge(&pool, asked, vec![asked.text.clone()]).await?;
    let scores = scores.first().cloned().unwrap_or(Scores::NONE);
    let tenant = asked.tenant.as_deref().map(Arc::from);
    let reader = Reader { audience: config.streaming.flow.audience, tenant, ..Reader::default() };
    let evidence = Evidence { text: &asked.text, scores: &scores, in_context: false, reader: &reader, opinion: None };
    let rules = policy.weigh(direction, evidence);
    let decides = rules.iter().find(|rule| rule.applies);
    // Where no rule applies, the one that was nearest to it says what is looked at.
    let nearest = || rules.iter().max_by(|one, other| one.margin().total_cmp(&other.margin()));
    let by = decides.or_else(nearest).map(|weighed| weighed.rule.score);
    let of = |scores: &Scores| by.map_or(0.0, |score| score.of(scores));
    let whole = of(&scores);
    let weigh = async |places: Vec<Range<usize>>| -> anyhow::Result<Vec<Part>> {
        let texts = places.iter().map(|place| without(&asked.text, place)).collect();
        let judged = judge(&pool, asked, texts).await?;
        Ok(places.into_iter().zip(judged).map(|(place, left)| Part { place, weight: whole - of(&left) }).collect())
    };
    let words = words(&asked.text);
    let words = if words.len() > MOST_WORDS { Vec::new() } else { weigh(words).await? };
    let sentences = places(&asked.text);
    let sentences = if sentences.len() < 2 { Vec::new() } else { weigh(sentences).await? };
    let explained =
        Explained { policy: &policy, asked, scores: &scores, rules: &rules, words: &words, sentences: &sentences };
    let mut out = std::io::stdout().lock();
    match asked.json {
        true => writeln!(out, "{}", explained.json(direction, evidence))?,
        false => explained.write(&mut out, policy.decide(direction, evidence).action.id())?,
    }
    Ok(())
}

async fn judge(pool: &Pool, asked: &Asked, texts: Vec<String>) -> anyhow::Result<Vec<Scores>> {
    let mut scores = Vec::new();
    for batch in texts.chunks(BATCH) {
        let input = |text: &String| match asked.completion {
            true => Input::Completion { prompt: asked.question.clone().unwrap_or_default(), completion: text.clone() },
            false => Input::Prompt(text.clone()),
        };
        let judged = pool.judge(batch.iter().map(input).collect()).await;
        let judged = judged.map_err(|why: Unavailable| anyhow::anyhow!("the model could not judge: {why:?}"))?;
        scores.extend(judged.into_iter().map(|judged| judged.scores));
    }
    Ok(scores)
}

/// Everything that was found.
struct Explained<'a> {
    policy: &'a Policy,
    asked: &'a Asked,
    scores: &'a Scores,
    rules: &'a [Weighed<'a>],
    words: &'a [Part],
    sentences: &'a [Part],
}

impl Explained<'_> {
    fn json(&self, direction: Direction, evidence: Evidence<'_>) -> Value {
        let rule = |weighed: &Weighed<'_>| {
            json!({"name": &*weighed.rule.name, "score": weighed.rule.score.id(), "probability": weighed.probability,
                   "threshold": weighed.threshold, "applies": weighed.applies, "second_opinion": second_opinion(weighed)})
        };
        let part = |part: &Part| {
            json!({"text": self.asked.text.get(part.place.clone()), "start": part.place.start, "end": part.place.end,
                   "weight": part.weight})
        };
        let principles = self.scores.principles().map(|(principle, share)| (principle.id().to_owned(), json!(share)));
        let decides = self.rules.iter().find(|rule| rule.applies).map(|rule| &*rule.rule.name);
        json!({
            "policy": self.policy.to_string(), "direction": direction.id(), "action": self.policy.decide(direction, evidence).action.id(),
            "rule": decides, "rules": self.rules.iter().map(rule).collect::<Vec<_>>(),
            "scores": {"violation": self.scores.violation, "manipulation": self.scores.manipulation,
                       "crisis": self.scores.crisis, "refusal": self.scores.refusal,
                       "principles": Value::Object(principles.into_iter().collect())},
            "words": self.words.iter().map(part).collect::<Vec<_>>(),
            "sentences": self.sentences.iter().map(part).collect::<Vec<_>>(),
        })
    }

    fn write(&self, out: &mut (impl Write + IsTerminal), action: &str) -> std::io::Result<()> {
        let decides = self.rules.iter().find(|rule| rule.applies);
        writeln!(out, "{action}, by {}\n", decides.map_or("no rule", |rule| &*rule.rule.name))?;
        for rule in self.rules {
            let Weighed { rule, probability, threshold, applies, is_uncertain } = rule;
            let sign = if probability >= threshold { ">=" } else { "<" };
            let mark = if *applies { "applies" } else { "" };
            writeln!(
                out,
                "  {:<24}{:<14}{probability:.3} {sign:>2} {threshold:.2}  {mark}",
                &*rule.name,
                rule.score.id()
            )?;
            if let Some(second) = rule.second_opinion {
                let ((from, to), otherwise) = (second.band(*threshold), second.otherwise.id());
                let unsure = if *is_uncertain { "uncertain: " } else { "" };
                writeln!(out, "    {unsure}a judge is asked from {from:.2} to {to:.2}, otherwise {otherwise}")?;
            }
        }
        let kind = self.scores.likeliest();
        writeln!(out, "\n  if it violates: {} {} ({})\n", kind.principle, kind.id, kind.name)?;
        let is_terminal = out.is_terminal();
        writeln!(out, "{}\n", self.marked(is_terminal))?;
        let mut heaviest: Vec<&Part> =
            self.words.iter().chain(self.sentences).filter(|part| part.weight.abs() >= MATTERS).collect();
        heaviest.sort_by(|one, other| other.weight.total_cmp(&one.weight));
        for part in heaviest {
            let text = self.asked.text.get(part.place.clone()).unwrap_or_default().trim();
            writeln!(out, "  {:+.3}  {}", part.weight, text.replace('\n', " "))?;
        }
        Ok(())
    }

    /// The text with the words that matter marked: in colour on a terminal, in brackets elsewhere.
    fn marked(&self, is_terminal: bool) -> String {
        let (open, close) = if is_terminal { ("\x1b[1;31m", "\x1b[0m") } else { ("[", "]") };
        let (mut marked, mut at) = (String::new(), 0);
        for word in self.words.iter().filter(|word| word.weight >= MATTERS) {
            marked.push_str(self.asked.text.get(at..word.place.start).unwrap_or_default());
            marked.push_str(open);
            marked.push_str(self.asked.text.get(word.place.clone()).unwrap_or_default());
            marked.push_str(close);
            at = word.place.end;
        }
        marked + self.asked.text.get(at..).unwrap_or_default()
    }
}

/// When a rule asks a judge, and whether it would.
fn second_opinion(weighed: &Weighed<'_>) -> Option<Value> {
    let second = weighed.rule.second_opinion?;
    let (from, to) = second.band(weighed.threshold);
    Some(json!({"from": from, "to": to, "otherwise": second.otherwise.id(), "uncertain": weighed.is_uncertain}))
}

/// Where the words of a text stand.
fn words(text: &str) -> Vec<Range<usize>> {
    let (mut words, mut start) = (Vec::new(), None);
    for (at, letter) in text.char_indices().chain([(text.len(), ' ')]) {
        match (letter.is_alphanumeric() || matches!(letter, '\'' | '’' | '-'), start) {
            (true, None) => start = Some(at),
            (false, Some(begun)) => {
                words.push(begun..at);
                start = None;
            }
            _ => {}
        }
    }
    words
}

/// Where the sentences of a text stand.
fn places(text: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let place = |sentence: &str| {
        let start = at;
        at += sentence.len();
        start..at
    };
    sentences(text).into_iter().map(place).collect()
}

fn without(text: &str, place: &Range<usize>) -> String {
    format!("{}{}", text.get(..place.start).unwrap_or_default(), text.get(place.end..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_sentences_stand_where_they_are() {
        let text = "Don't back-date it, é! Then wait for the two results. Go.";
        let shown = |places: Vec<Range<usize>>| -> Vec<String> {
            places.into_iter().map(|place| text.get(place).unwrap().to_owned()).collect()
        };
        assert_eq!(shown(words(text))[..4], ["Don't", "back-date", "it", "é"]);
        assert_eq!(shown(places(text)), ["Don't back-date it, é! ", "Then wait for the two results. ", "Go."]);
        assert_eq!(without("abc", &(1..2)), "ac");
    }
}
