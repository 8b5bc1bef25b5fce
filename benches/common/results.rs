//! What was measured, kept by date: `benches/results/DATE-NAME.json` holds the runs of a day, and the picture that each draws.

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// Whether everything is to be short (BENCH_QUICK=1): to see that a bench works, not to measure. Nothing of it is kept.
pub fn quick() -> bool {
    std::env::var_os("BENCH_QUICK").is_some_and(|value| !value.is_empty())
}

/// `full` seconds, or one where everything is to be short.
pub fn seconds(full: f64) -> f64 {
    if quick() { full.min(1.0) } else { full }
}

/// `full` rounds, or one where everything is to be short.
pub fn rounds(full: usize) -> usize {
    if quick() { 1 } else { full }
}

/// Where results are kept.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/results"))
}

/// Adds a run to those of today. `pictures` are [`bars`] and [`curves`].
pub fn keep(name: &str, results: Value, pictures: &[Value]) -> std::io::Result<()> {
    if quick() {
        println!("BENCH_QUICK is set: nothing is kept");
        return Ok(());
    }
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let (day, _) = now.split_once('T').unwrap_or((&now, ""));
    let path = folder().join(format!("{day}-{name}.json"));
    let mut runs: Vec<Value> = match std::fs::read(&path) {
        Ok(kept) => serde_json::from_slice(&kept)?,
        Err(_) => Vec::new(),
    };
    runs.push(json!({"time": now, "commit": commit(), "machine": machine(), "results": results, "pictures": pictures}));
    std::fs::create_dir_all(folder())?;
    std::fs::write(&path, serde_json::to_string_pretty(&runs)? + "\n")?;
    println!("kept in benches/results/{day}-{name}.json");
    Ok(())
}

/// A picture of values side by side.
pub fn bars(name: &str, title: &str, values: &[(String, f64)]) -> Value {
    json!({"name": name, "title": title, "bars": values})
}

/// A picture of lines, both axes logarithmic.
pub fn curves(name: &str, title: &str, axes: [&str; 2], lines: &[(String, Vec<(f64, f64)>)]) -> Value {
    json!({"name": name, "title": title, "axes": axes, "lines": lines})
}

fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let cores = text.lines().filter(|line| line.starts_with("processor")).count();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let named = |key| value(key).unwrap_or_default();
    format!(
        "{} (family {}, model {}) at {} MHz, {cores} cores, load {load}",
        named("model name"),
        named("cpu family"),
        named("model\t"),
        named("cpu MHz")
    )
}
