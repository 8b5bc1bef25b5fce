//! An upstream that can be killed and brought back, holds its answers, speaks TLS or HTTP/2.

#![allow(dead_code, reason = "each test file uses its own part")]
use crate::common::{Asked, chat_answer};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use nonnocere::upstream::{EndpointSettings, Terms, breaker};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

type Script = Arc<dyn Fn(&Asked) -> Response<Bytes> + Send + Sync>;

/// One server behind the proxy.
pub struct Upstream {
    pub address: SocketAddr,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    /// The HTTP of each request.
    pub versions: Arc<Mutex<Vec<http::Version>>>,
    script: Arc<Mutex<Script>>,
    /// Answers wait while this is true.
    held: watch::Sender<bool>,
    tls: Option<TlsAcceptor>,
    running: Option<JoinHandle<()>>,
}

impl Upstream {
    pub async fn start(script: impl Fn(&Asked) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        Self::with_tls(script, None).await
    }

    pub async fn with_tls(
        script: impl Fn(&Asked) -> Response<Bytes> + Send + Sync + 'static,
        tls: Option<TlsAcceptor>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script: Script = Arc::new(script);
        let (held, _) = watch::channel(false);
        let mut upstream = Self {
            address,
            asked: Arc::default(),
            versions: Arc::default(),
            script: Arc::new(Mutex::new(script)),
            held,
            tls,
            running: None,
        };
        upstream.run(listener);
        upstream
    }

    pub async fn saying(content: &'static str) -> Self {
        Self::start(move |asked| chat_answer(asked, content)).await
    }

    /// Answers otherwise from now on.
    pub fn answers(&self, script: impl Fn(&Asked) -> Response<Bytes> + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    pub fn hold(&self, is_held: bool) {
        self.held.send_replace(is_held);
    }

    pub fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// Nobody listens any more, and open connections break.
    pub async fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            drop(running.await);
        }
    }

    /// Listens again, at the same place.
    pub async fn revive(&mut self) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        self.run(socket.listen(64).unwrap());
    }

    fn run(&mut self, listener: TcpListener) {
        let (script, asked, versions) = (Arc::clone(&self.script), Arc::clone(&self.asked), Arc::clone(&self.versions));
        let (held, tls) = (self.held.subscribe(), self.tls.clone());
        self.running = Some(tokio::spawn(async move {
            // Connections end with the server.
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, asked, versions) = (Arc::clone(&script), Arc::clone(&asked), Arc::clone(&versions));
                let (held, tls) = (held.clone(), tls.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (script, asked, versions) = (Arc::clone(&script), Arc::clone(&asked), Arc::clone(&versions));
                    let mut held = held.clone();
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let path = parts.uri.path_and_query().unwrap().to_string();
                        let one = Asked { method: parts.method, path, headers: parts.headers, body };
                        asked.lock().unwrap().push(one.clone());
                        versions.lock().unwrap().push(parts.version);
                        drop(held.wait_for(|held| !held).await);
                        let script = Arc::clone(&script.lock().unwrap());
                        Ok::<_, Infallible>(script(&one).map(Full::new))
                    }
                });
                open.spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    match tls {
                        None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(builder.serve_connection(TokioIo::new(stream), service).await);
                            }
                        }
                    }
                });
            }
        }));
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// As the configuration has it.
    pub fn endpoint(&self, name: &str) -> EndpointSettings {
        EndpointSettings::plain(name, self.url().parse().unwrap(), terms())
    }
}

/// Patient, but for what breaks: left alone after two failures, for long.
pub fn terms() -> Terms {
    let breaker = breaker::Terms { failures: 2, pause: Duration::from_secs(3600), longest: Duration::from_secs(3600) };
    Terms { breaker, ..Terms::default() }
}
