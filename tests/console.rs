//! The console: who gets in, what they may see, and what no other site can make them do.

mod common;
#[path = "common/visiting.rs"]
mod visiting;

use common::{Options, RunningProxy};
use http::Method;
use nonnocere::audit::act::Deed;
use nonnocere::console::account::Role;
use nonnocere::console::{ROUTES, Route};
use std::num::NonZeroU32;
use std::time::Duration;
use visiting::{PASSWORD, SIGN_IN, Site, text};

/// The path of a page, with something in each place.
fn path(route: &Route) -> String {
    let event = "0199d8a4-0000-7000-8000-000000000001";
    let parts = [("{event}", event), ("{direction}", "prompt"), ("{*page}", "x/y"), ("{name}", "nobody")];
    parts.iter().fold(route.path.to_owned(), |path, (part, value)| path.replace(part, value))
}

#[tokio::test]
async fn one_signs_in_by_name_and_password() {
    let site = Site::start().await;
    site.account("ana", Role::Viewer).await;
    let mut ana = site.visitor();
    let got = ana.get("/console/decisions?page=2").await;
    assert_eq!(
        (got.status.as_u16(), got.header("location")),
        (303, "/console/sign-in?then=%2Fconsole%2Fdecisions%3Fpage%3D2")
    );
    let page = text(&ana.get(got.header("location")).await);
    assert!(page.contains(r#"name="then" value="/console/decisions?page=2""#), "{page}");
    let fields = [("name", " Ana"), ("password", PASSWORD), ("then", "/console/decisions?page=2")];
    let got = ana.post(SIGN_IN, &fields).await;
    assert_eq!((got.status.as_u16(), got.header("location")), (303, "/console/decisions?page=2"));
    let cookie = got.header("set-cookie").to_owned();
    let (value, attributes) = cookie.split_once(';').unwrap();
    assert_eq!((value.len(), attributes), ("session=".len() + 43, " HttpOnly; SameSite=Lax; Path=/console"));
    let page = text(&ana.get("/console/").await);
    assert!(page.contains("Sign out") && page.contains("<strong>ana</strong>"), "{page}");
    // What the store knows opens nothing.
    let mut thief = site.visitor();
    let hash = nonnocere::digest::sha256(value.trim_start_matches("session=").as_bytes());
    thief.cookies.insert("session".to_owned(), hash);
    assert_eq!(thief.get("/console/").await.status, 303);
    // Who signs in again has another session, and no longer the one before.
    let mut before = site.visitor();
    before.cookies = ana.cookies.clone();
    ana.post(SIGN_IN, &fields[..2]).await;
    assert_ne!(ana.cookies, before.cookies);
    assert_eq!(
        (before.get("/console/").await.status, ana.get("/console/").await.status.as_u16()),
        (http::StatusCode::SEE_OTHER, 200)
    );
    let page = text(&ana.submit("/console/sign-out", &[]).await);
    assert!(page.contains("You have signed out.") && ana.cookies["session"].is_empty(), "{page}");
    let deeds: Vec<(String, Deed)> = site.acts().await.into_iter().skip(1).map(|act| (act.by, act.deed)).collect();
    let signed_in = || ("ana".to_owned(), Deed::SignedIn { with: "password".to_owned() });
    assert_eq!(deeds, [signed_in(), signed_in(), ("ana".to_owned(), Deed::SignedOut)]);
    assert!(site.proxy.metric("nonnocere_console_sign_ins_total{result=\"accepted\"}").await > 1.5);
}

#[tokio::test]
async fn who_is_not_known_learns_nothing() {
    let site = Site::start().await;
    site.account("ana", Role::Viewer).await;
    let mut pages = Vec::new();
    for (name, password) in [("ana", "wrong horse battery"), ("eve", PASSWORD), ("<b>\"'", PASSWORD), ("", "")] {
        let mut visitor = site.visitor();
        let got = visitor.post(SIGN_IN, &[("name", name), ("password", password)]).await;
        assert!(got.status == 403 && !visitor.cookies.contains_key("session"), "{name}");
        let page = text(&got);
        assert!(!page.contains(password) || password.is_empty());
        pages.push(page.replace(&format!("value=\"{}\"", html(name)), "value=\"\""));
    }
    assert!(
        pages.iter().all(|page| page.contains("The name or the password is wrong") && *page == pages[0]),
        "{pages:?}"
    );
    assert!((site.proxy.metric("nonnocere_console_sign_ins_total{result=\"rejected\"}").await - 4.0).abs() < 0.1);
    // Nor does one go elsewhere from here.
    let fields = [("name", "ana"), ("password", PASSWORD), ("then", "//evil.example/")];
    assert_eq!(site.visitor().post(SIGN_IN, &fields).await.header("location"), "/console/");
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[tokio::test]
async fn who_guesses_has_to_wait() {
    let limited = |options: &mut Options| {
        options.console.attempts.account = NonZeroU32::new(2).unwrap();
        options.console.attempts.within = Duration::from_secs(600);
    };
    let site = Site::with(limited).await;
    site.account("ana", Role::Viewer).await;
    let mut visitor = site.visitor();
    for _ in 0..2 {
        assert_eq!(visitor.post(SIGN_IN, &[("name", "ana"), ("password", "no")]).await.status, 403);
    }
    // Not even the right one is heard now.
    let got = visitor.post(SIGN_IN, &[("name", "ana"), ("password", PASSWORD)]).await;
    assert_eq!(got.status, 429);
    let after: u64 = got.header("retry-after").parse().unwrap();
    assert!((200..=300).contains(&after) && text(&got).contains("Try again in 5 min."), "{after} {}", text(&got));
    assert_eq!(visitor.post(SIGN_IN, &[("name", "ben"), ("password", "no")]).await.status, 403);
    assert!((site.proxy.metric("nonnocere_console_sign_ins_total{result=\"limited\"}").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn behind_a_proxy_that_is_trusted_each_visitor_has_an_address() {
    let limited = |trusted: &[&str]| {
        let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
        move |options: &mut Options| {
            options.console.attempts.address = NonZeroU32::new(2).unwrap();
            options.console.trusted_proxies = trusted;
        }
    };
    let guesses = async |site: &Site, said: &str| {
        let mut visitor = site.visitor();
        visitor.headers = vec![("x-forwarded-for", said.to_owned())];
        visitor.post(SIGN_IN, &[("name", said), ("password", "no")]).await.status.as_u16()
    };
    let site = Site::with(limited(&["127.0.0.0/8"])).await;
    for (said, status) in [
        ("192.0.2.1", 403),
        ("198.51.100.1, 192.0.2.1", 403),
        ("198.51.100.2, 192.0.2.1", 429),
        ("192.0.2.2", 403),
        ("192.0.2.1, 192.0.2.2, 127.0.0.9", 403),
        ("192.0.2.2", 429),
    ] {
        assert_eq!(guesses(&site, said).await, status, "{said}");
    }
    // Whoever is not trusted is not believed.
    let site = Site::with(limited(&["10.0.0.0/8"])).await;
    for (said, status) in [("192.0.2.1", 403), ("192.0.2.2", 403), ("192.0.2.3", 429)] {
        assert_eq!(guesses(&site, said).await, status, "{said}");
    }
}

#[tokio::test]
async fn every_page_is_for_those_whose_role_it_takes() {
    let site = Site::start().await;
    // So that the administrators of the test are never the last one.
    site.account("root", Role::Admin).await;
    for route in ROUTES.iter().filter(|route| route.least().is_some()) {
        let (least, path) = (route.least().unwrap(), path(route));
        let got = site.visitor().send((route.method.clone(), &path), "").await;
        assert!(got.status == 303 && got.header("location").starts_with(SIGN_IN), "{path}");
        for role in Role::ALL {
            let mut visitor = site.signed_in(role).await;
            let got = match route.method {
                Method::POST => visitor.post(&path, &[]).await,
                _ => visitor.get(&path).await,
            };
            let is_sent_away = got.header("location").starts_with(SIGN_IN) && path != "/console/sign-out";
            assert_eq!(got.status == 403, role < least, "{role:?} at {} {path}: {}", route.method, got.status);
            assert!(!got.status.is_server_error() && !is_sent_away, "{role:?} at {path}: {}", got.status);
            if role < least {
                assert!(text(&got).contains("It needs the role"), "{path}");
            }
        }
    }
    // The navigation shows what one may see, and nothing else.
    for (role, sees) in [(Role::Viewer, false), (Role::Admin, true)] {
        let page = text(&site.signed_in(role).await.get("/console/").await);
        assert!(page.contains("href=\"/console/people\"") == sees && page.contains("aria-current=\"page\""), "{page}");
    }
}

#[tokio::test]
async fn no_other_site_can_make_a_visitor_do_anything() {
    let site = Site::start().await;
    site.account("root", Role::Admin).await;
    for route in ROUTES.iter().filter(|route| route.method == Method::POST && route.least().is_some()) {
        let path = path(route);
        let mut visitor = site.signed_in(Role::Admin).await;
        let right = visitor.csrf.clone();
        let other = site.signed_in(Role::Admin).await.csrf;
        assert!(right.len() == 64 && right != other);
        for wrong in ["", "x", &other] {
            visitor.csrf = wrong.to_owned();
            assert_eq!(visitor.post(&path, &[]).await.status, 403, "{path} {wrong}");
        }
        for (header, value) in
            [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("origin", "null")]
        {
            visitor.csrf.clone_from(&right);
            visitor.headers = vec![(header, value.to_owned())];
            assert_eq!(visitor.post(&path, &[]).await.status, 403, "{path} {value}");
        }
        visitor.headers.clear();
        assert_eq!(visitor.get("/console/about").await.status, 200, "{path}: the session is still open");
    }
    // Nor can it have someone sign in as somebody else.
    let mut visitor = site.visitor();
    visitor.headers = vec![("origin", "https://evil.example".to_owned())];
    assert_eq!(visitor.post(SIGN_IN, &[("name", "root"), ("password", PASSWORD)]).await.status, 403);
    visitor.headers = vec![("origin", format!("http://{}", site.proxy.admin))];
    assert_eq!(visitor.post(SIGN_IN, &[("name", "root"), ("password", PASSWORD)]).await.status, 303);
}

#[tokio::test]
async fn what_is_no_form_is_not_read() {
    let site = Site::start().await;
    let mut visitor = site.signed_in(Role::Admin).await;
    let large = format!("csrf={}&name={}", visitor.csrf, "a".repeat(256 * 1024));
    assert_eq!(visitor.send((Method::POST, "/console/people"), &large).await.status, 413);
    let address = format!("http://{}{SIGN_IN}", site.proxy.admin);
    let json = http::Request::post(address).header("content-type", "application/json");
    assert_eq!(site.proxy.send(json.body("{}".into()).unwrap()).await.status, 400);
    assert_eq!(visitor.send((Method::DELETE, "/console/people"), "").await.status, 405);
    assert_eq!(visitor.send((Method::HEAD, "/console/people"), "").await.status, 200);
}

#[tokio::test]
async fn a_session_ends() {
    let site = Site::start().await;
    let (hour, idle) = (3_600_000_000_i64, 1_800_000_000_i64);
    for (aged, is_open) in [
        (format!("began = began - {}", 11 * hour), true),
        (format!("began = began - {}", 12 * hour), false),
        (format!("seen = seen - {}", idle - 60_000_000), true),
        (format!("seen = seen - {idle}"), false),
    ] {
        let mut visitor = site.signed_in(Role::Viewer).await;
        site.store.execute(&format!("UPDATE sessions SET {aged}")).await.unwrap();
        assert_eq!(visitor.get("/console/").await.status == 200, is_open, "{aged}");
        // Who looks is not idle.
        site.store.execute("UPDATE sessions SET seen = seen - 120000000").await.unwrap();
        assert_eq!(visitor.get("/console/").await.status == 200, is_open, "{aged}");
        site.store.execute("DELETE FROM sessions").await.unwrap();
    }
}

#[tokio::test]
async fn cookies_are_for_https_where_there_is_any() {
    let site = Site::with(|options| options.console.secure = true).await;
    site.account("ana", Role::Viewer).await;
    let mut ana = site.visitor();
    let got = ana.post(SIGN_IN, &[("name", "ana"), ("password", PASSWORD)]).await;
    let (value, attributes) = got.header("set-cookie").split_once(';').unwrap();
    assert_eq!(attributes, " HttpOnly; SameSite=Lax; Secure; Path=/");
    assert!(value.starts_with("__Host-session="), "{value}");
    assert_eq!(ana.get("/console/").await.status, 200);
    ana.post("/console/theme", &[("theme", "dark")]).await;
    assert!(text(&ana.get("/console/").await).contains("data-theme=\"dark\""));
    // One without the prefix may have been put there by another host of the domain.
    let mut other = site.visitor();
    other.cookies.insert("session".to_owned(), ana.cookies["__Host-session"].clone());
    assert_eq!(other.get("/console/").await.status, 303);
    ana.post("/console/sign-out", &[]).await;
    assert!(ana.cookies["__Host-session"].is_empty());
}

#[tokio::test]
async fn every_answer_keeps_itself_to_itself() {
    let site = Site::start().await;
    let mut visitor = site.signed_in(Role::Admin).await;
    let paths = ROUTES.iter().filter(|route| route.method == Method::GET).map(path);
    for path in paths.chain(["/".to_owned(), "/console".to_owned(), "/console/elsewhere".to_owned()]) {
        for mut visitor in [site.visitor(), std::mem::replace(&mut visitor, site.visitor())] {
            let got = visitor.get(&path).await;
            for (name, value) in [
                (
                    "content-security-policy",
                    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
                ),
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "same-origin"),
                ("x-frame-options", "DENY"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(got.header(name), value, "{path}");
            }
            assert!(got.header("permissions-policy").contains("camera=()"), "{path}");
        }
        visitor = site.signed_in(Role::Admin).await;
    }
    let page = text(&visitor.get("/console/").await);
    for name in ["console.css", "console.js", "icon.svg"] {
        let at = page.find(&format!("/console/assets/{name}?v=")).unwrap();
        let got = site.visitor().get(page[at..].split('"').next().unwrap()).await;
        assert!(
            got.status == 200 && got.header("cache-control").contains("immutable") && !got.body.is_empty(),
            "{name}"
        );
    }
}

/// What must be so of every page, without a script.
fn sound(path: &str, page: &str) {
    assert_eq!(page.matches("<h1").count(), 1, "{path}: {page}");
    for landmark in
        ["<!DOCTYPE html>", "<html lang=", "<main id=\"main\"", "<header", "class=\"skip\" href=\"#main\"", "<title>"]
    {
        assert!(page.contains(landmark), "{path}: {landmark}");
    }
    for evil in [" style=", "<style", "javascript:", " onclick=", " onload=", " onchange=", " onsubmit="] {
        assert!(!page.contains(evil), "{path}: {evil}");
    }
    // The only scripts are ours, from files.
    let scripts = page.matches("<script").count();
    assert!(scripts > 0 && page.matches("<script src=\"/console/assets/").count() == scripts, "{path}");
    for field in
        page.split('<').filter(|tag| ["input ", "select ", "textarea "].iter().any(|name| tag.starts_with(name)))
    {
        let id = field.split_once(" id=\"").map(|(_, rest)| rest.split('"').next().unwrap());
        let is_labelled =
            field.contains("type=\"hidden\"") || id.is_some_and(|id| page.contains(&format!("for=\"{id}\"")));
        assert!(is_labelled, "{path}: <{field}");
    }
    for form in page.split("<form ").skip(1).filter(|form| form.contains("method=\"post\"")) {
        let is_signed = form.split("</form>").next().unwrap().contains("name=\"csrf\"");
        assert!(is_signed || !page.contains("/console/sign-out"), "{path}: {form}");
    }
}

#[tokio::test]
async fn every_page_is_sound_in_both_languages() {
    let site = Site::start().await;
    for language in ["en", "es-MX,en;q=0.3"] {
        let mut visitor = site.signed_in(Role::Admin).await;
        visitor.headers = vec![("accept-language", language.to_owned())];
        for route in ROUTES.iter().filter(|route| route.method == Method::GET && !route.path.contains("assets")) {
            let path = path(route);
            let mut out = site.visitor();
            out.headers = visitor.headers.clone();
            let got = if path == SIGN_IN { out.get(&path).await } else { visitor.get(&path).await };
            sound(&path, &text(&got));
            assert!(text(&got).contains(&format!("<html lang=\"{}\"", &language[..2])), "{path}");
        }
    }
}

#[tokio::test]
async fn nothing_that_is_sent_becomes_part_of_a_page() {
    let site = Site::start().await;
    let evil = "\"><script>alert(1)</script>";
    let encoded: String = form_urlencoded::byte_serialize(evil.as_bytes()).collect();
    let mut visitor = site.visitor();
    let page = text(&visitor.get(&format!("{SIGN_IN}?then={encoded}&out={encoded}")).await);
    assert!(page.contains("&quot;&gt;&lt;script&gt;") && !page.contains("<script>"), "{page}");
    let page = text(&visitor.post(SIGN_IN, &[("name", evil), ("then", evil)]).await);
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");
    let mut visitor = site.signed_in(Role::Admin).await;
    for route in ROUTES.iter().filter(|route| route.method == Method::GET) {
        for path in [
            format!("{}?q={encoded}&{encoded}={encoded}", path(route)),
            path(route).replace("0199d8a4", "%3Cscript%3E"),
        ] {
            assert!(!text(&visitor.get(&path).await).contains("<script>"), "{path}");
        }
    }
    let fields = [("name", evil), ("role", "viewer"), ("password", PASSWORD)];
    let got = visitor.post("/console/people", &fields).await;
    assert!(got.status == 422 && text(&got).contains("a name is made of") && !text(&got).contains("<script>"));
    assert_eq!(site.store.accounts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn language_and_theme_are_switched_without_a_script() {
    let site = Site::start().await;
    let mut visitor = site.visitor();
    visitor.headers = vec![("accept-language", "es".to_owned())];
    let page = text(&visitor.get(SIGN_IN).await);
    assert!(page.contains("<html lang=\"es\" data-theme=\"system\"") && page.contains("Iniciar sesión"), "{page}");
    let back = ("back", "/console/sign-in?out=1");
    let page = text(&visitor.submit("/console/language", &[("language", "en"), back]).await);
    assert!(page.contains("<html lang=\"en\"") && page.contains("You have signed out."), "{page}");
    let page = text(&visitor.submit("/console/theme", &[("theme", "dark"), back]).await);
    assert!(page.contains("data-theme=\"dark\""), "{page}");
    assert!(page.contains(r#"name="theme" value="dark" aria-pressed="true""#), "{page}");
    for (path, fields) in [("language", [("language", "xx"), back]), ("theme", [("theme", "\"><b>"), back])] {
        assert_eq!(visitor.post(&format!("/console/{path}"), &fields).await.status, 400);
    }
    let elsewhere = [("theme", "light"), ("back", "https://evil.example/")];
    assert_eq!(visitor.post("/console/theme", &elsewhere).await.header("location"), "/console/");
    // Where someone is signed in, only their own pages do it.
    let mut visitor = site.signed_in(Role::Viewer).await;
    visitor.csrf.clear();
    assert_eq!(visitor.post("/console/theme", &[("theme", "dark")]).await.status, 403);
}

#[tokio::test]
async fn without_a_store_it_says_what_to_set() {
    let proxy = RunningProxy::start(Options::new("http://127.0.0.1:9/v1")).await;
    let got = proxy.admin("/").await;
    assert_eq!((got.status.as_u16(), got.header("location")), (303, "/console/"));
    for path in ["/console/", "/console/decisions", SIGN_IN] {
        let got = proxy.admin(path).await;
        assert!(got.status == 503 && text(&got).contains("audit.url"), "{path}");
        sound(path, &text(&got));
    }
    assert_eq!(proxy.admin("/healthz").await.status, 200);
}
