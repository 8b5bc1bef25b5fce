//! The tests that a policy carries, tried by the guard that would follow it.

use super::{Guard, Scan, Verdict};
use crate::classify::pool::Unavailable;
use crate::openai::completion::Completion;
use crate::openai::request::{Request, Surface};
use crate::policy::Policy;
use crate::policy::expectation::{Broken, Expectation};
use crate::policy::message::Reader;
use bytes::Bytes;
use serde_json::json;

/// The deepest nesting of a test.
const DEPTH: usize = 64;

impl Guard {
    /// Judges each text of the policy's tests, and names those that are treated otherwise than expected. No judge is asked: a
    /// policy must hold without one.
    ///
    /// # Errors
    /// [`Unavailable`] when the model cannot judge: then nothing is known.
    pub async fn try_policy(&self, policy: &Policy) -> Result<Vec<Broken>, Unavailable> {
        let (mut broken, guard) = (Vec::new(), self.alone());
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

    async fn judge_test(&self, policy: &Policy, test: &Expectation) -> Result<Verdict, Unavailable> {
        let wrong = |why: String| Unavailable::Failed(format!("the test {:?}: {why}", test.name));
        let body = Bytes::from(json!({ "messages": test.messages }).to_string());
        let mut request = Request::parse(Surface::Chat, body, DEPTH).map_err(|fault| wrong(format!("{fault:?}")))?;
        request.read_by(Reader { audience: test.audience, tenant: test.tenant.clone(), ..Reader::default() });
        let Some(text) = &test.completion else {
            return Ok(self.inspect_request(policy, request).await?.verdict);
        };
        let body = json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]});
        let completion = Completion::parse(Surface::Chat, Bytes::from(body.to_string()), DEPTH);
        let completion = completion.map_err(|why| wrong(why.to_owned()))?;
        Ok(self.inspect_completion(policy, request.asked(), completion).await?.verdict)
    }
}
