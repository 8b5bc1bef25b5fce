//! Upstreams over TLS with authorities of their own, with client certificates, and over HTTP/2.

mod common;
#[path = "common/server.rs"]
mod server;

use common::{Options, RunningProxy, ask, chat_answer};
use http::Version;
use nonnocere::upstream::{EndpointSettings, Http2, Settings, Terms, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use server::Upstream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// An authority whose certificates lie in a folder.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), folder }
    }

    fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// A certificate and its key.
    fn signs(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let files = [".crt", ".key"].map(|ending| self.folder.join(format!("{name}{ending}")));
        std::fs::write(&files[0], params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&files[1], key.serialize_pem()).unwrap();
        files.into()
    }

    /// What a server shows, and whether it asks for a certificate of this authority.
    fn acceptor(&self, asks: bool, alpn: &[&str]) -> TlsAcceptor {
        let (certificate, key) = self.signs("server");
        let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let builder = ServerConfig::builder();
        let builder = if asks {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(self.ca()).unwrap()).unwrap();
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

async fn upstream(acceptor: Option<TlsAcceptor>) -> Upstream {
    Upstream::with_tls(|asked| chat_answer(asked, "Fine, and in several words."), acceptor).await
}

fn encrypted(upstream: &Upstream, tls: Tls, http2: Http2) -> EndpointSettings {
    let url = format!("https://{}/v1", upstream.address).parse().unwrap();
    EndpointSettings { tls, ..EndpointSettings::plain("tls", url, Terms { http2, ..server::terms() }) }
}

async fn proxy(endpoint: EndpointSettings) -> RunningProxy {
    RunningProxy::start(Options { upstreams: vec![endpoint], ..Options::new("http://unused/v1") }).await
}

/// The status of an answer, whole and streamed.
async fn statuses(proxy: &RunningProxy) -> [u16; 2] {
    let whole = proxy.chat(&ask("hello", &json!({}))).await;
    let streamed = proxy.chat(&ask("hello", &json!({"stream": true}))).await;
    [whole, streamed].map(|got| got.status.as_u16())
}

#[tokio::test]
async fn a_server_is_trusted_by_the_authority_that_is_named_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "other"));
    let upstream = upstream(Some(ours.acceptor(false, &[]))).await;
    for (ca_file, expected) in [(ours.ca(), [200, 200]), (other.ca(), [502, 502])] {
        let tls = Tls { ca_file: Some(ca_file), client: None };
        assert_eq!(statuses(&proxy(encrypted(&upstream, tls, Http2::Off)).await).await, expected);
    }
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "other"));
    let upstream = upstream(Some(ours.acceptor(true, &[]))).await;
    for (client, expected) in
        [(Some(ours.signs("proxy")), [200, 200]), (Some(other.signs("stranger")), [502, 502]), (None, [502, 502])]
    {
        let tls = Tls { ca_file: Some(ours.ca()), client };
        assert_eq!(statuses(&proxy(encrypted(&upstream, tls, Http2::Off)).await).await, expected);
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered_or_known() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    for (alpn, http2, expected) in [
        (&["h2", "http/1.1"][..], Http2::Auto, Version::HTTP_2),
        (&["http/1.1"], Http2::Auto, Version::HTTP_11),
        (&["h2", "http/1.1"], Http2::Off, Version::HTTP_11),
        (&["h2"], Http2::Only, Version::HTTP_2),
    ] {
        let upstream = upstream(Some(ours.acceptor(false, alpn))).await;
        let tls = Tls { ca_file: Some(ours.ca()), client: None };
        assert_eq!(statuses(&proxy(encrypted(&upstream, tls, http2)).await).await, [200, 200], "{alpn:?} {http2:?}");
        assert_eq!(*upstream.versions.lock().unwrap(), [expected; 2], "{alpn:?} {http2:?}");
    }
    // Without TLS.
    let upstream = upstream(None).await;
    for (http2, expected) in [(Http2::Only, Version::HTTP_2), (Http2::Auto, Version::HTTP_11)] {
        let mut endpoint = upstream.endpoint("plain");
        endpoint.terms.http2 = http2;
        assert_eq!(statuses(&proxy(endpoint).await).await, [200, 200]);
        let mut versions = upstream.versions.lock().unwrap();
        assert_eq!(std::mem::take(&mut *versions), [expected; 2]);
    }
}

#[tokio::test]
async fn requests_over_http_2_run_at_once_and_outlive_a_connection() {
    let mut upstream = upstream(None).await;
    let mut endpoint = upstream.endpoint("plain");
    endpoint.terms.http2 = Http2::Only;
    endpoint.terms.breaker.failures = 0;
    let proxy = proxy(endpoint).await;
    upstream.hold(true);
    let body = ask("hello", &json!({}));
    let release = async {
        while upstream.count() < 3 {
            tokio::task::yield_now().await;
        }
        upstream.hold(false);
    };
    let (one, two, three, ()) = tokio::join!(proxy.chat(&body), proxy.chat(&body), proxy.chat(&body), release);
    assert_eq!([one, two, three].map(|got| got.status.as_u16()), [200; 3]);
    upstream.kill().await;
    assert_eq!(proxy.chat(&body).await.status, 502);
    upstream.revive().await;
    assert_eq!(proxy.chat(&body).await.status, 200);
}

#[test]
fn certificates_that_cannot_be_read_are_named_before_anything_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let (certificate, _) = ours.signs("proxy");
    let (_, key_of_other) = ours.signs("other");
    for (ca_file, client, named) in [
        (empty.clone(), None, "empty.pem: it holds no certificate"),
        (folder.path().join("gone.pem"), None, "gone.pem"),
        (ours.ca(), Some((certificate.clone(), empty.clone())), "empty.pem"),
        (ours.ca(), Some((certificate, key_of_other)), "proxy.crt"),
    ] {
        let url = "https://llm/v1".parse().unwrap();
        let tls = Tls { ca_file: Some(ca_file), client };
        let endpoint = EndpointSettings { tls, ..EndpointSettings::plain("east", url, Terms::default()) };
        let settings = Settings { endpoints: vec![endpoint], attempts: 1, max_response_bytes: 1 };
        let fault = nonnocere::upstream::Upstream::new(settings, None).err().unwrap().to_string();
        assert!(fault.starts_with("upstream east: ") && fault.contains(named), "{fault}");
    }
}
