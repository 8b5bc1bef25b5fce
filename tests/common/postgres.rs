//! A `PostgreSQL` server of its own for a test: in a folder, on a socket, without a port.

#![allow(dead_code, reason = "each test file uses its own part")]
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

pub struct Postgres {
    server: Child,
    folder: TempDir,
}

/// Where Debian keeps the server's programs, which it does not put on the path.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|one| one.path()).collect();
    found.sort();
    found.pop().map(|version| version.join("bin")).filter(|bin| bin.join("initdb").exists())
}

/// Both databases, each empty: `SQLite` and, where it is installed, `PostgreSQL`.
pub async fn in_both(check: impl AsyncFn(&str)) {
    let folder = tempfile::tempdir().unwrap();
    check(&format!("sqlite:{}", folder.path().join("audit.db").display())).await;
    if let Some(server) = Postgres::start() {
        check(&server.url()).await;
    }
}

impl Postgres {
    /// Starts one; `None`, loudly, where it is not installed.
    pub fn start() -> Option<Self> {
        let Some(bin) = programs() else {
            eprintln!("SKIPPED: PostgreSQL is not installed (Debian's package postgresql), so it is not tried");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        // The server does not run as root.
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|this| std::os::unix::fs::MetadataExt::uid(&this) == 0);
        let as_user = |program: &str| {
            let program = bin.join(program);
            if !is_root {
                return Command::new(program);
            }
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        };
        if is_root {
            assert!(Command::new("chown").args(["postgres", &path]).status().unwrap().success());
        }
        let data = format!("{path}/data");
        let made = as_user("initdb").args(["-D", &data, "-U", "tester", "-A", "trust", "-N"]).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let server = as_user("postgres")
            .args(["-D", &data, "-k", &path, "-c", "listen_addresses="])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self { server, folder };
        // It is asked until it answers.
        let is_ready = || {
            let asked = Command::new(bin.join("pg_isready")).args(["-q", "-h", &path]).status();
            asked.is_ok_and(|status| status.success())
        };
        while !is_ready() {
            std::thread::yield_now();
        }
        Some(started)
    }

    pub fn url(&self) -> String {
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://tester@{folder}/postgres")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its own pid file knows the server behind runuser.
        let pid = std::fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            drop(Command::new("kill").args(["-INT", pid]).status());
        }
        drop(self.server.wait());
    }
}
