//! The accounts of the console: who makes them, what ends their sessions, and what is on record of it.

mod common;
#[path = "common/postgres.rs"]
mod postgres;
#[path = "common/serving.rs"]
mod serving;
#[path = "common/visiting.rs"]
mod visiting;

use common::Options;
use nonnocere::audit::act::{Change, Deed, GENESIS, followed, proven};
use nonnocere::audit::key::Signing;
use nonnocere::audit::store::Store;
use nonnocere::console::account::{Refusal, Role, Wish};
use nonnocere::console::session::Life;
use std::io::Write;
use std::num::NonZeroU32;
use std::process::Stdio;
use std::time::Duration;
use visiting::{HASH, PASSWORD, SIGN_IN, Site, text};

#[tokio::test]
async fn a_changed_account_has_to_sign_in_again() {
    let site = Site::start().await;
    site.account("root", Role::Admin).await;
    let (store, key) = (&site.store, &site.key);
    let by = |wish: Wish| async move { store.change_account("editor", &wish, ("root", key)).await.unwrap() };
    for wish in [Wish::Role(Role::Viewer), Wish::Role(Role::Editor), Wish::Password(HASH.to_owned()), Wish::Remove] {
        let mut editor = site.signed_in(Role::Editor).await;
        let mut viewer = site.signed_in(Role::Viewer).await;
        by(wish.clone()).await;
        assert_eq!(editor.get("/console/").await.status, 303, "{wish:?}");
        assert_eq!(viewer.get("/console/").await.status, 200, "{wish:?}");
    }
}

#[tokio::test]
async fn an_administrator_looks_after_people() {
    let site = Site::start().await;
    let mut admin = site.signed_in(Role::Admin).await;
    let path = "/console/people";
    let add = |name: &'static str, role: &'static str, password: &'static str| {
        [("name", name), ("role", role), ("password", password)]
    };
    let page = text(&admin.submit(path, &add("Ana@Clinic", "editor", "tratar a todos bien")).await);
    assert!(
        page.contains("There is a new account: ana@clinic.") && page.contains(r#"action="/console/people/ana@clinic""#),
        "{page}"
    );
    assert!(!text(&admin.get(path).await).contains("There is a new account"), "it is said once");
    for (fields, wrong) in [
        (add("ana@clinic", "editor", PASSWORD), "there is an account of this name"),
        (add("ben", "editor", "short"), "at least 12 characters"),
        (add("ben", "editor", "Password2026!!"), "easy to guess"),
        (add("b e n", "editor", PASSWORD), "a name is made of"),
        (add("ben", "king", PASSWORD), "there is no such account"),
    ] {
        let got = admin.post(path, &fields).await;
        assert!(got.status == 422 && text(&got).contains(wrong) && !text(&got).contains(PASSWORD), "{wrong}");
    }
    let mut ana = site.visitor();
    let fields = [("name", "ana@clinic"), ("password", "tratar a todos bien")];
    assert_eq!(ana.post(SIGN_IN, &fields).await.status, 303);
    let one = "/console/people/ana@clinic";
    let page = text(&admin.submit(one, &[("wish", "role"), ("role", "viewer")]).await);
    assert!(page.contains("ana@clinic has another role."), "{page}");
    admin.submit(one, &[("wish", "password"), ("password", "otra frase muy larga")]).await;
    assert_eq!(ana.post(SIGN_IN, &fields).await.status, 403);
    admin.submit(one, &[("wish", "remove")]).await;
    for (path, wish, wrong) in
        [(one, "remove", "no such account"), ("/console/people/admin", "remove", "last administrator")]
    {
        let got = admin.post(path, &[("wish", wish)]).await;
        assert!(got.status == 422 && text(&got).contains(wrong), "{}", text(&got));
    }
    let got = admin.post("/console/people/admin", &[("wish", "role"), ("role", "viewer")]).await;
    assert!(got.status == 422 && text(&got).contains("last administrator"));
    let changes = site.acts().await.into_iter().filter_map(|act| match act.deed {
        Deed::AccountChanged { account, change } => Some((act.by, account, change)),
        _ => None,
    });
    let by = |change| ("admin".to_owned(), "ana@clinic".to_owned(), change);
    let expected = [Change::Added(Role::Editor), Change::Role(Role::Viewer), Change::Password, Change::Removed].map(by);
    assert_eq!(changes.skip(1).collect::<Vec<_>>(), expected);
    let report = nonnocere::audit::verify::verify(&site.store, std::slice::from_ref(&site.public)).await.unwrap();
    assert!(report.holds(), "{:?}", report.findings);
}

const OWN: &str = "/console/password";

fn own<'a>(old: &'a str, new: &'a str) -> [(&'static str, &'a str); 3] {
    [("old", old), ("new", new), ("again", new)]
}

