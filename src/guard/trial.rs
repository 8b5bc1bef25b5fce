//! Texts that are tried by the guard that would judge them, and recorded nowhere: the tests that a policy carries, and what
//! someone wants to know.

use super::{Guard, Scan, Verdict};
use crate::classify::pool::Unavailable;
use crate::openai::completion::Completion;
use crate::openai::request::{Invalid, Request, Surface};
use crate::policy::Policy;
use crate::policy::expectation::{Broken, Expectation};
use crate::policy::message::Reader;
use bytes::Bytes;
use serde_json::{Value, json};

/// The deepest nesting of a test.
const DEPTH: usize = 64;

/// A conversation that is tried, and an answer to it.
#[derive(Clone)]
pub struct Trial {
    /// What was asked: messages as the chat API has them.
    pub messages: Value,
    /// What was answered, where it is an answer that is judged.
    pub completion: Option<String>,
    /// Who asks.
    pub reader: Reader,
}

/// What became of what was tried.
pub struct Tried {
    /// The verdict on the answer, or on what was asked where there is no answer.
    pub verdict: Verdict,
    /// The answer as whoever asked would read it.
    pub read: Option<String>,
}

/// Why something could not be tried.
#[derive(Debug)]
pub enum Untried {
    /// It is no conversation: why.
    Invalid(String),
    /// The model cannot judge it.
    Unavailable(Unavailable),
}

impl Guard {
    /// Judges each text of the policy's tests, and names those that are treated otherwise than expected. No judge is asked: a
    /// policy must hold without one.
    ///
    /// # Errors
    /// [`Unavailable`] when the model cannot judge: then nothing is known.
    pub async fn try_policy(&self, policy: &Policy) -> Result<Vec<Broken>, Unavailable> {
        let mut broken = Vec::new();
        let guard = self.alone();
        for test in &policy.tests {
            let verdict = guard.judge_test(policy, test).await?;
            // A policy that lets pass what nothing can judge is not proven by that.
            if verdict.scan == Scan::None {
                return Err(Unavailable::Failed(format!("the test {:?} was not judged", test.name)));
            }
            if !test.expected.is(verdict.action.id()) {
                broken.push(Broken {
                    test: test.clone(),
                    action: verdict.action.id(),
                    rule: verdict.rule,
                    scores: verdict.scores,
                });
            }
        }
        Ok(broken)
    }

    /// Judges what is tried as the proxy would, and remembers nothing of it. No judge is asked.
    ///
    /// # Errors
    /// [`Untried`], when it is no conversation, or the model cannot judge it.
    pub async fn try_out(&self, policy: &Policy, trial: &Trial) -> Result<Tried, Untried> {
        self.alone().judged(policy, trial).await
    }

    async fn judge_test(&self, policy: &Policy, test: &Expectation) -> Result<Verdict, Unavailable> {
        let reader = Reader { audience: test.audience, tenant: test.tenant.clone(), ..Reader::default() };
        let trial = Trial { messages: test.messages.clone(), completion: test.completion.clone(), reader };
        match self.judged(policy, &trial).await {
            Ok(tried) => Ok(tried.verdict),
            Err(Untried::Unavailable(why)) => Err(why),
            Err(Untried::Invalid(why)) => Err(Unavailable::Failed(format!("the test {:?}: {why}", test.name))),
        }
    }

    async fn judged(&self, policy: &Policy, trial: &Trial) -> Result<Tried, Untried> {
        let body = Bytes::from(json!({ "messages": trial.messages }).to_string());
        let invalid = |invalid| match invalid {
            Invalid::Json(fault) => Untried::Invalid(fault.to_string()),
            Invalid::Field { param, message } => Untried::Invalid(format!("{param}: {message}")),
        };
        let mut request = Request::parse(Surface::Chat, body, DEPTH).map_err(invalid)?;
        request.read_by(trial.reader.clone());
        let Some(text) = &trial.completion else {
            let judged = self.inspect_request(policy, request).await.map_err(Untried::Unavailable)?;
            return Ok(Tried { verdict: judged.verdict, read: None });
        };
        let body = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]});
        let completion = Completion::parse(Surface::Chat, Bytes::from(body.to_string()), DEPTH);
        let completion = completion.map_err(|why| Untried::Invalid(why.to_owned()))?;
        let judged = self.inspect_completion(policy, request.asked(), completion).await;
        let judged = judged.map_err(Untried::Unavailable)?;
        let answer: Value = serde_json::from_slice(judged.outcome.get()).unwrap_or_default();
        let content = answer.pointer("/choices/0/message/content").or(answer.pointer("/choices/0/message/refusal"));
        let read = content.and_then(Value::as_str).map(str::to_owned);
        Ok(Tried { verdict: judged.verdict, read })
    }
}
