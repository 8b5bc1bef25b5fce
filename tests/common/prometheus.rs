//! A Prometheus server of its own for a test: in a folder, on a free port.

#![allow(dead_code, reason = "each test file uses its own part")]
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Whatever is waited for comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(150);

pub struct Prometheus {
    server: Child,
    address: String,
    pub folder: TempDir,
}

pub fn deployed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(path)
}

/// Whether Debian's package is there; loudly, where it is not.
pub fn is_installed() -> bool {
    let has = |program: &str| Command::new(program).arg("--version").output().is_ok();
    let is_installed = has("prometheus") && has("promtool");
    if !is_installed {
        eprintln!("SKIPPED: Prometheus is not installed (Debian's package prometheus), so it is not tried");
    }
    is_installed
}

/// What a run of promtool says; it must succeed.
pub fn promtool(arguments: &[&str], input: &[u8]) -> String {
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
    said
}

impl Prometheus {
    /// Starts the shipped configuration in a hurry, on proxies at these admin addresses, with what happened before.
    pub fn start(targets: &[String], history: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("history"), history).unwrap();
        let made = ["tsdb", "create-blocks-from", "openmetrics", &path("history"), &path("data")];
        promtool(&made, b"");
        let shipped = std::fs::read_to_string(deployed("prometheus/prometheus.yml")).unwrap();
        let quoted: Vec<String> = targets.iter().map(|target| format!("{target:?}")).collect();
        let config = shipped
            .replace("\"127.0.0.1:8081\"", &quoted.join(", "))
            .replace("rules/*.yml", deployed("prometheus/rules/*.yml").to_str().unwrap())
            .replace("15s", "1s");
        std::fs::write(path("prometheus.yml"), config).unwrap();
        // Another process may take a port between the two; then there is another.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let address = format!("127.0.0.1:{port}");
            let server = Command::new("prometheus")
                .args(["--enable-feature=exemplar-storage", "--log.level=error"])
                .arg(format!("--config.file={}", path("prometheus.yml")))
                .arg(format!("--storage.tsdb.path={}", path("data")))
                .arg(format!("--web.listen-address={address}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut started = Self { server, address, folder: tempfile::tempdir().unwrap() };
            let begun = Instant::now();
            while begun.elapsed() < PATIENCE && started.server.try_wait().unwrap().is_none() {
                if started.get("/-/ready").is_some_and(|body| body.contains("Ready")) {
                    started.folder = folder;
                    return started;
                }
                std::thread::yield_now();
            }
        }
        panic!("Prometheus does not start");
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        // HTTP/1.0 has no chunks.
        write!(stream, "GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.address).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }

    /// What the API says at a path.
    pub fn api(&self, path: &str) -> Value {
        let body = self.get(&format!("/api/v1/{path}")).unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"));
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// The samples that a query finds now: their labels and values.
    pub fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let found = self.api(&format!("query?query={}", encoded(query)));
        let samples = found["result"].as_array().unwrap_or_else(|| panic!("{query}: {found}")).clone();
        let value = |sample: &Value| sample["value"][1].as_str().unwrap().parse().unwrap();
        samples.iter().map(|sample| (sample["metric"].clone(), value(sample))).collect()
    }

    /// The one value that a query finds, or nothing.
    pub fn value(&self, query: &str) -> Option<f64> {
        self.query(query).first().map(|(_, value)| *value)
    }

    /// Asks until the answer is as it should be.
    pub fn wait_for(&self, query: &str, is_so: impl Fn(f64) -> bool) {
        let begun = Instant::now();
        loop {
            let found = self.value(query);
            if found.is_some_and(&is_so) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{query} is {found:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

pub fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
