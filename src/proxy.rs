//! The life of a request, on a page.

use crate::audit::journal::Journal;
use crate::audit::{Record, said};
use crate::caller::Callers;
use crate::config::{Limits, Streaming};
use crate::error::ProxyError;
use crate::guard::stream::Stream;
use crate::guard::{self, Cleared, Guard, Outcome, Substitute, Verdict, ahead, annotate};
use crate::metrics::{InFlight, Metrics, Stage};
use crate::openai::completion::Completion;
use crate::openai::refusal::Manner;
use crate::openai::request::{Asked, Request as Question, user};
use crate::plug::{self, Plug, moderations::inline};
use crate::policy::reload::{InForce, Live};
use crate::policy::{Action, Direction, Notice, Policy, message::Reader, rule::Rewrite};
use crate::receive::{head, receive};
use crate::relay::{Reading, Relay};
use crate::response::{self, Body};
use crate::route::{Flow, Route, Rule, route};
use crate::upstream::{Answer, Fault, Head, Upstream};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What answering needs: everything lives as long as the process.
pub struct Proxy {
    /// What is in force.
    pub policy: Live,
    /// Judges by the model.
    pub guard: Guard,
    /// The LLM.
    pub upstream: Upstream,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where decisions are kept.
    pub journal: Option<Journal>,
    /// What a request may cost.
    pub limits: Limits,
    /// One permit for each request that may be in flight.
    pub slots: Arc<Semaphore>,
    /// How a refused prompt is answered.
    pub manner: Manner,
    /// How streamed answers are released.
    pub streaming: Streaming,
    /// The operator's rules for paths.
    pub routes: Vec<Rule>,
    /// How callers are told apart.
    pub callers: Callers,
}

/// One request on its way: what it is held against, what is recorded of it, and the place that it takes.
pub struct Exchange {
    pub(crate) proxy: Arc<Proxy>,
    in_force: Arc<InForce>,
    policy: Arc<Policy>,
    pub(crate) record: Record,
    /// What someone who needs help now gets if there is no answer.
    help: Option<(Asked, Notice)>,
    slot: Option<OwnedSemaphorePermit>,
    _in_flight: InFlight,
}

/// What was sent to the LLM, and how its answer is to be treated.
pub(crate) struct Sent {
    pub(crate) asked: Asked,
    flow: Flow,
    /// With which it can be asked again, for an answer that does not violate a principle.
    again: Option<(Head, Cleared<Question>)>,
}

/// What becomes of a request.
enum Answered {
    /// Its answer is there.
    Whole(Response<Body>),
    /// Its answer is relayed as it comes.
    Flowing(Box<Reading>, Box<Sent>),
}

/// Answers one request.
pub async fn handle(proxy: &Arc<Proxy>, request: Request<Incoming>) -> Response<Body> {
    let in_force = proxy.policy.in_force();
    let policy = Arc::clone(&in_force.policy);
    let record = Record::begin(policy.to_string(), proxy.guard.model().to_owned(), proxy.journal.clone());
    let (proxy, _in_flight) = (Arc::clone(proxy), proxy.metrics.enter());
    let mut exchange =
        Exchange { proxy: Arc::clone(&proxy), in_force, policy, record, help: None, slot: None, _in_flight };
    let answered = exchange.answer(request).await;
    // 7 Record: where nothing may be answered unrecorded, what was decided is stored first.
    if let Err(error) = &answered {
        exchange.record.failed(error, &proxy.metrics);
    }
    let answered = match exchange.record.secure().await {
        Ok(()) => answered,
        Err(unrecorded) => Err(unrecorded),
    };
    let answered = answered.unwrap_or_else(|error| {
        if let Some((asked, notice)) = exchange.help.take() {
            return Answered::Whole(response::instead(
                proxy.manner,
                &asked,
                &exchange.record,
                &Substitute::Help(notice),
            ));
        }
        let response = response::error(&error);
        proxy.metrics.rejected(response.status());
        Answered::Whole(response)
    });
    let headers = exchange.record.headers();
    let mut response = match answered {
        Answered::Whole(response) => {
            exchange.record.answered_whole(response.status(), &proxy.metrics);
            response
        }
        // What flows takes the exchange along, and ends it.
        Answered::Flowing(reading, sent) => {
            let head = reading.head().clone();
            exchange.record.answered(head.status);
            let relay = Relay::new(exchange, *reading, *sent);
            response::flowing(&head, Body::flowing(proxy.limits.body_timeout, |out| relay.run(out)))
        }
    };
    response.headers_mut().extend(headers);
    response
}

