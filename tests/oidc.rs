//! Signing in to the console with an OpenID Connect provider: with a real one, and with some that lie.

mod common;
#[path = "oidc/fake.rs"]
mod fake;
#[path = "common/postgres.rs"]
mod postgres;
#[path = "oidc/site.rs"]
mod site;

use common::Got;
use fake::{Fake, signed};
use nonnocere::audit::act::{Change, Deed, OURSELVES};
use nonnocere::console::account::{Refusal, Role, Wish};
use serde_json::{Value, json};
use site::{BACK, BEGIN, HOME, PASSWORD, Provider, Site, text};

const LET_IN: &str = "did not let you in";
const OVER: &str = "This sign-in is over";
const TAKEN: &str = "There already is another account of your name";
const DOWN: &str = "does not answer";

/// Whether this is the page on which one signs in, with these words and the form for those who have a password.
fn is_refused(got: &Got, status: u16, words: &str) {
    let page = text(got);
    assert!(got.status == status && page.contains(words), "{} {page}", got.status);
    assert!(page.contains("name=\"password\"") && page.contains("href=\"/console/sign-in/oidc\""), "{page}");
    assert!(!got.headers.get_all("set-cookie").iter().any(|cookie| cookie.to_str().unwrap().starts_with("session=")));
}

#[tokio::test]
async fn people_sign_in_with_a_real_provider_by_their_groups() {
    let Some(provider) = Provider::start().await else { return };
    let site = Site::start(&provider.issuer).await;
    for role in Role::ALL {
        let mut browser = site.browser(role.id());
        let page = text(&browser.get(&format!("{HOME}sign-in?then=%2Fconsole%2Fabout")).await);
        assert!(page.contains("href=\"/console/sign-in/oidc?then=%2Fconsole%2Fabout\""), "{page}");
        assert!(page.contains("Sign in with St. Mary") && page.contains("name=\"password\""), "{page}");
        let (got, path) = browser.follow(&format!("{BEGIN}?then=%2Fconsole%2Fabout")).await;
        assert_eq!((got.status.as_u16(), path.last().unwrap().as_str()), (200, "http://console.test/console/about"));
        assert!(
            path[1].contains("code_challenge_method=S256") && path[1].contains("scope=openid+profile+email"),
            "{path:?}"
        );
        assert!(text(&got).contains(&format!("<strong>the.{}</strong>", role.id())), "{}", text(&got));
        let (account, hash) = site.store.account(&format!("the.{}", role.id())).await.unwrap().unwrap();
        assert_eq!((account.role, hash), (role, None));
        assert_eq!(browser.kept("sign_in"), None, "it is over");
    }
    let acts = site.acts().await;
    let subject = format!("vouched for: {} viewer", provider.issuer);
    assert_eq!((acts[0].by.as_str(), acts[0].reason.as_str()), (OURSELVES, subject.as_str()));
    assert_eq!(
        acts[0].deed,
        Deed::AccountChanged { account: "the.viewer".into(), change: Change::Added(Role::Viewer) }
    );
    assert_eq!((acts[1].by.as_str(), &acts[1].deed), ("the.viewer", &Deed::SignedIn { with: provider.issuer.clone() }));
    assert_eq!(acts.len(), 2 * Role::ALL.len());
}

#[tokio::test]
async fn a_real_provider_lets_in_nobody_who_has_no_role() {
    let Some(provider) = Provider::start().await else { return };
    let site = Site::start(&provider.issuer).await;
    let (got, _) = site.browser("guest").follow(BEGIN).await;
    is_refused(&got, 403, "none of your groups may use this console");
    let (got, path) = site.browser("nobody").follow(BEGIN).await;
    assert!(path.last().unwrap().contains("error=access_denied"), "{path:?}");
    is_refused(&got, 403, LET_IN);
    let mut browser = site.browser("guest");
    browser.language = "es";
    let (got, _) = browser.follow(BEGIN).await;
    is_refused(&got, 403, "ninguno de sus grupos puede usar esta consola");
    assert!(text(&got).contains("Iniciar sesión con St. Mary"));
    assert!(site.store.accounts().await.unwrap().is_empty() && site.acts().await.is_empty());
}

