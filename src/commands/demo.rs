//! `nonnocere demo`: the demo by itself, in a character of which it is known how readily it complies.

use crate::demo::{Character, serve};
use anyhow::Context;
use clap::Args;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

/// How it is to be served.
#[derive(Args)]
pub struct DemoWanted {
    /// Where; port 0 for any that is free. The URL is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Who answers.
    #[arg(long, value_enum, default_value_t)]
    character: Character,
    /// How long each answer takes.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    delay: Duration,
}

/// Serves until it is ended, and says where.
///
/// # Errors
/// When the port cannot be had.
pub async fn run(DemoWanted { listen, character, delay }: DemoWanted) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("--listen {listen}"))?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}/v1", listener.local_addr()?)?;
    out.flush()?;
    serve(listener, character, delay).await;
    Ok(())
}
