//! The console: a web site for those who decide what is refused, prove it, and tune it. It is served on the admin port under
//! `/console`, and shows what is kept in the audit store.
//!
//! [`ROUTES`] is the table of all pages: which path and method lead to which page, and which role is needed at least. Nothing else
//! asks for a role. A page is a function of a `Desk` in a file of its own; it answers with `Desk::page`, or, where something was
//! posted, with `Desk::done`. What keeps a visitor from a page is a [`Trouble`].

mod about;
pub mod account;
mod address;
mod aloud;
mod audit;
mod chart;
mod deciding;
mod decision;
mod decisions;
mod figure;
mod filters;
pub mod form;
mod kept_text;
pub mod language;
mod marks;
mod moment;
pub(crate) mod oidc;
mod overview;
mod page;
mod password;
mod people;
mod policy;
mod principle;
mod review;
mod scale;
pub mod session;
mod sign_in;
mod trouble;
mod try_it;
mod vocabulary;

use crate::audit::act::{Act, Deed};
use crate::audit::journal::now;
use crate::audit::key::Signing;
use crate::audit::store::Store;
use crate::config;
use crate::proxy::Proxy;
use crate::response::Body;
use account::{Account, Passwords, Role};
use form::Fields;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use language::Language;
use matchit::Router;
use page::Theme;
use percent_encoding::percent_decode_str;
use session::{Life, Session, Token};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
pub use trouble::Trouble;

/// What the pages need.
pub struct Console {
    /// The guard, the policy in force, and what is counted.
    pub proxy: Arc<Proxy>,
    /// What is kept; nothing where there is no audit store.
    pub records: Option<Records>,
    /// How the console is served.
    pub settings: config::Console,
    passwords: Passwords,
    gate: sign_in::Gate,
    workshop: policy::Workshop,
    /// The proof of the record that runs, or ran last.
    proof: audit::proof::Proof,
    /// How many may take decisions away at once.
    downloads: Arc<Semaphore>,
    /// One text is tried at a time: callers come first.
    trying: Semaphore,
    provider: Option<oidc::Provider>,
    pages: Router<Vec<&'static Route>>,
}

/// What is kept, and how something is added.
pub struct Records {
    /// Where: connections of its own, so that a long look does not keep decisions from being stored.
    pub store: Store,
    /// Signs what people do.
    pub key: Signing,
    /// How decisions are kept.
    pub audit: config::Audit,
    /// How a version of the policy comes in force.
    pub promotion: config::Promotion,
}

impl Console {
    /// The console of a proxy.
    ///
    /// # Errors
    /// When two pages are at one path, or the system's certificates cannot be read.
    pub fn new(proxy: Arc<Proxy>, records: Option<Records>, settings: config::Console) -> Result<Self, String> {
        let mut pages: Router<Vec<&'static Route>> = Router::new();
        let mut paths: Vec<&str> = ROUTES.iter().map(|route| route.path).collect();
        paths.sort_unstable();
        paths.dedup();
        for path in paths {
            let routes = ROUTES.iter().filter(|route| route.path == path).collect();
            pages.insert(path, routes).map_err(|error| format!("{path}: {error}"))?;
        }
        let gate = sign_in::Gate::new(settings.attempts);
        let provider = settings.oidc.clone().map(oidc::Provider::new).transpose();
        let provider = provider.map_err(|error| format!("the system's certificates: {error}"))?;
        Ok(Self {
            proxy,
            records,
            settings,
            passwords: Passwords::default(),
            gate,
            provider,
            workshop: policy::Workshop::default(),
            proof: audit::proof::Proof::default(),
            downloads: Arc::new(Semaphore::new(2)),
            trying: Semaphore::new(1),
            pages,
        })
    }
}

/// Someone who asks for a page, signed in or not.
pub(crate) struct Visit<'a> {
    console: &'a Console,
    language: Language,
    theme: Theme,
    /// Their address, by which guessing is limited.
    peer: Option<IpAddr>,
    path: &'a str,
    query: &'a Fields,
    form: &'a Fields,
    params: &'a [(String, String)],
    session: Option<Session>,
    /// The cookie of the reason for which texts of the queue are read.
    reason: String,
    /// What the browser keeps while it is at the provider.
    begun: Option<&'a Token>,
    /// Whether a form was posted.
    is_post: bool,
}