#[tokio::test]
async fn a_real_code_is_of_use_once_and_to_one_browser() {
    let Some(provider) = Provider::start().await else { return };
    let site = Site::start(&provider.issuer).await;
    let mut ana = site.browser("viewer");
    let (_, path) = ana.follow(BEGIN).await;
    let back = path.iter().find(|url| url.starts_with(BACK)).unwrap().clone();
    let before = ana.kept("session");
    is_refused(&ana.get(&back).await, 400, OVER);
    assert_eq!(ana.kept("session"), before);
    // What was meant for one browser: the whole address, and its code in an address of one's own.
    let mut victim = site.browser("viewer");
    let stolen = victim.until_back(BEGIN).await;
    let mut thief = site.browser("guest");
    is_refused(&thief.get(&stolen).await, 400, OVER);
    let own = thief.until_back(BEGIN).await;
    let part = |url: &str, name: &str| fake::part(url, name);
    let mixed = format!("{BACK}?code={}&state={}", part(&stolen, "code"), part(&own, "state"));
    is_refused(&thief.get(&mixed).await, 403, LET_IN);
    assert_eq!((thief.kept("session"), site.store.accounts().await.unwrap().len()), (None, 1));
}

#[tokio::test]
async fn no_local_account_is_taken_over() {
    let fake = Fake::start().await;
    let site = Site::start(&fake.issuer()).await;
    site.account("ana", Role::Admin).await;
    let mut browser = site.browser("");
    let ana = json!({"sub": "1", "preferred_username": "Ana", "groups": ["admins"]});
    is_refused(&fake.sign_in(&mut browser, &ana).await, 403, TAKEN);
    // Nor is one whose name another person of the provider has.
    let ben = |sub: &str| json!({"sub": sub, "preferred_username": "ben", "groups": ["viewers"]});
    assert_eq!(fake.sign_in(&mut browser, &ben("2")).await.header("location"), "/console/");
    is_refused(&fake.sign_in(&mut site.browser(""), &ben("3")).await, 403, TAKEN);
    // Who is vouched for has no password, and gets none.
    let fields = [("name", "ben"), ("password", PASSWORD)];
    assert_eq!(site.browser("").post(&format!("{HOME}sign-in"), &fields).await.status, 403);
    for wish in [Wish::Password(site::HASH.to_owned()), Wish::Role(Role::Admin)] {
        let refusal = site.store.change_account("ben", &wish, ("ana", &site.key)).await;
        assert!(matches!(refusal, Err(Refusal::Vouched)), "{refusal:?}");
    }
    // The account goes with its owner, and its name is free.
    site.store.change_account("ben", &Wish::Remove, ("ana", &site.key)).await.unwrap();
    assert_eq!(browser.get(HOME).await.status, 303);
    assert_eq!(fake.sign_in(&mut browser, &ben("3")).await.header("location"), "/console/");
    let ana = site.store.account("ana").await.unwrap().unwrap();
    assert_eq!((ana.0.role, ana.1.as_deref()), (Role::Admin, Some(site::HASH)));
}

