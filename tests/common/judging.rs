//! A model that is not sure, a policy that has it ask, and the judge that is asked.

#![allow(dead_code, reason = "each test file uses its own part")]
use crate::common::{Asked, Got, Options, RunningProxy, ScriptedUpstream, answer};
use bytes::Bytes;
use nonnocere::classify::{Classifier, ClassifyError, Input, Scores};
use nonnocere::guard::judge::Settings;
use nonnocere::policy::reload::Source;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// Not sure of what says `DOUBT`, less so of `SUSPECT`; certain of `VIOLATE` and `CRISIS`.
pub struct Doubting;

impl Classifier for Doubting {
    fn score(&self, inputs: &[Input]) -> Result<Vec<Scores>, ClassifyError> {
        let score = |input: &Input| {
            let says = |word: &str| input.text().contains(word);
            let violation =
                [("VIOLATE", 1.0), ("SUSPECT", 0.7), ("DOUBT", 0.5)].into_iter().find(|(word, _)| says(word));
            let violation = violation.map_or(0.0, |(_, score)| score);
            let [crisis, refusal] = ["CRISIS", "REFUSAL"].map(|word| f32::from(u8::from(says(word))));
            let mut scores = Scores { violation, crisis, refusal, ..Scores::NONE };
            scores.types[7] = 1.0; // II.2
            scores
        };
        Ok(inputs.iter().map(score).collect())
    }

    fn id(&self) -> &str {
        "doubting"
    }
}

/// A policy that is not sure around its thresholds, so that `DOUBT` is uncertain in all places.
pub fn policy(otherwise: &str, more: &str) -> tempfile::NamedTempFile {
    let rule = |name: &str| {
        format!(
            "[[rules]]\nname = \"violating-{name}\"\nthreshold = 0.6\nthreshold_in_context = 0.6\n\
             second_opinion = {{ below = 0.2, above = 0.2, otherwise = \"{otherwise}\" }}\n"
        )
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("name = \"p\"\nextends = \"ama\"\n{}{}{more}", rule("prompt"), rule("completion"));
    file.write_all(text.as_bytes()).unwrap();
    file
}

pub fn judge(url: &str) -> Settings {
    Settings {
        url: url.parse().unwrap(),
        authorization: Some("Bearer key".parse().unwrap()),
        model: "the-judge".into(),
        max_tokens: 512,
        deadline: Duration::from_secs(20),
        budget: 60,
        remembered: 64,
    }
}

pub async fn proxy(
    upstream: &ScriptedUpstream,
    judge: Option<Settings>,
    policy: &tempfile::NamedTempFile,
) -> RunningProxy {
    let mut options = Options::new(&upstream.url());
    options.classifier = Arc::new(Doubting);
    options.policy = Source::File(policy.path().to_owned());
    options.judge = judge;
    RunningProxy::start(options).await
}

/// What an OpenAI-compatible server answers that says `content`.
pub fn said(content: &str) -> http::Response<Bytes> {
    let message = json!({"role": "assistant", "content": content});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    answer(200, "application/json", &json!({"id": "j", "choices": [choice]}).to_string())
}

pub fn verdict(word: &str) -> String {
    json!({ "verdict": word }).to_string()
}

pub async fn saying(word: &'static str) -> ScriptedUpstream {
    ScriptedUpstream::start(move |_| said(&verdict(word))).await
}

pub async fn counted(proxy: &RunningProxy, outcome: &str) -> f64 {
    proxy.metric(&format!("nonnocere_second_opinions_total{{outcome=\"{outcome}\"}}")).await
}

pub fn decision(got: &Got) -> &str {
    got.header("x-nonnocere-decision")
}

/// What the judge was told, by role.
pub fn told(asked: &Asked) -> [String; 2] {
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    let messages = body["messages"].as_array().unwrap();
    assert_eq!((messages.len(), &messages[0]["role"], &messages[1]["role"]), (2, &json!("system"), &json!("user")));
    [0, 1].map(|place| messages[place]["content"].as_str().unwrap().to_owned())
}
