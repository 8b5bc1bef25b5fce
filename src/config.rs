//! The configuration: layers of TOML and environment ─▶ [`RawConfig`] ─▶ [`Config`], every fault at once, before any
//! port is bound.

mod second_opinion;
mod value;

pub use value::{LogFormat, Secret};

use crate::guard::judge;
use crate::guard::stream::Mode;
use crate::openai::refusal::{FinishReason, Manner, Style};
use crate::openai::request::Surface;
use crate::policy::message::Audience;
use crate::policy::reload::Source;
use crate::route::{Action, Flow, Rule};
use config::{Environment, File, FileFormat};
use http::{HeaderValue, Uri};
use second_opinion::RawSecondOpinion;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use value::{Span, authorization, url};

/// Every key with its default and its explanation.
pub const DEFAULTS: &str = include_str!("../deploy/config.toml");

/// What the layers say, before it is checked.
#[derive(Clone, Debug, Deserialize)]
pub struct RawConfig {
    server: RawServer,
    upstream: RawUpstream,
    guard: RawGuard,
    second_opinion: RawSecondOpinion,
    audit: RawAudit,
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
struct RawUpstream {
    url: String,
    api_key: Secret,
    connect_timeout: Span,
    idle_timeout: Span,
    timeout: Span,
}

#[derive(Clone, Debug, Deserialize)]
struct RawGuard {
    policy: String,
    watch: Span,
    model: PathBuf,
    workers: usize,
    queue: usize,
    deadline: Span,
    remembered: usize,
    refusal: Style,
    finish_reason: FinishReason,
    stream: Mode,
    speculative: bool,
    keep_alive: Span,
    audience: String,
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
}

#[derive(Clone, Debug, Deserialize)]
struct RawLimits {
    body_bytes: usize,
    response_bytes: usize,
    depth: usize,
    header_timeout: Span,
    body_timeout: Span,
    in_flight: usize,
    connections: usize,
}

#[derive(Clone, Debug, Deserialize)]
struct RawRoute {
    path: String,
    rule: RawRule,
    surface: Option<Surface>,
    stream: Option<Mode>,
    speculative: Option<bool>,
    audience: Option<Audience>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawRule {
    Guard,
    Pass,
    Deny,
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
    /// Where the LLM is; `None` for the embedded demo.
    pub upstream_url: Option<Uri>,
    /// Replaces the client's `Authorization`.
    pub authorization: Option<HeaderValue>,
    /// Until a connection to the upstream stands.
    pub connect_timeout: Duration,
    /// How long a connection to the upstream may be idle and still be used.
    pub idle_timeout: Duration,
    /// Until the upstream's whole answer is there.
    pub upstream_timeout: Duration,
    /// Where the policy comes from.
    pub policy: Source,
    /// How often its files are looked at; `None` for never.
    pub watch: Option<Duration>,
    /// A model folder; `None` for the embedded model.
    pub model: Option<PathBuf>,
    /// Classifier threads.
    pub workers: usize,
    /// Messages that may wait for a classifier.
    pub queue: usize,
    /// How long judging one message may take.
    pub deadline: Duration,
    /// How many verdicts are remembered.
    pub remembered: usize,
    /// The judge that is asked for a second opinion; `None` where there is none.
    pub second_opinion: Option<judge::Settings>,
    /// How refusals are put.
    pub manner: Manner,
    /// How decisions are kept; `None` where they are not.
    pub audit: Option<Audit>,
    /// What a request may cost.
    pub limits: Limits,
    /// How the log is written.
    pub log: Log,
    /// How streamed answers are released.
    pub streaming: Streaming,
    /// Rules for paths, before the built-in ones.
    pub routes: Vec<Rule>,
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
        let Self { server, upstream, guard, second_opinion, audit, limits, log, routes } = self;
        let listen = address(&server.listen, "server.listen", &mut faults);
        let admin_listen = address(&server.admin_listen, "server.admin_listen", &mut faults);
        let upstream_url = url(&upstream.url, "upstream.url", &mut faults);
        let authorization = authorization(&upstream.api_key, "upstream.api_key", &mut faults);
        let second_opinion = second_opinion.checked(&mut faults);
        for (key, value) in [
            ("guard.queue", guard.queue),
            ("audit.queue", audit.queue),
            ("limits.body_bytes", limits.body_bytes),
            ("limits.response_bytes", limits.response_bytes),
            ("limits.depth", limits.depth),
            ("limits.in_flight", limits.in_flight),
            ("limits.connections", limits.connections),
        ] {
            if value == 0 {
                faults.push(format!("{key}: expected at least 1"));
            }
        }
        if guard.keep_alive.0.is_zero() {
            faults.push("guard.keep_alive: expected more than 0s".to_owned());
        }
        let audience = audience(&guard.audience, &mut faults);
        let is_store = ["none", "sqlite:", "postgres:", "postgresql:"].iter().any(|kind| audit.url.0.starts_with(kind));
        if !is_store {
            faults.push("audit.url: expected sqlite:FILE, postgres://USER:PASSWORD@HOST/DATABASE, or none".to_owned());
        }
        let flow = Flow { mode: guard.stream, speculative: guard.speculative, audience };
        let routes = self::routes(routes, flow, &mut faults);
        let (Some(listen), Some(admin_listen), true) = (listen, admin_listen, faults.is_empty()) else {
            return Err(faults);
        };
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Config {
            listen,
            admin_listen,
            drain_timeout: server.drain_timeout.0,
            upstream_url,
            authorization,
            connect_timeout: upstream.connect_timeout.0,
            idle_timeout: upstream.idle_timeout.0,
            upstream_timeout: upstream.timeout.0,
            policy: Source::named(&guard.policy),
            watch: Some(guard.watch.0).filter(|every| !every.is_zero()),
            model: Some(guard.model).filter(|path| !path.as_os_str().is_empty()),
            workers: if guard.workers == 0 { cores() } else { guard.workers },
            queue: guard.queue,
            deadline: guard.deadline.0,
            remembered: guard.remembered,
            second_opinion,
            manner: Manner { style: guard.refusal, finish: guard.finish_reason },
            audit: audit.checked(),
            limits: limits.checked(),
            streaming: Streaming { flow, keep_alive: guard.keep_alive.0 },
            log,
            routes,
        })
    }
}

