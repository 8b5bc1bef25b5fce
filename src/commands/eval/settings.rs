//! What a run is to be, by its flags.

use super::Kept;
use super::guard::Guarded;
use crate::commands::start_pool;
use crate::config::Config;
use crate::digest;
use crate::eval::Side;
use crate::eval::ask::{Endpoint, Rate, Settings};
use crate::eval::judge::{Judge, Local, Model};
use crate::eval::run::Way;
use crate::eval::store::Run;
use crate::eval::suite::{self, Item, Wrapper};
use anyhow::Context;
use clap::{Args, ValueEnum};
use http::{HeaderValue, Uri};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Which ways are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GuardWanted {
    /// Straight to the model.
    Off,
    /// Through the guard.
    On,
    /// One and the other.
    Both,
}

/// A run, as it is wanted.
#[derive(Args)]
pub struct RunWanted {
    /// The model's base URL, up to and with /v1.
    #[arg(long, value_parser = url)]
    target: Uri,
    /// The model's name there.
    #[arg(long)]
    model: String,
    /// Whether to ask past the guard, through it, or both ways.
    #[arg(long, value_enum, default_value = "both")]
    guard: GuardWanted,
    /// A guard that runs already, with the model behind it. Without one, a guard is started here, with --policy and --config.
    #[arg(long, value_parser = url)]
    guard_url: Option<Uri>,
    /// What is asked: violations, twins, benign, crisis, embedded for all four, or a file (.jsonl, .csv, .txt, .gz) or folder, as harmful:PATH, benign:PATH
    /// or crisis:PATH where it does not say itself what a good answer is.
    #[arg(long = "suite", default_value = "embedded")]
    suites: Vec<String>,
    /// Ask it wrapped in a jailbreak; "plain" for as it is too.
    #[arg(long = "wrap", value_enum)]
    wrappers: Vec<Wrapper>,
    /// Who judges: "local", or the base URL of a model. More than once for several, of which the first counts.
    #[arg(long = "judge", default_value = "local")]
    judges: Vec<String>,
    /// The name of the model that judges, one for each URL.
    #[arg(long = "judge-model")]
    judge_models: Vec<String>,
    /// The name of the environment variable that holds the target's API key.
    #[arg(long, default_value = "NONNOCERE_EVAL_KEY")]
    key_env: String,
    /// The same for the models that judge.
    #[arg(long, default_value = "NONNOCERE_EVAL_JUDGE_KEY")]
    judge_key_env: String,
    /// Requests in flight.
    #[arg(long, default_value_t = 8)]
    pub(super) concurrency: usize,
    /// How often may be asked, such as 5/s or 300/min.
    #[arg(long)]
    rate: Option<Rate>,
    /// How often the models that judge may be asked.
    #[arg(long)]
    judge_rate: Option<Rate>,
    /// Until an answer is whole.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "120s")]
    timeout: Duration,
    /// How often a request is tried.
    #[arg(long, default_value_t = 5)]
    tries: u32,
    /// How long is waited before the second try; twice as long before each further one.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "500ms")]
    pause: Duration,
    /// At most so many items of each suite.
    #[arg(long)]
    limit: Option<usize>,
    /// Of samples and intervals; sent to the model too.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The temperature; "default" leaves it to the server.
    #[arg(long, default_value = "0", value_parser = temperature)]
    temperature: Temperature,
    /// Tokens that an answer may have.
    #[arg(long, default_value_t = 512)]
    max_tokens: u32,
    /// A file with a system prompt that goes before each request.
    #[arg(long)]
    system: Option<PathBuf>,
    /// What this run is called. Runs of one name share answers; another name asks everything anew.
    #[arg(long, default_value = "")]
    name: String,
    #[command(flatten)]
    pub(super) kept: Kept,
    /// Where the report is written.
    #[arg(long, default_value = "nonnocere-eval")]
    pub(super) out: PathBuf,
}

/// A temperature; nothing for the server's own.
#[derive(Clone, Copy, Debug)]
struct Temperature(Option<f64>);

fn temperature(text: &str) -> Result<Temperature, String> {
    if text == "default" {
        return Ok(Temperature(None));
    }
    let number = text.parse::<f64>().ok().filter(|number| (0.0..=2.0).contains(number));
    number.map(|number| Temperature(Some(number))).ok_or_else(|| "expected a number from 0 to 2, or default".to_owned())
}

fn url(text: &str) -> Result<Uri, String> {
    let parsed = text.parse::<Uri>().ok();
    let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    parsed.filter(is_http).ok_or_else(|| "expected a URL such as http://localhost:8000/v1".to_owned())
}

