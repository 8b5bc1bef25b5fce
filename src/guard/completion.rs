//! The judgement of a whole answer: every text of every choice, as the answer to what was asked.

use super::surrogates::{Change, Surrogates, changed, fitted};
use super::{Cleared, Decision, Guard, Sight, Verdict};
use super::{conversation, coverage, pass_unjudged, refuses, rewrite, scan, scored, unjudgeable};
use crate::classify::Input;
use crate::classify::pool::Unavailable;
use crate::classify::reading::Judged;
use crate::detect::Coverage;
use crate::openai::completion::Completion;
use crate::openai::request::Asked;
use crate::policy::opinion::Opinion;
use crate::policy::rule::Rewrite;
use crate::policy::{Action, Direction, Evidence, Notice, Policy, Ruling};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// An answer of more sentences is refused whole: each is judged by itself.
const MOST_SENTENCES: usize = 200;

/// One text of an answer, and what it answers.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(super) policy: &'a Policy,
    pub(super) asked: &'a Asked,
    pub(super) index: u64,
    pub(super) text: &'a str,
}

impl Guard {
    /// Judges every choice of `completion` as the answer to what was asked; refused choices are replaced, the others kept.
    ///
    /// # Errors
    /// [`Unavailable`] when the model cannot judge and the policy fails closed.
    pub async fn inspect_completion(
        &self,
        policy: &Policy,
        asked: &Asked,
        completion: Completion,
    ) -> Result<Decision<Cleared<Bytes>>, Unavailable> {
        if refuses(policy, completion.opaque, Coverage::Full) {
            return Ok(self.withhold(policy, asked, completion));
        }
        let text = |index: u64, text| Text { policy, asked, index, text };
        let choices = completion.choices.iter();
        let texts: Vec<Text<'_>> =
            choices.flat_map(|(index, texts)| texts.iter().map(|said| text(*index, said))).collect();
        let inputs: Vec<Input> = texts.iter().map(|text| text.input(text.text)).collect();
        let judged = match self.pool.judge(self.going_on(policy, asked), inputs.clone()).await {
            Ok(judged) => judged,
            Err(why) => {
                let verdict = pass_unjudged(policy, Direction::Completion, why)?;
                return Ok(finished(policy, asked, completion, verdict));
            }
        };
        let coverage = coverage(&judged);
        if refuses(policy, false, coverage) {
            return Ok(self.withhold(policy, asked, completion));
        }
        let mut verdict = Verdict::nothing(Direction::Completion, scan(completion.opaque, coverage));
        let mut refused: BTreeMap<u64, Notice> = BTreeMap::new();
        let mut excised: BTreeMap<(u64, String), (String, Notice)> = BTreeMap::new();
        let said = inputs.iter().zip(texts.iter().map(|text| Some(text.index)));
        let opinions = self.opinions(policy, &asked.reader, &scored(Direction::Completion, said, &judged)).await;
        for (text, (judged, opinion)) in texts.into_iter().zip(judged.into_iter().zip(opinions)) {
            let ruling = text.decide(text.text, (&judged, opinion));
            match &ruling.action {
                Action::Rewrite(Rewrite::Excise, notice) => match self.excised(text, notice).await {
                    Some(cuts) => {
                        let left = changed(text.text, &cuts);
                        excised.insert((text.index, text.text.to_owned()), (left, notice.clone()));
                    }
                    None => drop(refused.entry(text.index).or_insert_with(|| notice.clone())),
                },
                Action::Block(notice) | Action::Escalate(notice) | Action::Rewrite(_, notice) => {
                    refused.entry(text.index).or_insert_with(|| notice.clone());
                }
                Action::Allow | Action::Flag => {}
            }
            verdict.saw_as(Sight::Alone, &judged.scores);
            verdict.add(ruling, judged.scores);
        }
        let mut found = BTreeSet::new();
        let change = |index: u64, said: &str| {
            let key = (index, said.to_owned());
            let left = excised.get(&key).map(|(left, _)| left.clone());
            found.extend(left.is_some().then_some(key));
            left
        };
        let completion = if excised.is_empty() { completion } else { completion.with_texts(change) };
        // What does not stand in the answer as it was judged, in a file for one, cannot be taken out of it.
        for (key, (_, notice)) in excised.into_iter().filter(|(key, _)| !found.contains(key)) {
            refused.entry(key.0).or_insert(notice);
        }
        let completion = match refused.is_empty() {
            true => completion,
            false => self.without(asked, completion, &refused),
        };
        Ok(finished(policy, asked, completion, verdict))
    }