impl Exchange {
    async fn answer(&mut self, request: Request<Incoming>) -> Result<Answered, ProxyError> {
        // 1 Route.
        let proxy = Arc::clone(&self.proxy);
        let Proxy { upstream, limits, metrics, guard, streaming, .. } = &*proxy;
        let slot = Arc::clone(&proxy.slots).try_acquire_owned();
        self.slot = Some(slot.map_err(|_| ProxyError::Overloaded)?);
        let mut head = head(&request);
        let caller = proxy.callers.take(&mut head.headers)?;
        self.record.called_by(&caller);
        let reader = |flow: Flow| caller.reader(head.languages(), flow);
        let (surface, flow) = match route(&proxy.routes, streaming.flow, request.method(), request.uri().path())? {
            Route::Guarded(surface, flow) => (surface, flow),
            Route::Kept(surface, flow) => {
                let asked = Asked { reader: reader(flow), ..Asked::nothing(surface) };
                self.record.asked_for_kept(&asked);
                let answer = upstream.pass(head, Bytes::new()).await?;
                return self.complete(Sent { asked, flow, again: None }, answer).await;
            }
            Route::Verdict(plug) => return self.verdict(plug, &reader(streaming.flow), request).await,
            Route::Pass => {
                let body = receive(request, limits).await?;
                let answer = upstream.pass(head, body).await?;
                return Ok(Answered::Whole(response::unjudged(answer.whole().await?)));
            }
        };

        // 2 Which texts will the LLM read?
        let mut question = Question::parse(surface, receive(request, limits).await?, limits.depth)?;
        question.read_by(reader(flow));
        let asked = question.asked().clone();
        self.held_by(&asked, head.conversation().or(question.conversation.as_deref()));

        // 3 Judge the prompt; where the operator says so, the LLM begins meanwhile.
        let (start, policy) = (Instant::now(), Arc::clone(&self.policy));
        let said = self.record.keeps_texts().then(|| said::asked(&question, policy.phi.prompt));
        let speculative = flow.speculative && !policy.changes_prompts();
        let mut asking = pin!(upstream.begin(&head, speculative.then(|| ahead(&question))));
        let mut judging = pin!(guard.inspect_request(&policy, question));
        let (decision, early) = tokio::select! {
            biased;
            decision = &mut judging => (decision?, None),
            answer = &mut asking => (judging.await?, Some(answer)),
        };
        self.record.took(Stage::Prompt, start, metrics);
        self.record.decided(&decision.verdict, said, metrics);

        // 4 Refuse or pass: only what was cleared can be sent.
        self.help = decision.outcome.help().map(|notice| (asked.clone(), notice.clone()));
        let (cleared, help) = match decision.outcome {
            Outcome::Pass(cleared) => (cleared, None),
            Outcome::Helped(cleared, notice) => (cleared, Some(notice.message)),
            Outcome::Instead(substitute) => {
                return Ok(Answered::Whole(response::instead(proxy.manner, &asked, &self.record, &substitute)));
            }
        };

        let mut asked = cleared.get().asked().clone();
        asked.help = help;

        // 5 Ask the LLM.
        let start = Instant::now();
        let answer = match early {
            Some(answer) => answer,
            None if speculative => asking.await,
            None => upstream.send(&head, &cleared).await,
        };
        self.record.took(Stage::Upstream, start, metrics);

        // 6 Judge the completion: only what was cleared can be written.
        let again = self.policy.rewrites(Direction::Completion, Rewrite::Regenerate).then(|| (head.clone(), cleared));
        self.complete(Sent { asked, flow, again }, answer?).await
    }

    /// Has the policy hold that is for the conversation of what is asked: all of its turns by one, where there is a canary.
    fn held_by(&mut self, asked: &Asked, conversation: Option<&str>) {
        self.record.asked(asked);
        self.policy = Arc::clone(self.in_force.for_conversation(conversation));
        self.record.policy = self.policy.to_string();
    }

