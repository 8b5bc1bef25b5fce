//! The guard that a run asks through: one that runs already, or the proxy itself on a port of the loopback.

use crate::commands::{policy_of, serve};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::proxy;
use crate::upstream::{self, EndpointSettings};
use anyhow::Context;
use http::Uri;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A guard; one that was started here ends with this.
pub(super) struct Guarded {
    /// Its base URL.
    pub(super) url: Uri,
    /// Its policy and its model, or where it is.
    pub(super) id: String,
    _running: Option<watch::Sender<bool>>,
}

impl Guarded {
    /// One that runs already.
    pub(super) fn running(url: Uri) -> Self {
        Self { id: format!("guard at {url}"), url, _running: None }
    }

    /// Starts one before the model, as `serve` would, for so many requests at once. It keeps no decisions.
    pub(super) async fn start(config: &Config, target: Uri, at_once: usize) -> anyhow::Result<Self> {
        let mut config = config.clone();
        config.limits.in_flight = config.limits.in_flight.max(at_once * 2);
        config.limits.connections = config.limits.connections.max(at_once * 2);
        config.queue = config.queue.max(at_once * 2);
        let policy = policy_of(&config).await?;
        let metrics = Arc::new(Metrics::new()?);
        let target = EndpointSettings::plain("target", target, config.upstreams.terms.clone());
        let max_response_bytes = config.limits.response_bytes;
        let target = upstream::Settings { endpoints: vec![target], attempts: 1, max_response_bytes };
        let proxy = Arc::new(serve::proxy(&config, policy, (target, metrics, None))?);
        serve::warm_up(&proxy).await?;
        let id = format!("{}, model {}", proxy.policy.snapshot(), proxy.guard.model());
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the guard")?;
        let url = Uri::try_from(format!("http://{}/v1", listener.local_addr()?))?;
        let (stop, stopping) = watch::channel(false);
        let handle = move |request| {
            let proxy = Arc::clone(&proxy);
            async move { proxy::handle(&proxy, request).await }
        };
        tokio::spawn(serve::server(listener, &config, &stopping).run(handle));
        Ok(Self { url, id, _running: Some(stop) })
    }
}
