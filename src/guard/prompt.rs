//! The judgement of a request: everything in it that the LLM will read.

use super::conversation::{self, Exhibit, Standing};
use super::opinion::Scored;
use super::surrogates::Surrogates;
use super::{Cleared, Decision, Guard, Outcome, Sight, Substitute, Verdict};
use super::{coverage, pass_unjudged, refuses, rewrite, scan, unjudgeable};
use crate::classify::pool::{Asking, Unavailable};
use crate::classify::reading::Judged;
use crate::classify::{Input, Scores};
use crate::detect::Coverage;
use crate::openai::request::{Request, Surface};
use crate::policy::opinion::Opinion;
use crate::policy::taxonomy::Principle;
use crate::policy::{Action, Direction, Evidence, Policy, Ruling};

/// From here on a completion counts as declining.
const DECLINED: f32 = 0.5;

/// What was found in a request.
struct Findings<'a> {
    policy: &'a Policy,
    request: &'a Request,
    verdict: Verdict,
    /// Whether something in it is refused, whatever else is.
    is_refused: bool,
    /// The principle that the LLM is to be reminded of.
    steered: Option<Principle>,
}

/// An exhibit with the scores that count: a cry for help is that of the person who asks now.
fn counted((exhibit, judged): (Exhibit, Judged)) -> (Exhibit, Scores) {
    let mut scores = judged.scores;
    if !matches!(exhibit.standing, Standing::Asked | Standing::Unanswered(_)) {
        scores.crisis = 0.0;
    }
    (exhibit, scores)
}

/// A request without the identifiers of people in it, where the policy wants that; it takes time that grows with the body.
async fn redacted(
    policy: &Policy,
    mut request: Request,
    mut verdict: Verdict,
) -> Result<(Request, Verdict), Unavailable> {
    if !policy.phi.prompt || matches!(verdict.action, Action::Block(_)) {
        return Ok((request, verdict));
    }
    let redacted = tokio::task::spawn_blocking(move || {
        let mut surrogates = Surrogates::default();
        request.change_texts(|text| surrogates.hide(text));
        verdict.redacted(&surrogates.hidden);
        request.hides(surrogates);
        (request, verdict)
    });
    redacted.await.map_err(|error| Unavailable::Failed(error.to_string()))
}

impl Guard {
    /// Judges everything in `request` that the LLM will read.
    ///
    /// # Errors
    /// [`Unavailable`] when the model cannot judge and the policy fails closed.
    pub async fn inspect_request(
        &self,
        policy: &Policy,
        mut request: Request,
    ) -> Result<Decision<Outcome<Request>>, Unavailable> {
        let exhibits = conversation::exhibits(&request);
        let inputs = exhibits.iter().map(|exhibit| exhibit.input.clone()).collect();
        let judged = match self.pool.judge(self.asking(policy, &request.asked().reader), inputs).await {
            Ok(judged) => judged,
            Err(why) => {
                let verdict = pass_unjudged(policy, Direction::Prompt, why)?;
                if refuses(policy, request.opaque, Coverage::Full) {
                    let (notice, verdict) = unjudgeable(Direction::Prompt);
                    return Ok(Decision { outcome: Outcome::Instead(Substitute::Refusal(notice, None)), verdict });
                }
                let (request, verdict) = redacted(policy, request, verdict).await?;
                return Ok(Decision { outcome: Outcome::Pass(Cleared::new(request)), verdict });
            }
        };
        let coverage = coverage(&judged);
        let scan = scan(request.opaque || request.unseen, coverage);
        let verdict = Verdict::nothing(Direction::Prompt, scan);
        let is_refused = refuses(policy, request.opaque, coverage);
        let mut findings = Findings { policy, request: &request, verdict, is_refused, steered: None };
        // What cannot be judged is refused, but someone who needs help gets it first.
        if findings.is_refused {
            findings.verdict = unjudgeable(Direction::Prompt).1;
        }
        let found: Vec<(Exhibit, Scores)> = exhibits.into_iter().zip(judged).map(counted).collect();
        let opinions = self.second_opinions(&found, &findings).await;
        for (found, opinion) in found.into_iter().zip(opinions) {
            self.weigh((found, opinion), &mut findings).await;
        }
        let Findings { verdict, is_refused, steered, .. } = findings;
        if let Some(principle) = steered {
            request.steer(&rewrite::steer(principle));
        }
        let (request, verdict) = redacted(policy, request, verdict).await?;
        let has_words = request.asked().surface != Surface::Embeddings && !request.asked().structured;
        let outcome = match verdict.action.clone() {
            Action::Allow | Action::Flag | Action::Rewrite(..) => Outcome::Pass(Cleared::new(request)),
            Action::Escalate(notice) if is_refused || !has_words => Outcome::Instead(Substitute::Help(notice)),
            Action::Escalate(notice) => Outcome::Helped(Cleared::new(request), notice),
            Action::Block(notice) => Outcome::Instead(Substitute::Refusal(notice, verdict.principle())),
        };
        Ok(Decision { outcome, verdict })
    }

