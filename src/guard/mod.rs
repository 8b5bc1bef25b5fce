//! The judgement: texts in, a decision and, where it passes, a [`Cleared`] value out. Nothing else can make one.
//!
//! `prompt` judges requests, `completion` whole answers and [`stream`] those that come piece by piece; `rewrite` changes what
//! may pass only so. Where the policy is not sure, a [`judge`] may be asked.

mod cleared;
mod completion;
mod conversation;
pub mod judge;
mod memory;
mod opinion;
mod prompt;
mod rewrite;
mod sentence;
pub mod stream;
pub mod surrogates;
pub mod trial;
mod verdict;
pub mod weights;

pub use cleared::Cleared;
pub use rewrite::sentences;
pub use verdict::{Scan, Sight, Verdict};

use crate::classify::pool::{Asking, Pool, Unavailable, Work};
use crate::classify::reading::Judged;
use crate::classify::{Input, Scores};
use crate::detect::Coverage;
use crate::openai::moderation;
use crate::openai::refusal::FinishReason;
use crate::openai::request::{Asked, Request};
use crate::policy::message::Reader;
use crate::policy::opinion::Opinion;
use crate::policy::taxonomy::Principle;
use crate::policy::{Action, Direction, Evidence, FailMode, Notice, Policy, Ruling, Unjudgeable};
use bytes::Bytes;
use judge::Judge;
use memory::Refused;
use opinion::Scored;
use std::sync::Arc;
use stream::Stream;
use tokio::sync::Semaphore;

/// What became of a value that was inspected.
pub enum Outcome<T> {
    /// It may pass.
    Pass(Cleared<T>),
    /// It may pass, and the person gets help before the answer.
    Helped(Cleared<T>, Notice),
    /// The person gets this instead.
    Instead(Substitute),
}

impl<T> Outcome<T> {
    /// The help that is given, whatever becomes of the answer.
    #[must_use]
    pub const fn help(&self) -> Option<&Notice> {
        match self {
            Self::Helped(_, notice) | Self::Instead(Substitute::Help(notice)) => Some(notice),
            Self::Pass(_) | Self::Instead(Substitute::Refusal(..)) => None,
        }
    }
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
    pool: Arc<Pool>,
    finish: FinishReason,
    refused: Refused,
    judge: Option<Arc<Judge>>,
    /// Held by whoever looks what a score comes from.
    looking: Semaphore,
}

impl Guard {
    /// A guard that judges by `pool` and ends refused choices with `finish`.
    #[must_use]
    pub fn new(pool: Pool, finish: FinishReason) -> Self {
        Self { pool: Arc::new(pool), finish, refused: Refused::default(), judge: None, looking: Semaphore::new(1) }
    }

    /// The same guard, with a judge for what the policy is not sure of.
    #[must_use]
    pub fn with_judge(self, judge: Option<Judge>) -> Self {
        Self { judge: judge.map(Arc::new), ..self }
    }

    /// Whether there is a judge.
    #[must_use]
    pub const fn has_judge(&self) -> bool {
        self.judge.is_some()
    }

    /// A guard with the same model that asks nobody and remembers nothing of this one.
    fn alone(&self) -> Self {
        Self {
            pool: Arc::clone(&self.pool),
            finish: self.finish,
            refused: Refused::default(),
            judge: None,
            looking: Semaphore::new(0),
        }
    }

