//! The judgement: texts in, a decision and, where it passes, a [`Cleared`] value out. Nothing else can make one.

mod cleared;
mod conversation;
mod memory;
mod sentence;
pub mod stream;
mod verdict;

pub use cleared::Cleared;
pub use verdict::{Scan, Verdict};

use crate::classify::pool::{Pool, Unavailable};
use crate::classify::reading::Judged;
use crate::classify::{Input, Scores};
use crate::detect::Coverage;
use crate::openai::completion::Completion;
use crate::openai::moderation;
use crate::openai::refusal::FinishReason;
use crate::openai::request::{Asked, Request};
use crate::policy::taxonomy::Principle;
use crate::policy::{Action, Direction, Evidence, FailMode, Notice, Policy, Unjudgeable};
use bytes::Bytes;
use conversation::{Exhibit, Standing};
use memory::Refused;
use std::collections::BTreeMap;
use std::sync::Arc;
use stream::Stream;

/// From here on a completion counts as declining.
const DECLINED: f32 = 0.5;

/// What became of a value that was inspected.
pub enum Outcome<T> {
    /// It may pass.
    Pass(Cleared<T>),
    /// The person gets this instead.
    Instead(Substitute),
}

/// What a person gets in place of the LLM's answer.
pub enum Substitute {
    /// Help, for someone who needs it now.
    Help(Notice),
    /// A refusal, and the violated principle where there is one.
    Refusal(Notice, Option<Principle>),
}

/// A decision, and the verdict that it rests on.
///
/// A request is an [`Outcome`]: it may be answered by someone else than the LLM. A completion is always [`Cleared`]:
/// what is refused of it has been replaced.
pub struct Decision<T> {
    /// What becomes of it.
    pub outcome: T,
    /// Why.
    pub verdict: Verdict,
}

/// Judges texts with a model and decides by a policy.
pub struct Guard {
    pool: Pool,
    finish: FinishReason,
    refused: Refused,
}

impl Guard {
    /// A guard that judges by `pool` and ends refused choices with `finish`.
    #[must_use]
    pub fn new(pool: Pool, finish: FinishReason) -> Self {
        Self { pool, finish, refused: Refused::default() }
    }

    /// The model's short hash.
    #[must_use]
    pub fn model(&self) -> &str {
        self.pool.model()
    }

