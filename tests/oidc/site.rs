//! A console that is known as `console.test`, a real provider, and browsers that go back and forth between them.

use crate::common::{Got, Options, RunningProxy};
use crate::fake::part;
use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::Full;
use nonnocere::audit::act::Act;
use nonnocere::audit::key::Signing;
use nonnocere::audit::store::Store;
use nonnocere::config::{Config, Overrides};
use nonnocere::console::Records;
use nonnocere::console::account::{Role, Wish};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection, Row};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

pub const HOME: &str = "http://console.test/console/";
pub const BEGIN: &str = "http://console.test/console/sign-in/oidc";
pub const BACK: &str = "http://console.test/console/sign-in/oidc/back";

/// The hash of [`PASSWORD`], so that not each test has to compute one.
pub const HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c486SNNNvFENf7MdpbsXTg$J0YLLaiuKkkwfhHe5WI/nY/X7kQMumElRyQLz93sNaI";
pub const PASSWORD: &str = "correct horse battery";

/// A real provider, in node: it knows one person a role, a guest, and no nobody.
pub struct Provider {
    _child: Child,
    pub issuer: String,
}

impl Provider {
    /// `None` where there is no node to run it, or no npm to have installed its modules.
    pub async fn start() -> Option<Self> {
        for program in ["node", "npm"] {
            let version = Command::new(program).arg("--version").output().await;
            if !version.is_ok_and(|output| output.status.success()) {
                eprintln!("SKIPPED: no real provider is tried, because {program} is not installed");
                return None;
            }
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let modules = root.join("target/oidc-test");
        assert!(
            modules.join("installed").is_file(),
            "the provider is not installed; `make test` does it (it needs an npm registry)"
        );
        let client = json!({"client_id": "guardrail", "client_secret": "hush", "redirect_uris": [BACK],
                            "grant_types": ["authorization_code"], "response_types": ["code"]});
        let person = |role: Role| {
            // All are viewers too.
            let claims = json!({"preferred_username": format!("The.{}", role.id()), "groups": ["viewers", format!("{}s", role.id())]});
            (role.id().to_owned(), claims)
        };
        let mut people: Map<String, Value> = Role::ALL.into_iter().map(person).collect();
        people.insert("guest".to_owned(), json!({"preferred_username": "guest", "groups": ["cooks"]}));
        let mut child = Command::new("node");
        child.current_dir(modules).args(["--input-type=module", "-"]);
        child.args([client.to_string(), Value::Object(people).to_string()]);
        child.stdin(File::open(root.join("tests/oidc/provider.mjs")).unwrap());
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let issuer = lines.next_line().await.unwrap().expect("the provider does not start");
        Some(Self { _child: child, issuer })
    }
}

/// A console.
pub struct Site {
    pub proxy: RunningProxy,
    pub store: Store,
    pub key: Signing,
    /// How often one may go to the provider.
    pub address_attempts: u32,
    url: String,
    _folder: TempDir,
}

impl Site {
    /// One that knows the provider of this name.
    pub async fn start(issuer: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("audit.db").display());
        Self::at((folder, url), issuer).await
    }

    /// The same, which keeps what it keeps in the store at a URL.
    pub async fn keeping(url: &str, issuer: &str) -> Self {
        Self::at((tempfile::tempdir().unwrap(), url.to_owned()), issuer).await
    }

    async fn at((folder, url): (TempDir, String), issuer: &str) -> Self {
        let file = folder.path().join("config.toml");
        let roles = Role::ALL.map(|role| format!("{0}s = \"{0}\"\n", role.id())).concat();
        let text = format!(
            "[console]\nurl = \"http://console.test\"\n[console.oidc]\nissuer = \"{issuer}\"\nclient_id = \"guardrail\"\n\
             client_secret = \"hush\"\nname = \"St. Mary\"\n[console.oidc.roles]\n{roles}"
        );
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&Overrides { file: Some(file), ..Overrides::default() }).unwrap();
        let store = Store::open(&url).await.unwrap();
        let open = || Signing::open(&folder.path().join("audit.key")).unwrap();
        let mut options = Options::new("http://127.0.0.1:9/v1");
        let audit = config.audit.unwrap();
        options.records = Some(Records { store: store.clone(), key: open(), audit, promotion: config.promotion });
        options.console = config.console;
        let address_attempts = options.console.attempts.address.get();
        let key = open();
        Self { proxy: RunningProxy::start(options).await, store, key, address_attempts, url, _folder: folder }
    }

    /// Makes an account, whose password is [`PASSWORD`].
    pub async fn account(&self, name: &str, role: Role) {
        let wish = Wish::Add(role, Some(HASH.to_owned()));
        self.store.change_account(name, &wish, ("tests", &self.key)).await.unwrap();
    }

    /// What was done, in its order.
    pub async fn acts(&self) -> Vec<Act> {
        let acts = self.store.acts().await.unwrap();
        acts.iter().map(|act| serde_json::from_str(&act.body).unwrap()).collect()
    }

    /// A browser of someone whom the provider knows by `sub`.
    pub fn browser(&self, sub: &str) -> Browser<'_> {
        Browser { site: self, sub: sub.to_owned(), language: "en", cookies: BTreeMap::new() }
    }

    pub async fn execute(&self, query: &str) {
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        sqlx::query(AssertSqlSafe(query.to_owned())).execute(&mut connection).await.unwrap();
    }

    pub async fn count(&self, query: &str) -> i64 {
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        sqlx::query(AssertSqlSafe(query.to_owned())).fetch_one(&mut connection).await.unwrap().get(0)
    }
}

