//! Someone who is signed in to the console of a real proxy, whose store has what real requests left in it.

#![allow(dead_code, reason = "each test file uses its own part")]
use crate::common::{Got, Options, RunningProxy, ScriptedUpstream, ask};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use nonnocere::audit::act::{Act, proven};
use nonnocere::audit::journal::{Journal, Settings};
use nonnocere::audit::key::Signing;
use nonnocere::audit::spool::Spool;
use nonnocere::audit::store::Store;
use nonnocere::audit::vault::Vault;
use nonnocere::config::{Config, Overrides};
use nonnocere::console::Records;
use nonnocere::console::account::{Role, Wish};
use nonnocere::console::session::Life;
use nonnocere::metrics::Metrics;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const LIFE: Life = Life { whole: Duration::from_secs(3600), idle: Duration::from_secs(3600) };

/// A proxy with a console, an audit store and a vault.
pub struct House {
    pub proxy: RunningProxy,
    pub store: Store,
    pub folder: tempfile::TempDir,
}

pub struct Visitor<'a> {
    house: &'a House,
    cookie: String,
    csrf: String,
    language: &'static str,
}

fn key(folder: &Path) -> Signing {
    Signing::open(&folder.join("key")).unwrap()
}

impl House {
    pub async fn open(vault: Option<u8>, set: impl FnOnce(&mut Options, &mut Records)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("audit.db").display())).await.unwrap();
        let settings = Settings {
            store: store.clone(),
            key: key(folder.path()),
            spool: Spool::new(folder.path().join("spool"), 1 << 20),
            required: true,
            queue: 100,
            sign_every: Duration::from_secs(600),
            vault: vault.map(|byte| Vault::new(&[byte; 32], Duration::from_secs(86_400))),
            trust: vec![],
        };
        let (journal, _) = Journal::start(settings, Arc::new(Metrics::new().unwrap()));
        let upstream = ScriptedUpstream::saying("All is well. Then VIOLATE it.").await;
        let config = Config::load(&Overrides::default()).unwrap();
        let audit = config.audit.clone().unwrap();
        let mut records = Records { store: store.clone(), key: key(folder.path()), audit, promotion: config.promotion };
        let mut options = Options::new(&upstream.url());
        options.journal = Some(journal);
        set(&mut options, &mut records);
        options.records = Some(records);
        Self { proxy: RunningProxy::start(options).await, store, folder }
    }

    /// Asks the proxy, and gives the event, once it is stored.
    pub async fn asked(&self, content: &str) -> String {
        self.chat(&ask(content, &json!({}))).await
    }

    pub async fn chat(&self, body: &Value) -> String {
        self.proxy.chat(body).await.header("x-nonnocere-event-id").to_owned()
    }

    pub async fn visitor(&self, name: &str, role: Role) -> Visitor<'_> {
        let key = key(self.folder.path());
        self.store.change_account(name, &Wish::Add(role, None), ("test", &key)).await.unwrap();
        let token = self.store.open_session(name, LIFE).await.unwrap();
        let csrf = self.store.session(&token, LIFE).await.unwrap().unwrap().csrf;
        let cookie = token.cookie(false).to_string().split(';').next().unwrap().to_owned();
        Visitor { house: self, cookie, csrf, language: "en" }
    }

    /// What was done, as it was signed.
    pub async fn acts(&self) -> Vec<Act> {
        proven(&self.store.acts().await.unwrap(), &[key(self.folder.path()).public()]).unwrap()
    }
}

impl Visitor<'_> {
    pub fn speaking(self, language: &'static str) -> Self {
        Self { language, ..self }
    }

    pub fn with_cookie(&mut self, got: &Got) {
        let set = got.header("set-cookie").split(';').next().unwrap().to_owned();
        self.cookie = format!("{}; {set}", self.cookie);
    }

    pub async fn get(&self, path: &str) -> Got {
        self.send(Request::get(self.url(path)), String::new()).await
    }

    /// Posts fields, with the token of the session.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        self.post_as(path, fields, &self.csrf).await
    }

    pub async fn post_as(&self, path: &str, fields: &[(&str, &str)], csrf: &str) -> Got {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("csrf", csrf).extend_pairs(fields);
        let request = Request::post(self.url(path)).header("content-type", "application/x-www-form-urlencoded");
        self.send(request, form.finish()).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.house.proxy.admin)
    }

    async fn send(&self, request: http::request::Builder, body: String) -> Got {
        let request = request.header("cookie", &self.cookie).header("accept-language", self.language);
        self.house.proxy.send(request.body(Full::new(Bytes::from(body))).unwrap()).await
    }
}

/// A page as text.
pub fn page(got: &Got) -> String {
    String::from_utf8(got.body.to_vec()).unwrap()
}

/// What stands after each `before` in a page, up to the next quote.
pub fn all_after(page: &str, before: &str) -> Vec<String> {
    page.split(before).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// No page runs what is written into it.
pub fn assert_harmless(page: &str) {
    for bad in ["<script>alert", " style=", " onclick=", " onload=", "\0", "\u{202e}"] {
        assert!(!page.contains(bad), "{bad:?} in {page}");
    }
}