    /// What a judge says of each exhibit. Help waits for nobody, so that beside it what is uncertain counts as a violation;
    /// and what is refused anyhow needs no opinion.
    async fn second_opinions(&self, found: &[(Exhibit, Scores)], findings: &Findings<'_>) -> Vec<Option<Opinion>> {
        let Findings { policy, request, is_refused, .. } = *findings;
        let reader = &request.asked().reader;
        if is_refused || !policy.may_want_opinions() {
            return vec![None; found.len()];
        }
        let texts: Vec<Scored<'_>> = found
            .iter()
            .map(|(exhibit, scores)| Scored {
                direction: exhibit.direction(),
                input: &exhibit.input,
                scores,
                choice: None,
            })
            .collect();
        let wants = |text: &Scored<'_>| policy.wants_opinion(text.direction, text.evidence(reader)).is_some();
        let action = |text: &Scored<'_>| policy.decide(text.direction, text.evidence(reader)).action;
        let actions: Vec<Action> = texts.iter().map(action).collect();
        if actions.iter().any(|action| matches!(action, Action::Escalate(_))) {
            let unsent = self.judge_for(policy).map(|_| Opinion::Unsent);
            // What asks for help itself is looked at once more, without that.
            let is_beside =
                |(text, action): (&Scored<'_>, &Action)| !matches!(action, Action::Escalate(_)) && wants(text);
            return texts.iter().zip(&actions).map(|one| unsent.filter(|_| is_beside(one))).collect();
        }
        // An earlier turn may not count.
        let is_settled = |((exhibit, _), (text, action)): (&(Exhibit, Scores), (&Scored<'_>, &Action))| {
            matches!(action, Action::Block(_)) && exhibit.counts() && !wants(text)
        };
        if found.iter().zip(texts.iter().zip(&actions)).any(is_settled) {
            return vec![None; texts.len()];
        }
        self.opinions(policy, reader, &texts).await
    }

    /// Adds one exhibit to what was found.
    async fn weigh(
        &self,
        ((exhibit, scores), opinion): ((Exhibit, Scores), Option<Opinion>),
        findings: &mut Findings<'_>,
    ) {
        let direction = exhibit.direction();
        let Exhibit { standing, input } = exhibit;
        let Findings { policy, request, .. } = *findings;
        let is_said = standing == Standing::Said;
        let (in_context, reader) = (matches!(input, Input::Conversation { .. }), &request.asked().reader);
        let decide = |scores: &Scores, opinion| {
            let ruling = policy.decide(direction, Evidence { text: input.text(), scores, in_context, reader, opinion });
            let action = match ruling.action {
                // What the LLM said before cannot be changed any more.
                Action::Rewrite(_, notice) if is_said || !request.can_be_steered() => Action::Block(notice),
                action => action,
            };
            Ruling { action, ..ruling }
        };
        let (ruling, asking) = (decide(&scores, opinion), self.asking(policy, reader));
        let tenant = asking.tenant;
        let action = ruling.action.clone();
        if matches!(action, Action::Block(_) | Action::Rewrite(..)) {
            match (&standing, &input) {
                (Standing::Answered(exchange), _) if self.declined(asking, exchange.clone()).await => return,
                (Standing::Unanswered(turn), _) if self.refused.knows(tenant, turn) => return,
                (Standing::Asked, Input::Prompt(turn)) if matches!(action, Action::Block(_)) => {
                    self.refused.remember(tenant, turn)
                }
                _ => {}
            }
        }
        // Who needs help may ask for what must not be given: beside the help, that counts as ever. Help has not waited for a
        // judge: what is uncertain counts too.
        let unsent = self.judge_for(policy).map(|_| Opinion::Unsent);
        let beside = match &action {
            Action::Escalate(_) => decide(&Scores { crisis: 0.0, ..scores.clone() }, unsent).action,
            action => action.clone(),
        };
        findings.is_refused |= matches!(beside, Action::Block(_));
        if let Action::Rewrite(..) = beside {
            findings.steered = Some(scores.likeliest().principle);
        }
        let sight = match (is_said, in_context) {
            (true, _) => Sight::Said,
            (false, true) => Sight::Context,
            (false, false) => Sight::Alone,
        };
        findings.verdict.saw_as(sight, &scores);
        findings.verdict.add(ruling, scores);
    }

    /// Whether the completion in `exchange` declined what was asked; what cannot be judged did not.
    async fn declined(&self, asking: Asking<'_>, exchange: Input) -> bool {
        let judged = self.pool.judge(asking, vec![exchange]).await.unwrap_or_default();
        judged.iter().any(|Judged { scores, .. }| scores.refusal >= DECLINED)
    }
}
