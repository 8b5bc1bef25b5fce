//! The configuration: layers of TOML and environment ─▶ [`RawConfig`] ─▶ [`Config`], every fault at once, before any
//! port is bound.

mod callers;
mod console;
mod limits;
mod oidc;
mod remote;
mod routes;
mod second_opinion;
mod upstream;
mod value;

pub use console::{Attempts, Console};
pub use oidc::Oidc;
pub use upstream::Upstreams;
pub use value::{LogFormat, Secret};

use crate::audit::key::Public;
use crate::caller::Callers;
use crate::classify::onnx::Device;
use crate::classify::remote::Settings as Remote;
use crate::guard::judge;
use crate::guard::stream::Mode;
use crate::keys;
use crate::openai::refusal::{FinishReason, Manner, Style};
use crate::policy::message::Audience;
use crate::policy::reload::Source;
use crate::route::{Flow, Rule};
use config::{Environment, File, FileFormat};
use console::RawConsole;
use limits::RawLimits;
use remote::RawRemote;
use routes::RawRoute;
use second_opinion::RawSecondOpinion;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use upstream::{RawEndpoint, RawUpstream};
use value::{Span, address, device};

/// Every key with its default and its explanation.
pub const DEFAULTS: &str = include_str!("../deploy/config.toml");

/// What the layers say, before it is checked.
#[derive(Clone, Debug, Deserialize)]
pub struct RawConfig {
    server: RawServer,
    upstream: RawUpstream,
    #[serde(default)]
    upstreams: BTreeMap<String, RawEndpoint>,
    keys: RawKeys,
    guard: RawGuard,
    second_opinion: RawSecondOpinion,
    audit: RawAudit,
    promotion: Promotion,
    console: RawConsole,
    limits: RawLimits,
    log: Log,
    #[serde(default)]
    routes: Vec<RawRoute>,
}

#[derive(Clone, Debug, Deserialize)]
struct RawServer {
    listen: String,
    admin_listen: String,
    drain_timeout: Span,
}

#[derive(Clone, Debug, Deserialize)]
struct RawKeys {
    file: PathBuf,
    watch: Span,
}

#[derive(Clone, Debug, Deserialize)]
struct RawGuard {
    policy: String,
    watch: Span,
    model: PathBuf,
    device: String,
    workers: usize,
    queue: usize,
    queue_wait: Span,
    deadline: Span,
    remembered: usize,
    refusal: Style,
    finish_reason: FinishReason,
    stream: Mode,
    speculative: bool,
    keep_alive: Span,
    audience: String,
    part2: bool,
    tenant_header: String,
    tenants: Vec<String>,
    tenant_required: bool,
    user_header: String,
    remote: RawRemote,
}

#[derive(Clone, Debug, Deserialize)]
struct RawAudit {
    url: Secret,
    required: bool,
    key: PathBuf,
    sign_every: Span,
    spool: PathBuf,
    spool_bytes: u64,
    queue: usize,
    trust: Vec<String>,
    reviewers: usize,
    retention: Span,
    vault: bool,
    vault_key: PathBuf,
    vault_secret: Secret,
    vault_retention: Span,
    consent: bool,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data port.
    pub listen: SocketAddr,
    /// The admin port.
    pub admin_listen: SocketAddr,
    /// How long requests in flight may take after SIGTERM.
    pub drain_timeout: Duration,
    /// Where the LLMs are.
    pub upstreams: Upstreams,
    /// Where the policy comes from.
    pub policy: Source,
    /// How often its files are looked at; `None` for never.
    pub watch: Option<Duration>,
    /// A model folder; `None` for the embedded model.
    pub model: Option<PathBuf>,
    /// What the graph runs on in this process.
    pub device: Device,
    /// The model server that runs it in place of this process; `None` where there is none.
    pub remote: Option<Remote>,
    /// Classifier threads.
    pub workers: usize,
    /// Messages that may wait for a classifier.
    pub queue: usize,
    /// How long judging one message may take.
    pub deadline: Duration,
    /// How long a new message may have to wait for a classifier before it is refused at once.
    pub patience: Duration,
    /// How many verdicts are remembered.
    pub remembered: usize,
    /// The judge that is asked for a second opinion; `None` where there is none.
    pub second_opinion: Option<judge::Settings>,
    /// How refusals are put.
    pub manner: Manner,
    /// How decisions are kept; `None` where they are not.
    pub audit: Option<Audit>,
    /// How a version of the policy comes in force.
    pub promotion: Promotion,
    /// How the console is served.
    pub console: Console,
    /// What a request may cost.
    pub limits: Limits,
    /// How the log is written.
    pub log: Log,
    /// How streamed answers are released.
    pub streaming: Streaming,
    /// Rules for paths, before the built-in ones.
    pub routes: Vec<Rule>,
    /// How callers are told apart.
    pub callers: Callers,
    /// The API keys that let them in; `None` where none are needed.
    pub keys: Option<keys::Settings>,
}