impl RawAudit {
    fn checked(self) -> Option<Audit> {
        let Self { url, required, key, sign_every, spool, spool_bytes, queue } = self;
        let sign_every = sign_every.0;
        (url.0 != "none").then_some(Audit { url, required, key, sign_every, spool, spool_bytes, queue })
    }
}

impl RawLimits {
    fn checked(self) -> Limits {
        Limits {
            body_bytes: self.body_bytes,
            response_bytes: self.response_bytes,
            depth: self.depth,
            header_timeout: self.header_timeout.0,
            body_timeout: self.body_timeout.0,
            in_flight: self.in_flight,
            connections: self.connections,
        }
    }
}

fn address(text: &str, key: &str, faults: &mut Vec<String>) -> Option<SocketAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        faults.push(format!("{key}: expected an address such as 127.0.0.1:8080, found {text:?}"));
    }
    parsed
}

/// Who is served, where that is known.
fn audience(name: &str, faults: &mut Vec<String>) -> Option<Audience> {
    let audience = Audience::ALL.iter().find(|(known, _)| *known == name).map(|(_, audience)| *audience);
    if audience.is_none() && !name.is_empty() {
        let names = Audience::ALL.map(|(name, _)| name).join(", ");
        faults.push(format!("guard.audience: expected one of {names}, or nothing, found {name:?}"));
    }
    audience
}

