//! The frame of every page, and the headers that keep it to itself.

use super::account::{Account, Role};
use super::language::Language;
use super::session::{cookie, kept};
use super::trouble::Trouble;
use super::{Desk, Visit};
use crate::digest;
use crate::response::{Body, text};
use cookie::Cookie;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use maud::{DOCTYPE, Markup, html};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

const HTML: &str = "text/html; charset=utf-8";

const STYLE: &str = include_str!("console.css");
const SCRIPT: &str = include_str!("console.js");
const POLICY_SCRIPT: &str = include_str!("policy.js");
const REVIEW_SCRIPT: &str = include_str!("review.js");
const ICON: &str = include_str!("icon.svg");

/// The name of an asset with what it holds, so that a browser never keeps an old one.
static STYLE_PATH: LazyLock<String> = LazyLock::new(|| versioned("console.css", STYLE));
static SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| versioned("console.js", SCRIPT));
static POLICY_SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| versioned("policy.js", POLICY_SCRIPT));
static REVIEW_SCRIPT_PATH: LazyLock<String> = LazyLock::new(|| versioned("review.js", REVIEW_SCRIPT));
static ICON_PATH: LazyLock<String> = LazyLock::new(|| versioned("icon.svg", ICON));

fn versioned(name: &str, content: &str) -> String {
    format!("/console/assets/{name}?v={}", digest::short(content.as_bytes()))
}

/// Where the script of the pages of drafts is.
pub(super) fn policy_script() -> &'static str {
    &POLICY_SCRIPT_PATH
}

/// Where the script of the review is.
pub(super) fn review_script() -> &'static str {
    &REVIEW_SCRIPT_PATH
}

/// How a page looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Theme {
    /// As the visitor's system does.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    const fn id(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    const fn name(self, language: Language) -> &'static str {
        match self {
            Self::System => language.say("System", "Sistema"),
            Self::Light => language.say("Light", "Claro"),
            Self::Dark => language.say("Dark", "Oscuro"),
        }
    }

    fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.id() == id)
    }

    /// The one that a visitor chose.
    pub(super) fn chosen(headers: &HeaderMap, secure: bool) -> Self {
        cookie(headers, "theme", secure).and_then(|id| Self::from_id(&id)).unwrap_or_default()
    }
}

/// The language that a visitor chose, or that their browser asks for.
pub(super) fn language(headers: &HeaderMap, secure: bool) -> Language {
    let chosen = cookie(headers, "language", secure).and_then(|id| Language::from_id(&id));
    let wanted = || headers.get(header::ACCEPT_LANGUAGE).and_then(|header| header.to_str().ok()).unwrap_or_default();
    chosen.unwrap_or_else(|| Language::wanted(wanted()))
}

/// What stands around a page.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    pub(super) account: Option<&'a Account>,
    /// What was done, on the page after it.
    pub(super) said: &'a str,
    pub(super) status: StatusCode,
}

/// A page with what stands around it.
pub(super) fn frame(visit: &Visit<'_>, frame: &Frame<'_>, main: &Markup) -> Response<Body> {
    let language = visit.language;
    let page = html! {
        (DOCTYPE)
        html lang=(language.id()) data-theme=(visit.theme.id()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) " · nonnocere" }
                link rel="icon" href=(*ICON_PATH) type="image/svg+xml";
                link rel="stylesheet" href=(*STYLE_PATH);
                script src=(*SCRIPT_PATH) defer {}
            }
            body {
                a class="skip" href="#main" { (language.say("Skip to content", "Ir al contenido")) }
                div class={ "shell" @if frame.account.is_none() { " alone" } } {
                    (side(visit, frame))
                    main id="main" tabindex="-1" {
                        @if !frame.said.is_empty() {
                            p class="flash" role="status" { (frame.said) }
                        }
                        (main)
                    }
                }
            }
        }
    };
    text(frame.status, HTML, page.into_string())
}

/// The pages that the navigation leads to.
const NAVIGATION: [(&str, &str, &str); 8] = [
    ("/console/", "Overview", "Resumen"),
    ("/console/decisions", "Decisions", "Decisiones"),
    ("/console/review", "Review", "Revisión"),
    ("/console/try", "Try a text", "Probar un texto"),
    ("/console/policy", "Policy", "Política"),
    ("/console/audit", "Audit", "Auditoría"),
    ("/console/people", "People", "Personas"),
    ("/console/about", "About", "Acerca de"),
];