/// The key in an environment variable, as it is sent.
fn authorization(name: &str) -> anyhow::Result<Option<HeaderValue>> {
    let key = std::env::var(name).ok().filter(|key| !key.is_empty());
    let bearer = |key| {
        let mut value =
            HeaderValue::try_from(format!("Bearer {key}")).with_context(|| format!("{name}: it cannot be sent"))?;
        value.set_sensitive(true);
        Ok(value)
    };
    key.map(bearer).transpose()
}

impl RunWanted {
    /// What is asked.
    pub(super) fn items(&self) -> anyhow::Result<Vec<Item>> {
        let mut items = suite::open(&self.suites).map_err(|why| anyhow::anyhow!(why))?;
        if let Some(limit) = self.limit {
            items = suite::sample(items, limit, self.seed);
        }
        Ok(if self.wrappers.is_empty() { items } else { suite::wrapped(&items, &self.wrappers) })
    }

    /// The guard that is asked through, where one is.
    pub(super) async fn guarded(&self, config: &Config) -> anyhow::Result<Option<Guarded>> {
        match (self.guard, &self.guard_url) {
            (GuardWanted::Off, _) => Ok(None),
            (_, Some(url)) => Ok(Some(Guarded::running(url.clone()))),
            (_, None) => Guarded::start(config, self.target.clone(), self.concurrency).await.map(Some),
        }
    }

    fn endpoint(&self, url: Uri, (key, rate): (&str, Option<Rate>)) -> anyhow::Result<Endpoint> {
        let authorization = authorization(key)?;
        let settings =
            Settings { url, authorization, timeout: self.timeout, tries: self.tries.max(1), pause: self.pause, rate };
        Endpoint::new(settings).map_err(|why| anyhow::anyhow!(why))
    }

    /// How it is asked.
    pub(super) fn ways(&self, guarded: Option<&Guarded>) -> anyhow::Result<Vec<Way>> {
        let mut ways = Vec::new();
        let mut add = |side, url: &Uri, id: String| {
            let endpoint = self.endpoint(url.clone(), (&self.key_env, self.rate))?;
            ways.push(Way { side, id, endpoint: Arc::new(endpoint) });
            anyhow::Ok(())
        };
        if self.guard != GuardWanted::On {
            add(Side::Off, &self.target, self.target.to_string())?;
        }
        if let Some(guarded) = guarded {
            add(Side::On, &guarded.url, format!("{} before {}", guarded.id, self.target))?;
        }
        Ok(ways)
    }

    /// Who judges.
    pub(super) fn judges(&self, config: &Config) -> anyhow::Result<Vec<Arc<Judge>>> {
        let mut models = self.judge_models.iter();
        let mut judges = Vec::new();
        for judge in &self.judges {
            if judge == "local" {
                let pool = tokio::task::block_in_place(|| start_pool(config))?;
                judges.push(Arc::new(Judge::Local(Box::new(Local::new(pool)))));
                continue;
            }
            let uri = url(judge).map_err(|why| anyhow::anyhow!("--judge {judge}: {why}, or local"))?;
            let model = models.next().with_context(|| format!("--judge {judge}: which model? --judge-model NAME"))?;
            let endpoint = self.endpoint(uri, (&self.judge_key_env, self.judge_rate))?;
            judges.push(Arc::new(Judge::Model(Box::new(Model::new(endpoint, model, judge)))));
        }
        Ok(judges)
    }

    /// What all of it is called.
    pub(super) fn run(&self, items: &[Item], guarded: Option<&Guarded>, judges: &[Arc<Judge>]) -> anyhow::Result<Run> {
        let mut sampling = json!({"max_tokens": self.max_tokens, "seed": self.seed});
        if let (Some(sampling), Some(temperature)) = (sampling.as_object_mut(), self.temperature.0) {
            sampling.insert("temperature".to_owned(), json!(temperature));
        }
        if let (Some(sampling), Some(system)) = (sampling.as_object_mut(), &self.system) {
            let text = std::fs::read_to_string(system).with_context(|| system.display().to_string())?;
            sampling.insert("system".to_owned(), json!(text));
        }
        let mut warnings = Vec::new();
        if self.judge_models.contains(&self.model) {
            warnings.push(format!("{} judges itself: models are lenient with their own answers.", self.model));
        }
        let run = Run {
            id: String::new(),
            begun: crate::audit::journal::now(),
            name: self.name.clone(),
            model: self.model.clone(),
            target: self.target.to_string(),
            guard: guarded.map(|guarded| guarded.id.clone()).unwrap_or_default(),
            judges: judges.iter().map(|judge| judge.id().to_owned()).collect(),
            items: digest::short(&serde_json::to_vec(items)?),
            seed: self.seed,
            sampling,
            warnings,
        };
        // Which ways are asked is part of it too.
        let named = format!("{:?} {}", self.guard, serde_json::to_string(&run)?);
        Ok(Run { id: digest::short(named.as_bytes()), ..run })
    }
}
