//! One record a request: what was decided, by which policy and model, and how long it took. It holds no text, and is
//! what the headers, the log, the metrics and the stored decisions are made from.

use super::decision::{Decision, Seen};
use super::journal::{Journal, now};
use crate::caller::Caller;
use crate::error::ProxyError;
use crate::guard::{Scan, Sight, Verdict};
use crate::metrics::{Metrics, Stage, Whose};
use crate::openai::request::Asked;
use crate::plug::Plug;
use crate::policy::Direction;
use crate::policy::message::{Audience, Reader};
use crate::policy::opinion::Opinion;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The status in the record of a request whose client left before it was answered, as nginx logs it.
const CLIENT_LEFT: u16 = 499;

/// What happened to one request; written to the log when its time is over, however it ends.
pub struct Record {
    /// Names the request in headers and logs; sorts by time.
    pub event_id: Uuid,
    /// `name@hash` of the policy in force.
    pub policy: String,
    /// The model's short hash.
    pub model: String,
    verdicts: Vec<Verdict>,
    /// What the verdicts are on, where that is kept.
    texts: BTreeMap<usize, Value>,
    stages: Vec<(Stage, Duration)>,
    error: Option<&'static str>,
    status: Option<StatusCode>,
    /// By which surface it was asked, or for which verdict.
    surface: &'static str,
    stream: bool,
    audience: Option<Audience>,
    tenant: Option<Arc<str>>,
    /// The pseudonym of who asked, where decisions are kept.
    user: Option<String>,
    part2: bool,
    journal: Option<Journal>,
    /// Of how many verdicts the decisions were handed on.
    kept: usize,
    is_unjudged_kept: bool,
    is_mute: bool,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.log();
        let decisions = self.decisions();
        if let Some(journal) = &self.journal {
            journal.put(decisions);
        }
    }
}

impl Record {
    /// The record of a request that begins now.
    #[must_use]
    pub fn begin(policy: String, model: String, journal: Option<Journal>) -> Self {
        Self {
            event_id: Uuid::now_v7(),
            policy,
            model,
            verdicts: Vec::new(),
            texts: BTreeMap::new(),
            stages: Vec::new(),
            error: None,
            status: None,
            surface: "",
            stream: false,
            audience: None,
            tenant: None,
            user: None,
            part2: false,
            journal,
            kept: 0,
            is_unjudged_kept: false,
            is_mute: false,
        }
    }

    /// Notes who calls.
    pub fn called_by(&mut self, caller: &Caller) {
        (self.tenant, self.part2) = (caller.tenant.clone(), caller.part2);
        self.used_by(caller.user.as_deref());
    }

    /// Notes how the LLM was asked.
    pub fn asked(&mut self, asked: &Asked) {
        (self.surface, self.stream) = (asked.surface.id(), asked.stream);
        self.read_by(&asked.reader);
        self.used_by(asked.user.as_deref());
    }

    /// Notes how an answer was asked for that the upstream keeps. Whoever had it kept may have said that it is about treatment
    /// records, so that its text is not kept here too.
    pub fn asked_for_kept(&mut self, asked: &Asked) {
        self.asked(asked);
        self.is_mute = true;
    }

    /// Notes that only a verdict was asked for, for whom and by which user.
    pub fn asked_verdict(&mut self, plug: Plug, reader: &Reader, user: Option<&str>) {
        self.surface = plug.id();
        self.read_by(reader);
        self.used_by(user);
    }

    fn read_by(&mut self, reader: &Reader) {
        self.audience = reader.audience;
        self.part2 |= reader.part2;
    }

    /// Nothing but a pseudonym of the user is kept. The gateway is heard first, and believed before the body.
    fn used_by(&mut self, id: Option<&str>) {
        if let (Some(journal), Some(id), None) = (&self.journal, id, &self.user) {
            self.user = Some(journal.pseudonym(self.tenant.as_deref(), id));
        }
    }

    /// Has what was decided so far stored, where nothing may be answered before it is.
    ///
    /// # Errors
    /// [`ProxyError::Unrecorded`] when it was not.
    pub async fn secure(&mut self) -> Result<(), ProxyError> {
        let Some(journal) = self.journal.clone().filter(Journal::is_required) else { return Ok(()) };
        let decisions = self.decisions();
        let is_stored = decisions.is_empty() || journal.store(decisions).await;
        if is_stored { Ok(()) } else { Err(ProxyError::Unrecorded) }
    }