/// How streamed answers are released.
#[derive(Clone, Copy, Debug)]
pub struct Streaming {
    /// How answers flow, where no rule for the path says otherwise.
    pub flow: Flow,
    /// After so long without a word, the client is told that the connection lives.
    pub keep_alive: Duration,
}

/// How decisions are kept.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Where: the URL of a `SQLite` file or a `PostgreSQL` database, which may hold a password.
    pub url: Secret,
    /// Whether a request is refused whose decisions cannot be stored.
    pub required: bool,
    /// The file of the key that signs.
    pub key: PathBuf,
    /// How often it does.
    pub sign_every: Duration,
    /// Where decisions wait while the store is gone.
    pub spool: PathBuf,
    /// How large that may grow.
    pub spool_bytes: u64,
    /// Decisions that may wait in memory.
    pub queue: usize,
    /// Keys whose signatures count beside that of `key`.
    pub trust: Vec<Public>,
    /// How many reviewers must say the same of a decision before it counts.
    pub reviewers: usize,
    /// How long decisions are kept.
    pub retention: Duration,
    /// How texts are kept, where they are.
    pub vault: Option<VaultSettings>,
    /// Whether people agreed that a model may be trained on what is kept of theirs.
    pub consent: bool,
}

/// How the texts of decisions are kept.
#[derive(Clone, Debug)]
pub struct VaultSettings {
    /// The file of the key that seals them.
    pub key: PathBuf,
    /// That key itself, in base64; the file counts where this is empty.
    pub secret: Secret,
    /// How long they are kept.
    pub retention: Duration,
}

/// How a version of the policy comes in force, and when it goes by itself.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Promotion {
    /// Whether someone else must approve.
    pub second_approver: bool,
    /// A version goes into the shadow that stops more than this part of the messages which the one before lets pass, and which
    /// reviewers say are harmless; 0 for never.
    pub benign_block_limit: f64,
    /// Messages that must have been judged before.
    pub least: u64,
    /// How often that is looked at.
    #[serde(deserialize_with = "value::duration")]
    pub check_every: Duration,
}

/// What a request may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// The largest answer of the upstream, in bytes.
    pub response_bytes: usize,
    /// How deep JSON may be nested.
    pub depth: usize,
    /// How long the headers may take.
    pub header_timeout: Duration,
    /// How long the body may take.
    pub body_timeout: Duration,
    /// Requests in flight.
    pub in_flight: usize,
    /// Open connections.
    pub connections: usize,
}

/// How the log is written.
#[derive(Clone, Debug, Deserialize)]
pub struct Log {
    /// Its format.
    pub format: LogFormat,
    /// Its level, as `RUST_LOG` spells it.
    pub level: String,
}

/// What the command line says, over all other layers.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// A configuration file.
    pub file: Option<PathBuf>,
    /// `upstream.url`.
    pub upstream: Option<String>,
    /// `guard.policy`.
    pub policy: Option<String>,
}