fn side(visit: &Visit<'_>, frame: &Frame<'_>) -> Markup {
    let language = visit.language;
    html! {
        header class="side" {
            a class="brand" href="/console/" {
                img src=(*ICON_PATH) alt="" width="28" height="28";
                span { "nonnocere" }
            }
            @if let Some(account) = frame.account {
                // Open where there is room; on a small screen it folds, without a script.
                input type="checkbox" id="menu" class="menu-switch" aria-label=(language.say("Show the menu", "Mostrar el menú"));
                label for="menu" class="menu" aria-hidden="true" { (language.say("Menu", "Menú")) }
                nav class="menu-part" aria-label=(language.say("Pages", "Páginas")) {
                    ul {
                        @for (path, english, spanish) in NAVIGATION.iter().filter(|(path, ..)| may_see(account, path)) {
                            li {
                                a href=(path) aria-current=[is_current(visit.path, path).then_some("page")] {
                                    (language.say(english, spanish))
                                }
                            }
                        }
                    }
                }
                (who(visit, account))
            }
            (switches(visit))
        }
    }
}

fn may_see(account: &Account, path: &str) -> bool {
    super::least(path).is_some_and(|least| account.role >= least)
}

/// Whether a page is the one of the navigation at `path`, or below it.
fn is_current(at: &str, path: &str) -> bool {
    at == path || (path != "/console/" && at.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
}

fn who(visit: &Visit<'_>, account: &Account) -> Markup {
    let language = visit.language;
    html! {
        div class="who menu-part" {
            p {
                span class="quiet" { (language.say("Signed in as", "Sesión de")) } br;
                strong { (account.name) } br;
                span class="quiet" { (account.role.name(language)) } br;
                a href="/console/password" aria-current=[is_current(visit.path, "/console/password").then_some("page")] {
                    (language.say("Change password", "Cambiar contraseña"))
                }
            }
            form method="post" action="/console/sign-out" {
                (visit.token())
                button { (language.say("Sign out", "Cerrar sesión")) }
            }
        }
    }
}

fn switches(visit: &Visit<'_>) -> Markup {
    let language = visit.language;
    html! {
        div class="switches menu-part" {
            form method="post" action="/console/language" class="choice" {
                (visit.token())
                input type="hidden" name="back" value=(visit.back());
                @for (other, name) in Language::ALL {
                    button name="language" value=(other.id()) lang=(other.id()) aria-pressed=(other == language) { (name) }
                }
            }
            form method="post" action="/console/theme" class="choice" {
                (visit.token())
                input type="hidden" name="back" value=(visit.back());
                @for theme in Theme::ALL {
                    button name="theme" value=(theme.id()) aria-pressed=(theme == visit.theme) { (theme.name(language)) }
                }
            }
        }
    }
}

impl Visit<'_> {
    /// What a form must carry to be taken.
    pub(super) fn token(&self) -> Markup {
        html! {
            @if let Some(session) = &self.session {
                input type="hidden" name="csrf" value=(session.csrf);
            }
        }
    }
}

impl Desk<'_> {
    /// A page with a title, and what stands around it.
    pub(super) fn page(&self, title: &str, main: &Markup) -> Response<Body> {
        self.page_with(StatusCode::OK, title, main)
    }

    /// The same with another status than 200: a form that was not right, for one.
    pub(super) fn page_with(&self, status: StatusCode, title: &str, main: &Markup) -> Response<Body> {
        let frame = Frame { title, account: Some(self.account), said: &self.session.flash, status };
        self::frame(self.visit, &frame, main)
    }

    /// What each posted form must carry, or it is refused.
    pub(super) fn token(&self) -> Markup {
        self.visit.token()
    }

    /// Goes on to a page at `path`, after something was done; the page says what.
    pub(super) async fn done(&self, path: &str, said: &str) -> Result<Response<Body>, Trouble> {
        self.records.store.flash(self.session, said).await?;
        Ok(moved(path))
    }
}

