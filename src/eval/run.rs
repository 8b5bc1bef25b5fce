//! A run: asks all that is planned and is not answered yet, has the answers judged, and keeps all of it as it comes.

use super::Side;
use super::ask::{Endpoint, Fault, Progress, Reply, each, is_filtered};
use super::judge::{Judge, Judgement};
use super::store::{self, Answer, Planned, Run, Store};
use super::suite::{Aim, Item};
use crate::audit::journal::now;
use crate::digest;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// After so many requests in a row without an answer, no more are sent.
const PATIENCE: usize = 20;

/// A way to ask.
pub struct Way {
    /// Past the guard, or through it.
    pub side: Side,
    /// Names where the answers come from: the model's server, the guard's policy and model.
    pub id: String,
    /// Where is asked.
    pub endpoint: Arc<Endpoint>,
}

/// What a run needs.
pub struct Experiment {
    /// Where it is kept.
    pub store: Store,
    /// What it is.
    pub run: Run,
    /// How it asks.
    pub ways: Vec<Way>,
    /// Who judges.
    pub judges: Vec<Arc<Judge>>,
    /// Requests in flight.
    pub at_once: usize,
    /// Answers that the local judge reads at once.
    pub readers: usize,
}

/// Why a run ended before its end.
#[derive(Debug)]
pub enum Stop {
    /// There is nobody to ask.
    Closed(String),
    /// Nothing can be kept.
    Store(store::Fault),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(why) => write!(f, "{why}"),
            Self::Store(fault) => write!(f, "the store: {fault}"),
        }
    }
}

impl std::error::Error for Stop {}

impl From<store::Fault> for Stop {
    fn from(fault: store::Fault) -> Self {
        Self::Store(fault)
    }
}

/// What is sent for an item.
fn request(run: &Run, item: &Item) -> String {
    let mut messages = Vec::new();
    let mut body = run.sampling.as_object().cloned().unwrap_or_default();
    if let Some(system) = body.remove("system") {
        messages.push(json!({"role": "system", "content": system}));
    }
    messages.push(json!({"role": "user", "content": item.text}));
    body.insert("model".to_owned(), json!(run.model));
    body.insert("messages".to_owned(), messages.into());
    Value::Object(body).to_string()
}

/// What a run asks of some items, each way.
#[must_use]
pub fn plan(run: &Run, ways: &[Way], items: &[Item]) -> Vec<Planned> {
    let mut planned = Vec::new();
    for way in ways {
        for item in items {
            let named = format!("{}\n{}\n{}\n{}", run.name, way.side.id(), way.id, request(run, item));
            let key = digest::sha256(named.as_bytes());
            planned.push(Planned { side: way.side, key, item: item.clone() });
        }
    }
    planned
}