    /// The decisions that were not handed on.
    fn decisions(&mut self) -> Vec<Decision> {
        let first = self.kept;
        self.kept = self.verdicts.len();
        let verdicts = self.verdicts.iter().enumerate().skip(first);
        let mut decisions: Vec<Decision> =
            verdicts.map(|(place, verdict)| self.sealed(place, self.decision_on(verdict))).collect();
        if self.error == Some("unavailable") && !std::mem::replace(&mut self.is_unjudged_kept, true) {
            let verdict = Verdict::nothing(self.direction(), Scan::None);
            decisions.push(Decision { action: "unavailable".to_owned(), ..self.decision_on(&verdict) });
        }
        decisions
    }

    fn decision_on(&self, verdict: &Verdict) -> Decision {
        let seen = |sight: Sight| verdict.seen.get(&sight).map(Seen::from);
        let violation = verdict.violation();
        let stage = match verdict.direction {
            Direction::Prompt => Stage::Prompt,
            Direction::Completion => Stage::Completion,
        };
        Decision {
            time: now(),
            event: self.event_id(),
            direction: verdict.direction.id().to_owned(),
            surface: self.surface.to_owned(),
            stream: self.stream,
            audience: self.audience.map(|audience| audience.id().to_owned()),
            action: verdict.action.id().to_owned(),
            rule: verdict.rule.as_deref().map(str::to_owned),
            principle: violation.map(|kind| kind.principle.id().to_owned()),
            kind: violation.map(|kind| kind.id.to_owned()),
            shadow: verdict.shadow.as_ref().map(|shadow| [shadow.effect.id().to_owned(), shadow.rule.to_string()]),
            opinion: verdict.opinion.map(|opinion| opinion.id().to_owned()),
            scan: verdict.scan.id().to_owned(),
            alone: seen(Sight::Alone),
            context: seen(Sight::Context),
            said: seen(Sight::Said),
            redacted: verdict.redacted.iter().map(|(kind, count)| (kind.id().to_owned(), *count)).collect(),
            policy: self.policy.clone(),
            model: self.model.clone(),
            status: self.status.map(|status| status.as_u16()),
            took_ms: self.millis(stage),
            sealed: None,
            tenant: self.tenant.as_deref().map(str::to_owned),
            user: self.user.clone(),
            part2: self.part2,
        }
    }

    /// Whether the texts of decisions are kept.
    #[must_use]
    pub fn keeps_texts(&self) -> bool {
        // Records of substance-use treatment leave no text (42 CFR Part 2).
        !self.part2 && !self.is_mute && self.journal.as_ref().is_some_and(|journal| journal.vault().is_some())
    }

    /// Seals the text of a decision, where there is one.
    fn sealed(&self, place: usize, mut decision: Decision) -> Decision {
        let vault = self.journal.as_ref().and_then(Journal::vault);
        if let (Some(vault), Some(text)) = (vault, self.texts.get(&place)) {
            let of = (decision.event.as_str(), decision.direction.as_str());
            match vault.seal(of, decision.time, &text.to_string()) {
                Ok(sealed) => decision.sealed = Some(sealed),
                Err(error) => tracing::error!(%error, "a text could not be sealed, and is not kept"),
            }
        }
        decision
    }

    /// The event id as it is shown.
    #[must_use]
    pub fn event_id(&self) -> String {
        self.event_id.simple().to_string()
    }

    /// Adds a verdict on what was `said`, where that is kept, and counts it.
    pub fn decided(&mut self, verdict: &Verdict, said: Option<Value>, metrics: &Metrics) {
        metrics.decided(verdict, &self.whose());
        self.texts.extend(said.map(|said| (self.verdicts.len(), said)));
        self.verdicts.push(verdict.clone());
    }

    /// Adds the time since `start` to a stage.
    pub fn took(&mut self, stage: Stage, start: Instant, metrics: &Metrics) {
        self.judged(stage, start.elapsed(), metrics);
    }

    /// Adds a time to a stage.
    pub fn judged(&mut self, stage: Stage, duration: Duration, metrics: &Metrics) {
        metrics.took(stage, duration, self.event_id);
        self.stages.push((stage, duration));
    }

    /// Notes how the request is answered.
    pub fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Notes how the request is answered, all at once.
    pub fn answered_whole(&mut self, status: StatusCode, metrics: &Metrics) {
        self.answered(status);
        let ours = self.stages.iter().filter(|(stage, _)| *stage != Stage::Upstream);
        if let Some(added) = ours.map(|(_, took)| *took).reduce(|sum, took| sum + took) {
            metrics.added(self.surface, added, self.event_id);
        }
    }