    /// Texts that wait to be judged.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    /// Judges everything in `request` that the LLM will read.
    ///
    /// # Errors
    /// [`Unavailable`] when the model cannot judge and the policy fails closed.
    pub async fn inspect_request(
        &self,
        policy: &Policy,
        request: Request,
    ) -> Result<Decision<Outcome<Request>>, Unavailable> {
        let exhibits = conversation::exhibits(&request);
        let inputs = exhibits.iter().map(|exhibit| exhibit.input.clone()).collect();
        let judged = match self.pool.judge(inputs).await {
            Ok(judged) => judged,
            Err(why) => {
                let verdict = pass_unjudged(policy, Direction::Prompt, why)?;
                if refuses(policy, request.opaque, Coverage::Full) {
                    let (notice, verdict) = unjudgeable(Direction::Prompt);
                    return Ok(Decision { outcome: Outcome::Instead(Substitute::Refusal(notice, None)), verdict });
                }
                return Ok(Decision { outcome: Outcome::Pass(Cleared::new(request)), verdict });
            }
        };
        let coverage = coverage(&judged);
        let scan = scan(request.opaque || request.unseen, coverage);
        let mut verdict = Verdict::nothing(Direction::Prompt, scan);
        // What cannot be judged is refused, but someone who needs help gets it first.
        if refuses(policy, request.opaque, coverage) {
            verdict = unjudgeable(Direction::Prompt).1;
        }
        for (Exhibit { standing, input }, Judged { mut scores, .. }) in exhibits.into_iter().zip(judged) {
            if !matches!(standing, Standing::Asked | Standing::Unanswered(_)) {
                scores.crisis = 0.0;
            }
            let in_context = matches!(input, Input::Conversation { .. });
            let direction = if standing == Standing::Said { Direction::Completion } else { Direction::Prompt };
            let action = policy.decide(direction, Evidence { scores: &scores, in_context });
            if let Action::Block(_) = &action {
                match (&standing, &input) {
                    (Standing::Answered(exchange), _) if self.declined(exchange.clone()).await => continue,
                    (Standing::Unanswered(turn), _) if self.refused.knows(turn) => continue,
                    (Standing::Asked, Input::Prompt(turn)) => self.refused.remember(turn),
                    _ => {}
                }
            }
            verdict.add(action, scores);
        }
        let outcome = match verdict.action.clone() {
            Action::Allow | Action::Flag => Outcome::Pass(Cleared::new(request)),
            Action::Escalate(notice) => Outcome::Instead(Substitute::Help(notice)),
            Action::Block(notice) => Outcome::Instead(Substitute::Refusal(notice, verdict.principle())),
        };
        Ok(Decision { outcome, verdict })
    }

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
            return Ok(self.withhold(asked, completion));
        }
        let answer = |index: u64, text: &String| Input::Completion {
            prompt: conversation::excerpt(asked.question(index)),
            completion: text.clone(),
        };
        let choices = completion.choices.iter();
        let inputs = choices.flat_map(|(index, texts)| texts.iter().map(|text| answer(*index, text))).collect();
        let judged = match self.pool.judge(inputs).await {
            Ok(judged) => judged,
            Err(why) => {
                let verdict = pass_unjudged(policy, Direction::Completion, why)?;
                return Ok(Decision { outcome: Cleared::new(completion.into_bytes()), verdict });
            }
        };
        let coverage = coverage(&judged);
        if refuses(policy, false, coverage) {
            return Ok(self.withhold(asked, completion));
        }
        let scan = scan(completion.opaque, coverage);
        let mut verdict = Verdict::nothing(Direction::Completion, scan);
        let mut refused: BTreeMap<u64, Notice> = BTreeMap::new();
        let indices = completion.choices.iter().flat_map(|(index, texts)| texts.iter().map(|_| *index));
        for (index, Judged { scores, .. }) in indices.zip(judged) {
            let action = policy.decide(Direction::Completion, Evidence { scores: &scores, in_context: false });
            if let Action::Block(notice) | Action::Escalate(notice) = &action {
                refused.entry(index).or_insert_with(|| notice.clone());
            }
            verdict.add(action, scores);
        }
        let bytes = match refused.is_empty() {
            true => completion.into_bytes(),
            false => self.without(asked, completion, &refused),
        };
        Ok(Decision { outcome: Cleared::new(bytes), verdict })
    }

    /// A streamed answer to what was `asked`, of which nothing has come yet.
    #[must_use]
    pub fn stream(&self, policy: Arc<Policy>, asked: Asked, mode: stream::Mode) -> Stream {
        Stream::new(policy, asked, mode, self.finish)
    }

    /// Judges what is [due](Stream::due) of a stream.
    ///
    /// # Errors
    /// [`Unavailable`] when the model cannot judge.
    pub async fn judge_due(&self, due: Vec<Input>) -> Result<Vec<Judged>, Unavailable> {
        self.pool.judge(due).await
    }

    /// Judges each of `inputs` by itself, for someone who asks for the verdicts and nothing else; with each comes whether
    /// it also holds what cannot be judged.
    ///
    /// # Errors
    /// [`Unavailable`] when the model cannot judge and the policy fails closed.
    pub async fn judge(
        &self,
        policy: &Policy,
        direction: Direction,
        inputs: Vec<(Input, bool)>,
    ) -> Result<Vec<Verdict>, Unavailable> {
        let (inputs, opaque): (Vec<Input>, Vec<bool>) = inputs.into_iter().unzip();
        let judged = match self.pool.judge(inputs).await {
            Ok(judged) => judged,
            Err(why) => return Ok(vec![pass_unjudged(policy, direction, why)?; opaque.len()]),
        };
        let verdict = |(Judged { scores, coverage }, opaque): (Judged, bool)| {
            let mut verdict = Verdict::nothing(direction, scan(opaque, coverage));
            if refuses(policy, opaque, coverage) {
                verdict = unjudgeable(direction).1;
            }
            let evidence = Evidence { scores: &scores, in_context: false };
            verdict.add(policy.decide(direction, evidence), scores);
            verdict
        };
        Ok(judged.into_iter().zip(opaque).map(verdict).collect())
    }

    /// The completion without what cannot be judged, which is all of it.
    fn withhold(&self, asked: &Asked, completion: Completion) -> Decision<Cleared<Bytes>> {
        let (notice, verdict) = unjudgeable(Direction::Completion);
        let refused = completion.choices.keys().map(|index| (*index, notice.clone())).collect();
        Decision { outcome: Cleared::new(self.without(asked, completion, &refused)), verdict }
    }

    fn without(&self, asked: &Asked, completion: Completion, refused: &BTreeMap<u64, Notice>) -> Bytes {
        let messages = refused.iter().map(|(index, notice)| (*index, &*notice.message)).collect();
        completion.without(asked, &messages, self.finish)
    }

    /// Whether the completion in `exchange` declined what was asked; what cannot be judged did not.
    async fn declined(&self, exchange: Input) -> bool {
        let judged = self.pool.judge(vec![exchange]).await.unwrap_or_default();
        judged.iter().any(|judged| judged.scores.refusal >= DECLINED)
    }
}

