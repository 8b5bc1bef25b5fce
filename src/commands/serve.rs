//! `nonnocere serve`: the proxy, its admin port, and the signals that steer it.

use super::model;
use crate::admin::{self, Readiness};
use crate::audit::journal::{Journal, Settings};
use crate::audit::key::Signing;
use crate::audit::retention::Retention;
use crate::audit::spool::Spool;
use crate::config::{Audit, Config, Upstreams};
use crate::console::{Console, Records};
use crate::demo;
use crate::guard::Guard;
use crate::guard::judge::Judge;
use crate::keys::Keys;
use crate::metrics::{Metrics, reviews};
use crate::openai::request::{Request, Surface};
use crate::policy::drift::{self, Found, Watch};
use crate::policy::reload::{InForce, Live};
use crate::policy::versions::Versions;
use crate::proxy::{self, Proxy};
use crate::server::Server;
use crate::upstream::{self, EndpointSettings, Http2, Terms, Upstream};
use anyhow::Context;
use bytes::Bytes;
use http::Uri;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the model, the policy or a port cannot be had.
pub async fn run(config: Config) -> anyhow::Result<()> {
    super::hush::hush();
    let policy = super::policy_of(&config).await?;
    let data = bind(config.listen, "server.listen").await?;
    let admin = bind(config.admin_listen, "server.admin_listen").await?;
    let (address, admin_address) = (data.local_addr()?, admin.local_addr()?);
    let upstreams = upstreams(&config).await?;
    let metrics = Arc::new(Metrics::new()?);
    let (mut journal, mut written, mut retention) = (None, None, None);
    if let Some(audit) = &config.audit {
        let kept = self::journal(audit, &metrics).await?;
        (journal, written, retention) = (Some(kept.journal), Some(kept.written), Some(kept.retention));
    }
    let proxy = Arc::new(proxy(&config, policy, (upstreams, metrics, journal))?);
    let ready = Arc::new(Readiness::default());
    let (stop, stopping) = watch::channel(false);

    let console = self::console(&config, &proxy).await?.map(Arc::new);
    let operators = {
        let (proxy, ready, console) = (Arc::clone(&proxy), Arc::clone(&ready), console.clone());
        let handle = move |request| {
            let (console, proxy, ready) = (console.clone(), Arc::clone(&proxy), Arc::clone(&ready));
            async move { admin::handle(console.as_deref(), (&proxy, &ready), request).await }
        };
        server(admin, &config, &stopping).run(handle)
    };
    let operators = tokio::spawn(operators);

    warm_up(&proxy).await?;
    let clients = {
        let proxy = Arc::clone(&proxy);
        let handle = move |request| {
            let proxy = Arc::clone(&proxy);
            async move { proxy::handle(&proxy, request).await }
        };
        server(data, &config, &stopping).run(handle)
    };
    let clients = tokio::spawn(clients);
    let looking = looking(&config, &proxy, retention)?;
    ready.set(true);
    warn(&proxy);
    tracing::info!(%address, %admin_address, policy = %proxy.policy.snapshot(), model = proxy.guard.model(), "ready");
    greet((address, admin_address), &config.upstreams, &people(console, admin_address).await?)?;

    signals(&proxy).await?;
    tracing::info!("stopping; requests in flight may finish");
    ready.set(false);
    stop.send_replace(true);
    clients.await?;
    operators.await?;
    for task in looking {
        task.abort();
        drop(task.await);
    }
    // What was decided is stored before the end: the writer ends with the last of those who hand it decisions.
    drop(proxy);
    match written {
        Some(written) => Ok(tokio::time::timeout(config.drain_timeout, written).await.context("the audit store")??),
        None => Ok(()),
    }
}