    /// Notes that the first text of a streamed answer leaves, which was held so long.
    pub fn began(&self, held: Duration, metrics: &Metrics) {
        let prompt = self.stages.iter().filter(|(stage, _)| *stage == Stage::Prompt).map(|(_, took)| *took);
        metrics.first_text(self.surface, prompt.sum::<Duration>() + held, self.event_id);
    }

    /// Notes that the request ended in an error, and counts it.
    pub fn failed(&mut self, error: &ProxyError, metrics: &Metrics) {
        self.error = Some(if let ProxyError::Unavailable(_) = error { "unavailable" } else { "error" });
        match error {
            ProxyError::Upstream(fault) => metrics.upstream_failed(*fault),
            ProxyError::Unavailable(_) => metrics.refused_unjudged(self.direction(), &self.whose()),
            _ => {}
        }
    }

    /// Whose messages it is on, as they are counted.
    fn whose(&self) -> Whose<'_> {
        Whose {
            event: self.event_id,
            surface: self.surface,
            tenant: self.tenant.as_deref().unwrap_or_default(),
            audience: self.audience.map(Audience::id).unwrap_or_default(),
            policy: &self.policy,
        }
    }

    /// The `x-nonnocere-*` headers of the answer.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let stages = self.stages.iter().filter(|(stage, _)| *stage != Stage::Upstream);
        let latency: Vec<String> =
            stages.map(|(stage, took)| format!("{};dur={:.3}", stage.id(), took.as_secs_f64() * 1e3)).collect();
        let fields = [
            ("x-nonnocere-decision", self.decision().to_owned()),
            ("x-nonnocere-policy", self.policy.clone()),
            ("x-nonnocere-model", self.model.clone()),
            ("x-nonnocere-categories", self.categories()),
            ("x-nonnocere-scan", self.scan().id().to_owned()),
            ("x-nonnocere-event-id", self.event_id()),
            ("x-nonnocere-latency", latency.join(", ")),
        ];
        let named = fields.into_iter().filter(|(_, value)| !value.is_empty());
        named
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
            .collect()
    }

    /// What was found so far.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// Writes the record to the log.
    fn log(&self) {
        tracing::info!(
            event_id = %self.event_id(),
            status = self.status.map_or(CLIENT_LEFT, |status| status.as_u16()),
            decision = self.decision(),
            categories = %self.categories(),
            rule = self.strongest().and_then(|verdict| verdict.rule.as_deref()),
            shadow = self.shadow(),
            opinion = self.strongest().and_then(|verdict| verdict.opinion).map(Opinion::id),
            scan = self.scan().id(),
            tenant = self.tenant.as_deref(),
            policy = %self.policy,
            model = %self.model,
            prompt_ms = self.millis(Stage::Prompt),
            upstream_ms = self.millis(Stage::Upstream),
            completion_ms = self.millis(Stage::Completion),
            "decision"
        );
    }

    /// The action of the strongest verdict, or how the request failed.
    fn decision(&self) -> &'static str {
        self.error.or(self.strongest().map(|verdict| verdict.action.id())).unwrap_or("allow")
    }

    fn strongest(&self) -> Option<&Verdict> {
        self.verdicts.iter().max_by_key(|verdict| verdict.action.rank())
    }

    /// The rule in the shadow that would have done most, and what.
    fn shadow(&self) -> Option<String> {
        let shadows = self.verdicts.iter().filter_map(|verdict| verdict.shadow.as_ref());
        let shadow = shadows.max_by_key(|shadow| shadow.effect.rank())?;
        Some(format!("{}: {}", shadow.rule, shadow.effect.id()))
    }

    /// Violated principles and types, by their ids.
    fn categories(&self) -> String {
        let violations = self.verdicts.iter().filter_map(Verdict::violation);
        let ids: Vec<String> = violations.map(|kind| format!("{}, {}", kind.principle, kind.id)).collect();
        ids.join(", ")
    }

    /// The least that any message was judged; nothing when nothing was judged.
    fn scan(&self) -> Scan {
        let least = self.verdicts.iter().map(|verdict| verdict.scan).max_by_key(|scan| match scan {
            Scan::Full => 0,
            Scan::Partial => 1,
            Scan::None => 2,
        });
        least.unwrap_or(Scan::None)
    }

    fn direction(&self) -> Direction {
        if self.verdicts.is_empty() { Direction::Prompt } else { Direction::Completion }
    }

    fn millis(&self, stage: Stage) -> Option<f64> {
        self.stages.iter().find(|(of, _)| *of == stage).map(|(_, took)| took.as_secs_f64() * 1e3)
    }
}
