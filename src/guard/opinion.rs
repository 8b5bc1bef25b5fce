//! Of which texts a judge is asked for a second opinion.

use super::Guard;
use super::judge::{Judge, Question};
use crate::classify::{Input, Scores};
use crate::policy::message::Reader;
use crate::policy::opinion::{Opinion, Silence};
use crate::policy::rule::Rewrite;
use crate::policy::{Action, Direction, Evidence, Policy};
use std::sync::Arc;

/// A text that was judged by the model.
#[derive(Clone, Copy)]
pub(super) struct Scored<'a> {
    pub(super) direction: Direction,
    pub(super) input: &'a Input,
    pub(super) scores: &'a Scores,
    /// The choice that is refused with it, where that is known.
    pub(super) choice: Option<u64>,
}

impl<'a> Scored<'a> {
    /// What is known of it, without an opinion.
    pub(super) fn evidence(&self, reader: &'a Reader) -> Evidence<'a> {
        let Self { input, scores, .. } = *self;
        let in_context = matches!(input, Input::Conversation { .. });
        Evidence { text: input.text(), scores, in_context, reader, opinion: None }
    }

    fn is_uncertain(&self, policy: &Policy, reader: &Reader) -> bool {
        policy.wants_opinion(self.direction, self.evidence(reader)).is_some()
    }

    /// Whether it is refused whatever a judge says.
    fn is_refused(&self, policy: &Policy, reader: &Reader) -> bool {
        let action = policy.decide(self.direction, self.evidence(reader)).action;
        let refuses = matches!(action, Action::Block(_) | Action::Escalate(_) | Action::Rewrite(Rewrite::Replace, _));
        refuses && !self.is_uncertain(policy, reader)
    }
}

impl Guard {
    /// The judge, where this policy may ask one.
    pub(super) fn judge_for(&self, policy: &Policy) -> Option<&Arc<Judge>> {
        self.judge.as_ref().filter(|_| policy.may_want_opinions())
    }

    /// What the judge says of each text of a message of which the policy is not sure. What is not shown to it counts as a
    /// violation: else a caller could keep a text from it.
    pub(super) async fn opinions(
        &self,
        policy: &Policy,
        reader: &Reader,
        texts: &[Scored<'_>],
    ) -> Vec<Option<Opinion>> {
        let mut opinions = vec![None; texts.len()];
        let mut note = |place: usize, opinion| opinions.get_mut(place).into_iter().for_each(|of| *of = Some(opinion));
        let mut wanted = wanted(policy, reader, texts);
        let judge = match self.judge_for(policy) {
            Some(judge) if !wanted.is_empty() => judge,
            _ => {
                wanted.iter().for_each(|(place, _)| note(*place, Opinion::Silent(Silence::Judge)));
                return opinions;
            }
        };
        wanted.iter().for_each(|(place, _)| note(*place, Opinion::Unsent));
        // Those that are likeliest to violate are asked about first.
        wanted.sort_by(|(_, one), (_, other)| other.scores.violation.total_cmp(&one.scores.violation));
        // What the policy hides from the LLM, or from the client, the judge does not see either.
        let redacts = policy.phi.prompt || policy.phi.completion;
        let owned: Vec<_> = wanted
            .iter()
            .map(|(place, text)| (*place, text.direction, text.input.clone(), text.scores.likeliest()))
            .collect();
        let prepared = tokio::task::spawn_blocking(move || {
            let question =
                |(place, direction, input, kind)| Some((place, Question::of(direction, input, kind, redacts)?));
            owned.into_iter().filter_map(question).unzip()
        });
        let (places, questions): (Vec<usize>, Vec<Question>) = prepared.await.unwrap_or_default();
        judge.passes_over(wanted.len() - places.len());
        for (place, opinion) in places.into_iter().zip(judge.ask(questions).await) {
            note(place, opinion);
        }
        opinions
    }
}

/// The texts on which an opinion is wanted, each with its place. A choice that is refused anyhow needs to wait for none.
fn wanted<'a>(policy: &Policy, reader: &Reader, texts: &'a [Scored<'a>]) -> Vec<(usize, &'a Scored<'a>)> {
    let mut wanted: Vec<(usize, &Scored<'_>)> =
        texts.iter().enumerate().filter(|(_, text)| text.is_uncertain(policy, reader)).collect();
    if !wanted.is_empty() {
        let refused = texts.iter().filter(|text| text.choice.is_some() && text.is_refused(policy, reader));
        let refused: Vec<Option<u64>> = refused.map(|text| text.choice).collect();
        wanted.retain(|(_, text)| !refused.contains(&text.choice));
    }
    wanted
}
