//! `nonnocere policy explain TEXT`: which rule decides on a text, by which score against which threshold, and which of its
//! words and sentences the score comes from.

use crate::classify::pool::{Asking, Unavailable};
use crate::classify::{Input, Scores};
use crate::config::Config;
use crate::guard::weights::{MATTERS, Part, weigh};
use crate::policy::message::Reader;
use crate::policy::rule::Weighed;
use crate::policy::{Direction, Evidence, Policy};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::sync::Arc;

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

/// Explains a text.
///
/// # Errors
/// When the model or the policy cannot be loaded, or the model cannot judge.
pub async fn run(config: &Config, asked: &Asked) -> anyhow::Result<()> {
    let policy = super::policy_of(config).await?.snapshot();
    let pool = super::start_pool(config)?;
    let direction = if asked.completion { Direction::Completion } else { Direction::Prompt };
    let input = match asked.completion {
        true => {
            Input::Completion { prompt: asked.question.clone().unwrap_or_default(), completion: asked.text.clone() }
        }
        false => Input::Prompt(asked.text.clone()),
    };
    let unjudged = |why: Unavailable| anyhow::anyhow!("the model could not judge: {why:?}");
    let asking = Asking { tenant: None, thorough: true };
    let scores = pool.judge(asking, vec![input.clone()]).await.map_err(unjudged)?;
    let scores = scores.into_iter().next().map_or(Scores::NONE, |judged| judged.scores);
    let tenant = asked.tenant.as_deref().map(Arc::from);
    let reader = Reader { audience: config.streaming.flow.audience, tenant, ..Reader::default() };
    let evidence = Evidence { text: &asked.text, scores: &scores, in_context: false, reader: &reader, opinion: None };
    let rules = policy.weigh(direction, evidence);
    let decides = rules.iter().find(|rule| rule.applies);
    // Where no rule applies, the one that was nearest to it says what is looked at.
    let nearest = || rules.iter().max_by(|one, other| one.margin().total_cmp(&other.margin()));
    let by = decides.or_else(nearest).map(|weighed| weighed.rule.score);
    let of = |scores: &Scores| by.map_or(0.0, |score| score.of(scores));
    let weights = weigh(&pool, &input, of, None).await.map_err(unjudged)?;
    let (words, sentences) = (weights.words, weights.sentences);
    let explained =
        Explained { policy: &policy, asked, scores: &scores, rules: &rules, words: &words, sentences: &sentences };
    let mut out = std::io::stdout().lock();
    match asked.json {
        true => writeln!(out, "{}", explained.json(direction, evidence))?,
        false => explained.write(&mut out, policy.decide(direction, evidence).action.id())?,
    }
    Ok(())
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