fn routes(routes: Vec<RawRoute>, flow: Flow, faults: &mut Vec<String>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (place, RawRoute { path, rule, surface, stream, speculative, audience }) in routes.into_iter().enumerate() {
        let is_guarded = matches!(rule, RawRule::Guard);
        if !is_guarded && (stream.is_some() || speculative.is_some() || audience.is_some()) {
            faults.push(format!("routes[{place}]: only the rule guard has stream, speculative and audience"));
        }
        let flow = Flow {
            mode: stream.unwrap_or(flow.mode),
            speculative: speculative.unwrap_or(flow.speculative),
            audience: audience.or(flow.audience),
        };
        if !path.starts_with('/') {
            faults.push(format!("routes[{place}].path: expected a path such as /v1/files*, found {path:?}"));
        }
        let action = match (rule, surface) {
            (RawRule::Guard, Some(surface)) => Action::Guard(surface, flow),
            (RawRule::Pass, None) => Action::Pass,
            (RawRule::Deny, None) => Action::Deny,
            (RawRule::Guard, None) => {
                faults.push(format!(
                    "routes[{place}].surface: expected chat, completions, responses or embeddings, by which to judge it"
                ));
                continue;
            }
            (RawRule::Pass | RawRule::Deny, Some(_)) => {
                faults.push(format!("routes[{place}].surface: only the rule guard has one"));
                continue;
            }
        };
        rules.push(Rule { path, action });
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn with_file(text: &str) -> Result<Config, Vec<String>> {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Config::load(&Overrides { file: Some(file.path().to_owned()), ..Overrides::default() })
    }

    #[test]
    fn the_embedded_defaults_are_valid() {
        let config = Config::load(&Overrides::default()).unwrap();
        assert_eq!(config.listen.port(), 8080);
        assert_eq!(config.policy, Source::named("ama"));
        assert!(config.upstream_url.is_none() && config.workers > 0);
    }

    #[test]
    fn a_file_and_a_flag_override_the_defaults() {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        file.write_all(b"[server]\nlisten = \"[::1]:9\"\n[upstream]\nurl = \"http://a/v1\"\n").unwrap();
        let overrides = Overrides {
            file: Some(file.path().to_owned()),
            upstream: Some("https://b/v1".to_owned()),
            policy: Some("p.toml".into()),
        };
        let config = Config::load(&overrides).unwrap();
        assert_eq!(config.listen.port(), 9);
        assert_eq!(config.upstream_url.unwrap().host(), Some("b"));
        assert_eq!(config.policy, Source::File("p.toml".into()));
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let text = "[server]\nlisten = \"here\"\ncolour = 1\n[upstream]\nurl = \"ftp://x\"\n[limits]\ndepth = 0\n";
        assert_eq!(
            with_file(text).unwrap_err(),
            [
                "server.colour: unknown key",
                "server.listen: expected an address such as 127.0.0.1:8080, found \"here\"",
                "upstream.url: expected a URL such as http://localhost:8000/v1",
                "limits.depth: expected at least 1",
            ]
        );
    }

    #[test]
    fn routes_are_rules_for_paths() {
        let route = |rest: &str| with_file(&format!("[[routes]]\npath = \"/v1/files*\"\n{rest}\n"));
        let action = |rest: &str| route(rest).unwrap().routes[0].action;
        assert_eq!(action("rule = \"pass\""), Action::Pass);
        let flow = |mode, speculative| Flow { mode, speculative, audience: None };
        let guarded = "rule = \"guard\"\nsurface = \"chat\"";
        assert_eq!(action(guarded), Action::Guard(Surface::Chat, flow(Mode::Window, false)));
        let own = format!("{guarded}\nstream = \"buffer\"\nspeculative = true");
        assert_eq!(action(&own), Action::Guard(Surface::Chat, flow(Mode::Buffer, true)));
        let for_patients = action(&format!("{guarded}\naudience = \"patient\""));
        assert!(matches!(for_patients, Action::Guard(_, Flow { audience: Some(Audience::Patient), .. })));
        assert!(
            with_file("[guard]\naudience = \"cats\"\n").unwrap_err()[0].starts_with("guard.audience: expected one of")
        );
        assert!(route("rule = \"pass\"\nstream = \"buffer\"").unwrap_err()[0].starts_with("routes[0]: only"));
        assert!(route("rule = \"guard\"").unwrap_err()[0].starts_with("routes[0].surface: expected chat"));
        assert!(route("rule = \"deny\"\nsurface = \"chat\"").unwrap_err()[0].starts_with("routes[0].surface: only"));
        assert!(route("rule = \"maybe\"").unwrap_err()[0].contains("maybe"));
    }

    #[test]
    fn a_wrong_duration_names_its_key() {
        let faults = with_file("[guard]\ndeadline = \"soon\"\n").unwrap_err();
        assert!(faults[0].contains("guard.deadline") && faults[0].contains("expected a duration"), "{faults:?}");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let config = with_file("[upstream]\napi_key = \"hunter2\"\n").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!format!("{:?}", Secret("hunter2".to_owned())).contains("hunter2"));
    }
}
