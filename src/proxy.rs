//! The life of a request, on a page.

use crate::audit::Record;
use crate::config::Limits;
use crate::error::ProxyError;
use crate::guard::{Guard, Outcome, annotate};
use crate::metrics::{Metrics, Stage};
use crate::openai::completion::Completion;
use crate::openai::refusal::Manner;
use crate::openai::request::{Asked, Request as Question};
use crate::plug::{self, Plug, moderations::inline};
use crate::policy::{Policy, reload::Live};
use crate::receive::{head, is_event_stream, receive};
use crate::response::{self, Body};
use crate::route::{Route, Rule, route};
use crate::upstream::{Fault, Upstream};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use std::time::Instant;
use tokio::sync::Semaphore;

/// What answering needs: everything lives as long as the process.
pub struct Proxy {
    /// The policy in force.
    pub policy: Live,
    /// Judges by the model.
    pub guard: Guard,
    /// The LLM.
    pub upstream: Upstream,
    /// What is counted.
    pub metrics: Metrics,
    /// What a request may cost.
    pub limits: Limits,
    /// One permit for each request that may be in flight.
    pub slots: Semaphore,
    /// How a refused prompt is answered.
    pub manner: Manner,
    /// The operator's rules for paths.
    pub routes: Vec<Rule>,
}

/// One request on its way: what it is held against, and what is recorded of it.
struct Exchange<'a> {
    proxy: &'a Proxy,
    policy: &'a Policy,
    record: Record,
}

/// Answers one request.
pub async fn handle(proxy: &Proxy, request: Request<Incoming>) -> Response<Body> {
    let policy = proxy.policy.snapshot();
    let record = Record::begin(policy.to_string(), proxy.guard.model().to_owned());
    let mut exchange = Exchange { proxy, policy: &policy, record };
    let _in_flight = proxy.metrics.enter();
    let mut response = match exchange.answer(request).await {
        Ok(response) => response,
        Err(error) => {
            exchange.record.failed(&error, &proxy.metrics);
            let response = response::error(&error);
            proxy.metrics.rejected(response.status());
            response
        }
    };
    response.headers_mut().extend(exchange.record.headers());
    exchange.record.log(response.status());
    response
}

impl Exchange<'_> {
    async fn answer(&mut self, request: Request<Incoming>) -> Result<Response<Body>, ProxyError> {
        // 1 Route.
        let Proxy { upstream, limits, metrics, guard, .. } = self.proxy;
        let _slot = self.proxy.slots.try_acquire().map_err(|_| ProxyError::Overloaded)?;
        let head = head(&request);
        let surface = match route(&self.proxy.routes, request.method(), request.uri().path())? {
            Route::Guarded(surface) => surface,
            Route::Kept(surface) => {
                let answer = upstream.pass(head, Bytes::new()).await?;
                return self.complete(&Asked::nothing(surface), answer).await;
            }
            Route::Verdict(plug) => return self.verdict(plug, request).await,
            Route::Pass => {
                let body = receive(request, limits).await?;
                return Ok(response::unjudged(upstream.pass(head, body).await?));
            }
        };

        // 2 Which texts will the LLM read?
        let question = Question::parse(surface, receive(request, limits).await?, limits.depth)?;
        let asked = question.asked().clone();

        // 3 Judge the prompt.
        let start = Instant::now();
        let decision = guard.inspect_request(self.policy, question).await?;
        self.record.took(Stage::Prompt, start, metrics);
        self.record.decided(&decision.verdict, metrics);

        // 4 Refuse or pass: only what was cleared can be sent.
        let cleared = match decision.outcome {
            Outcome::Pass(cleared) => cleared,
            Outcome::Instead(substitute) => {
                return Ok(response::instead(self.proxy.manner, &asked, &self.record, &substitute));
            }
        };

        // 5 Ask the LLM.
        let start = Instant::now();
        let answer = upstream.send(&head, cleared).await;
        self.record.took(Stage::Upstream, start, metrics);

        // 6 Judge the completion: only what was cleared can be written.
        self.complete(&asked, answer?).await
    }

    /// What the upstream answers, as far as it is cleared.
    async fn complete(&mut self, asked: &Asked, answer: Response<Bytes>) -> Result<Response<Body>, ProxyError> {
        let Proxy { limits, metrics, guard, .. } = self.proxy;
        let start = Instant::now();
        let (parts, bytes) = answer.into_parts();
        let streamed = is_event_stream(&parts.headers);
        let is_error = !parts.status.is_success();
        let completion = match Completion::parse(asked.surface, bytes.clone(), streamed, limits.depth) {
            // An error page is the server's, and keeps its status and body.
            Err(_) if is_error => return Ok(response::unjudged(Response::from_parts(parts, bytes))),
            completion => completion.map_err(Fault::Invalid)?,
        };
        let decision = guard.inspect_completion(self.policy, asked, completion).await?;
        self.record.took(Stage::Completion, start, metrics);
        self.record.decided(&decision.verdict, metrics);
        // Some servers put what the LLM wrote into an error.
        if is_error && decision.verdict.action.stops() {
            return Err(Fault::Invalid("its error says what must not be said").into());
        }
        let cleared = match asked.moderation {
            true => annotate(decision.outcome, streamed, &inline(self.record.verdicts())),
            false => decision.outcome,
        };
        Ok(response::cleared(parts.status, &parts.headers, cleared))
    }

    /// A verdict, for someone who asks for nothing else.
    async fn verdict(&mut self, plug: Plug, request: Request<Incoming>) -> Result<Response<Body>, ProxyError> {
        let Proxy { limits, metrics, guard, .. } = self.proxy;
        let headers = request.headers().clone();
        let body = receive(request, limits).await?;
        let start = Instant::now();
        let report = plug::answer(plug, (guard, self.policy), (&headers, &body), limits.depth).await?;
        self.record.took(Stage::Prompt, start, metrics);
        report.verdicts.iter().for_each(|verdict| self.record.decided(verdict, metrics));
        Ok(response::json(&report.body))
    }
}
