//! The pages of the policy: a draft is edited by forms and as text, tried, proposed, approved of by someone else, and taken back; through
//! HTTP, with a real proxy and store.

mod common;
#[path = "common/records.rs"]
mod records;

use bytes::Bytes;
use common::{Got, Options, RunningProxy, ScriptedUpstream};
use http::Request;
use http_body_util::Full;
use nonnocere::audit::act::Word;
use nonnocere::audit::decision::{Decision, Seen};
use nonnocere::audit::key::Signing;
use nonnocere::audit::store::Store;
use nonnocere::classify::Scores;
use nonnocere::config::{Config, Overrides, Promotion};
use nonnocere::console::Records;
use nonnocere::console::account::{Passwords, Role, Wish};
use nonnocere::policy::desk::{Desk, Tried};
use nonnocere::policy::reload::Live;
use nonnocere::policy::versions::Versions;
use records::{decision, sqlite};
use std::path::Path;

const PASSWORD: &str = "tratar-a-todos-bien";

const OURS: &str = r#"# Ours, since 2026.
name = "ours"
unjudgeable = "block"

[on_unavailable]
prompt = "block"
completion = "block"

# The committee chose this.
[[rules]]
name = "violating-prompt"
direction = "prompt"
score = "violation"
threshold = 0.60 # see the minutes of March
action = "block"
message = "No <b>such</b> thing."

[[tests]]
name = "what violates is refused"
prompt = "VIOLATE"
expect = "block"

[[tests]]
name = "what does not passes"
prompt = "What is iron deficiency?"
expect = "pass"
"#;

struct Office {
    proxy: RunningProxy,
    folder: tempfile::TempDir,
}

/// Someone who is signed in.
struct Browser<'a> {
    office: &'a Office,
    cookie: String,
    csrf: String,
}

fn word(by: &str) -> Word {
    Word { by: by.into(), reason: "the first".into(), new_key: false }
}

/// Hundred decisions with violations of 0.00 to 0.99, by a threshold of 0.60.
async fn fill(store: &Store) {
    let scored = |number: i64| {
        let violation = number as f32 / 100.0;
        let action = if violation >= 0.6 { "block" } else { "allow" };
        let time = nonnocere::audit::journal::now() - 1_000_000 + number;
        let alone = Some(Seen::from(&Scores { violation, ..Scores::NONE }));
        Decision { action: action.into(), alone, ..decision(time) }
    };
    store.append(&(0..100).map(scored).collect::<Vec<Decision>>()).await.unwrap();
}

async fn accounts(store: &Store, key: &Signing) {
    let hash = Passwords::default().hash(PASSWORD, "nobody").await.unwrap();
    for (name, role) in
        [("vera", Role::Viewer), ("ana", Role::Editor), ("ben", Role::Approver), ("carl", Role::Approver)]
    {
        store.change_account(name, &Wish::Add(role, Some(hash.clone())), ("root", key)).await.unwrap();
    }
}

/// Puts the policy in force by two.
async fn first_version(versions: &Versions, key: &Signing) {
    let policy = nonnocere::policy::file::parse("ours.toml", OURS).unwrap();
    let tried = Tried { policy, model: "m".into(), backtest: Default::default() };
    let desk = Desk::open(versions.clone(), key, false).await.unwrap();
    desk.put_forward(tried, 100.0, word("ana")).await.unwrap();
    let desk = Desk::open(versions.clone(), key, false).await.unwrap();
    let waiting = desk.waiting((1, 100.0), "ben").await.unwrap();
    desk.approve(waiting, word("ben")).await.unwrap();
}

impl Office {
    async fn open(is_in_store: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = |folder: &Path| Signing::open(&folder.join("key")).unwrap();
        let (store, signing) = (Store::open(&sqlite(folder.path())).await.unwrap(), key(folder.path()));
        fill(&store).await;
        accounts(&store, &signing).await;
        let upstream = ScriptedUpstream::saying("All is well.").await;
        let mut options = Options::new(&upstream.url());
        if is_in_store {
            let versions = Versions::new(store.clone(), vec![signing.public()]).by_two(true);
            first_version(&versions, &signing).await;
            options.live = Some(Live::follow(versions).await.unwrap());
        }
        let config = Config::load(&Overrides::default()).unwrap();
        let promotion = Promotion { second_approver: true, ..config.promotion };
        options.records = Some(Records { store, key: key(folder.path()), audit: config.audit.unwrap(), promotion });
        Self { proxy: RunningProxy::start(options).await, folder }
    }