impl Visit<'_> {
    /// A part of the path, by its name in [`ROUTES`].
    fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// Where the visitor is, to come back to after a switch was turned.
    fn back(&self) -> String {
        // What a provider sent back is asked for once, and never stands in a page.
        if self.is_post || self.path.starts_with(oidc::PATH) {
            return "/console/".to_owned();
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.query.iter());
        let query = query.finish();
        if query.is_empty() { self.path.to_owned() } else { format!("{}?{query}", self.path) }
    }
}

/// What a page has before it: who asks, for what, and all that answering needs.
pub(crate) struct Desk<'a> {
    console: &'a Console,
    records: &'a Records,
    account: &'a Account,
    language: Language,
    /// The fields of the query.
    query: &'a Fields,
    /// The fields of the posted form, whose token was right; none where nothing was posted.
    form: &'a Fields,
    session: &'a Session,
    visit: &'a Visit<'a>,
}

impl Desk<'_> {
    /// A part of the path, by its name in [`ROUTES`].
    fn param(&self, name: &str) -> &str {
        self.visit.param(name)
    }

    /// Whether a form was posted.
    fn is_post(&self) -> bool {
        self.visit.is_post
    }

    /// Whether whoever asks may do what this role may: for buttons, which are shown to those who may use them.
    fn may(&self, role: Role) -> bool {
        self.account.role >= role
    }

    /// Puts on record what is done, before it is.
    async fn record(&self, deed: Deed, reason: &str) -> Result<(), Trouble> {
        let act = Act { time: now(), by: self.account.name.clone(), reason: reason.to_owned(), deed };
        self.records.store.act(&act, None, &self.records.key).await?;
        Ok(())
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response<Body>, Trouble>> + Send + 'a>>;

/// Who may ask for a page, and the page.
#[derive(Clone, Copy)]
enum Page {
    /// Anyone may.
    Open(for<'a> fn(&'a Visit<'a>) -> Answer<'a>),
    /// Those may who have this role, or more.
    For(Role, for<'a> fn(&'a Desk<'a>) -> Answer<'a>),
}

/// A page and where it is.
pub struct Route {
    /// Its path; parts in braces stand for anything.
    pub path: &'static str,
    /// How it is asked for; GET is HEAD as well.
    pub method: Method,
    page: Page,
}

impl Route {
    const fn get(path: &'static str, page: Page) -> Self {
        Self { path, method: Method::GET, page }
    }

    const fn post(path: &'static str, page: Page) -> Self {
        Self { path, method: Method::POST, page }
    }

    /// The least role that it takes; none where anyone may ask.
    #[must_use]
    pub const fn least(&self) -> Option<Role> {
        match self.page {
            Page::Open(_) => None,
            Page::For(role, _) => Some(role),
        }
    }
}

use Page::{For, Open};
use Role::{Admin, Approver, Editor, Reviewer, Viewer};

/// Every page.
pub static ROUTES: &[Route] = &[
    Route::get("/console/assets/{name}", Open(|visit| Box::pin(page::asset(visit)))),
    Route::get("/console/sign-in", Open(|visit| Box::pin(sign_in::show(visit)))),
    Route::post("/console/sign-in", Open(|visit| Box::pin(sign_in::submit(visit)))),
    Route::get(oidc::PATH, Open(|visit| Box::pin(oidc::begin(visit)))),
    Route::get(oidc::BACK, Open(|visit| Box::pin(oidc::back(visit)))),
    Route::post("/console/language", Open(|visit| Box::pin(page::choose_language(visit)))),
    Route::post("/console/theme", Open(|visit| Box::pin(page::choose_theme(visit)))),
    Route::post("/console/sign-out", For(Viewer, |desk| Box::pin(sign_in::out(desk)))),
    Route::get("/console/password", For(Viewer, |desk| Box::pin(password::show(desk)))),
    Route::post("/console/password", For(Viewer, |desk| Box::pin(password::change(desk)))),
    Route::get("/console/", For(Viewer, |desk| Box::pin(overview::show(desk)))),
    Route::get("/console/decisions", For(Viewer, |desk| Box::pin(decisions::show(desk)))),
    Route::get("/console/decisions/{event}", For(Viewer, |desk| Box::pin(decision::show(desk)))),
    Route::post("/console/decisions/{event}/text", For(Reviewer, |desk| Box::pin(decision::text(desk)))),
    Route::get("/console/review", For(Reviewer, |desk| Box::pin(review::show(desk)))),
    Route::post("/console/review/{event}/{direction}", For(Reviewer, |desk| Box::pin(review::label(desk)))),
    Route::post("/console/review/{event}/{direction}/text", For(Reviewer, |desk| Box::pin(review::text(desk)))),
    Route::get("/console/try", For(Editor, |desk| Box::pin(try_it::show(desk)))),
    Route::post("/console/try", For(Editor, |desk| Box::pin(try_it::show(desk)))),
    Route::get("/console/policy", For(Viewer, |desk| Box::pin(policy::show(desk)))),
    Route::get("/console/policy/proposal", For(Viewer, |desk| Box::pin(policy::proposal(desk)))),
    Route::post("/console/policy/approve", For(Approver, |desk| Box::pin(policy::approve(desk)))),
    Route::post("/console/policy/rollback", For(Approver, |desk| Box::pin(policy::roll_back(desk)))),
    Route::post("/console/policy/drafts", For(Editor, |desk| Box::pin(policy::begin(desk)))),
    Route::get("/console/policy/drafts/{name}", For(Viewer, |desk| Box::pin(policy::show_draft(desk)))),
    Route::post("/console/policy/drafts/{name}", For(Editor, |desk| Box::pin(policy::save(desk)))),
    Route::get("/console/policy/drafts/{name}/text", For(Viewer, |desk| Box::pin(policy::download(desk)))),
    Route::get("/console/policy/drafts/{name}/curve", For(Viewer, |desk| Box::pin(policy::numbers(desk)))),
    Route::get("/console/policy/drafts/{name}/curve.json", For(Viewer, |desk| Box::pin(policy::curve(desk)))),
    Route::get("/console/policy/drafts/{name}/trial", For(Viewer, |desk| Box::pin(policy::show_trial(desk)))),
    Route::post("/console/policy/drafts/{name}/trial", For(Editor, |desk| Box::pin(policy::measure(desk)))),
    Route::post("/console/policy/drafts/{name}/propose", For(Editor, |desk| Box::pin(policy::propose(desk)))),
    Route::post("/console/policy/drafts/{name}/promote", For(Approver, |desk| Box::pin(policy::promote(desk)))),
    Route::get("/console/audit", For(Viewer, |desk| Box::pin(audit::show(desk)))),
    Route::get("/console/audit/proof", For(Viewer, |desk| Box::pin(audit::proof::show(desk)))),
    Route::post("/console/audit/proof", For(Reviewer, |desk| Box::pin(audit::proof::begin(desk)))),
    Route::post("/console/audit/decisions", For(audit::TAKES, |desk| Box::pin(audit::download::take(desk)))),
    Route::get("/console/people", For(Admin, |desk| Box::pin(people::show(desk)))),
    Route::post("/console/people", For(Admin, |desk| Box::pin(people::add(desk)))),
    Route::post("/console/people/{name}", For(Admin, |desk| Box::pin(people::change(desk)))),
    Route::get("/console/about", For(Viewer, |desk| Box::pin(about::show(desk)))),
];

/// The least role that a page takes which is looked at.
fn least(path: &str) -> Option<Role> {
    ROUTES.iter().find(|route| route.path == path && route.method == Method::GET).and_then(Route::least)
}

/// Whether another site had a browser send this.
#[must_use]
pub fn from_elsewhere(headers: &http::HeaderMap) -> bool {
    form::from_here(headers, None).is_err()
}

/// Answers one request for a page.
pub async fn handle(console: &Console, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let headers = request.headers();
    let config::Console { secure, trusted_proxies: trusted, .. } = &console.settings;
    let secure = *secure;
    let query = Fields::parse(request.uri().query().unwrap_or_default().as_bytes());
    let (found, params) = match console.pages.at(&path) {
        Ok(found) => {
            let decoded = |value: &str| percent_decode_str(value).decode_utf8_lossy().replace('\0', "\u{fffd}");
            let params = found.params.iter().map(|(name, value)| (name.to_owned(), decoded(value))).collect();
            (Some(found.value), params)
        }
        Err(_) => (None, Vec::new()),
    };
    let begun = Token::kept(headers, oidc::COOKIE, secure);
    let mut visit = Visit {
        console,
        language: page::language(headers, secure),
        theme: Theme::chosen(headers, secure),
        peer: request.extensions().get::<SocketAddr>().map(|peer| address::of(peer.ip(), headers, trusted)),
        path: &path,
        query: &query,
        form: &Fields::default(),
        params: &params,
        session: None,
        reason: session::cookie(headers, review::REASON, secure).unwrap_or_default(),
        begun: begun.as_ref(),
        is_post: request.method() == Method::POST,
    };
    let answered = match (&*path, found) {
        ("/" | "/console", _) => Ok(page::moved("/console/")),
        (_, Some(routes)) => answer(&mut visit, routes, request).await,
        _ => Err(Trouble::NotFound),
    };
    page::guarded(answered.unwrap_or_else(|trouble| page::trouble(&visit, &trouble)))
}

/// How long the form of someone may take who is not signed in.
const STRANGER: Duration = Duration::from_secs(5);

/// The page that a visitor asks for, as far as they may.
async fn answer(
    visit: &mut Visit<'_>,
    routes: &[&'static Route],
    request: Request<Incoming>,
) -> Result<Response<Body>, Trouble> {
    let console = visit.console;
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let route = routes.iter().find(|route| route.method == *method).ok_or(Trouble::Method)?;
    let is_asset = route.path.starts_with("/console/assets/");
    let records = match &console.records {
        None if !is_asset && !matches!(route.path, "/console/language" | "/console/theme") => {
            return Err(Trouble::NoStore);
        }
        records => records.as_ref(),
    };
    let token = Token::kept(request.headers(), session::COOKIE, console.settings.secure);
    if let (Some(records), Some(token), false) = (records, token, is_asset) {
        visit.session = records.store.session(&token, Life::of(console)).await?;
    }
    match (route.least(), &visit.session) {
        (Some(_), None) => return Ok(page::moved(&sign_in_first(visit))),
        (Some(least), Some(session)) if session.account.role < least => return Err(Trouble::Forbidden(least)),
        _ => {}
    }
    let mut posted = Fields::default();
    if visit.is_post {
        form::from_here(request.headers(), console.settings.url.as_ref())?;
        // Who is not signed in holds no connection for long: operators' probes come in here too.
        let patience = console.proxy.limits.body_timeout;
        let patience = if visit.session.is_none() { patience.min(STRANGER) } else { patience };
        posted = form::posted(request, patience).await?;
        if visit.session.as_ref().is_some_and(|session| posted.get("csrf") != session.csrf) {
            return Err(Trouble::OtherSite);
        }
    }
    let visit = &Visit { form: &posted, session: visit.session.clone(), reason: visit.reason.clone(), ..*visit };
    match (route.page, records, &visit.session) {
        (Page::Open(page), ..) => page(visit).await,
        (Page::For(_, page), Some(records), Some(session)) => page(&desk(visit, records, session).await?).await,
        _ => Err(Trouble::NoStore),
    }
}

async fn desk<'a>(visit: &'a Visit<'a>, records: &'a Records, session: &'a Session) -> Result<Desk<'a>, Trouble> {
    let Visit { console, language, query, form, .. } = *visit;
    // What the last page did is said once.
    if !session.flash.is_empty() && !visit.is_post {
        records.store.flash(session, "").await?;
    }
    Ok(Desk { console, records, account: &session.account, language, query, form, session, visit })
}

/// Where one signs in, to come back to what was asked for.
fn sign_in_first(visit: &Visit<'_>) -> String {
    let then = visit.back();
    if visit.is_post || then == "/console/" {
        return sign_in::PATH.to_owned();
    }
    let then = form_urlencoded::byte_serialize(then.as_bytes()).collect::<String>();
    format!("{}?then={then}", sign_in::PATH)
}