    /// What takes the violating sentences out of a text, when what is left is sound. No judge is asked of its sentences: where
    /// one would be asked of something that is left, nothing is taken out, so that the text is refused whole.
    pub(crate) async fn excised(&self, text: Text<'_>, notice: &Notice) -> Option<Vec<Change>> {
        // Arguments of a call are no sentences.
        if serde_json::from_str::<serde_json::Value>(text.text).is_ok() {
            return None;
        }
        let sentences = rewrite::sentences(text.text);
        if sentences.len() > MOST_SENTENCES {
            return None;
        }
        let asking = self.going_on(text.policy, text.asked);
        let judged = self.pool.judge(asking, sentences.iter().map(|one| text.input(one)).collect()).await.ok()?;
        let stops = |(words, judged): (&str, &Judged)| text.decide(words, (judged, None)).action.stops();
        let is_unsure = |(words, judged): (&str, &Judged)| {
            self.judge_for(text.policy).is_some() && text.is_uncertain(words, judged) && !stops((words, judged))
        };
        let excises = |(words, judged): (&str, &Judged)| {
            matches!(text.decide(words, (judged, None)).action, Action::Rewrite(Rewrite::Excise, _))
        };
        // What is to be refused, or cannot be judged, is not just cut.
        let is_worse = |said: (&str, &Judged)| (stops(said) && !excises(said)) || is_unsure(said);
        if sentences.iter().copied().zip(&judged).any(is_worse) || refuses(text.policy, false, coverage(&judged)) {
            return None;
        }
        let bad: Vec<bool> = sentences.iter().copied().zip(&judged).map(stops).collect();
        let cuts = rewrite::without(&sentences, &bad, &notice.message)?;
        // The notice is ours: what is judged is what is left of the LLM's words.
        let words: String = sentences.iter().zip(&bad).filter(|(_, bad)| !**bad).map(|(one, _)| *one).collect();
        let judged = self.pool.judge(asking, vec![text.input(&words)]).await.ok()?;
        if refuses(text.policy, false, coverage(&judged)) {
            return None;
        }
        (!judged.iter().any(|judged| stops((&words, judged)) || is_unsure((&words, judged)))).then_some(cuts)
    }

    /// The completion without what cannot be judged, which is all of it.
    fn withhold(&self, policy: &Policy, asked: &Asked, completion: Completion) -> Decision<Cleared<Bytes>> {
        let (notice, verdict) = unjudgeable(Direction::Completion);
        let refused = completion.choices.keys().map(|index| (*index, notice.clone())).collect();
        finished(policy, asked, self.without(asked, completion, &refused), verdict)
    }

    fn without(&self, asked: &Asked, completion: Completion, refused: &BTreeMap<u64, Notice>) -> Completion {
        let messages = refused.iter().map(|(index, notice)| (*index, &*notice.message)).collect();
        completion.without(asked, &messages, self.finish)
    }
}

/// An answer as it leaves: identifiers masked, surrogates put back, help before it.
fn finished(policy: &Policy, asked: &Asked, completion: Completion, mut verdict: Verdict) -> Decision<Cleared<Bytes>> {
    let surrogates = &asked.surrogates;
    let completion = match policy.phi.completion {
        true => masked(completion, surrogates, &mut verdict),
        false => completion,
    };
    let completion = match surrogates.is_empty() {
        true => completion,
        false => completion.with_texts(|_, said| surrogates.show(said)),
    };
    let mut bytes = completion.into_bytes();
    if let Some(help) = &asked.help {
        bytes = Completion::after(&bytes, asked, help);
    }
    Decision { outcome: Cleared::new(bytes), verdict }
}

/// The answer with the identifiers of people masked in all that it says.
fn masked(completion: Completion, surrogates: &Surrogates, verdict: &mut Verdict) -> Completion {
    let said: BTreeSet<String> = completion.choices.values().flatten().cloned().collect();
    let mut counts = BTreeMap::new();
    let completion = completion.with_texts(|_, text| {
        if !said.contains(text) {
            return None;
        }
        let (changes, found) = surrogates.masked(text);
        found.into_iter().for_each(|(kind, count)| *counts.entry(kind).or_default() += count);
        (!changes.is_empty()).then(|| fitted(text, &changes))
    });
    verdict.redacted(&counts);
    completion
}

impl Text<'_> {
    /// Words of the text, to be judged as its answer.
    fn input(&self, words: &str) -> Input {
        let prompt = conversation::excerpt(self.asked.question(self.index));
        Input::Completion { prompt, completion: words.to_owned() }
    }

    fn decide(&self, words: &str, (judged, opinion): (&Judged, Option<Opinion>)) -> Ruling {
        self.policy.decide(Direction::Completion, Evidence { opinion, ..self.evidence(words, judged) })
    }

    /// Whether a judge would be asked of its words.
    fn is_uncertain(&self, words: &str, judged: &Judged) -> bool {
        self.policy.wants_opinion(Direction::Completion, self.evidence(words, judged)).is_some()
    }

    fn evidence<'a>(&'a self, words: &'a str, judged: &'a Judged) -> Evidence<'a> {
        let (scores, reader) = (&judged.scores, &self.asked.reader);
        Evidence { text: words, scores, in_context: false, reader, opinion: None }
    }
}