/// Clears what no LLM wrote.
#[must_use]
pub const fn clear_without_completion(bytes: Bytes) -> Cleared<Bytes> {
    Cleared::new(bytes)
}

/// The bytes of a request that is still being judged, for a route on which the operator lets the LLM begin meanwhile. What
/// it answers must not be read before the verdict.
#[must_use]
pub fn ahead(request: &Request) -> Cleared<Bytes> {
    Cleared::new(request.bytes().clone())
}

/// A cleared answer that also says what was found, in words of our own.
#[must_use]
pub fn annotate(answer: Cleared<Bytes>, moderation: &serde_json::Value) -> Cleared<Bytes> {
    match std::str::from_utf8(answer.get()) {
        Ok(text) => Cleared::new(Bytes::from(moderation::annotated(text, false, moderation))),
        Err(_) => answer,
    }
}

/// How much was read of the text of which least was read.
fn coverage(judged: &[Judged]) -> Coverage {
    judged.iter().map(|judged| judged.coverage).max().unwrap_or_default()
}

/// Whether the policy refuses a message that cannot be judged whole.
fn refuses(policy: &Policy, opaque: bool, coverage: Coverage) -> bool {
    (opaque || coverage == Coverage::Deep) && policy.unjudgeable == Unjudgeable::Block
}

/// How much of a message was judged.
fn scan(opaque: bool, coverage: Coverage) -> Scan {
    if opaque || coverage != Coverage::Full { Scan::Partial } else { Scan::Full }
}

/// The verdict on a message that passes although nothing could judge it.
fn pass_unjudged(policy: &Policy, direction: Direction, why: Unavailable) -> Result<Verdict, Unavailable> {
    match policy.fail_mode(direction) {
        FailMode::Closed => Err(why),
        FailMode::Open => {
            tracing::warn!(direction = direction.id(), ?why, "the model cannot judge; passing as the policy says");
            Ok(Verdict::nothing(direction, Scan::None))
        }
    }
}

/// What is said, and recorded, of a message with images, audio, files or endless encodings where the policy refuses them.
fn unjudgeable(direction: Direction) -> (Notice, Verdict) {
    let notice = Notice {
        message:
            "I can't use images, audio, files, token ids or text that is encoded over and over here, because they \
                  cannot be checked. Please say in words what you need."
                .into(),
        rule: "unjudgeable".into(),
    };
    let mut verdict = Verdict::nothing(direction, Scan::Partial);
    verdict.add(Action::Block(notice.clone()), Scores::NONE);
    (notice, verdict)
}