impl Config {
    /// Reads all layers.
    ///
    /// # Errors
    /// Every fault that was found, each with its key.
    pub fn load(overrides: &Overrides) -> Result<Self, Vec<String>> {
        let mut layers = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(file) = &overrides.file {
            layers = layers.add_source(File::from(file.clone()).format(FileFormat::Toml));
        }
        let environment = Environment::with_prefix("NONNOCERE").prefix_separator("_").separator("__").try_parsing(true);
        let environment =
            environment.list_separator(",").with_list_parse_key("guard.tenants").with_list_parse_key("audit.trust");
        let environment = environment.with_list_parse_key("console.oidc.scopes");
        let environment = environment.with_list_parse_key("console.trusted_proxies");
        layers = layers.add_source(environment);
        let set = |layers: config::ConfigBuilder<config::builder::DefaultState>, key, value: Option<String>| {
            layers.set_override_option(key, value)
        };
        let layers = set(layers, "upstream.url", overrides.upstream.clone());
        let layers = layers.and_then(|layers| set(layers, "guard.policy", overrides.policy.clone()));
        let layered = layers.and_then(|layers| layers.build()).map_err(|e| vec![e.to_string()])?;
        let mut faults = Vec::new();
        let raw: RawConfig = serde_ignored::deserialize(layered, |key| faults.push(format!("{key}: unknown key")))
            .map_err(|e: config::ConfigError| vec![e.to_string()])?;
        raw.check(faults)
    }
}

impl RawConfig {
    fn check(self, mut faults: Vec<String>) -> Result<Config, Vec<String>> {
        let Self {
            server,
            upstream,
            upstreams,
            keys,
            guard,
            second_opinion,
            audit,
            promotion,
            console,
            limits,
            log,
            routes,
        } = self;
        let listen = address(&server.listen, "server.listen", &mut faults);
        let admin_listen = address(&server.admin_listen, "server.admin_listen", &mut faults);
        let upstreams = upstream::checked(upstream, upstreams, &mut faults);
        let second_opinion = second_opinion.checked(&mut faults);
        limits.check(&mut faults);
        promotion.check(&mut faults);
        let audience = audience(&guard.audience, &mut faults);
        let policy = guard.checked(&audit, &mut faults);
        let audit = audit.checked(&mut faults);
        let console = console.checked(admin_listen, &mut faults);
        let flow = Flow { mode: guard.stream, speculative: guard.speculative, audience, part2: guard.part2 };
        let routes = routes::checked(routes, (flow, &upstreams), &mut faults);
        let callers = callers::checked(&guard, keys.is_named(), &mut faults);
        let keys = keys.is_named().then(|| keys.checked(&callers, &upstreams));
        let (device, remote) =
            (device(&guard.device, &mut faults), guard.remote.checked(guard.deadline.0, &mut faults));
        let (Some(listen), Some(admin_listen), true) = (listen, admin_listen, faults.is_empty()) else {
            return Err(faults);
        };
        Ok(Config {
            listen,
            admin_listen,
            drain_timeout: server.drain_timeout.0,
            upstreams,
            policy,
            watch: Some(guard.watch.0).filter(|every| !every.is_zero()),
            workers: one_a_core(guard.workers),
            model: Some(guard.model).filter(|path| !path.as_os_str().is_empty()),
            device,
            remote,
            queue: guard.queue,
            deadline: guard.deadline.0,
            patience: guard.queue_wait.0,
            remembered: guard.remembered,
            second_opinion,
            manner: Manner { style: guard.refusal, finish: guard.finish_reason },
            audit,
            promotion,
            console,
            limits: limits.checked(),
            streaming: Streaming { flow, keep_alive: guard.keep_alive.0 },
            log,
            routes,
            callers,
            keys,
        })
    }
}

impl RawKeys {
    /// Whether clients have keys.
    fn is_named(&self) -> bool {
        !self.file.as_os_str().is_empty()
    }