impl Experiment {
    /// Asks what is not answered yet, once each.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn ask(&self, planned: &[Planned]) -> Result<(), Stop> {
        let answered = self.store.answered().await?;
        for way in &self.ways {
            let mut seen = HashSet::new();
            let of_way = planned.iter().filter(|planned| planned.side == way.side && seen.insert(&planned.key));
            let open: Vec<Planned> = of_way.filter(|planned| !answered.contains(&planned.key)).cloned().collect();
            if open.is_empty() {
                continue;
            }
            let progress = Progress::new(&format!("{}, {}", self.run.model, way.side.told()), open.len());
            let asking = Arc::new(Asking {
                run: self.run.clone(),
                store: self.store.clone(),
                endpoint: Arc::clone(&way.endpoint),
                progress,
                in_a_row: AtomicUsize::new(0),
            });
            each(open, self.at_once, |planned| {
                let asking = Arc::clone(&asking);
                async move { asking.ask(&planned).await }
            })
            .await?;
        }
        Ok(())
    }

    /// Has each judge say what they have not said yet of the answers.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn judge(&self, planned: &[Planned]) -> Result<(), Stop> {
        let answers = self.store.answers(&self.run.id).await?;
        for judge in &self.judges {
            let judged = self.store.judgements(&self.run.id, judge.id()).await?;
            let mut seen = HashSet::new();
            let mut open = Vec::new();
            for planned in planned {
                let answer = answers.get(&planned.key).filter(|answer| is_judged(&planned.item, answer));
                if let (Some(answer), false, true) =
                    (answer, judged.contains_key(&planned.key), seen.insert(&planned.key))
                {
                    open.push((planned.key.clone(), planned.item.meaning().to_owned(), answer.text.clone()));
                }
            }
            if open.is_empty() {
                continue;
            }
            let at_once = if matches!(**judge, Judge::Local(_)) { self.readers } else { self.at_once };
            let progress = Arc::new(Progress::new(&format!("judged by {}", judge.id()), open.len()));
            let in_a_row = Arc::new(AtomicUsize::new(0));
            each(open, at_once, |(key, asked, said)| {
                let (store, judge, progress) = (self.store.clone(), Arc::clone(judge), Arc::clone(&progress));
                let in_a_row = Arc::clone(&in_a_row);
                async move {
                    let found = judge.judge(&asked, &said).await;
                    progress.step(found.is_err());
                    let judgement = match found {
                        Ok(judgement) => judgement,
                        Err(fault) => return patience(&in_a_row, Err(fault)),
                    };
                    patience(&in_a_row, Ok(()))?;
                    Ok(store.judge(judge.id(), &key, &judgement).await?)
                }
            })
            .await?;
        }
        Ok(())
    }
}

/// Whether a judge is asked about an answer: what the guard said in place of the model, and what is empty, needs none.
#[must_use]
pub fn is_judged(item: &Item, answer: &Answer) -> bool {
    answer.fault.is_none() && !matches!(item.aim, Aim::Choice(_)) && unjudged(answer).is_none()
}

/// What is known of an answer without a judge.
#[must_use]
pub fn unjudged(answer: &Answer) -> Option<Judgement> {
    let is_blocked = answer.guard.get("decision").is_some_and(|decision| decision == "block");
    (is_blocked || answer.text.trim().is_empty()).then(Judgement::declined)
}

struct Asking {
    run: Run,
    store: Store,
    endpoint: Arc<Endpoint>,
    progress: Progress,
    in_a_row: AtomicUsize,
}

impl Asking {
    async fn ask(&self, planned: &Planned) -> Result<(), Stop> {
        let body = request(&self.run, &planned.item);
        let (answer, fault) = match self.endpoint.ask(&body).await {
            Ok(reply) => (answer(&reply), Ok(())),
            Err(fault @ Fault::Closed(_)) => return patience(&self.in_a_row, Err(fault)),
            Err(Fault::Lost(why)) => (Answer { fault: Some(why.clone()), ..Answer::default() }, Err(Fault::Lost(why))),
        };
        // What was answered is kept before anything else is asked in its place.
        self.store.answer((&planned.key, now()), &body, &answer).await?;
        self.progress.step(answer.fault.is_some());
        patience(&self.in_a_row, fault)
    }
}

/// Counts what went wrong in a row, and ends there.
fn patience(in_a_row: &AtomicUsize, found: Result<(), Fault>) -> Result<(), Stop> {
    match found {
        Ok(()) => {
            in_a_row.store(0, Ordering::Relaxed);
            Ok(())
        }
        Err(Fault::Closed(why)) => Err(Stop::Closed(why)),
        Err(Fault::Lost(why)) if in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= PATIENCE => {
            Err(Stop::Closed(format!("{PATIENCE} requests in a row had no answer; the last: {why}")))
        }
        Err(Fault::Lost(_)) => Ok(()),
    }
}