#[tokio::test]
async fn the_role_follows_the_groups_and_the_account_the_person() {
    let fake = Fake::start().await;
    let site = Site::start(&fake.issuer()).await;
    let mut browser = site.browser("");
    let claims = |name: &str, groups: Value| json!({"sub": "1", "preferred_username": name, "groups": groups});
    let role = async || site.store.account("ana").await.unwrap().unwrap().0.role;
    fake.sign_in(&mut browser, &claims("ana", json!(["viewers", "approvers"]))).await;
    assert_eq!(role().await, Role::Approver);
    let first = browser.kept("session");
    // Married, and moved to another ward.
    fake.sign_in(&mut browser, &claims("ana.diaz", json!("viewers"))).await;
    assert_eq!((role().await, site.store.accounts().await.unwrap().len()), (Role::Viewer, 1));
    let second = browser.kept("session");
    assert!(first.is_some() && second.is_some() && first != second);
    assert_eq!(browser.get(HOME).await.status, 200);
    // The session before ended with the new one.
    let mut old = site.browser("");
    old.keep("session", &first.unwrap());
    assert_eq!(old.get(HOME).await.status, 303);
    // Who is in no group any more is out.
    is_refused(
        &fake.sign_in(&mut site.browser(""), &claims("ana", json!(["cooks"]))).await,
        403,
        "none of your groups",
    );
    assert_eq!(browser.get(HOME).await.status, 303);
    let changes: Vec<Deed> = site
        .acts()
        .await
        .into_iter()
        .map(|act| act.deed)
        .filter(|deed| matches!(deed, Deed::AccountChanged { .. }))
        .collect();
    let change = |change| Deed::AccountChanged { account: "ana".to_owned(), change };
    assert_eq!(changes, [change(Change::Added(Role::Approver)), change(Change::Role(Role::Viewer))]);
}

#[tokio::test]
async fn a_token_that_does_not_hold_signs_nobody_in() {
    let fake = Fake::start().await;
    let site = Site::start(&fake.issuer()).await;
    let mut browser = site.browser("");
    let wrong = [
        ("iss", json!("http://127.0.0.1:1")),
        ("aud", json!("another")),
        ("aud", json!(["guardrail", "another"])),
        ("exp", json!(1)),
        ("nonce", json!("another")),
        ("nonce", Value::Null),
    ];
    for (claim, value) in wrong {
        let lie = json!({"sub": "1", "preferred_username": "ana", "groups": "admins", claim: value});
        is_refused(&fake.sign_in(&mut browser, &lie).await, 403, LET_IN);
    }
    let claims =
        |nonce: &str| fake.claims(&json!({"sub": "1", "preferred_username": "ana", "groups": "admins"}), nonce);
    let unsigned = |claims: &Value| format!("{}.", fake::input(&json!({"alg": "none"}), claims));
    let by_secret = |claims: &Value| fake::by_secret(&json!({"alg": "HS256"}), claims);
    let by_stranger = |claims: &Value| signed(7, "k1", claims);
    let by_nobody = |claims: &Value| signed(7, "k7", claims);
    let forgeries: [&dyn Fn(&Value) -> String; 4] = [&unsigned, &by_secret, &by_stranger, &by_nobody];
    for forged in forgeries {
        let address = browser.begin().await;
        fake.give(forged(&claims(&fake::part(&address, "nonce"))));
        is_refused(&browser.come_back(&address).await, 403, LET_IN);
    }
    let address = browser.begin().await;
    fake.give(String::new());
    is_refused(&browser.come_back(&address).await, 403, LET_IN);
    assert!(site.store.accounts().await.unwrap().is_empty() && browser.kept("session").is_none());
    assert!((site.proxy.metric("nonnocere_console_sign_ins_total{result=\"rejected\"}").await - 11.0).abs() < 0.1);
}

#[tokio::test]
async fn a_provider_may_change_its_keys() {
    let fake = Fake::start().await;
    let site = Site::start(&fake.issuer()).await;
    let mut browser = site.browser("");
    let ana = json!({"sub": "1", "preferred_username": "ana", "groups": "admins"});
    for _ in 0..2 {
        assert_eq!(fake.sign_in(&mut browser, &ana).await.status, 303);
    }
    assert_eq!(fake.asked("/jwks"), 1, "what it said is remembered");
    fake.change_key(2, "k2");
    assert_eq!(fake.sign_in(&mut browser, &ana).await.status, 303);
    assert_eq!(fake.asked("/jwks"), 2);
}