    /// How texts are judged that `policy` decides on, for `reader`: all of the model where it goes by what the first layers do not tell.
    fn asking<'a>(&self, policy: &Policy, reader: &'a Reader) -> Asking<'a> {
        let thorough = self.pool.floors().is_some_and(|floors| policy.reaches_below(&floors));
        Asking { tenant: reader.tenant.as_deref(), thorough, goes_on: false }
    }

    /// The same, for an answer to what was let in.
    fn going_on<'a>(&self, policy: &Policy, asked: &'a Asked) -> Asking<'a> {
        Asking { goes_on: true, ..self.asking(policy, &asked.reader) }
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

    /// What was asked of the model so far.
    #[must_use]
    pub fn work(&self) -> Work {
        self.pool.work()
    }

    /// A streamed answer to what was `asked`, of which nothing has come yet.
    #[must_use]
    pub fn stream(&self, policy: Arc<Policy>, asked: Asked, mode: stream::Mode) -> Stream {
        Stream::new(policy, asked, mode, self.finish)
    }

    /// Judges what is [due](Stream::due) of a stream, each text with [its choice](Stream::choices_due).
    ///
    /// # Errors
    /// [`Unavailable`] when the model cannot judge.
    pub async fn judge_due(
        &self,
        (policy, asked): (&Policy, &Asked),
        mode: stream::Mode,
        (due, choices): (Vec<Input>, Vec<u64>),
    ) -> Result<Vec<(Judged, Option<Opinion>)>, Unavailable> {
        let mut asking = self.going_on(policy, asked);
        // What leaves by clauses goes by probabilities far below any threshold.
        asking.thorough |= mode == stream::Mode::Clause;
        let judged = self.pool.judge(asking, due.clone()).await?;
        let said = due.iter().zip(choices.into_iter().map(Some));
        let opinions = self.opinions(policy, &asked.reader, &scored(Direction::Completion, said, &judged)).await;
        Ok(judged.into_iter().zip(opinions).collect())
    }

    /// Judges each of `inputs` by itself, for someone who asks for the verdicts and nothing else; with each comes whether
    /// it also holds what cannot be judged.
    ///
    /// # Errors
    /// [`Unavailable`] when the model cannot judge and the policy fails closed.
    pub async fn judge(
        &self,
        policy: &Policy,
        (direction, reader): (Direction, &Reader),
        inputs: Vec<(Input, bool)>,
    ) -> Result<Vec<Verdict>, Unavailable> {
        let (inputs, opaque): (Vec<Input>, Vec<bool>) = inputs.into_iter().unzip();
        let judged = match self.pool.judge(self.asking(policy, reader), inputs.clone()).await {
            Ok(judged) => judged,
            Err(why) => return Ok(vec![pass_unjudged(policy, direction, why)?; opaque.len()]),
        };
        // Each has a verdict of its own, so that none settles another.
        let apart = inputs.iter().map(|input| (input, None));
        let opinions = self.opinions(policy, reader, &scored(direction, apart, &judged)).await;
        let verdict = |((Judged { scores, coverage }, opaque), (input, opinion)): ((Judged, bool), (&Input, _))| {
            let mut verdict = Verdict::nothing(direction, scan(opaque, coverage));
            if refuses(policy, opaque, coverage) {
                verdict = unjudgeable(direction).1;
            }
            let text = input.text();
            let evidence = Evidence { text, scores: &scores, in_context: false, reader, opinion };
            verdict.saw_as(Sight::Alone, &scores);
            verdict.add(policy.decide(direction, evidence), scores);
            verdict
        };
        Ok(judged.into_iter().zip(opaque).zip(inputs.iter().zip(opinions)).map(verdict).collect())
    }
}

/// Clears what no LLM wrote.
#[must_use]
pub const fn clear_without_completion(bytes: Bytes) -> Cleared<Bytes> {
    Cleared::new(bytes)
}

/// A request that was cleared, for a whole answer to be given in place of one that violated a principle.
#[must_use]
pub fn again(request: &Cleared<Request>, principle: Principle) -> Cleared<Bytes> {
    let mut again = request.get().clone();
    again.steer(&rewrite::steer(principle));
    Cleared::new(again.for_whole())
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

/// Texts, each with its choice where that is known, and with what the model says of them.
fn scored<'a>(
    direction: Direction,
    texts: impl Iterator<Item = (&'a Input, Option<u64>)>,
    judged: &'a [Judged],
) -> Vec<Scored<'a>> {
    let all = texts.zip(judged);
    all.map(|((input, choice), judged)| Scored { direction, input, scores: &judged.scores, choice }).collect()
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
    let ruling = Ruling {
        action: Action::Block(notice.clone()),
        rule: Some(Arc::clone(&notice.rule)),
        shadow: None,
        opinion: None,
    };
    verdict.add(ruling, Scores::NONE);
    (notice, verdict)
}
