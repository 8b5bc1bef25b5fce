//! The provider: what it says of itself, and whom it vouches for. It is asked by our own client: for so long, for so much, and nowhere
//! that it leads to.

use crate::config::Oidc;
use crate::console::session::Token;
use crate::upstream::{self, Connections, Terms, Tls};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http_body_util::{BodyExt, Full, Limited};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreErrorResponseType, CoreIdToken, CoreProviderMetadata,
};
use openidconnect::{
    AsyncHttpClient, AuthType, AuthorizationCode, ClaimsVerificationError, CsrfToken, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, JwsSigningAlgorithm, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RequestTokenError, SignatureVerificationError, StandardErrorResponse, TokenResponse,
};
use serde_json::Value;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer, in bytes.
const LARGEST: usize = 1024 * 1024;

/// How long the provider is taken at its word on itself.
const FRESH: Duration = Duration::from_secs(3600);

/// Why the provider does not vouch for someone, for the log.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// It does not answer, or not as it should.
    Unreachable(String),
    /// It says no, or what it says does not hold.
    Refused(String),
}

/// What must come back: it follows from a cookie, so that it can only by the same browser.
pub(super) struct Secrets {
    pub(super) state: String,
    nonce: String,
    verifier: String,
}

impl Secrets {
    pub(super) fn of(token: &Token) -> Self {
        let [state, nonce, verifier] = ["state", "nonce", "verifier"].map(|thing| token.derived(thing));
        Self { state, nonce, verifier }
    }
}

/// A provider.
pub(in crate::console) struct Provider {
    pub(super) settings: Oidc,
    calls: Calls,
    known: Mutex<Known>,
}

/// What a provider said of itself, and when it last did not.
#[derive(Default)]
struct Known {
    metadata: Option<(Instant, Arc<CoreProviderMetadata>)>,
    failed: Option<(Instant, Fault)>,
}

type Discovered =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

impl Provider {
    /// A provider, of which nothing is asked yet.
    pub(in crate::console) fn new(settings: Oidc) -> std::io::Result<Self> {
        let is_encrypted = settings.issuer.url().scheme() == "https";
        let terms = Terms { connect_timeout: PATIENCE, ..Terms::default() };
        let connections = upstream::connections(is_encrypted, &Tls::default(), &terms)?;
        Ok(Self { settings, calls: Calls { connections, is_encrypted }, known: Mutex::default() })
    }

    /// Where a browser with these secrets is sent.
    pub(super) async fn address(&self, secrets: Secrets) -> Result<String, Fault> {
        let client = self.client(&*self.metadata(None).await?);
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(secrets.verifier));
        let (state, nonce) = (CsrfToken::new(secrets.state), Nonce::new(secrets.nonce));
        let request = client.authorize_url(CoreAuthenticationFlow::AuthorizationCode, || state, || nonce);
        let request = request.add_scopes(self.settings.scopes.iter().cloned()).set_pkce_challenge(challenge);
        let (address, ..) = request.url();
        Ok(address.into())
    }

    /// What the provider says of whoever a code is for.
    pub(super) async fn claims(&self, code: &str, secrets: Secrets) -> Result<Value, Fault> {
        let metadata = self.metadata(None).await?;
        let client = self.client(&metadata);
        let request = client.exchange_code(AuthorizationCode::new(code.to_owned())).map_err(unusable)?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(secrets.verifier));
        let answer = request.request_async(&self.calls).await.map_err(not_exchanged)?;
        let token = answer.id_token().ok_or_else(|| Fault::Refused("it gave no ID token".to_owned()))?;
        let nonce = Nonce::new(secrets.nonce);
        let verified = match verified(&metadata, &client, (token, &nonce)) {
            // It may have changed its keys.
            Err(ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey)) => {
                let metadata = self.metadata(Some(&metadata)).await?;
                verified(&metadata, &self.client(&metadata), (token, &nonce))
            }
            verified => verified,
        };
        verified.map_err(|error| Fault::Refused(format!("its ID token does not hold: {error}")))?;
        payload(token).ok_or_else(|| Fault::Refused("its ID token cannot be read".to_owned()))
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Discovered {
        let Oidc { client_id, client_secret, redirect, .. } = &self.settings;
        let client = CoreClient::from_provider_metadata(metadata.clone(), client_id.clone(), client_secret.clone());
        let methods = metadata.token_endpoint_auth_methods_supported();
        let takes = |method| methods.is_none_or(|methods| methods.contains(&method));
        let auth =
            if takes(CoreClientAuthMethod::ClientSecretBasic) { AuthType::BasicAuth } else { AuthType::RequestBody };
        client.set_redirect_uri(redirect.clone()).set_auth_type(auth)
    }

    /// What the provider says of itself: asked for when it is needed, and again after an hour, or where `outdated` does not do.
    async fn metadata(&self, outdated: Option<&Arc<CoreProviderMetadata>>) -> Result<Arc<CoreProviderMetadata>, Fault> {
        let asked = Instant::now();
        let mut known = self.known.lock().await;
        if let Some((since, metadata)) = &known.metadata
            && since.elapsed() < FRESH
            && outdated.is_none_or(|outdated| !Arc::ptr_eq(outdated, metadata))
        {
            return Ok(Arc::clone(metadata));
        }
        // Who waited while another asked in vain does not wait again.
        if let Some((_, fault)) = known.failed.as_ref().filter(|(at, _)| *at > asked) {
            return Err(fault.clone());
        }
        match self.discover().await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                known.metadata = Some((Instant::now(), Arc::clone(&metadata)));
                Ok(metadata)
            }
            Err(fault) => {
                known.failed = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    async fn discover(&self) -> Result<CoreProviderMetadata, Fault> {
        let metadata =
            CoreProviderMetadata::discover_async(self.settings.issuer.clone(), &self.calls).await.map_err(unusable)?;
        match self.calls.is_encrypted && metadata.authorization_endpoint().url().scheme() != "https" {
            true => Err(unusable(CallFault("it sends people to a page without https".to_owned()))),
            false => Ok(metadata),
        }
    }
}