#[tokio::test]
async fn a_sign_in_is_over_after_ten_minutes_or_elsewhere() {
    let fake = Fake::start().await;
    let site = Site::start(&fake.issuer()).await;
    let mut browser = site.browser("");
    let claims = json!({"sub": "1", "preferred_username": "ana", "groups": "viewers"});
    // Another state, none, and another issuer: nothing is asked of the provider. The browser that is there can still come back.
    let address = browser.begin().await;
    for state in ["", "another", &"0".repeat(64)] {
        is_refused(&browser.get(&format!("{BACK}?code=c&state={state}")).await, 400, OVER);
    }
    let state = fake::part(&address, "state");
    is_refused(&site.browser("").get(&format!("{BACK}?code=c&state={state}")).await, 400, OVER);
    is_refused(&browser.get(&format!("{BACK}?code=c&state={state}&iss=http%3A%2F%2Fevil.example")).await, 400, OVER);
    // Ten minutes.
    let address = browser.begin().await;
    site.execute("UPDATE sign_ins SET began = began - 601000000").await;
    is_refused(&browser.come_back(&address).await, 400, OVER);
    assert_eq!(fake.asked("/token"), 0);
    let address = browser.begin().await;
    site.execute("UPDATE sign_ins SET began = began - 590000000").await;
    fake.give(signed(1, "k1", &fake.claims(&claims, &fake::part(&address, "nonce"))));
    assert_eq!(browser.come_back(&address).await.status, 303);
    // Those who never came back are forgotten.
    browser.begin().await;
    site.execute("UPDATE sign_ins SET began = began - 601000000").await;
    browser.begin().await;
    assert_eq!(site.count("SELECT COUNT(*) FROM sign_ins").await, 1);
}

#[tokio::test]
async fn nobody_is_led_to_another_site() {
    let fake = Fake::start().await;
    let site = Site::start(&fake.issuer()).await;
    let claims = json!({"sub": "1", "preferred_username": "ana", "groups": "viewers"});
    for (then, goes) in [
        ("%2Fconsole%2Fdecisions%3Fpage%3D2", "/console/decisions?page=2"),
        ("https%3A%2F%2Fevil.example%2Fconsole%2F", "/console/"),
        ("%2F%2Fevil.example", "/console/"),
        ("%2Fconsole%2F%5Cevil", "/console/"),
        ("%2Fconsole%2F%0d%0aset-cookie%3A%20a%3Db", "/console/"),
    ] {
        let mut browser = site.browser("");
        let got = browser.get(&format!("{BEGIN}?then={then}")).await;
        let address = got.header("location").to_owned();
        assert!(address.starts_with(&format!("{}/auth?", fake.issuer())), "{address}");
        assert_eq!(fake::part(&address, "redirect_uri"), BACK);
        let cookie = got.header("set-cookie");
        assert!(
            cookie.starts_with("sign_in=") && cookie.ends_with("; HttpOnly; SameSite=Lax; Path=/console; Max-Age=600"),
            "{cookie}"
        );
        fake.give(signed(1, "k1", &fake.claims(&claims, &fake::part(&address, "nonce"))));
        // Coming back cannot say otherwise.
        let got = browser.get(&format!("{}&then=%2F%2Fevil.example", site::back(&address))).await;
        assert_eq!((got.status.as_u16(), got.header("location")), (303, goes), "{then}");
    }
}