#[tokio::test]
async fn people_change_their_own_password() {
    let site = Site::start().await;
    let (mut ana, mut elsewhere) = (site.signed_in(Role::Viewer).await, site.signed_in(Role::Viewer).await);
    let mut thief = site.visitor();
    thief.cookies.clone_from(&ana.cookies);
    let page = text(&ana.get("/console/").await);
    assert!(page.contains("href=\"/console/password\""), "{page}");
    let new = "otra frase muy larga";
    for (fields, wrong) in [
        (own("wrong horse battery", new), "The current password is wrong."),
        (own(PASSWORD, "short"), "at least 12 characters"),
        (own(PASSWORD, "viewer-viewer"), "easy to guess"),
        (own(PASSWORD, PASSWORD), "The new password is the current one."),
        ([("old", PASSWORD), ("new", new), ("again", "otra frase muy corta")], "is not the same twice"),
        (own("", ""), "The current password is wrong."),
    ] {
        let got = ana.post(OWN, &fields).await;
        let page = text(&got);
        assert!(got.status == 422 && page.contains(wrong) && page.contains("role=\"alert\""), "{wrong}: {page}");
        assert!(!page.contains(new) && !page.contains(PASSWORD), "{page}");
    }
    assert_eq!(elsewhere.get("/console/").await.status, 200);
    let before = ana.cookies["session"].clone();
    let page = text(&ana.submit(OWN, &own(PASSWORD, new)).await);
    assert!(page.contains("Your password is changed") && before != ana.cookies["session"], "{page}");
    assert_eq!(ana.get("/console/").await.status, 200);
    // All others have to sign in again, and so has whoever copied the cookie.
    assert_eq!(elsewhere.get("/console/").await.status, 303);
    assert_eq!(thief.get("/console/").await.status, 303);
    let mut visitor = site.visitor();
    assert_eq!(visitor.post(SIGN_IN, &[("name", "viewer"), ("password", PASSWORD)]).await.status, 403);
    assert_eq!(visitor.post(SIGN_IN, &[("name", "viewer"), ("password", new)]).await.status, 303);
    let deeds = site.acts().await.into_iter().filter(|act| act.by == "viewer").map(|act| act.deed);
    let changed = Deed::AccountChanged { account: "viewer".to_owned(), change: Change::Password };
    assert_eq!(deeds.collect::<Vec<_>>(), [changed, Deed::SignedIn { with: "password".to_owned() }]);
    let report = nonnocere::audit::verify::verify(&site.store, std::slice::from_ref(&site.public)).await.unwrap();
    assert!(report.holds(), "{:?}", report.findings);
}

#[tokio::test]
async fn who_guesses_in_a_session_has_to_wait_and_keeps_nobody_out() {
    let limited = |options: &mut Options| {
        options.console.attempts.account = NonZeroU32::new(2).unwrap();
        options.console.attempts.within = Duration::from_secs(600);
    };
    let site = Site::with(limited).await;
    let mut visitor = site.signed_in(Role::Viewer).await;
    for _ in 0..2 {
        assert_eq!(visitor.post(OWN, &own("no", "otra frase muy larga")).await.status, 422);
    }
    let got = visitor.post(OWN, &own(PASSWORD, "otra frase muy larga")).await;
    assert!(got.status == 429 && !got.header("retry-after").is_empty(), "{}", text(&got));
    let fields = [("name", "viewer"), ("password", PASSWORD)];
    assert_eq!(site.visitor().post(SIGN_IN, &fields).await.status, 303);
}

#[tokio::test]
async fn who_has_no_password_is_told_where_it_is() {
    let site = Site::start().await;
    site.store.change_account("viewer", &Wish::Add(Role::Viewer, None), ("tests", &site.key)).await.unwrap();
    let mut visitor = site.signed_in(Role::Viewer).await;
    for got in [visitor.get(OWN).await, visitor.post(OWN, &own(PASSWORD, "otra frase muy larga")).await] {
        let page = text(&got);
        assert!(page.contains("Your account has no password here") && !page.contains("name=\"old\""), "{page}");
    }
    assert_eq!(site.store.account("viewer").await.unwrap().unwrap().1, None);
}

