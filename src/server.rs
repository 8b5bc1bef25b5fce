//! Accepts connections and serves them until told to stop; then lets requests in flight finish.

use crate::config::Limits;
use crate::response::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// A listener and the terms on which it is served.
pub struct Server {
    /// Where connections come in.
    pub listener: TcpListener,
    /// What a connection may cost.
    pub limits: Limits,
    /// How long requests in flight may take after `shutdown`.
    pub drain_timeout: Duration,
    /// Turns true when it is time to stop.
    pub shutdown: watch::Receiver<bool>,
}

impl Server {
    /// Serves `handle` until told to stop, then drains. Each request knows who it is from: its extensions hold the peer's
    /// [`SocketAddr`].
    pub async fn run<H, F>(mut self, handle: H)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let connections = Arc::new(Semaphore::new(self.limits.connections));
        let mut open = tokio::task::JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.listener, &connections) => accepted,
                Some(_) = open.join_next() => continue,
                () = told_to_stop(&mut self.shutdown) => break,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    let handle = handle.clone();
                    let handle = move |mut request: Request<Incoming>| {
                        request.extensions_mut().insert(peer);
                        handle(request)
                    };
                    let connection = serve(stream, self.limits.clone(), handle, self.shutdown.clone());
                    open.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // Out of descriptors, most likely: one that ends frees one.
                    open.join_next().await;
                }
            }
        }
        drop(self.listener);
        let drained = async { while open.join_next().await.is_some() {} };
        if tokio::time::timeout(self.drain_timeout, drained).await.is_err() {
            tracing::warn!("requests in flight were cut off at the end of server.drain_timeout");
        }
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, permit))
}

async fn serve<H, F>(stream: TcpStream, limits: Limits, handle: H, mut shutdown: watch::Receiver<bool>)
where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    // Without this, Nagle's algorithm holds small writes back for 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let service = service_fn(move |request| {
        let answer = handle(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let speaks_http2 = tokio::select! {
        spoken = speaks_http2(&stream, limits.header_timeout) => spoken,
        // Nothing was asked yet.
        () = told_to_stop(&mut shutdown) => return,
    };
    match speaks_http2 {
        Some(true) => serve_http2(stream, &limits, service, shutdown).await,
        Some(false) => serve_http1(stream, &limits, service, shutdown).await,
        // It never asked.
        None => {}
    }
}

/// What a client says first that speaks HTTP/2 without being asked (prior knowledge); no request of HTTP/1 begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether the client begins with [`PREFACE`], as far as its first packet shows; nothing where nothing comes.
async fn speaks_http2(stream: &TcpStream, patience: Duration) -> Option<bool> {
    let mut first = [0; PREFACE.len()];
    let read = tokio::time::timeout(patience, stream.peek(&mut first)).await.ok()?.ok()?;
    (read > 0).then_some(read == PREFACE.len() && first == PREFACE)
}

async fn serve_http1<S>(stream: TcpStream, limits: &Limits, service: S, mut shutdown: watch::Receiver<bool>)
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible> + Send,
{
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let served = tokio::select! {
        served = &mut connection => served,
        () = told_to_stop(&mut shutdown) => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let Err(error) = served else { return };
    tracing::debug!(%error, "a connection ended early");
    let http1::Parts { io, read_buf, .. } = connection.into_parts();
    // hyper just closes; a client that was in the middle of its headers is told why.
    if error.is_timeout() && !read_buf.is_empty() {
        answer_timeout(io.into_inner()).await;
    }
}

/// Requests at once on one connection of HTTP/2; more wait for one of them.
const STREAMS: u32 = 128;

/// All headers of one request, in bytes: about as many as HTTP/1 allows here.
const HEADER_BYTES: u32 = 64 * 1024;

async fn serve_http2<S>(stream: TcpStream, limits: &Limits, service: S, mut shutdown: watch::Receiver<bool>)
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Send> + Send + 'static,
{
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES)
        // A client that is gone says nothing; one that lives answers a ping.
        .keep_alive_interval(limits.body_timeout)
        .keep_alive_timeout(limits.header_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = told_to_stop(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn told_to_stop(shutdown: &mut watch::Receiver<bool>) {
    // An error says that nobody can tell us any more: stop then, too.
    drop(shutdown.wait_for(|stop| *stop).await);
}

async fn answer_timeout(mut stream: TcpStream) {
    let body = crate::openai::error::envelope(
        "The headers did not arrive within limits.header_timeout.",
        "invalid_request_error",
        None,
        "header_timeout",
    )
    .to_string();
    let head = format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // Best effort: the client may be gone.
    if stream.write_all(format!("{head}{body}").as_bytes()).await.is_ok() {
        drop(stream.shutdown().await);
    }
}