#[tokio::test]
async fn a_password_still_works_when_the_provider_does_not() {
    let fake = Fake::start().await;
    let site = Site::start(&fake.issuer()).await;
    site.account("ana", Role::Viewer).await;
    let down: [(u16, String); 4] = [
        (500, "{}".to_owned()),
        (302, "{}".to_owned()),
        (200, "{\"issuer\": \"http://127.0.0.1:1\"}".to_owned()),
        (200, " ".repeat(2 * 1024 * 1024)),
    ];
    for (status, body) in down {
        fake.discovered(Some((status, body)));
        is_refused(&site.browser("").get(BEGIN).await, 502, DOWN);
    }
    assert_eq!(fake.asked("/elsewhere"), 0, "a redirect is not followed");
    let nowhere = Site::start("http://127.0.0.1:1").await;
    is_refused(&nowhere.browser("").get(BEGIN).await, 502, DOWN);
    let fields = [("name", "ana"), ("password", PASSWORD)];
    assert_eq!(site.browser("").post(&format!("{HOME}sign-in"), &fields).await.header("location"), "/console/");
    // It is asked again as soon as someone wants to sign in.
    fake.discovered(None);
    assert_eq!(site.browser("").get(BEGIN).await.status, 303);
}

#[tokio::test]
async fn both_stores_keep_who_signs_in() {
    postgres::in_both(async |url| {
        let fake = Fake::start().await;
        let site = Site::keeping(url, &fake.issuer()).await;
        let mut browser = site.browser("");
        let claims = |groups: &str| json!({"sub": "1", "preferred_username": "ana", "groups": [groups]});
        for (groups, role) in [("viewers", Role::Viewer), ("approvers", Role::Approver)] {
            assert_eq!(fake.sign_in(&mut browser, &claims(groups)).await.header("location"), "/console/");
            assert_eq!(site.store.account("ana").await.unwrap().unwrap().0.role, role);
            assert_eq!(browser.get(HOME).await.status, 200);
        }
        let other = json!({"sub": "2", "preferred_username": "ana", "groups": ["admins"]});
        is_refused(&fake.sign_in(&mut site.browser(""), &other).await, 403, TAKEN);
        // What is over is over, and forgotten.
        assert_eq!(site.count("SELECT COUNT(*) FROM sign_ins").await, 0);
        let address = browser.begin().await;
        site.execute("UPDATE sign_ins SET began = began - 601000000").await;
        is_refused(&browser.come_back(&address).await, 400, OVER);
        // Who is in no group is out, and comes back under the same account.
        is_refused(&fake.sign_in(&mut site.browser(""), &claims("cooks")).await, 403, "none of your groups");
        assert_eq!(browser.get(HOME).await.status, 303);
        fake.sign_in(&mut browser, &claims("viewers")).await;
        assert_eq!((site.store.accounts().await.unwrap().len(), site.acts().await.len()), (1, 6));
        site.store.change_account("ana", &Wish::Remove, ("root", &site.key)).await.unwrap();
        assert_eq!(site.count("SELECT COUNT(*) FROM subjects").await, 0);
        let report = nonnocere::audit::verify::verify(&site.store, &[site.key.public()]).await.unwrap();
        assert!(report.holds(), "{:?}", report.findings);
        site.store.close().await;
    })
    .await;
}

#[tokio::test]
async fn going_to_the_provider_too_often_keeps_nobody_from_a_password() {
    let fake = Fake::start().await;
    let site = Site::start(&fake.issuer()).await;
    site.account("ana", Role::Viewer).await;
    for _ in 0..site.address_attempts {
        assert_eq!(site.browser("").get(BEGIN).await.status, 303);
    }
    let got = site.browser("").get(BEGIN).await;
    assert!(got.status == 429 && !got.header("retry-after").is_empty(), "{}", text(&got));
    let fields = [("name", "ana"), ("password", PASSWORD)];
    assert_eq!(site.browser("").post(&format!("{HOME}sign-in"), &fields).await.header("location"), "/console/");
}

#[tokio::test]
async fn without_a_provider_there_is_no_such_page() {
    let site = Site::start("").await;
    assert_eq!(site.browser("").get(BEGIN).await.status, 404);
    assert_eq!(site.browser("").get(BACK).await.status, 404);
    assert!(!text(&site.browser("").get(&format!("{HOME}sign-in")).await).contains("/console/sign-in/oidc"));
}