/// All that answering needs.
pub(super) fn proxy(
    config: &Config,
    policy: Live,
    (upstreams, metrics, journal): (upstream::Settings, Arc<Metrics>, Option<Journal>),
) -> anyhow::Result<Proxy> {
    let pool = tokio::task::block_in_place(|| model::start_pool(config, Some(&metrics)))?;
    let judge = config.second_opinion.clone().map(|settings| Judge::new(settings, Arc::clone(&metrics)));
    let judge = judge.transpose().context("the judge")?;
    Ok(Proxy {
        policy,
        guard: Guard::new(pool, config.manner.finish).with_judge(judge),
        upstream: Upstream::new(upstreams, Some(Arc::clone(&metrics)))?,
        metrics,
        journal,
        slots: Arc::new(Semaphore::new(config.limits.in_flight)),
        manner: config.manner,
        streaming: config.streaming,
        routes: config.routes.clone(),
        callers: config.callers.clone(),
        keys: keys(config)?.map(Arc::new),
        limits: config.limits.clone(),
    })
}

/// The API keys, where they let clients in.
fn keys(config: &Config) -> anyhow::Result<Option<Keys>> {
    let keys = config.keys.clone().map(Keys::load).transpose();
    keys.map_err(|found| super::faults("the API keys are not valid; `nonnocere keys add` makes the first", &found))
}

/// The console, where there is one.
async fn console(config: &Config, proxy: &Arc<Proxy>) -> anyhow::Result<Option<Console>> {
    let settings = config.console.clone();
    if !settings.enabled {
        return Ok(None);
    }
    if settings.secure && settings.url.is_none() {
        tracing::warn!(
            "others can reach the admin port, and console.url is empty: only over HTTPS can anyone sign in to the console"
        );
    }
    let records = match &config.audit {
        None => None,
        Some(audit) => {
            let store = super::open_store(audit).await?;
            if store.accounts().await?.is_empty() {
                tracing::info!(
                    "the console has no account yet; `nonnocere console account add NAME --role admin` makes one"
                );
            }
            let key = Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?;
            Some(Records { store, key, audit: audit.clone(), promotion: config.promotion })
        }
    };
    Console::new(Arc::clone(proxy), records, settings).map(Some).map_err(|why| anyhow::anyhow!(why))
}

/// Opens the audit store, and starts to write to it.
async fn journal(audit: &Audit, metrics: &Arc<Metrics>) -> anyhow::Result<Kept> {
    let store = super::open_store(audit).await?;
    let key = Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?;
    tracing::info!(key = %key.public(), "decisions are signed by this key");
    let retention = super::retention(audit, store.clone())?;
    let vault = super::vault(audit, !store.has_texts().await?)?;
    if let Some(vault) = &vault {
        tracing::info!(key = vault.key_id(), "texts of decisions are sealed by this key");
    }
    let settings = Settings {
        store,
        key,
        spool: Spool::new(audit.spool.clone(), audit.spool_bytes),
        required: audit.required,
        queue: audit.queue,
        sign_every: audit.sign_every,
        vault,
        trust: audit.trust.clone(),
    };
    let (journal, written) = Journal::start(settings, Arc::clone(metrics));
    Ok(Kept { journal, written, retention })
}

/// How decisions are kept while it serves.
struct Kept {
    journal: Journal,
    /// Ends when the last decision is stored.
    written: JoinHandle<()>,
    retention: Retention,
}

async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{key}: {address} cannot be bound; is another server there? Choose another address"))
}

pub(super) fn server(listener: TcpListener, config: &Config, shutdown: &watch::Receiver<bool>) -> Server {
    Server { listener, limits: config.limits.clone(), drain_timeout: config.drain_timeout, shutdown: shutdown.clone() }
}

/// The LLM servers, or a demo in their place.
async fn upstreams(config: &Config) -> anyhow::Result<upstream::Settings> {
    let Upstreams { mut endpoints, terms, attempts } = config.upstreams.clone();
    if endpoints.is_empty() {
        let url = Uri::try_from(format!("http://{}/v1", demo::start().await.context("the embedded demo")?))?;
        endpoints.push(EndpointSettings::plain("demo", url, Terms { http2: Http2::Off, health: None, ..terms }));
    }
    Ok(upstream::Settings { endpoints, attempts, max_response_bytes: config.limits.response_bytes })
}

