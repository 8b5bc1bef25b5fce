//! Pooled connections: TCP, TLS with which certificates, HTTP/1.1 or HTTP/2.

use super::settings::{Http2, Terms, Tls};
use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tower_service::Service;

/// Pooled connections to one server.
pub(crate) type Connections = Client<Timed<HttpsConnector<HttpConnector>>, Full<Bytes>>;

/// A connection over HTTP/2 that is busy and says nothing for so long is asked whether it lives.
const PING: Duration = Duration::from_secs(20);

/// Connections on these terms.
///
/// # Errors
/// When certificates cannot be read.
pub(crate) fn connections(is_encrypted: bool, tls: &Tls, terms: &Terms) -> io::Result<Connections> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new().with_tls_config(config(is_encrypted, tls)?).https_or_http();
    let connector = match terms.http2 {
        Http2::Off => builder.enable_http1().wrap_connector(tcp),
        Http2::Auto => builder.enable_all_versions().wrap_connector(tcp),
        Http2::Only => builder.enable_http2().wrap_connector(tcp),
    };
    let mut pool = Client::builder(TokioExecutor::new());
    pool.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(terms.idle_timeout);
    pool.http2_only(terms.http2 == Http2::Only).http2_keep_alive_interval(PING);
    Ok(pool.build(Timed { connector, timeout: terms.connect_timeout }))
}

fn config(is_encrypted: bool, tls: &Tls) -> io::Result<ClientConfig> {
    let config = ClientConfig::builder();
    let config = match &tls.ca_file {
        Some(file) => config.with_root_certificates(authorities(file)?),
        None if is_encrypted => config.with_native_roots().map_err(missing)?,
        // A server without TLS needs no authorities, and a minimal container has none.
        None => config.with_root_certificates(RootCertStore::empty()),
    };
    match &tls.client {
        None => Ok(config.with_no_client_auth()),
        Some((certificate, key)) => {
            let found = PrivateKeyDer::from_pem_file(key).map_err(|why| unreadable(key, &why))?;
            let identified = config.with_client_auth_cert(certificates(certificate)?, found);
            identified.map_err(|why| unreadable(certificate, &why))
        }
    }
}

fn missing(why: io::Error) -> io::Error {
    io::Error::other(format!("the system's TLS certificates; install ca-certificates: {why}"))
}

fn authorities(file: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|why| unreadable(file, &why))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|why| unreadable(file, &why))?;
    if found.is_empty() { Err(unreadable(file, &"it holds no certificate in PEM")) } else { Ok(found) }
}

fn unreadable(file: &Path, why: &impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {why}", file.display()))
}

/// A connector that gives up in time, be it in the middle of a TLS handshake.
#[derive(Clone)]
pub(crate) struct Timed<C> {
    connector: C,
    timeout: Duration,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl<C: Service<Uri, Error = Failure>> Service<Uri> for Timed<C>
where
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (timeout, connecting) = (self.timeout, self.connector.call(uri));
        Box::pin(async move { tokio::time::timeout(timeout, connecting).await? })
    }
}