async fn accounts_and_sessions(url: &str) {
    let store = Store::open(url).await.unwrap();
    let key = Signing::random().unwrap();
    let change = |name: &'static str, wish: Wish| {
        let (store, key) = (&store, &key);
        async move { store.change_account(name, &wish, ("tests", key)).await }
    };
    assert!(matches!(change("ana", Wish::Remove).await, Err(Refusal::Unknown)));
    change("ana", Wish::Add(Role::Admin, Some(HASH.to_owned()))).await.unwrap();
    // Someone else vouches for this one.
    change("ben", Wish::Add(Role::Viewer, None)).await.unwrap();
    assert!(matches!(change("ben", Wish::Add(Role::Admin, None)).await, Err(Refusal::Taken)));
    assert!(matches!(change("ana", Wish::Remove).await, Err(Refusal::LastAdmin)));
    assert_eq!(
        store.account("ben").await.unwrap().map(|(account, hash)| (account.role, hash)),
        Some((Role::Viewer, None))
    );
    let life = Life { whole: Duration::from_secs(60), idle: Duration::from_secs(60) };
    let token = store.open_session("ben", life).await.unwrap();
    let session = store.session(&token, life).await.unwrap().unwrap();
    assert_eq!((session.account.name.as_str(), session.flash.as_str()), ("ben", ""));
    store.flash(&session, "done").await.unwrap();
    assert_eq!(store.session(&token, life).await.unwrap().unwrap().flash, "done");
    store.execute("UPDATE sessions SET seen = seen - 59000000").await.unwrap();
    assert!(store.session(&token, life).await.unwrap().is_some());
    change("ben", Wish::Role(Role::Admin)).await.unwrap();
    assert!(store.session(&token, life).await.unwrap().is_none());
    // Who changes their password does not undo what an administrator did meanwhile.
    let replace = |was: &str| Wish::Replace { was: was.to_owned(), new: "new".to_owned() };
    assert!(matches!(change("ana", replace("another")).await, Err(Refusal::Overtaken)));
    assert!(matches!(change("ben", replace("")).await, Err(Refusal::Overtaken)));
    change("ana", replace(HASH)).await.unwrap();
    assert_eq!(store.account("ana").await.unwrap().unwrap().1.as_deref(), Some("new"));
    change("ana", Wish::Remove).await.unwrap();
    let left = store.accounts().await.unwrap();
    assert_eq!(
        left.iter().map(|account| (account.name.as_str(), account.role)).collect::<Vec<_>>(),
        [("ben", Role::Admin)]
    );
    // What is refused leaves no trace.
    assert_eq!(store.acts().await.unwrap().len(), 5);
    // It is opened again, as it is.
    assert_eq!(Store::open(url).await.unwrap().accounts().await.unwrap(), left);
}

#[tokio::test]
async fn accounts_and_sessions_are_kept_in_both_stores() {
    postgres::in_both(accounts_and_sessions).await;
}

#[tokio::test]
async fn who_follows_the_policy_need_not_know_who_signs_people_in() {
    let site = Site::start().await;
    site.signed_in(Role::Viewer).await.post("/console/sign-out", &[]).await;
    let acts = site.store.acts().await.unwrap();
    assert_eq!(followed((0, GENESIS), &acts, &[]).unwrap().len(), 2);
    assert_eq!(proven(&acts, &[]), Err(1));
    assert_eq!(proven(&acts, std::slice::from_ref(&site.public)).unwrap().len(), 2);
}

#[test]
fn the_first_account_is_made_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let run = |arguments: &[&str], password: &str| {
        let mut child = serving::nonnocere(&[&["console", "account"], arguments].concat())
            .env("NONNOCERE_AUDIT__URL", format!("sqlite:{}", at("audit.db")))
            .env("NONNOCERE_AUDIT__KEY", at("audit.key"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that asks for no password may have ended.
        drop(writeln!(child.stdin.take().unwrap(), "{password}"));
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    for (arguments, password, is_done, said) in [
        (&["list"][..], "", false, "nothing was recorded yet"),
        (
            &["add", "ana", "--role", "king"],
            PASSWORD,
            false,
            "expected one of viewer, reviewer, editor, approver, admin",
        ),
        (&["add", "ana", "--role", "admin"], "short", false, "at least 12 characters"),
        (&["add", "ana", "--role", "admin"], PASSWORD, true, "ana: admin"),
        (&["add", "ben", "--role", "viewer"], PASSWORD, true, "ben: viewer"),
        (&["role", "ben", "editor"], "", true, "ben: editor"),
        (&["password", "ben"], "otra frase muy larga", true, "ben: a new password"),
        (&["list"], "", true, "ana: admin\nben: editor\n"),
        (&["remove", "ana"], "", false, "last administrator"),
        (&["remove", "ben"], "", true, "ben: removed"),
    ] {
        let (done, out, error) = run(arguments, password);
        assert!(done == is_done && (out.clone() + &error).contains(said), "{arguments:?}: {out}{error}");
    }
    // Nobody signs by another key.
    std::fs::remove_file(at("audit.key")).unwrap();
    let (done, _, error) = run(&["add", "eve", "--role", "admin"], PASSWORD);
    assert!(!done && error.contains("audit.key") && error.contains("is not there"), "{error}");
    assert!(!std::path::Path::new(&at("audit.key")).exists());
}
