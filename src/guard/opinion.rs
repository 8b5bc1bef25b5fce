//! Of which texts a judge is asked for a second opinion.

use super::Guard;
use super::judge::{Judge, Outcome, Question};
use crate::classify::{Input, Scores};
use crate::policy::message::Reader;
use crate::policy::opinion::Opinion;
use crate::policy::{Direction, Evidence, Policy};
use std::sync::Arc;

/// So many texts of one message are asked about; of more, the last.
const MOST: usize = 4;

/// A text that was judged by the model.
#[derive(Clone, Copy)]
pub(super) struct Scored<'a> {
    pub(super) direction: Direction,
    pub(super) input: &'a Input,
    pub(super) scores: &'a Scores,
}

impl<'a> Scored<'a> {
    /// What is known of it, without an opinion.
    pub(super) fn evidence(&self, reader: &'a Reader) -> Evidence<'a> {
        let Self { input, scores, .. } = *self;
        let in_context = matches!(input, Input::Conversation { .. });
        Evidence { text: input.text(), scores, in_context, reader, opinion: None }
    }
}

impl Guard {
    /// The judge, where this policy may ask one.
    pub(super) fn judge_for(&self, policy: &Policy) -> Option<&Arc<Judge>> {
        self.judge.as_ref().filter(|_| policy.may_want_opinions())
    }

    /// What the judge says of each text of a message of which the policy is not sure.
    pub(super) async fn opinions(
        &self,
        policy: &Policy,
        reader: &Reader,
        texts: &[Scored<'_>],
    ) -> Vec<Option<Opinion>> {
        let mut opinions = vec![None; texts.len()];
        // Records of substance-use treatment are shown to nobody else (42 CFR Part 2).
        let Some(judge) = self.judge_for(policy).filter(|_| !reader.part2) else { return opinions };
        let is_wanted = |text: &Scored<'_>| policy.wants_opinion(text.direction, text.evidence(reader)).is_some();
        let mut wanted: Vec<(usize, &Scored<'_>)> =
            texts.iter().enumerate().filter(|(_, text)| is_wanted(text)).collect();
        if wanted.is_empty() {
            return opinions;
        }
        let asked = wanted.split_off(wanted.len().saturating_sub(MOST));
        wanted.iter().for_each(|_| judge.passes_over(Outcome::Budget));
        // What the policy hides from the LLM, or from the client, the judge does not see either.
        let redacts = policy.phi.prompt || policy.phi.completion;
        let owned: Vec<_> = asked
            .into_iter()
            .map(|(place, text)| (place, text.direction, text.input.clone(), text.scores.likeliest()))
            .collect();
        let prepared = tokio::task::spawn_blocking(move || {
            let question = |(place, direction, input, kind)| (place, Question::of(direction, input, kind, redacts));
            owned.into_iter().map(question).collect::<Vec<_>>()
        });
        let (mut places, mut questions) = (Vec::new(), Vec::new());
        for (place, question) in prepared.await.unwrap_or_default() {
            match question {
                Some(question) => {
                    places.push(place);
                    questions.push(question);
                }
                None => judge.passes_over(Outcome::Unsent),
            }
        }
        for (place, opinion) in places.into_iter().zip(judge.ask(questions).await) {
            if let Some(slot) = opinions.get_mut(place) {
                *slot = opinion;
            }
        }
        opinions
    }
}
