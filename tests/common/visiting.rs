//! A console with its store, and people who visit it by browsers that run no script.

#![allow(dead_code, reason = "each test file uses its own part")]
use super::common::{Got, Options, RunningProxy};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use nonnocere::audit::act::Act;
use nonnocere::audit::key::{Public, Signing};
use nonnocere::audit::store::Store;
use nonnocere::config::{Config, Overrides};
use nonnocere::console::Records;
use nonnocere::console::account::{Role, Wish};
use nonnocere::console::session::Life;
use std::collections::BTreeMap;
use std::time::Duration;
use tempfile::TempDir;

/// The hash of [`PASSWORD`], so that not each test has to compute one.
pub const HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c486SNNNvFENf7MdpbsXTg$J0YLLaiuKkkwfhHe5WI/nY/X7kQMumElRyQLz93sNaI";

pub const PASSWORD: &str = "correct horse battery";

pub const SIGN_IN: &str = "/console/sign-in";

/// A console on a free port.
pub struct Site {
    pub proxy: RunningProxy,
    pub store: Store,
    pub key: Signing,
    pub public: Public,
    pub folder: TempDir,
}

impl Site {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with something set.
    pub async fn with(set: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("audit.db").display())).await.unwrap();
        let open = || Signing::open(&folder.path().join("audit.key")).unwrap();
        let config = Config::load(&Overrides::default()).unwrap();
        let mut options = Options::new("http://127.0.0.1:9/v1");
        let audit = config.audit.unwrap();
        options.records = Some(Records { store: store.clone(), key: open(), audit, promotion: config.promotion });
        set(&mut options);
        let (key, public) = (open(), open().public());
        Self { proxy: RunningProxy::start(options).await, store, key, public, folder }
    }

    /// Makes an account, whose password is [`PASSWORD`].
    pub async fn account(&self, name: &str, role: Role) {
        let wish = Wish::Add(role, Some(HASH.to_owned()));
        self.store.change_account(name, &wish, ("tests", &self.key)).await.unwrap();
    }

    /// Someone who is not signed in.
    pub fn visitor(&self) -> Visitor<'_> {
        Visitor { site: self, cookies: BTreeMap::new(), csrf: String::new(), headers: Vec::new() }
    }

    /// Someone who is signed in, by an account that is named as its role, and is made where it is not there.
    pub async fn signed_in(&self, role: Role) -> Visitor<'_> {
        if self.store.account(role.id()).await.unwrap().is_none() {
            self.account(role.id(), role).await;
        }
        let life = Life { whole: Duration::from_secs(3600), idle: Duration::from_secs(3600) };
        let cookie = self.store.open_session(role.id(), life).await.unwrap().cookie(false);
        let mut visitor = self.visitor();
        visitor.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
        assert_eq!(visitor.get("/console/about").await.status, 200);
        visitor
    }

    /// What was done, in its order.
    pub async fn acts(&self) -> Vec<Act> {
        let acts = self.store.acts().await.unwrap();
        acts.iter().map(|act| serde_json::from_str(&act.body).unwrap()).collect()
    }
}

/// A browser.
pub struct Visitor<'a> {
    site: &'a Site,
    pub cookies: BTreeMap<String, String>,
    /// The token of the last page that had one.
    pub csrf: String,
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
}

impl Visitor<'_> {
    pub async fn get(&mut self, path: &str) -> Got {
        self.send((Method::GET, path), "").await
    }

    /// Posts fields with the token of the last page.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Got {
        let csrf = self.csrf.clone();
        let mut form = form_urlencoded::Serializer::new(String::new());
        if !csrf.is_empty() {
            form.append_pair("csrf", &csrf);
        }
        let form = form.extend_pairs(fields).finish();
        self.send((Method::POST, path), &form).await
    }

    /// Posts fields, and loads the page that it is sent on to.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Got {
        let got = self.post(path, fields).await;
        assert_eq!(got.status, 303, "{}", text(&got));
        let path = got.header("location").to_owned();
        self.get(&path).await
    }

    pub async fn send(&mut self, (method, path): (Method, &str), body: &str) -> Got {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.site.proxy.admin));
        if !self.cookies.is_empty() {
            let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", cookies.join("; "));
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let got = self.site.proxy.send(request.body(Full::new(Bytes::from(body.to_owned()))).unwrap()).await;
        for cookie in got.headers.get_all("set-cookie") {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), rest.split(';').next().unwrap().to_owned());
        }
        let page = text(&got);
        let found = page.split_once("name=\"csrf\" value=\"").map(|(_, rest)| rest.split('"').next().unwrap());
        self.csrf = found.map_or_else(|| self.csrf.clone(), str::to_owned);
        got
    }
}

/// The page.
pub fn text(got: &Got) -> String {
    String::from_utf8_lossy(&got.body).into_owned()
}
