//! The real binary, and one that serves on free ports.

#![allow(dead_code, reason = "each test file uses its own part")]
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

pub fn nonnocere(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nonnocere"));
    command.args(arguments);
    command
}

/// A serving binary on free ports.
pub struct Serving {
    pub child: Child,
    pub clients: String,
    pub operators: String,
    pub greeting: String,
    pub log: std::sync::mpsc::Receiver<String>,
}

impl Serving {
    pub fn start(policy: &str, watch: &str) -> Self {
        let settings = [("NONNOCERE_GUARD__WATCH", watch), ("NONNOCERE_AUDIT__URL", "none")];
        Self::with(policy, &settings.map(|(key, value)| (key, value.to_owned())))
    }

    pub fn with(policy: &str, settings: &[(&str, String)]) -> Self {
        let mut child = nonnocere(&["serve", "--policy", policy])
            .envs(settings.iter().map(|(key, value)| (key, value.as_str())))
            .env("NONNOCERE_SERVER__LISTEN", "127.0.0.1:0")
            .env("NONNOCERE_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut greeting = String::new();
        // The greeting ends with the third curl and an empty line.
        while greeting.matches("curl").count() < 3 || !greeting.ends_with("\n\n") {
            greeting.push_str(&lines.next().expect("the greeting is cut short"));
            greeting.push('\n');
        }
        let address = |label: &str| {
            let line = greeting.lines().find(|line| line.contains(label)).unwrap();
            line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned()
        };
        let (clients, operators) = (address("clients:"), address("operators:"));
        let (log_line, log) = std::sync::mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(log_line.send(line))));
        Self { child, clients, operators, greeting, log }
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Reads the log up to a line that holds `text`.
    pub fn wait_for(&self, text: &str) {
        while !self.log.recv().expect("the log ends").contains(text) {}
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub fn http(address: &str, head: &str, body: &str) -> String {
    try_http(address, head, body).unwrap()
}

/// The answer, unless the connection breaks.
pub fn try_http(address: &str, head: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let length = body.len();
    write!(stream, "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
