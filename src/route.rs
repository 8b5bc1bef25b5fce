//! Which way a request goes, by its method and path. What nobody named is denied: an unguarded path is a hole.

use crate::error::ProxyError;
use crate::guard::stream::Mode;
use crate::openai::request::Surface;
use crate::plug::Plug;
use crate::policy::message::Audience;
use http::Method;
use std::sync::Arc;

/// Which way a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the LLM, by one of its surfaces.
    Guarded(Surface, Flow),
    /// To an answer that the upstream has kept; it is judged when it is fetched.
    Kept(Surface, Flow),
    /// To us alone, for a verdict.
    Verdict(Plug),
    /// To the upstream as it is, because no LLM reads it or because the operator says so.
    Pass,
}

/// How an answer flows, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// When a streamed one is released.
    pub mode: Mode,
    /// Whether the upstream is asked before the prompt is cleared.
    pub speculative: bool,
    /// Who it is for, where the operator says so.
    pub audience: Option<Audience>,
    /// Whether it is about records of substance-use treatment (42 CFR Part 2).
    pub part2: bool,
}

/// A rule of the operator for a path, before the built-in ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The path; `*` at its end stands for whatever follows.
    pub path: String,
    /// What is done.
    pub action: Action,
    /// The upstream that serves it; `None` for those that serve the model.
    pub upstream: Option<Arc<str>>,
}

/// What a rule does with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Judge it as a request of this surface.
    Guard(Surface, Flow),
    /// Hand it on as it is, with any method.
    Pass,
    /// Do not serve it.
    Deny,
}

impl Rule {
    fn covers(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == self.path,
        }
    }
}

/// The upstream that must serve a path, where a rule says so.
#[must_use]
pub fn upstream(rules: &[Rule], path: &str) -> Option<Arc<str>> {
    rules.iter().find(|rule| rule.covers(path))?.upstream.clone()
}

/// The route of a request; the first of `rules` that covers the path decides, then what is built in, which flows as
/// `flow` says.
///
/// # Errors
/// When the path is denied, or has no such method.
pub fn route(rules: &[Rule], flow: Flow, method: &Method, path: &str) -> Result<Route, ProxyError> {
    if !is_plain(path) {
        return Err(ProxyError::UnguardedEndpoint);
    }
    if let Some(rule) = rules.iter().find(|rule| rule.covers(path)) {
        return match rule.action {
            Action::Guard(surface, flow) => with_method(method, &Method::POST, Route::Guarded(surface, flow)),
            Action::Pass => Ok(Route::Pass),
            Action::Deny => Err(ProxyError::UnguardedEndpoint),
        };
    }
    let below = |start: &str| path.strip_prefix(start).is_some_and(|id| !id.contains('/'));
    match path {
        "/v1/chat/completions" => with_method(method, &Method::POST, Route::Guarded(Surface::Chat, flow)),
        "/v1/completions" => with_method(method, &Method::POST, Route::Guarded(Surface::Completions, flow)),
        "/v1/responses" => with_method(method, &Method::POST, Route::Guarded(Surface::Responses, flow)),
        "/v1/embeddings" => with_method(method, &Method::POST, Route::Guarded(Surface::Embeddings, flow)),
        "/v1/models" => with_method(method, &Method::GET, Route::Pass),
        path if path.starts_with("/v1/models/") => with_method(method, &Method::GET, Route::Pass),
        _ if below("/v1/responses/") => with_method(method, &Method::GET, Route::Kept(Surface::Responses, flow)),
        path => match Plug::at(path) {
            Some(plug) => with_method(method, &Method::POST, Route::Verdict(plug)),
            None => Err(ProxyError::UnguardedEndpoint),
        },
    }
}

fn with_method(method: &Method, expected: &Method, route: Route) -> Result<Route, ProxyError> {
    if method == expected { Ok(route) } else { Err(ProxyError::Method) }
}

/// Whether every reader of `path` reads it alike: no empty, dotted or percent-encoded segments, which an upstream might
/// resolve into another path.
fn is_plain(path: &str) -> bool {
    let is_plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_graphic() && !b"%\\;@".contains(&byte))
    };
    path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: Flow = Flow { mode: Mode::Window, speculative: false, audience: None, part2: false };

    fn found(rules: &[Rule], method: Method, path: &str) -> Option<Route> {
        route(rules, FLOW, &method, path).ok()
    }

    #[test]
    fn what_nobody_named_is_denied() {
        for path in
            ["/", "/v1", "/v1/", "/v1/files", "/v1/responses/r/cancel", "/v1/chat/completions/", "/V1/models", ""]
        {
            assert_eq!(found(&[], Method::GET, path), None, "{path}");
            assert_eq!(found(&[], Method::POST, path), None, "{path}");
        }
        assert!(matches!(route(&[], FLOW, &Method::GET, "/v1/embeddings"), Err(ProxyError::Method)));
        assert_eq!(found(&[], Method::GET, "/v1/responses/r-1"), Some(Route::Kept(Surface::Responses, FLOW)));
        assert_eq!(found(&[], Method::POST, "/v1/moderations"), Some(Route::Verdict(Plug::Moderations)));
        assert_eq!(found(&[], Method::GET, "/v1/models/org/model:7b"), Some(Route::Pass));
    }

    #[test]
    fn the_first_rule_that_covers_a_path_decides() {
        let rule = |path: &str, action| Rule { path: path.to_owned(), action, upstream: None };
        let rules = [
            rule("/v1/files/private", Action::Deny),
            rule("/v1/files*", Action::Pass),
            rule("/openai/chat", Action::Guard(Surface::Chat, FLOW)),
            rule("/v1/embeddings", Action::Deny),
        ];
        assert_eq!(found(&rules, Method::DELETE, "/v1/files/a/content"), Some(Route::Pass));
        assert_eq!(found(&rules, Method::GET, "/v1/files/private"), None);
        assert_eq!(found(&rules, Method::POST, "/openai/chat"), Some(Route::Guarded(Surface::Chat, FLOW)));
        assert_eq!(found(&rules, Method::GET, "/openai/chat"), None);
        assert_eq!(found(&rules, Method::POST, "/v1/embeddings"), None);
        assert_eq!(found(&rules, Method::POST, "/v1/completions"), Some(Route::Guarded(Surface::Completions, FLOW)));
    }

    #[test]
    fn a_path_that_two_readers_may_read_differently_is_denied() {
        let rules = [Rule { path: "/v1/files*".to_owned(), action: Action::Pass, upstream: None }];
        for path in [
            "/v1/files/../chat/completions",
            "/v1/files/%2e%2e/x",
            "/v1/files//x",
            "/v1/files/a\\b",
            "/v1/files/./x",
            "/v1/files/a@b",
        ] {
            assert_eq!(found(&rules, Method::POST, path), None, "{path}");
        }
    }
}