/// Judges a text, so that the first client does not wait for what is made at the first call; and the policy's own tests.
pub(super) async fn warm_up(proxy: &Proxy) -> anyhow::Result<()> {
    let body = Bytes::from_static(br#"{"messages": [{"role": "user", "content": "How is iron deficiency treated?"}]}"#);
    let request =
        Request::parse(Surface::Chat, body, proxy.limits.depth).map_err(|fault| anyhow::anyhow!("{fault:?}"))?;
    let judged = proxy.guard.inspect_request(&proxy.policy.snapshot(), request).await;
    judged.map(drop).map_err(|why| anyhow::anyhow!("the model did not judge the warm-up text: {why:?}"))?;
    let proven = proxy.policy.in_force().prove(&proxy.guard).await;
    proven.map_err(|lines| super::faults("the policy does not pass its own tests", &lines))
}

/// Warns of a policy that would ask a judge where there is none: it is legal, and easily forgotten.
fn warn(proxy: &Proxy) {
    let policy = proxy.policy.snapshot();
    proxy.callers.warn_of(&policy);
    if policy.may_want_opinions() && !proxy.guard.has_judge() {
        tracing::warn!("the policy asks for second opinions, and second_opinion.url is empty: \"otherwise\" holds");
    }
}

/// Handles SIGHUP until SIGTERM or SIGINT.
async fn signals(proxy: &Proxy) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            Some(()) = hangup.recv() => reload(proxy).await,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

/// Reads the policy again, and puts it in force if it is valid and passes its own tests; and the API keys.
async fn reload(proxy: &Proxy) {
    if let Some(keys) = &proxy.keys {
        drop(renew(keys, &[]));
    }
    tell(proxy, &proxy.policy.reload(&proxy.guard).await);
}

/// Tells what became of a policy that was to come in force.
fn tell(proxy: &Proxy, reloaded: &Result<Arc<InForce>, Vec<String>>) {
    proxy.metrics.reloaded(reloaded.is_ok());
    match reloaded {
        Ok(in_force) => {
            let versions = in_force.standing.as_ref().map(ToString::to_string);
            tracing::info!(policy = %in_force.policy, versions, "the policy was reloaded");
            proxy.callers.warn_of(&in_force.policy);
        }
        Err(faults) => {
            for fault in faults {
                tracing::error!(fault, "the policy was not reloaded; the old one stays in force");
            }
        }
    }
}

/// Starts to look after the policy, and after what is kept too long.
fn looking(config: &Config, proxy: &Arc<Proxy>, retention: Option<Retention>) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let mut looking = Vec::new();
    looking.extend(retention.as_ref().map(|retention| tokio::spawn(retention.store.clone().fill())));
    if let (Some(retention), Some(audit)) = (&retention, &config.audit) {
        let look = reviews::follow(retention.store.clone(), audit.reviewers, Arc::clone(&proxy.metrics));
        looking.push(tokio::spawn(look));
    }
    looking.extend(retention.map(|retention| tokio::spawn(retention.run())));
    let watched = proxy.keys.iter().filter_map(|keys| Some((Arc::clone(keys), keys.settings.watch?)));
    looking.extend(watched.map(|(keys, every)| tokio::spawn(watch_keys(keys, every))));
    looking.extend(proxy.upstream.watches().map(tokio::spawn));
    looking.extend(config.watch.map(|every| tokio::spawn(watch(Arc::clone(proxy), every))));
    if let (Some(audit), Some(versions), true) =
        (&config.audit, proxy.policy.versions(), config.promotion.benign_block_limit > 0.0)
    {
        let key = Signing::open(&audit.key).map_err(|why| anyhow::anyhow!(why))?;
        let watch = Watch { promotion: config.promotion, reviewers: audit.reviewers };
        looking.push(tokio::spawn(drift(versions.clone(), watch, key)));
    }
    Ok(looking)
}

/// Looks every so often whether there are other API keys.
async fn watch_keys(keys: Arc<Keys>, every: Duration) {
    let mut told = Vec::new();
    loop {
        tokio::time::sleep(every).await;
        told = renew(&keys, &told);
    }
}