/// Whether an ID token holds: its issuer, audience, time, nonce, and its signature by a key that is public.
fn verified(
    metadata: &CoreProviderMetadata,
    client: &Discovered,
    (token, nonce): (&CoreIdToken, &Nonce),
) -> Result<(), ClaimsVerificationError> {
    let known = metadata.id_token_signing_alg_values_supported().iter();
    let known = known.filter(|algorithm| !algorithm.uses_shared_secret()).cloned();
    token.claims(&client.id_token_verifier().set_allowed_algs(known), nonce).map(drop)
}

/// All claims of a token that holds: it is these bytes that are signed.
fn payload(token: &CoreIdToken) -> Option<Value> {
    let token = token.to_string();
    let payload = BASE64URL_NOPAD.decode(token.split('.').nth(1)?.as_bytes()).ok()?;
    serde_json::from_slice(&payload).ok()
}

fn unusable(error: impl std::error::Error) -> Fault {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Fault::Unreachable(format!("{error}{cause}"))
}

fn not_exchanged(error: RequestTokenError<CallFault, StandardErrorResponse<CoreErrorResponseType>>) -> Fault {
    match error {
        RequestTokenError::ServerResponse(said) => Fault::Refused(format!("it does not take the code: {said}")),
        error => unusable(error),
    }
}

/// Why a call has no answer.
#[derive(Debug)]
struct CallFault(String);

impl std::error::Error for CallFault {}

impl fmt::Display for CallFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Calls of a provider.
struct Calls {
    connections: Connections,
    is_encrypted: bool,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, CallFault>> + Send + 'a>>;

impl<'a> AsyncHttpClient<'a> for Calls {
    type Error = CallFault;
    type Future = Answer<'a>;

    fn call(&'a self, request: HttpRequest) -> Answer<'a> {
        Box::pin(self.send(request))
    }
}

impl Calls {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, CallFault> {
        // What a provider says of itself must not have secrets sent for all to read.
        if self.is_encrypted && request.uri().scheme_str() != Some("https") {
            return Err(CallFault(format!("{} is without https", request.uri())));
        }
        let answered = async {
            let answer = self.connections.request(request.map(|body| Full::new(Bytes::from(body)))).await;
            let (parts, body) = answer.map_err(|error| CallFault(error.to_string()))?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(|error| CallFault(error.to_string()))?;
            Ok(HttpResponse::from_parts(parts, body.to_bytes().to_vec()))
        };
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        answered.map_err(|_| CallFault(format!("it did not answer in {} s", PATIENCE.as_secs())))?
    }
}
