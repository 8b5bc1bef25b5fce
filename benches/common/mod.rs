//! The release binary, as a bench runs it.

#![allow(dead_code, reason = "each bench uses its own part")]

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use tokio::net::TcpStream;

/// A server on a thread of its own, which treats each connection as `serve` does.
pub fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> std::io::Result<SocketAddr>
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                drop(stream.set_nodelay(true));
                tokio::spawn(serve(stream));
            }
        });
    });
    Ok(address)
}

/// A proxy that runs as long as this lives.
pub struct Proxy {
    process: Child,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl Proxy {
    /// The release binary on the first core, with one worker, and with more settings.
    pub fn start(upstream: SocketAddr, settings: &[(&str, &str)]) -> Result<Self, Box<dyn std::error::Error>> {
        let kept = format!("{}/bench-audit", env!("CARGO_TARGET_TMPDIR"));
        let mut process = Command::new("taskset")
            .args(["-c", "0", env!("CARGO_BIN_EXE_nonnocere"), "serve"])
            .env("NONNOCERE_UPSTREAM__URL", format!("http://{upstream}/v1"))
            .env("NONNOCERE_SERVER__LISTEN", "127.0.0.1:0")
            .env("NONNOCERE_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .env("NONNOCERE_GUARD__WORKERS", "1")
            // The same prompts come again and again; what is measured is judging them.
            .env("NONNOCERE_GUARD__REMEMBERED", "0")
            .env("NONNOCERE_LOG__LEVEL", "warn")
            // Decisions are kept as they are by default, but not in this folder.
            .env("NONNOCERE_AUDIT__URL", format!("sqlite:{kept}.db"))
            .env("NONNOCERE_AUDIT__KEY", format!("{kept}.key"))
            .env("NONNOCERE_AUDIT__SPOOL", format!("{kept}.spool"))
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()?;
        // The client and the upstream keep off the proxy's core where there is a second one.
        if std::thread::available_parallelism()?.get() > 1 {
            Command::new("taskset")
                .args(["-a", "-c", "-p", "1", &std::process::id().to_string()])
                .stdout(Stdio::null())
                .status()?;
        }
        let mut lines = BufReader::new(process.stdout.take().ok_or("no output")?).lines().map_while(Result::ok);
        let mut address = |port: &str| -> Result<SocketAddr, Box<dyn std::error::Error>> {
            let line = lines.find(|line| line.contains(port)).ok_or("the proxy did not start")?;
            Ok(line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).ok_or("no address")?.parse()?)
        };
        Ok(Self { address: address("clients:")?, admin: address("operators:")?, process })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