    /// What the upstream answers, as far as it is cleared.
    async fn complete(&mut self, sent: Sent, answer: Answer) -> Result<Answered, ProxyError> {
        let Proxy { limits, metrics, guard, streaming, .. } = &*self.proxy;
        if answer.is_stream() {
            let stream = guard.stream(Arc::clone(&self.policy), sent.asked.clone(), sent.flow.mode);
            let reading = Reading::begin(answer, stream, limits.depth, streaming.keep_alive).await?;
            return Ok(Answered::Flowing(Box::new(reading), Box::new(sent)));
        }
        let asked = &sent.asked;
        let (parts, bytes) = answer.whole().await?.into_parts();
        let start = Instant::now();
        let is_error = !parts.status.is_success();
        if is_error && asked.help.is_some() {
            return Err(Fault::Invalid("it is an error").into());
        }
        let completion = match Completion::parse(asked.surface, bytes.clone(), limits.depth) {
            // An error page is the server's, and keeps its status and body.
            Err(_) if is_error => return Ok(Answered::Whole(response::unjudged(Response::from_parts(parts, bytes)))),
            completion => completion.map_err(Fault::Invalid)?,
        };
        let said = self.said(&completion.choices);
        let decision = guard.inspect_completion(&self.policy, asked, completion).await?;
        self.record.took(Stage::Completion, start, metrics);
        self.record.decided(&decision.verdict, said, metrics);
        // Some servers put what the LLM wrote into an error.
        if is_error && decision.verdict.action.stops() {
            return Err(Fault::Invalid("its error says what must not be said").into());
        }
        let cleared = match self.again(&sent, &decision.verdict).await? {
            Some(again) => again,
            None => decision.outcome,
        };
        let cleared = if asked.moderation { annotate(cleared, &inline(self.record.verdicts())) } else { cleared };
        Ok(Answered::Whole(response::cleared(parts.status, &parts.headers, cleared)))
    }

    /// What the LLM answers when it is asked once more, where the policy wants that of an answer.
    pub(crate) async fn again(&mut self, sent: &Sent, found: &Verdict) -> Result<Option<Cleared<Bytes>>, ProxyError> {
        // Where a choice may pass, the others are refused.
        if sent.asked.choices != 1 {
            return Ok(None);
        }
        let Proxy { limits, metrics, guard, upstream, .. } = &*self.proxy;
        let (Action::Rewrite(Rewrite::Regenerate, _), Some((head, question)), Some(principle)) =
            (&found.action, &sent.again, found.principle())
        else {
            return Ok(None);
        };
        let start = Instant::now();
        let again = async { upstream.send_bytes(head, guard::again(question, principle)).await?.whole().await };
        let answer = again.await.ok().filter(|answer| answer.status().is_success());
        self.record.took(Stage::Upstream, start, metrics);
        let start = Instant::now();
        let read =
            |answer: Response<Bytes>| Completion::parse(sent.asked.surface, answer.into_body(), limits.depth).ok();
        // Without a second answer, the first is refused.
        let Some(completion) = answer.and_then(read) else { return Ok(None) };
        let said = self.said(&completion.choices);
        let decision = guard.inspect_completion(&self.policy, &sent.asked, completion).await?;
        self.record.took(Stage::Completion, start, metrics);
        self.record.decided(&decision.verdict, said, metrics);
        Ok(Some(decision.outcome))
    }

    /// Notes what was found in a stream, and how long it was judged.
    pub(crate) fn found(&mut self, stream: &Stream, judging: Duration) {
        let said = if self.record.keeps_texts() { self.said(&stream.said()) } else { None };
        self.record.judged(Stage::Completion, judging, &self.proxy.metrics);
        self.record.decided(stream.verdict(), said, &self.proxy.metrics);
    }

    /// What is kept of an answer, where texts are kept.
    fn said(&self, choices: &BTreeMap<u64, Vec<String>>) -> Option<serde_json::Value> {
        self.record.keeps_texts().then(|| said::answered(choices, self.policy.phi.completion))
    }

    /// A verdict, for someone who asks for nothing else.
    async fn verdict(
        &mut self,
        plug: Plug,
        reader: &Reader,
        request: Request<Incoming>,
    ) -> Result<Answered, ProxyError> {
        let Proxy { limits, metrics, guard, .. } = &*self.proxy;
        let headers = request.headers().clone();
        let body = plug::read(&receive(request, limits).await?, limits.depth)?;
        self.record.asked_verdict(plug, reader, user(&body).as_deref());
        let start = Instant::now();
        let report = plug::answer(plug, (guard, &self.policy, reader), (&headers, &body), limits.depth).await?;
        self.record.took(Stage::Prompt, start, metrics);
        report.verdicts.iter().for_each(|verdict| self.record.decided(verdict, None, metrics));
        Ok(Answered::Whole(response::json(&report.body)))
    }
}