    async fn sign_in(&self, name: &str) -> Browser<'_> {
        let mut browser = Browser { office: self, cookie: String::new(), csrf: String::new() };
        let got = browser.post("/console/sign-in", &[("name", name), ("password", PASSWORD)]).await;
        assert_eq!(got.status, 303, "{}", page(&got));
        browser.cookie = got.header("set-cookie").split(';').next().unwrap().to_owned();
        let shown = page(&browser.get("/console/about").await);
        let csrf = shown.split("name=\"csrf\" value=\"").nth(1).unwrap();
        browser.csrf = csrf.split('"').next().unwrap().to_owned();
        browser
    }

    /// What is in force, after the proxy has looked.
    async fn in_force(&self) -> String {
        let request = Request::post(format!("http://{}/policy/reload", self.proxy.admin)).body(Full::default());
        let got = self.proxy.send(request.unwrap()).await;
        got.json()["versions"].as_str().unwrap().to_owned()
    }

    fn threshold(&self) -> f32 {
        self.proxy.proxy.policy.snapshot().rules[0].threshold
    }
}

impl Browser<'_> {
    async fn get(&self, path: &str) -> Got {
        let request = Request::get(format!("http://{}{path}", self.office.proxy.admin)).header("cookie", &self.cookie);
        self.office.proxy.send(request.body(Full::default()).unwrap()).await
    }

    async fn page(&self, path: &str) -> String {
        let got = self.get(path).await;
        assert_eq!(got.status, 200, "{path}: {}", page(&got));
        page(&got)
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields).append_pair("csrf", &self.csrf);
        let request = Request::post(format!("http://{}{path}", self.office.proxy.admin))
            .header("cookie", &self.cookie)
            .header("content-type", "application/x-www-form-urlencoded");
        self.office.proxy.send(request.body(Full::new(Bytes::from(form.finish()))).unwrap()).await
    }

    /// Posts what must be done, and is sent on.
    async fn does(&self, path: &str, fields: &[(&str, &str)]) {
        let got = self.post(path, fields).await;
        assert_eq!(got.status, 303, "{path}: {}", page(&got));
    }

    /// The digest of the draft's text, which its forms carry.
    async fn was(&self, draft: &str) -> String {
        let shown = self.page(&format!("/console/policy/drafts/{draft}")).await;
        let was = shown.split("name=\"was\" value=\"").nth(1).unwrap();
        was.split('"').next().unwrap().to_owned()
    }

    async fn saves(&self, draft: &str, fields: &[(&str, &str)]) {
        let was = self.was(draft).await;
        let fields = [&[("was", was.as_str())], fields].concat();
        self.does(&format!("/console/policy/drafts/{draft}"), &fields).await;
    }

    async fn text(&self, draft: &str) -> String {
        self.page(&format!("/console/policy/drafts/{draft}/text")).await
    }

    /// Has the draft tried, and waits for what comes out.
    async fn tries(&self, draft: &str) -> String {
        let path = format!("/console/policy/drafts/{draft}/trial");
        self.does(&path, &[("days", "30")]).await;
        loop {
            let got = self.get(&path).await;
            if got.header("refresh").is_empty() {
                return page(&got);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn proposes(&self, draft: &str) -> Got {
        let was = self.was(draft).await;
        let path = format!("/console/policy/drafts/{draft}/propose");
        self.post(&path, &[("was", &was), ("share", "100"), ("reason", "too <i>lax</i>")]).await
    }
}

fn page(got: &Got) -> String {
    String::from_utf8_lossy(&got.body).into_owned()
}

#[tokio::test]
async fn a_draft_goes_its_way() {
    let office = Office::open(true).await;
    let (ana, ben, carl) = (office.sign_in("ana").await, office.sign_in("ben").await, office.sign_in("carl").await);
    let shown = ana.page("/console/policy").await;
    assert!(shown.contains("A prompt with a violation of 0.60 or more is refused."), "{shown}");
    ana.does("/console/policy/drafts", &[("name", "tighter"), ("base", "")]).await;
    assert_eq!(ana.text("tighter").await, OURS);
    let fields = [
        ("wish", "rules"),
        ("threshold:violating-prompt", "0.5"),
        ("context:violating-prompt", ""),
        ("action:violating-prompt", "block"),
        ("mode:violating-prompt", "on"),
        ("message:violating-prompt:en", "No <b>such</b> thing."),
    ];
    ana.saves("tighter", &fields).await;
    assert_eq!(ana.text("tighter").await, OURS.replace("0.60 #", "0.5 #"));
    ana.saves("tighter", &[("wish", "test"), ("name", "new"), ("prompt", "CRISIS"), ("expect", "pass")]).await;
    assert!(ana.text("tighter").await.ends_with("name = \"new\"\nprompt = \"CRISIS\"\nexpect = \"pass\"\n"));

    let curve = ana.get("/console/policy/drafts/tighter/curve.json?rule=violating-prompt").await.json();
    let at = |what: &str, threshold: f64| {
        let place = curve["threshold"].as_array().unwrap().iter().position(|one| one == threshold).unwrap();
        curve[what][place].as_i64().unwrap()
    };
    assert_eq!([at("refused", 0.5), at("allowed", 0.5), at("refused", 0.8), at("allowed", 0.8)], [10, 0, 0, 20]);
    let table = ana.page("/console/policy/drafts/tighter/curve?rule=violating-prompt").await;
    assert!(table.contains("From all 100 decisions on record"), "{table}");

    assert_eq!(ben.proposes("tighter").await.status, 422, "it was not tried");
    let found = ben.tries("tighter").await;
    assert!(found.contains("3 tests hold"), "{found}");
    assert!(found.contains(" (UTC), 40 were stopped and 50 would be: 10 newly refused, 0 newly allowed"), "{found}");
    let got = ben.proposes("tighter").await;
    assert_eq!((got.status.as_u16(), got.header("location")), (303, "/console/policy"), "{}", page(&got));
    assert!(office.in_force().await.contains("v2 for all conversations, proposed by ben, waits"));
    let shown = carl.page("/console/policy/proposal").await;
    assert!(shown.contains("+ threshold = 0.5 # see the minutes of March"), "{shown}");

    let approval = [("version", "2"), ("share", "100"), ("reason", "seen")];
    assert_eq!(ana.post("/console/policy/approve", &approval).await.status, 403, "an editor does not approve");
    let own = ben.post("/console/policy/approve", &approval).await;
    assert!(own.status == 422 && page(&own).contains("ben proposed it, so someone else must approve"));
    // Who gives someone an account can sign in with it.
    let hash = Passwords::default().hash(PASSWORD, "nobody").await.unwrap();
    let key = Signing::open(&office.folder.path().join("key")).unwrap();
    let store = Store::open(&sqlite(office.folder.path())).await.unwrap();
    store.change_account("dora", &Wish::Add(Role::Approver, Some(hash)), ("ben", &key)).await.unwrap();
    let puppet = office.sign_in("dora").await.post("/console/policy/approve", &approval).await;
    assert!(puppet.status == 422 && page(&puppet).contains("has given you your account"), "{}", page(&puppet));
    let other = carl.post("/console/policy/approve", &[("version", "1"), ("share", "100"), ("reason", "x")]).await;
    assert_eq!(other.status, 422);
    carl.does("/console/policy/approve", &approval).await;
    assert_eq!(office.in_force().await, "v2 is in force");
    assert!((office.threshold() - 0.5).abs() < 1e-6);
    let shown = carl.page("/console/policy").await;
    assert!(shown.contains("too &lt;i&gt;lax&lt;/i&gt;") && !shown.contains("<i>lax"), "{shown}");

    carl.does("/console/policy/rollback", &[("back", "1"), ("reason", "too strict")]).await;
    assert_eq!(office.in_force().await, "v1 is in force");
    assert!((office.threshold() - 0.6).abs() < 1e-6);
    ana.saves("tighter", &[("wish", "remove")]).await;
    assert_eq!(ana.get("/console/policy/drafts/tighter").await.status, 404);
    assert!(office.folder.path().exists());
}

#[tokio::test]
async fn a_broken_draft_names_its_faults_and_changes_nothing() {
    let office = Office::open(true).await;
    let ana = office.sign_in("ana").await;
    ana.does("/console/policy/drafts", &[("name", "odd"), ("base", "v1")]).await;
    assert_eq!(ana.text("odd").await, "name = \"odd\"\nextends = \"v1\"\n");
    let was = ana.was("odd").await;
    let broken = "name = \"odd\"\r\nextends = \"v1\"\r\n[[rules]]\r\nname = \"</textarea><script>alert(1)</script>\"\r\n\
                  threshold = 7\r\n";
    ana.saves("odd", &[("wish", "text"), ("text", broken)]).await;
    let shown = ana.page("/console/policy/drafts/odd").await;
    let line = shown.split("<li id=\"line-5\">").nth(1).unwrap().split("</li>").next().unwrap();
    assert!(line.contains("threshold = 7") && line.contains("expected a probability between 0 and 1"), "{line}");
    assert!(!shown.contains("<script>alert") && shown.contains("&lt;script&gt;alert"), "{shown}");
    // What has faults is neither tried nor proposed.
    ana.does("/console/policy/drafts/odd/trial", &[]).await;
    assert_eq!(ana.proposes("odd").await.status, 422);
    // Whoever saves over what someone else saved is told, and keeps their text.
    let late = [("wish", "text"), ("was", was.as_str()), ("text", "name = \"mine\"")];
    let late = ana.post("/console/policy/drafts/odd", &late).await;
    assert!(late.status == 422 && page(&late).contains("name = &quot;mine&quot;"), "{}", page(&late));
    let wrong = ana.was("odd").await;
    let form = [("wish", "rules"), ("was", wrong.as_str()), ("threshold:violating-prompt", "0.5")];
    assert_eq!(ana.post("/console/policy/drafts/odd", &form).await.status, 422);
    for name in ["", "..", "A", "a/b", "odd"] {
        assert_eq!(ana.post("/console/policy/drafts", &[("name", name)]).await.status, 422, "{name}");
    }
    // No file of the server is read for a draft.
    ana.saves("odd", &[("wish", "text"), ("text", "name = \"odd\"\nextends = \"/etc/passwd\"")]).await;
    let shown = ana.page("/console/policy/drafts/odd").await;
    assert!(shown.contains("expected one of v1, ama") && !shown.contains("root:"), "{shown}");
    assert_eq!(office.in_force().await, "v1 is in force");
    // Who only looks sees all of it, and has no button.
    let vera = office.sign_in("vera").await;
    assert!(!vera.page("/console/policy/drafts/odd").await.contains("value=\"text\""));
    assert_eq!(vera.post("/console/policy/drafts", &[("name", "x")]).await.status, 403);
    let es = Request::get(format!("http://{}/console/policy", office.proxy.admin))
        .header("cookie", format!("{}; language=es", vera.cookie));
    let es = page(&office.proxy.send(es.body(Full::default()).unwrap()).await);
    assert!(es.contains("Un mensaje con una infracción de 0.60 o más se rechaza."), "{es}");
}

#[tokio::test]
async fn a_policy_of_a_file_is_drafted_and_taken_away() {
    let office = Office::open(false).await;
    let ben = office.sign_in("ben").await;
    assert!(ben.page("/console/policy").await.contains("The policy comes from a file"));
    ben.does("/console/policy/drafts", &[("name", "ours"), ("base", "")]).await;
    assert_eq!(ben.text("ours").await, nonnocere::policy::file::EMBEDDED);
    ben.saves("ours", &[("wish", "rules"), ("threshold:manipulation", "0.25")]).await;
    assert!(ben.text("ours").await.contains("threshold = 0.25"));
    let shown = ben.page("/console/policy/drafts/ours").await;
    assert!(shown.contains("give it to whoever runs nonnocere") && !shown.contains("/propose"), "{shown}");
    // Its tests are about what a model knows, and this one knows nothing.
    assert!(ben.tries("ours").await.contains("tests do not hold"));
    for act in ["propose", "promote"] {
        let got = ben.post(&format!("/console/policy/drafts/ours/{act}"), &[("share", "100")]).await;
        assert_eq!(got.status, 404, "{act}");
    }
    assert_eq!(ben.post("/console/policy/rollback", &[("back", "newest"), ("reason", "x")]).await.status, 422);
}