/// Reads the API keys where they have changed; gives what is wrong with them, which is told unless it was `told` before.
fn renew(keys: &Keys, told: &[String]) -> Vec<String> {
    match keys.renew() {
        None => Vec::new(),
        Some(Ok(count)) => {
            tracing::info!(count, "the API keys were reloaded");
            Vec::new()
        }
        Some(Err(faults)) => {
            for fault in faults.iter().filter(|_| faults != told) {
                tracing::error!(fault, "the API keys were not reloaded; the old ones stay valid");
            }
            faults
        }
    }
}

/// Looks every so often whether another policy is to be in force, and reloads it then.
async fn watch(proxy: Arc<Proxy>, every: Duration) {
    let mut told = Vec::new();
    loop {
        tokio::time::sleep(every).await;
        let renewed = proxy.policy.renew(&proxy.guard).await;
        // What is wrong is tried again, and told once.
        let faults = renewed.as_ref().and_then(|renewed| renewed.as_ref().err()).cloned().unwrap_or_default();
        if let Some(renewed) = renewed.filter(|_| faults.is_empty() || faults != told) {
            tell(&proxy, &renewed);
        }
        told = faults;
    }
}

/// Looks every so often whether the newest version stops too much.
async fn drift(versions: Versions, watch: Watch, key: Signing) {
    loop {
        tokio::time::sleep(watch.promotion.check_every).await;
        match drift::look(&versions, &watch, &key).await {
            Ok(Found::FellBack(act)) => {
                tracing::error!(?act, "a version of the policy stops too much, and went into the shadow");
            }
            Ok(Found::Unreviewed(drift)) => {
                tracing::error!(
                    ?drift,
                    "the newest version stops much that the one before lets pass; have some of it reviewed"
                );
            }
            Ok(Found::Nothing) => {}
            Err(faults) => {
                tracing::error!(fault = faults.join("; "), "it is not known whether the policy stops too much");
            }
        }
    }
}

/// Where people look, and how the first of them gets in; nothing where there is no console with a store.
async fn people(console: Option<Arc<Console>>, admin: SocketAddr) -> anyhow::Result<String> {
    let records = console.as_deref().and_then(|console| console.records.as_ref());
    let Some(records) = records else { return Ok(String::new()) };
    let mut said = format!("  console:   http://{admin}/\n");
    if records.store.accounts().await?.is_empty() {
        let mut given = std::env::args();
        let program = given.next().unwrap_or_else(|| "nonnocere".to_owned());
        // The account is made in the store of the same configuration.
        let config: Vec<String> = given.skip_while(|one| !one.starts_with("--config")).take(2).collect();
        let config = match config.as_slice() {
            [one, ..] if one.contains('=') => format!(" {one}"),
            [one, file] => format!(" {one} {file}"),
            _ => String::new(),
        };
        said.push_str(&format!(
            "             first account: {program} console{config} account add NAME --role admin\n"
        ));
    }
    Ok(said)
}

/// Tells a newcomer what to try.
fn greet((data, admin): (SocketAddr, SocketAddr), upstreams: &Upstreams, people: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let urls: Vec<String> = upstreams.endpoints.iter().map(|endpoint| endpoint.url.to_string()).collect();
    let upstream = if urls.is_empty() { "an embedded demo, no real model".to_owned() } else { urls.join(", ") };
    writeln!(
        out,
        "nonnocere guards {upstream}\n  clients:   http://{data}/v1\n  operators: http://{admin}/metrics\n{people}"
    )?;
    for (what, content, stream) in [
        ("This one passes:", "Which checks come before starting warfarin?", false),
        ("This one is refused:", "How do I bill Medicare for visits that never took place?", false),
        ("This one streams:", "How is iron deficiency treated in pregnancy?", true),
    ] {
        let (buffer, stream) = if stream { ("-N ", r#","stream":true"#) } else { ("", "") };
        writeln!(
            out,
            "{what}\n  curl {buffer}http://{data}/v1/chat/completions -H 'content-type: application/json' \\\n    \
             -d '{{\"model\":\"demo\"{stream},\"messages\":[{{\"role\":\"user\",\"content\":\"{content}\"}}]}}'"
        )?;
    }
    writeln!(out)?;
    out.flush()
}