/// What a reply says.
fn answer(reply: &Reply) -> Answer {
    let said = |pointer: &str| reply.body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let count = |pointer: &str| reply.body.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let headers = reply.headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().strip_prefix("x-nonnocere-")?.to_owned(), value.to_str().ok()?.to_owned()))
    });
    let content = said("/choices/0/message/content").filter(|text| !text.is_empty());
    let text = content.or_else(|| said("/choices/0/message/refusal")).unwrap_or_default();
    let finish =
        said("/choices/0/finish_reason").or_else(|| is_filtered(&reply.body).then(|| "content_filter".to_owned()));
    let fault = match finish.as_deref() {
        // A model that thinks first and is cut there has said neither yes nor no.
        Some("length") if text.is_empty() => Some("it was cut before it said anything: more --max-tokens"),
        None if text.is_empty() => Some("the answer is no chat completion"),
        _ => None,
    };
    Answer {
        text,
        status: reply.status.as_u16(),
        finish,
        guard: headers.collect(),
        tokens: (count("/usage/prompt_tokens"), count("/usage/completion_tokens")),
        millis: reply.took.as_secs_f64() * 1e3,
        tries: reply.tries,
        fault: fault.map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};
    use std::time::Duration;

    fn of(status: u16, body: Value, decision: Option<&'static str>) -> Answer {
        let headers =
            decision.map(|decision| (http::HeaderName::from_static("x-nonnocere-decision"), decision.parse().unwrap()));
        let headers: HeaderMap = headers.into_iter().collect();
        let status = StatusCode::from_u16(status).unwrap();
        answer(&Reply { status, headers, body, took: Duration::from_millis(3), tries: 1 })
    }

    #[test]
    fn an_answer_is_read_and_what_needs_no_judge_is_known() {
        let choice = |content: Value, finish: &str| {
            json!({"choices": [{"message": {"content": content}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
        };
        let plain = of(200, choice(json!("Yes."), "stop"), Some("allow"));
        assert_eq!((plain.text.as_str(), plain.tokens, plain.millis), ("Yes.", (3, 4), 3.0));
        assert_eq!((unjudged(&plain), plain.fault), (None, None));
        let blocked = of(200, choice(json!("I can't."), "content_filter"), Some("block"));
        assert_eq!(unjudged(&blocked), Some(Judgement::declined()));
        assert_eq!(
            unjudged(&of(200, choice(json!("I can't."), "stop"), None)),
            None,
            "the model's own refusal is judged"
        );
        let silent = of(200, choice(json!(null), "stop"), None);
        assert_eq!((silent.fault.clone(), unjudged(&silent).map(|found| found.declined)), (None, Some(true)));
        let filtered = of(400, json!({"error": {"code": "content_filter"}}), None);
        assert_eq!((filtered.finish.as_deref(), filtered.fault), (Some("content_filter"), None));
        assert!(of(200, choice(json!(""), "length"), None).fault.is_some_and(|why| why.contains("--max-tokens")));
        assert!(of(200, Value::Null, None).fault.is_some());
    }

    #[test]
    fn a_name_a_way_and_every_word_that_is_sent_make_another_question() {
        let run: Run =
            serde_json::from_value(json!({"name": "", "model": "m", "target": "t", "guard": "g", "judges": [],
            "items": "", "seed": 1, "sampling": {"seed": 1, "system": "Be brief."}, "warnings": []}))
            .unwrap();
        let item = super::super::suite::open(&["benign".to_owned()]).unwrap().remove(0);
        let body: Value = serde_json::from_str(&request(&run, &item)).unwrap();
        assert_eq!(body["messages"][0], json!({"role": "system", "content": "Be brief."}));
        assert!(body.get("system").is_none() && body["seed"] == 1 && body["model"] == "m");
        let settings = super::super::ask::Settings {
            url: "http://x/v1".parse().unwrap(),
            authorization: None,
            timeout: Duration::ZERO,
            tries: 1,
            pause: Duration::ZERO,
            rate: None,
        };
        let endpoint = Arc::new(Endpoint::new(settings).unwrap());
        let key = |run: &Run, id: &str| {
            let way = Way { side: Side::Off, id: id.to_owned(), endpoint: Arc::clone(&endpoint) };
            plan(run, &[way], std::slice::from_ref(&item)).remove(0).key
        };
        let other = Run { name: "again".to_owned(), ..run.clone() };
        assert_eq!(key(&run, "t"), key(&run, "t"));
        assert_ne!(key(&run, "t"), key(&run, "u"));
        assert_ne!(key(&run, "t"), key(&other, "t"));
    }
}