/// The page of what went wrong.
pub(super) fn trouble(visit: &Visit<'_>, trouble: &Trouble) -> Response<Body> {
    match trouble {
        Trouble::Store(error) => tracing::error!(%error, "the audit store does not answer the console"),
        Trouble::Failed(error) => tracing::error!(error, "a page of the console failed"),
        _ => {}
    }
    let (title, text) = trouble.told(visit.language);
    let account = visit.session.as_ref().map(|session| &session.account);
    let main = html! {
        section class="card narrow" {
            h1 { (title) }
            p { (text) }
            @if !matches!(trouble, Trouble::NoStore) {
                p { a href="/console/" { (visit.language.say("To the overview", "Ir al resumen")) } }
            }
        }
    };
    let mut response = frame(visit, &Frame { title: &title, account, said: "", status: trouble.status() }, &main);
    if let Some(seconds) = trouble.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Sends the visitor on to another page.
pub(super) fn moved(path: &str) -> Response<Body> {
    let mut response = text(StatusCode::SEE_OTHER, HTML, "");
    let path = HeaderValue::try_from(path).unwrap_or_else(|_| HeaderValue::from_static("/console/"));
    response.headers_mut().insert(header::LOCATION, path);
    response
}

/// Whether a path is one of the console, and nothing that a browser reads as another site.
pub(super) fn is_ours(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    path.starts_with("/console/") && path.bytes().all(is_plain)
}

/// The same answer with a cookie.
pub(super) fn with_cookie(mut response: Response<Body>, cookie: &Cookie<'_>) -> Response<Body> {
    if let Ok(cookie) = HeaderValue::try_from(cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// Sets the language.
pub(super) async fn choose_language(visit: &Visit<'_>) -> Result<Response<Body>, Trouble> {
    let chosen = Language::from_id(visit.form.get("language")).ok_or(Trouble::NoForm)?;
    Ok(chose(visit, ("language", chosen.id())))
}

/// Sets the theme.
pub(super) async fn choose_theme(visit: &Visit<'_>) -> Result<Response<Body>, Trouble> {
    let chosen = Theme::from_id(visit.form.get("theme")).ok_or(Trouble::NoForm)?;
    Ok(chose(visit, ("theme", chosen.id())))
}

fn chose(visit: &Visit<'_>, (name, value): (&'static str, &str)) -> Response<Body> {
    let mut cookie = kept((name, value.to_owned()), visit.console.settings.secure);
    cookie.set_max_age(cookie::time::Duration::days(365));
    let back = Some(visit.form.get("back")).filter(|back| is_ours(back)).unwrap_or("/console/");
    with_cookie(moved(back), &cookie)
}

/// A style, a script or an image.
pub(super) async fn asset(visit: &Visit<'_>) -> Result<Response<Body>, Trouble> {
    let (kind, content) = match visit.param("name") {
        "console.css" => ("text/css; charset=utf-8", STYLE),
        "console.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "policy.js" => ("text/javascript; charset=utf-8", POLICY_SCRIPT),
        "review.js" => ("text/javascript; charset=utf-8", REVIEW_SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return Err(Trouble::NotFound),
    };
    let mut response = text(StatusCode::OK, kind, content);
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, kept);
    Ok(response)
}

/// What every answer of the console says to the browser: load nothing from elsewhere, run nothing that is written into a page, stand in
/// no frame, keep no copy.
pub(super) const HEADERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
    ),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// The same answer with what keeps it to itself.
pub(super) fn guarded(mut response: Response<Body>) -> Response<Body> {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// A time in microseconds since 1970, as people read it (UTC).
pub(super) fn time(micros: i64) -> Markup {
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or_default());
    let exact = humantime::format_rfc3339_seconds(time).to_string();
    let shown = exact.chars().take(16).map(|letter| if letter == 'T' { ' ' } else { letter });
    html! { time datetime=(exact) { (shown.collect::<String>()) } }
}

/// What was done with a message, by the id of the action.
pub(super) fn badge(language: Language, action: &str) -> Markup {
    let name = match action {
        "allow" => language.say("allowed", "permitido"),
        "flag" => language.say("flagged", "marcado"),
        "rewrite" => language.say("rewritten", "reescrito"),
        "escalate" => language.say("help given", "ayuda dada"),
        "block" => language.say("refused", "rechazado"),
        "unavailable" => language.say("not judged", "no evaluado"),
        other => other,
    };
    html! { span class={ "badge " (action) } { (name) } }
}

/// A choice among all roles, with one chosen.
pub(super) fn roles(language: Language, id: &str, chosen: Role) -> Markup {
    html! {
        select id=(id) name="role" {
            @for role in Role::ALL {
                option value=(role.id()) selected[role == chosen] { (role.name(language)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for path in ["/console/", "/console/decisions?x=1&y=%20"] {
            assert!(is_ours(path), "{path}");
        }
        for path in [
            "",
            "/",
            "//evil.example",
            "https://evil.example/console/",
            "/console/\\evil",
            "/console/\r\nx: y",
            "/consoles",
        ] {
            assert!(!is_ours(path), "{path}");
        }
    }

    #[test]
    fn times_are_shown_in_utc() {
        let shown = r#"<time datetime="2026-11-28T03:20:11Z">2026-11-28 03:20</time>"#;
        assert_eq!(time(1_795_836_011_000_000).into_string(), shown);
    }

    #[test]
    fn the_navigation_says_where_one_is() {
        assert!(is_current("/console/decisions/e1", "/console/decisions"));
        assert!(is_current("/console/", "/console/"));
        assert!(
            !is_current("/console/review", "/console/") && !is_current("/console/decisions2", "/console/decisions")
        );
    }
}
