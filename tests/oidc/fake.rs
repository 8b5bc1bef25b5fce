//! A provider that says what a test has it say.

use crate::common::{ScriptedUpstream, answer};
use crate::site::Browser;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use nonnocere::digest::hmac;
use openidconnect::core::{CoreEdDsaPrivateSigningKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKeyId, PrivateSigningKey};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// What it says next.
struct Says {
    key: (u8, &'static str),
    token: String,
    /// In place of what it says of itself.
    discovered: Option<(u16, String)>,
}

pub struct Fake {
    server: ScriptedUpstream,
    says: Arc<Mutex<Says>>,
}

/// The key of a number.
fn key((seed, id): (u8, &str)) -> CoreEdDsaPrivateSigningKey {
    // PKCS #8 of an Ed25519 key (RFC 8410, section 7).
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([seed; 32]);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(&der));
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(JsonWebKeyId::new(id.to_owned()))).unwrap()
}

/// What of a token is signed.
pub fn input(header: &Value, claims: &Value) -> String {
    [header, claims].map(|part| BASE64URL_NOPAD.encode(part.to_string().as_bytes())).join(".")
}

/// A token that is signed by the key of a number.
pub fn signed(seed: u8, id: &str, claims: &Value) -> String {
    let input = input(&json!({"alg": "EdDSA", "kid": id}), claims);
    let signature = key((seed, id)).sign(&CoreJwsSigningAlgorithm::EdDsa, input.as_bytes()).unwrap();
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// A token that is signed by the secret of the client.
pub fn by_secret(header: &Value, claims: &Value) -> String {
    let input = input(header, claims);
    let mut secret = [0; 32];
    secret[..4].copy_from_slice(b"hush");
    format!("{input}.{}", BASE64URL_NOPAD.encode(&hmac(&secret, &[input.as_bytes()])))
}

/// A field of the query of an address.
pub fn part(address: &str, name: &str) -> String {
    let query = address.split_once('?').unwrap().1;
    let found = form_urlencoded::parse(query.as_bytes()).find(|(found, _)| found == name);
    found.unwrap_or_else(|| panic!("{address} lacks {name}")).1.into_owned()
}

impl Fake {
    pub async fn start() -> Self {
        let says = Arc::new(Mutex::new(Says { key: (1, "k1"), token: String::new(), discovered: None }));
        let said = Arc::clone(&says);
        let server = ScriptedUpstream::start(move |asked| {
            let says = said.lock().unwrap();
            let issuer = format!("http://{}", asked.headers["host"].to_str().unwrap());
            let json = |value: &Value| answer(200, "application/json", &value.to_string());
            match asked.path.as_str() {
                "/.well-known/openid-configuration" => {
                    if let Some((status, body)) = &says.discovered {
                        let mut answer = answer(*status, "application/json", body);
                        answer.headers_mut().insert("location", "/elsewhere".parse().unwrap());
                        return answer;
                    }
                    json(&json!({"issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"),
                        "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/jwks"),
                        "response_types_supported": ["code"], "subject_types_supported": ["public"],
                        "id_token_signing_alg_values_supported": ["EdDSA", "HS256", "none"]}))
                }
                "/jwks" => json(&json!({"keys": [key(says.key).as_verification_key()]})),
                "/token" => {
                    let mut body = json!({"access_token": "a", "token_type": "Bearer"});
                    if !says.token.is_empty() {
                        body["id_token"] = json!(says.token);
                    }
                    json(&body)
                }
                _ => answer(404, "text/plain", ""),
            }
        });
        Self { server: server.await, says }
    }

    pub fn issuer(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// How often it was asked for a path.
    pub fn asked(&self, path: &str) -> usize {
        self.server.asked().iter().filter(|asked| asked.path == path).count()
    }

    pub fn change_key(&self, seed: u8, id: &'static str) {
        self.says.lock().unwrap().key = (seed, id);
    }

    pub fn discovered(&self, said: Option<(u16, String)>) {
        self.says.lock().unwrap().discovered = said;
    }

    /// The token that it gives next.
    pub fn give(&self, token: String) {
        self.says.lock().unwrap().token = token;
    }

    /// What holds, but for what `more` says; `null` takes away.
    pub fn claims(&self, more: &Value, nonce: &str) -> Value {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let mut claims =
            json!({"iss": self.issuer(), "aud": "guardrail", "exp": now + 600, "iat": now, "nonce": nonce});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    /// Signs in someone of whom these things are claimed.
    pub async fn sign_in(&self, browser: &mut Browser<'_>, more: &Value) -> crate::common::Got {
        let address = browser.begin().await;
        let (seed, id) = self.says.lock().unwrap().key;
        self.give(signed(seed, id, &self.claims(more, &part(&address, "nonce"))));
        browser.come_back(&address).await
    }
}