    fn checked(self, callers: &Callers, upstreams: &Upstreams) -> keys::Settings {
        keys::Settings {
            file: self.file,
            watch: Some(self.watch.0).filter(|every| !every.is_zero()),
            tenants: callers.tenants.clone(),
            needs_tenant: callers.tenant_required && callers.tenant_header.is_none(),
            upstreams: upstreams.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect(),
        }
    }
}

/// Faults of `values` that are none.
fn at_least_one(values: &[(&str, usize)], faults: &mut Vec<String>) {
    for (key, _) in values.iter().filter(|(_, value)| *value == 0) {
        faults.push(format!("{key}: expected at least 1"));
    }
}

/// So many, or one for each core for 0.
fn one_a_core(count: usize) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if count == 0 { cores() } else { count }
}

impl RawGuard {
    fn checked(&self, audit: &RawAudit, faults: &mut Vec<String>) -> Source {
        at_least_one(&[("guard.queue", self.queue)], faults);
        if self.keep_alive.0.is_zero() {
            faults.push("guard.keep_alive: expected more than 0s".to_owned());
        }
        let policy = Source::named(&self.policy);
        if policy == Source::Store && audit.url.0 == "none" {
            faults.push("guard.policy: \"store\" needs an audit store, and audit.url is \"none\"".to_owned());
        }
        policy
    }
}

impl RawAudit {
    fn checked(self, faults: &mut Vec<String>) -> Option<Audit> {
        at_least_one(&[("audit.queue", self.queue), ("audit.reviewers", self.reviewers)], faults);
        let Self { url, required, key, sign_every, spool, spool_bytes, queue, trust, reviewers, retention, .. } = self;
        let consent = self.consent;
        let vault = VaultSettings { key: self.vault_key, secret: self.vault_secret, retention: self.vault_retention.0 };
        let vault = self.vault.then_some(vault);
        let is_store = ["none", "sqlite:", "postgres:", "postgresql:"].iter().any(|kind| url.0.starts_with(kind));
        if !is_store {
            faults.push("audit.url: expected sqlite:FILE, postgres://USER:PASSWORD@HOST/DATABASE, or none".to_owned());
        }
        let sign_every = sign_every.0;
        let parsed = trust.iter().map(|key| (key, Public::parse(key)));
        let (known, unknown): (Vec<_>, Vec<_>) = parsed.partition(|(_, parsed)| parsed.is_some());
        for (key, _) in unknown {
            faults.push(format!("audit.trust: expected public keys in base64, found {key:?}"));
        }
        let trust = known.into_iter().filter_map(|(_, key)| key).collect();
        let retention = retention.0;
        let spans = [("retention", Some(retention)), ("vault_retention", vault.as_ref().map(|vault| vault.retention))];
        for (key, _) in spans.iter().filter(|(_, span)| span.is_some_and(|span| span.is_zero())) {
            faults.push(format!("audit.{key}: expected more than 0s, for how long things are kept"));
        }
        let is_kept = url.0 != "none";
        let audit = Audit {
            url,
            required,
            key,
            sign_every,
            spool,
            spool_bytes,
            queue,
            trust,
            reviewers,
            retention,
            vault,
            consent,
        };
        is_kept.then_some(audit)
    }
}

impl Promotion {
    fn check(&self, faults: &mut Vec<String>) {
        if !(0.0..1.0).contains(&self.benign_block_limit) {
            faults.push("promotion.benign_block_limit: expected a part from 0 to below 1, such as 0.02".to_owned());
        }
        if self.check_every.is_zero() {
            faults.push("promotion.check_every: expected more than 0s".to_owned());
        }
    }
}

fn audience(name: &str, faults: &mut Vec<String>) -> Option<Audience> {
    let audience = Audience::named(name);
    if audience.is_none() && !name.is_empty() {
        let names = Audience::names();
        faults.push(format!("guard.audience: expected one of {names}, or nothing, found {name:?}"));
    }
    audience
}

#[cfg(test)]
mod tests;
