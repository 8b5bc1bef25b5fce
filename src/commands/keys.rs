//! `nonnocere keys`: the API keys of clients. A key is shown once, when it is made.

use crate::config::Config;
use crate::keys::Settings;
use crate::keys::file::{Entry, check, draw, edit, parse};
use clap::{Args, Subcommand};
use std::io::Write;
use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

/// What is to be done with keys (keys.file). A proxy that serves sees it within keys.watch.
#[derive(Subcommand)]
pub enum KeysCommand {
    /// Make a key; it is written to the standard output, once.
    Add {
        /// What it is for.
        #[command(flatten)]
        wish: Wish,
    },
    /// Show what is known of all keys.
    List,
    /// End a key at once.
    Revoke {
        /// Its id: what stands between the first and the second _ of the key.
        id: String,
    },
    /// Make a key with the same rights, and have the old one end; the new one is written to the standard output, once.
    Rotate {
        /// The old one's id.
        id: String,
        /// How long the old one is still valid.
        #[arg(long, value_parser = humantime::parse_duration, default_value = "1day")]
        grace: Duration,
    },
}

/// What a key is for.
#[derive(Args)]
pub struct Wish {
    /// Whose requests it is for: one of guard.tenants.
    #[arg(long)]
    tenant: Option<String>,
    /// Who is served by it: patient, clinician, staff or research.
    #[arg(long)]
    audience: Option<String>,
    /// The upstream that serves it: one of `[upstreams]`.
    #[arg(long)]
    upstream: Option<String>,
    /// Requests a minute (429 for more), of each proxy.
    #[arg(long)]
    requests_per_minute: Option<NonZeroU32>,
    /// Bytes of requests' bodies a minute (429 for more), of each proxy.
    #[arg(long)]
    bytes_per_minute: Option<NonZeroU32>,
    /// Requests at once (429 for more), of each proxy.
    #[arg(long)]
    in_flight: Option<NonZeroU32>,
    /// For how long it is valid, such as 90days.
    #[arg(long, value_parser = humantime::parse_duration)]
    valid: Option<Duration>,
    /// What it is for.
    #[arg(long)]
    note: Option<String>,
}

/// Does it.
///
/// # Errors
/// When it cannot be done, and what to do instead.
pub fn run(config: &Config, command: KeysCommand) -> anyhow::Result<()> {
    let settings = config.keys.as_ref().ok_or_else(|| anyhow::anyhow!("keys.file is empty: name the file of keys"))?;
    let mut out = std::io::stdout().lock();
    let failed = |faults: Vec<String>| super::faults("the keys were not changed", &faults);
    match command {
        KeysCommand::Add { wish } => writeln!(out, "{}", add(settings, wish).map_err(failed)?)?,
        KeysCommand::Rotate { id, grace } => writeln!(out, "{}", rotate(settings, &id, grace).map_err(failed)?)?,
        KeysCommand::Revoke { id } => {
            let revoke = |keys: &mut Vec<Entry>| {
                let place = place(keys, &id)?;
                keys.remove(place);
                Ok(())
            };
            edit(&settings.file, revoke).map_err(failed)?;
        }
        KeysCommand::List => {
            let text = std::fs::read_to_string(&settings.file)
                .map_err(|why| anyhow::anyhow!("{}: {why}", settings.file.display()))?;
            let entries = parse(&text).map_err(|faults| super::faults("the keys cannot be read", &faults))?;
            for entry in entries {
                writeln!(out, "{}", line(&entry))?;
            }
        }
    }
    Ok(())
}

/// Makes a key; gives it.
fn add(settings: &Settings, wish: Wish) -> Result<String, Vec<String>> {
    let Wish { tenant, audience, upstream, requests_per_minute, bytes_per_minute, in_flight, valid, note } = wish;
    let (key, entry) = made()?;
    let expires = valid.map(|valid| moment(SystemTime::now() + valid));
    let limits = Entry { requests_per_minute, bytes_per_minute, in_flight, ..entry };
    let entry = Entry { tenant, audience, upstream, expires, note, ..limits };
    edit(&settings.file, |keys| {
        keys.push(entry);
        check(keys, settings)
    })?;
    Ok(key)
}

/// Makes a key with the rights of another, which ends; gives it.
fn rotate(settings: &Settings, id: &str, grace: Duration) -> Result<String, Vec<String>> {
    let (key, entry) = made()?;
    let end = SystemTime::now() + grace;
    edit(&settings.file, |keys| {
        let place = place(keys, id)?;
        let Some(old) = keys.get_mut(place) else { return Err(vec![]) };
        let renewed = Entry { id: entry.id, sha256: entry.sha256, created: entry.created, ..old.clone() };
        // One that ends sooner still does.
        let time = |at: &Option<String>| humantime::parse_rfc3339(at.as_deref()?).ok();
        let ends = time(&old.expires);
        // As long-lived as the old one was meant to be.
        let lives = ends.zip(time(&old.created)).and_then(|(ends, made)| ends.duration_since(made).ok());
        let expires = lives.map(|lives| moment(SystemTime::now() + lives)).or_else(|| old.expires.clone());
        let renewed = Entry { expires, ..renewed };
        old.expires = Some(moment(ends.map_or(end, |ends| ends.min(end))));
        keys.push(renewed);
        check(keys, settings)
    })?;
    Ok(key)
}

fn made() -> Result<(String, Entry), Vec<String>> {
    let key = draw().map_err(|why| vec![why.to_string()])?;
    let entry = Entry::of(&key).ok_or_else(Vec::new)?;
    Ok((key, Entry { created: Some(moment(SystemTime::now())), ..entry }))
}

fn place(keys: &[Entry], id: &str) -> Result<usize, Vec<String>> {
    keys.iter().position(|entry| entry.id == id).ok_or_else(|| vec![format!("there is no key {id}")])
}

fn moment(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

fn line(entry: &Entry) -> String {
    let number = |name: &str, value: Option<NonZeroU32>| value.map(|value| format!("{name}={value}"));
    let text = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name}={value}"));
    let known = [
        text("tenant", &entry.tenant),
        text("audience", &entry.audience),
        text("upstream", &entry.upstream),
        number("requests_per_minute", entry.requests_per_minute),
        number("bytes_per_minute", entry.bytes_per_minute),
        number("in_flight", entry.in_flight),
        text("created", &entry.created),
        text("expires", &entry.expires),
        text("note", &entry.note),
    ];
    std::iter::once(entry.id.clone()).chain(known.into_iter().flatten()).collect::<Vec<_>>().join("  ")
}
