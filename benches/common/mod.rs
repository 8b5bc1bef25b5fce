//! What the benches share: the release binary as they run it, and a module for each thing that measuring needs.

#![allow(dead_code, reason = "each bench uses its own part")]

pub mod chance;
pub mod goodput;
pub mod load;
pub mod process;
pub mod results;
pub mod stats;
pub mod texts;
pub mod upstream;

pub use load::Fault;
use process::Process;
use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Command;
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
    pub process: Process,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

/// How a proxy is started.
pub struct Launch<'a> {
    /// The cores that it may use.
    pub cores: &'a str,
    /// More arguments of `serve`.
    pub arguments: &'a [&'a str],
    /// More settings, by the environment.
    pub settings: &'a [(&'a str, &'a str)],
}

impl Proxy {
    /// The release binary on the first core, with one worker, and with more settings.
    pub fn start(upstream: SocketAddr, settings: &[(&str, &str)]) -> Result<Self, Fault> {
        Self::launch(upstream, &Launch { cores: "0", arguments: &[], settings })
    }

    /// The release binary.
    pub fn launch(upstream: SocketAddr, launch: &Launch<'_>) -> Result<Self, Fault> {
        let kept = format!("{}/bench-audit", env!("CARGO_TARGET_TMPDIR"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_nonnocere"));
        command
            .arg("serve")
            .args(launch.arguments)
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
            .envs(launch.settings.iter().copied());
        let mut process = Process::on(launch.cores, &command)?;
        process::keep_off()?;
        let mut lines = BufReader::new(process.output()?).lines().map_while(Result::ok);
        let mut address = |port: &str| -> Result<SocketAddr, Fault> {
            let line = lines.find(|line| line.contains(port)).ok_or("the proxy did not start")?;
            Ok(line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).ok_or("no address")?.parse()?)
        };
        Ok(Self { address: address("clients:")?, admin: address("operators:")?, process })
    }
}

/// A runtime on one thread, as the load needs it.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// There and back again: what drifts falls on all alike.
pub fn there_and_back(count: usize) -> impl Iterator<Item = usize> {
    (0..count).chain((0..count).rev())
}