pub fn text(got: &Got) -> String {
    String::from_utf8(got.body.to_vec()).unwrap()
}

/// Where a provider sends back a browser that came to `address`.
pub fn back(address: &str) -> String {
    format!("{BACK}?code=c&state={}", part(address, "state"))
}

/// A browser that keeps cookies, by host and name.
pub struct Browser<'a> {
    site: &'a Site,
    sub: String,
    pub language: &'static str,
    cookies: BTreeMap<(String, String), String>,
}

impl Browser<'_> {
    /// A cookie of the console.
    pub fn kept(&self, name: &str) -> Option<String> {
        self.cookies.get(&("console.test".to_owned(), name.to_owned())).cloned()
    }

    pub fn keep(&mut self, name: &str, value: &str) {
        self.cookies.insert(("console.test".to_owned(), name.to_owned()), value.to_owned());
    }

    async fn send(&mut self, (method, url): (Method, &str), body: String) -> Got {
        let uri: Uri = url.parse().unwrap();
        let host = uri.authority().unwrap().to_string();
        let address = if host == "console.test" { self.site.proxy.admin.to_string() } else { host.clone() };
        let cookies = self.cookies.iter().filter(|((of, _), _)| *of == host);
        let cookies: Vec<String> = cookies.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut request =
            Request::builder().method(method).uri(format!("http://{address}{}", uri.path_and_query().unwrap()));
        request = request.header("host", &host).header("cookie", cookies.join("; "));
        request = request.header("accept-language", self.language).header("x-sub", &self.sub);
        request = request.header("content-type", "application/x-www-form-urlencoded");
        let got = self.site.proxy.send(request.body(Full::new(Bytes::from(body))).unwrap()).await;
        for cookie in got.headers.get_all("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            let key = (host.clone(), name.to_owned());
            match value.is_empty() || cookie.contains("Max-Age=0") || cookie.contains("1970") {
                true => drop(self.cookies.remove(&key)),
                false => drop(self.cookies.insert(key, value.to_owned())),
            }
        }
        got
    }

    pub async fn get(&mut self, url: &str) -> Got {
        self.send((Method::GET, url), String::new()).await
    }

    pub async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Got {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send((Method::POST, url), body).await
    }

    /// Goes where it is sent, until it is sent no further; also says where it was.
    pub async fn follow(&mut self, url: &str) -> (Got, Vec<String>) {
        let mut path = vec![url.to_owned()];
        loop {
            assert!(path.len() < 12, "{path:?}");
            let url = path.last().unwrap().clone();
            let got = self.get(&url).await;
            if !got.status.is_redirection() {
                return (got, path);
            }
            path.push(next(&url, got.header("location")));
        }
    }

    /// Goes to the provider and signs in there; where it is sent back to, and does not go.
    pub async fn until_back(&mut self, url: &str) -> String {
        let mut url = url.to_owned();
        while !url.starts_with(BACK) {
            let got = self.get(&url).await;
            url = next(&url, got.header("location"));
        }
        url
    }

    /// Begins to sign in; where the provider is.
    pub async fn begin(&mut self) -> String {
        let got = self.get(BEGIN).await;
        assert_eq!(got.status, 303, "{}", text(&got));
        got.header("location").to_owned()
    }

    /// Comes back from the provider, which was at `address`.
    pub async fn come_back(&mut self, address: &str) -> Got {
        self.get(&back(address)).await
    }
}

/// Where a page at `url` sends to.
fn next(url: &str, location: &str) -> String {
    assert!(!location.is_empty(), "{url} sends nowhere");
    if location.starts_with("http") {
        return location.to_owned();
    }
    let uri: Uri = url.parse().unwrap();
    format!("http://{}{location}", uri.authority().unwrap())
}
