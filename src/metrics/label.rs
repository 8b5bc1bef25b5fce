//! The labels of series, and what each may say. All are closed sets: never a text, never a user.

use super::{SignIn, Stage};
use crate::guard::Scan;
use crate::guard::judge::Outcome;
use crate::policy::Direction;
use crate::policy::opinion::{Opinion, Silence};
use crate::policy::rule::Effect;
use crate::upstream::Fault;

/// A label.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may say.
    pub values: Values,
}

/// What a label may say.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// One of these.
    Fixed(&'static [&'static str]),
    /// One of a set that is closed too, but known elsewhere: here is said where.
    From(&'static str),
}

const fn fixed(name: &'static str, values: &'static [&'static str]) -> Label {
    Label { name, values: Values::Fixed(values) }
}

const fn from(name: &'static str, whence: &'static str) -> Label {
    Label { name, values: Values::From(whence) }
}

pub(super) const ACTION: Label = fixed(
    "action",
    &[
        Effect::Allow.action(),
        Effect::Flag.action(),
        "rewrite",
        Effect::Escalate.action(),
        Effect::Block.action(),
        UNAVAILABLE,
    ],
);

/// The action where the model could not judge and the policy refuses then.
pub(super) const UNAVAILABLE: &str = "unavailable";

pub(super) const AUDIENCE: Label =
    from("audience", "who is served: `patient`, `clinician`, `staff`, `research`; empty where it is not known");

pub(super) const BIN: Label = fixed("bin", &super::decisions::BINS);

pub(super) const DIRECTION: Label = fixed("direction", &[Direction::Prompt.id(), Direction::Completion.id()]);

pub(super) const EFFECT: Label = from("action", "what a rule does, as policies say it: `block`, `steer` and others");

pub(super) const ENDPOINT: Label =
    from("endpoint", "the name of a configured upstream: of `[upstreams.NAME]`, `default`, or `demo`");

pub(super) const FAULT: Label = fixed(
    "kind",
    &[
        Fault::Unreachable.id(),
        Fault::Timeout.id(),
        Fault::Invalid("").id(),
        Fault::Unavailable(0).id(),
        Fault::UnknownModel.id(),
    ],
);

pub(super) const FOUND: Label = fixed("found", &["right", "wrong"]);

pub(super) const IDENTIFIER: Label = from("kind", "a kind of identifier, as in PHI.md");

pub(super) const LOOKED_UP: Label = fixed("result", &["hit", "miss"]);

pub(super) const MODE: Label = fixed("mode", &["open", "closed"]);

pub(super) const MODEL: Label = from("model", "the model's hash");

pub(super) const OPINION: Label = fixed(
    "outcome",
    &[
        Outcome::Found(Opinion::Violates).id(),
        Outcome::Found(Opinion::Harmless).id(),
        Outcome::Cached.id(),
        Outcome::Found(Opinion::Unsent).id(),
        Outcome::Found(Opinion::Silent(Silence::Timeout)).id(),
        Outcome::Found(Opinion::Silent(Silence::Budget)).id(),
        Outcome::Found(Opinion::Silent(Silence::Paused)).id(),
        Outcome::Found(Opinion::Silent(Silence::Answer)).id(),
        Outcome::Found(Opinion::Silent(Silence::Judge)).id(),
    ],
);

pub(super) const POLICY: Label = from("policy", "`name@hash` of a policy that is in force or was shortly before");

pub(super) const PRINCIPLE: Label = from("principle", "`I` … `IX`, `G`; `none` where none is violated");

pub(super) const RECORD: Label = fixed("result", &["stored", "spooled", "lost"]);

pub(super) const RELOAD: Label = fixed("result", &["ok", "rejected"]);

pub(super) const REMOTE: Label =
    fixed("outcome", &["ok", "unreachable", "timeout", "hurried", "status", "invalid", "mismatch", "paused"]);

pub(super) const REVIEWED: Label = fixed("decision", &["stopped", "passed"]);

pub(super) const ROLE: Label = fixed("role", &["stable", "canary", "beside"]);

pub(super) const RULE: Label = from("rule", "a rule of the policy; `none` where none applied");

pub(super) const SCAN: Label = fixed("scan", &[Scan::Full.id(), Scan::Partial.id(), Scan::None.id()]);

pub(super) const SCORE: Label = fixed("score", &["violation", "manipulation", "crisis", "refusal"]);

pub(super) const SIGN_IN: Label =
    fixed("result", &[SignIn::Accepted.id(), SignIn::Rejected.id(), SignIn::Limited.id()]);

pub(super) const STAGE: Label = fixed("stage", &[Stage::Prompt.id(), Stage::Upstream.id(), Stage::Completion.id()]);

pub(super) const STATUS: Label = from("status", "the HTTP status");

pub(super) const SURFACE: Label = from(
    "surface",
    "`chat`, `completions`, `responses`, `embeddings`; `moderations`, `litellm`, `detector` where a verdict was asked for",
);

pub(super) const TENANT: Label = from("tenant", "one of `guard.tenants`; empty where there is none");

pub(super) const TYPE: Label = from("type", "a violation type, such as `II.2`");

pub(super) const UPSTREAM: Label = fixed("result", &["2xx", "3xx", "4xx", "5xx", "unreachable", "timeout", "invalid"]);

pub(super) const VERSION: Label = from("version", "the version of the binary");
